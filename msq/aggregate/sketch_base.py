"""What aggregators over sketches share: the partial step gathers values in lists, kernels make states of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine
from msq.datatypes import DOUBLE
from msq.expr.lower import InputColumn, Lowered, convert
from msq.faults import DruidExceptionFault, MSQError
from msq.sketches.binary import Ints, list_parts


@contextmanager
def sketch_faults() -> Iterator[None]:
    """What a kernel refuses (bytes that are no sketch, a fraction beyond its range) as a fault of the query."""
    try:
        yield
    except ValueError as error:
        raise MSQError(DruidExceptionFault("general", str(error))) from error


def holds_states(column: InputColumn) -> bool:
    """Whether a column holds states of aggregators and not values."""
    return column.type.is_complex and not column.type.is_json


def number_sql(column: InputColumn) -> str:
    """SQL of a column's values as numbers: texts are read as DOUBLE."""
    return convert(Lowered(column.sql_name, column.type, column.multi_value), DOUBLE)


def gathered(column: str, *, flat: bool = False, nulls: bool = False) -> Part:
    """All values of a column in a list; `flat`: the column holds lists, whose values are wanted."""
    around = "flatten({})" if flat else "{}"
    return Part(f"list({column})", None if nulls else f"{column} IS NOT NULL", around, keeps_rows=True)


def texts_by_code(scope: Scope, name: str, key: str = "v") -> dict[str, Part]:
    """All values of a plain text column, gathered as places in its dictionary; nothing for other columns.

    DuckDB then moves small numbers instead of texts, and kernels hash each distinct text once.
    """
    codes = scope.codes(name)
    return {} if codes is None else {key: replace(gathered(codes.sql_name), dictionary=name)}


def number_parts(column: InputColumn, *, nulls: bool = False) -> Mapping[str, Part]:
    """The parts of a sketch of numbers: the states that a column holds, else its values; `nulls`: with the nulls."""
    if holds_states(column):
        return {"s": gathered(column.sql_name)}
    return {"v": gathered(number_sql(column), flat=column.multi_value, nulls=nulls)}


class SketchAggregator(NativeAggregator, ABC):
    """Base: `_build` makes states of values, `_union` merges states. Columns of states are taken as such by type."""

    name: str
    field_name: str

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return texts_by_code(scope, self.field_name) or self._values(scope)

    def _values(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        key = "s" if found.type.is_complex and not found.type.is_json else "v"
        return {key: gathered(found.sql_name, flat=found.multi_value)}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        with sketch_faults():
            if "s" in parts:
                states, offsets = list_parts(parts["s"])
                return self._union(states, offsets)
            values, offsets = list_parts(parts["v"])
            return self._build(values, offsets)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        if runs.trivial:
            return states
        lengths = np.diff(runs.offsets())
        single = lengths == 1
        if not single.any():
            with sketch_faults():
                return self._union(states, runs.offsets())
        # states that stand alone are kept as they are
        many = np.flatnonzero(~single)
        rows = np.repeat(~single, lengths)
        with sketch_faults():
            merged = self._union(states.filter(pa.array(rows)), np.concatenate([[0], np.cumsum(lengths[many])]))
        index = np.empty(len(runs), dtype=np.int64)
        index[single] = runs.starts[single]
        index[many] = len(states) + np.arange(len(many))
        kind = pa.large_binary() if pa.types.is_large_binary(states.type) else merged.type
        return combine(pa.chunked_array([states.cast(kind), merged.cast(kind)])).take(pa.array(index))

    def empty(self) -> pa.Array:
        return self._build(pa.array([], type=pa.int64()), np.zeros(2, dtype=np.int64))

    @abstractmethod
    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array: ...

    @abstractmethod
    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array: ...


def without_empty(states: pa.Array, empty: Any) -> pa.Array:
    """States as a segment stores DataSketches: an empty sketch has no bytes."""
    if not np.any(empty):
        return states
    from msq.sketches.binary import binary, flat, offsets_of

    data, offsets = flat(states)
    lengths = np.diff(offsets)
    kept = np.repeat(~np.asarray(empty), lengths)
    valid = np.asarray(states.is_valid())
    return binary(data[kept], offsets_of(np.where(empty, 0, lengths)), valid)


def rounded(estimates: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Array:
    """Estimates as longs, rounded as Java rounds: halves go up."""
    return pa.array(np.floor(estimates + 0.5).astype(np.int64))
