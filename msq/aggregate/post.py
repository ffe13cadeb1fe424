"""What every post-aggregator can do, and the general ones: field access, constants, arithmetic, expressions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from msq.aggregate.base import combine, numbers, numeric_array, quote
from msq.codec import wire
from msq.datatypes import DOUBLE, LONG, STRING, ColumnType, RowSignature, arrow_type
from msq.expr.lower import InputColumn, LowerEnv, as_output, lower
from msq.expr.parser import parse
from msq.expr.types import infer
from msq.native.aggregators import PostAggregator


@dataclass
class GroupedRows:
    """Rows behind a group-by: dimensions, aggregators as states and as final values, and what was computed of them."""

    rows: int
    states: dict[str, pa.Array]
    state_types: dict[str, ColumnType]
    finals: dict[str, pa.Array]
    final_types: dict[str, ColumnType]
    connection: Callable[[], duckdb.DuckDBPyConnection]
    env: LowerEnv = field(default_factory=LowerEnv)

    @property
    def signature(self) -> RowSignature:
        """The columns with the types of final values."""
        return RowSignature(self.final_types.items())

    def add(self, name: str, values: pa.Array, column_type: ColumnType) -> None:
        """Makes a computed column known to later post-aggregators."""
        self.states[name] = self.finals[name] = values
        self.state_types[name] = self.final_types[name] = column_type


class NativePostAggregator(PostAggregator, ABC):
    """Behaviour of the members of the family `PostAggregator`."""

    name: str | None

    @abstractmethod
    def output_type(self, columns: RowSignature) -> ColumnType:
        """Type of the values over aggregated `columns`."""

    @abstractmethod
    def compute(self, rows: GroupedRows) -> pa.Array:
        """One value a row, in frame layout."""


def post(value: PostAggregator) -> NativePostAggregator:
    """The post-aggregator with its behaviour."""
    assert isinstance(value, NativePostAggregator)
    return value


@dataclass(frozen=True)
class FieldAccess(NativePostAggregator, tag="fieldAccess"):
    """A column as it is: of an aggregator, its state."""

    name: str | None
    field_name: str

    def output_type(self, columns: RowSignature) -> ColumnType:
        return columns.type_of(self.field_name) or STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        found = rows.states.get(self.field_name)
        return pa.nulls(rows.rows, pa.string()) if found is None else found


@dataclass(frozen=True)
class FinalizingFieldAccess(NativePostAggregator, tag="finalizingFieldAccess"):
    """A column with aggregators finalised."""

    name: str | None
    field_name: str

    def output_type(self, columns: RowSignature) -> ColumnType:
        return columns.type_of(self.field_name) or STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        found = rows.finals.get(self.field_name)
        return pa.nulls(rows.rows, pa.string()) if found is None else found


@dataclass(frozen=True)
class ConstantPostAggregator(NativePostAggregator, tag="constant"):
    name: str | None
    value: int | float

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE if isinstance(self.value, float) else LONG

    def compute(self, rows: GroupedRows) -> pa.Array:
        return pa.array(np.full(rows.rows, self.value), type=arrow_type(self.output_type(rows.signature)))


@dataclass(frozen=True)
class ArithmeticPostAggregator(NativePostAggregator, tag="arithmetic"):
    """`fn` over `fields`, left to right, in doubles; null where a field is null. `/` by zero is 0, `quotient` IEEE."""

    name: str | None
    fn: str
    fields: tuple[PostAggregator, ...]
    ordering: str | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        operation = _ARITHMETIC[self.fn]
        values, valid = _doubles(post(self.fields[0]).compute(rows))
        for operand in self.fields[1:]:
            other, there = _doubles(post(operand).compute(rows))
            with np.errstate(all="ignore"):
                values = operation(values, other)
            valid = valid & there
        return numeric_array(values, valid, pa.float64())


def _doubles(array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    return numbers(array.cast(pa.float64(), safe=False))


def _slash(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(b == 0, 0.0, a / b)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": _slash, "quotient": np.divide, "pow": np.power,
}  # fmt: skip


@dataclass(frozen=True)
class ExpressionPostAggregator(NativePostAggregator, tag="expression"):
    """A native expression over dimensions, final aggregates and earlier post-aggregators."""

    name: str | None
    expression: str
    result_type: ColumnType | None = wire(name="outputType", default=None)
    ordering: str | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return self.result_type or infer(parse(self.expression), columns)

    def compute(self, rows: GroupedRows) -> pa.Array:
        return evaluate([(self.expression, self.output_type(rows.signature))], rows)[0]


def evaluate(expressions: Sequence[tuple[str, ColumnType]], rows: GroupedRows) -> list[pa.Array]:
    """Values of native expressions over the final columns, each as a column of its type."""
    inputs = final_inputs(rows)
    made = [as_output(lower(parse(text), inputs, rows.env), kind) for text, kind in expressions]
    return select_over(rows, [m.sql for m in made], [
        arrow_type(kind, m.multi_value) for m, (_, kind) in zip(made, expressions, strict=True)
    ])  # fmt: skip


def final_inputs(rows: GroupedRows) -> Mapping[str, InputColumn]:
    """The final columns as expressions see them."""
    return {
        name: InputColumn(quote(name), kind, kind == STRING and pa.types.is_list(rows.finals[name].type))
        for name, kind in rows.final_types.items()
    }


def select_over(rows: GroupedRows, items: Sequence[str], types: Sequence[Any]) -> list[pa.Array]:
    """SQL items over the final columns, one array each, rows in order."""
    names = [n for n in rows.finals if any(quote(n) in item for item in items)]
    ordinal = pa.array(np.arange(rows.rows))
    table = pa.table([*(rows.finals[n] for n in names), ordinal], names=[*names, "__ordinal"])
    connection = rows.connection()
    connection.register("grouped_rows", table)
    try:
        listed = ", ".join(f"{item} AS p{i}" for i, item in enumerate(items))
        result = connection.sql(f'SELECT {listed} FROM grouped_rows ORDER BY "__ordinal"').to_arrow_table()
    finally:
        connection.unregister("grouped_rows")
    return [combine(result.column(i)).cast(kind) for i, kind in enumerate(types)]
