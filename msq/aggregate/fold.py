"""The `expression` aggregator: folds of the native language that SQL makes (ARRAY_AGG, STRING_AGG, BIT_AND and kin).

A fold is known by its outer function over the accumulator and one column; any other fold is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate import scratch
from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, numbers, numeric_array, validity
from msq.aggregate.sketch_base import gathered
from msq.codec import wire
from msq.datatypes import LONG, STRING, ColumnType, arrow_type
from msq.expr.lower import InputColumn, Lowered, LowerEnv, as_output, convert, lower
from msq.expr.nodes import Call, Identifier, Literal
from msq.expr.parser import parse
from msq.expr.types import infer
from msq.faults import DruidExceptionFault, MSQError
from msq.sketches.binary import list_parts, offsets_of

_APPENDS = {"array_append": (False, False), "array_set_add": (True, False), "array_concat": (False, True),
            "array_set_add_all": (True, True)}  # fmt: skip
_BITS: dict[str, tuple[str, Any]] = {
    "bitwiseand": ("max(CASE WHEN {0} IS NOT NULL THEN CAST(0 AS BIGINT) END)", np.bitwise_and),
    "bitwiseor": ("bit_or({0})", np.bitwise_or),
    "bitwisexor": ("bit_xor({0})", np.bitwise_xor),
}
DEFAULT_MAX_BYTES = 8192


@dataclass(frozen=True)
class _Fold:
    """`unique`: values form a set, kept sorted. `flat`: the column holds arrays whose values are wanted."""

    column: str
    function: str
    unique: bool = False
    flat: bool = False

    @property
    def bits(self) -> bool:
        return self.function in _BITS


@dataclass(frozen=True)
class ExpressionAggregator(NativeAggregator, tag="expression"):
    """See the module. BIT_AND starts from 0 as Druid's does, so it is 0 for any rows."""

    name: str
    fields: tuple[str, ...]
    accumulator_identifier: str = "__acc"
    initial_value: str = ""
    initial_combine_value: str | None = None
    is_null_unless_aggregated: bool = True
    should_aggregate_null_inputs: bool = True
    should_combine_aggregate_null_inputs: bool = True
    fold: str = ""
    combine: str | None = None
    compare: str | None = None
    finalize_expression: str | None = wire(name="finalize", default=None)
    max_size_bytes: int = DEFAULT_MAX_BYTES

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.fields

    @cached_property
    def _fold(self) -> _Fold:
        node = parse(self.fold)
        if isinstance(node, Call) and len(node.args) == 2 and node.args[0] == Identifier(self.accumulator_identifier):
            column, function = node.args[1], node.function.lower()
            if isinstance(column, Identifier) and function in _APPENDS:
                return _Fold(column.name, function, *_APPENDS[function])
            if isinstance(column, Identifier) and function in _BITS:
                return _Fold(column.name, function)
        raise MSQError(
            DruidExceptionFault("general", f"Aggregator [expression] with fold [{self.fold}] is not supported")
        )

    @property
    def intermediate_type(self) -> ColumnType:
        initial = parse(self.initial_combine_value or self.initial_value)
        assert isinstance(initial, Literal)
        return initial.type or STRING

    @property
    def final_type(self) -> ColumnType:
        if self.finalize_expression is None:
            return self.intermediate_type
        return infer(parse(self.finalize_expression), {"o": self.intermediate_type})

    def combining(self, name: str) -> NativeAggregator:
        joined = self.combine or self.fold
        return replace(self, name=name, fields=(name,), fold=joined.replace(f'"{self.name}"', f'"{name}"'))

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        fold = self._fold
        found = scope.column(fold.column)
        value = Lowered(found.sql_name, found.type, found.multi_value)
        there = None if self.should_aggregate_null_inputs else f"{found.sql_name} IS NOT NULL"
        if fold.bits:
            bits = convert(value, LONG)
            if value.type == STRING and not value.multi_value:
                # a text that is no number has no bits, but is there
                bits = f"coalesce({bits}, CASE WHEN {value.sql} IS NOT NULL THEN 0 END)"
            return {"v": Part(_BITS[fold.function][0].format(bits), there)}
        kind = self.intermediate_type
        assert kind.element is not None
        if fold.flat:
            return {"v": gathered(convert(value, kind), flat=True)}
        if found.multi_value and kind.element == STRING:
            some = f"d_some({found.sql_name})"
            return {"v": replace(gathered(some, flat=True, nulls=True), where=there)}
        return {"v": replace(gathered(convert(value, kind.element), nulls=True), where=there)}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        made = combine(parts["v"])
        if self._fold.bits:
            return made.cast(pa.int64())
        made = made.cast(arrow_type(self.intermediate_type))
        if self._fold.unique:
            made = _as_sets(made)
        return self._checked(made)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        if runs.trivial:
            return states
        valid = validity(states)
        some = np.logical_or.reduceat(valid, runs.starts)
        if self._fold.bits:
            values, _ = numbers(states)
            return numeric_array(_BITS[self._fold.function][1].reduceat(values, runs.starts), some, pa.int64())
        values, offsets = list_parts(states)
        made = lists(values, offsets[runs.offsets()], some, states.type)
        return self._checked(_as_sets(made) if self._fold.unique else made)

    def finalize(self, states: pa.Array) -> pa.Array:
        if self.finalize_expression is None:
            return states
        inputs = {"o": InputColumn("o", self.intermediate_type)}
        kind = self.final_type
        lowered = as_output(lower(parse(self.finalize_expression), inputs, LowerEnv()), kind)
        return scratch.column(lowered.sql, {"o": states}).cast(arrow_type(kind))

    def _checked(self, states: pa.Array) -> pa.Array:
        """The states, none of them larger than allowed. A size counts as Druid serialises arrays."""
        kind = self.intermediate_type
        values, offsets = list_parts(states)
        if kind.element is None or not len(values):
            return states
        cost = 1 + _bytes(values, kind.element)
        total = np.concatenate([[0], np.cumsum(cost)])
        size = 5 + total[offsets[1:]] - total[offsets[:-1]]
        over = np.flatnonzero(size > self.max_size_bytes)
        if len(over):
            group = over[0]
            # what an aggregator that adds one value after the other would have stopped at
            running = 5 + total[offsets[group] + 1 : offsets[group + 1] + 1] - total[offsets[group]]
            first = int(running[np.flatnonzero(running > self.max_size_bytes)[0]])
            raise MSQError(DruidExceptionFault("general", f"Exceeded memory usage when aggregating type [{kind}], size "
                                               f"[{first}] is larger than max [{self.max_size_bytes}]"))  # fmt: skip
        return states


def lists(values: pa.Array, offsets: Any, valid: Any, kind: Any) -> pa.Array:
    """Lists of consecutive values; null where `valid` is false."""
    mask = None if valid.all() else pa.array(~valid)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, mask=mask).cast(kind)


def _as_sets(states: pa.Array) -> pa.Array:
    """Each list without repetitions, sorted, its null first."""
    return combine(scratch.column("list_sort(d_unique(o), 'ASC', 'NULLS FIRST')", {"o": states})).cast(states.type)


def _bytes(values: pa.Array, kind: ColumnType) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes of each value beyond its null mark."""
    valid = validity(values)
    if kind.element is not None:
        inner, offsets = list_parts(values)
        cost = np.concatenate([[0], np.cumsum(1 + _bytes(inner, kind.element))]) if len(inner) else np.zeros(1)
        size = 4 + cost[offsets[1:]] - cost[offsets[:-1]] if len(inner) else np.full(len(values), 4)
    elif kind == STRING or kind.is_complex:
        data = values.cast(pa.large_binary())
        size = 4 + np.asarray(pa.compute.binary_length(data).fill_null(0))
    else:
        size = np.full(len(values), 8)
    return np.where(valid, size, 0).astype(np.int64)


__all__ = ["ExpressionAggregator", "lists", "offsets_of"]
