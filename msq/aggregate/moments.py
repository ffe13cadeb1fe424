"""First, last and any: aggregators that pick one row's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, validity
from msq.aggregate.sketch_base import gathered
from msq.codec import wire
from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, STRING_ARRAY, ColumnType, arrow_type, complex_of
from msq.expr.lower import InputColumn, Lowered, convert
from msq.sketches import pairs
from msq.sketches.binary import list_parts

DEFAULT_STRING_BYTES = 1024


def as_text(found: InputColumn) -> str:
    """SQL of a column as one text a row; several values, and arrays, print as Java prints a list."""
    if found.type.is_array:
        texts = convert(Lowered(found.sql_name, found.type), STRING_ARRAY)
        listed = f"array_to_string(list_transform({texts}, lambda __x: coalesce(__x, 'null')), ', ')"
        return f"CASE WHEN {found.sql_name} IS NOT NULL THEN '[' || coalesce({listed}, '') || ']' END"
    if not found.multi_value:
        return convert(Lowered(found.sql_name, found.type), STRING)
    column = found.sql_name
    inner = f"list_transform({column}, lambda __x: coalesce(__x, 'null'))"
    return f"CASE WHEN len({column}) > 1 THEN '[' || array_to_string({inner}, ', ') || ']' ELSE {column}[1] END"


@dataclass(frozen=True)
class _Moment(NativeAggregator):
    """Base of first and last by time. Rows without a time do not count; a value may be null."""

    name: str
    field_name: str
    time_column: str = "__time"
    value_type: ClassVar[ColumnType]
    last: ClassVar[bool]

    @property
    def _text(self) -> bool:
        return self.value_type == STRING

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.field_name, self.time_column)

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of(f"serializablePairLong{self.value_type.kind.capitalize()}")

    @property
    def final_type(self) -> ColumnType:
        return self.value_type

    def combining(self, name: str) -> NativeAggregator:
        from dataclasses import replace

        made: NativeAggregator = replace(self, name=name, field_name=name)
        return made

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if found.type.is_complex and not found.type.is_json:
            return {"p": gathered(found.sql_name)}
        value = as_text(found) if self._text else convert(
            Lowered(found.sql_name, found.type, found.multi_value), self.value_type
        )  # fmt: skip
        clock = scope.column(self.time_column)
        time = convert(Lowered(clock.sql_name, clock.type), LONG)
        pick, best = ("arg_max_null", "max") if self.last else ("arg_min_null", "min")
        there = f"{time} IS NOT NULL"
        # of equal times DuckDB picks the first
        later = f"arg_max_null({value}, CAST({time} AS HUGEINT) * {1 << 40} + __row__)" if self.last else None
        return {
            "t": Part(f"{best}({time})", there), "v": Part(f"{pick}({value}, {time})", there, numbered=later)
        }  # fmt: skip

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if "p" in parts:
            states, offsets = list_parts(parts["p"])
            return self._pick(states, offsets)
        times, values = combine(parts["t"]), combine(parts["v"])
        if self._text:
            return pairs.encode_texts(times, values, self._bytes)
        return pairs.encode_numbers(times, values.cast(arrow_type(self.value_type)))

    @property
    def _bytes(self) -> int:
        return getattr(self, "max_string_bytes", None) or DEFAULT_STRING_BYTES

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return states if runs.trivial else self._pick(states, runs.offsets())

    def _pick(self, states: pa.Array, offsets: Any) -> pa.Array:
        """The state of each group that is first, or last; of equal times the first, or the last, to arrive."""
        times, there = pairs.times(states, self._text)
        groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        rows = np.flatnonzero(there)
        order = rows[np.lexsort((rows, times[rows], groups[rows]))]
        chosen = np.full(len(offsets) - 1, -1, dtype=np.int64)
        if self.last:
            chosen[groups[order]] = order
        else:
            chosen[groups[order[::-1]]] = order[::-1]
        return states.take(pa.array(chosen, mask=chosen < 0))

    def finalize(self, states: pa.Array) -> pa.Array:
        if self._text:
            return pairs.decode_texts(states)
        return pairs.decode_numbers(states, arrow_type(self.value_type))

    def at_rest(self, states: pa.Array) -> pa.Array:
        return pairs.texts_at_rest(states) if self._text else states


@dataclass(frozen=True)
class _TextMoment(_Moment):
    """Texts are cut to `max_string_bytes` (1,024 when it is None)."""

    max_string_bytes: int | None = None
    value_type: ClassVar[ColumnType] = STRING


class StringFirstAggregator(_TextMoment, tag="stringFirst", aliases=("stringFirstFold",)):
    last = False


class StringLastAggregator(_TextMoment, tag="stringLast", aliases=("stringLastFold",)):
    last = True


class LongFirstAggregator(_Moment, tag="longFirst"):
    value_type = LONG
    last = False


class LongLastAggregator(_Moment, tag="longLast"):
    value_type = LONG
    last = True


class DoubleFirstAggregator(_Moment, tag="doubleFirst"):
    value_type = DOUBLE
    last = False


class DoubleLastAggregator(_Moment, tag="doubleLast"):
    value_type = DOUBLE
    last = True


class FloatFirstAggregator(_Moment, tag="floatFirst"):
    value_type = FLOAT
    last = False


class FloatLastAggregator(_Moment, tag="floatLast"):
    value_type = FLOAT
    last = True


@dataclass(frozen=True)
class _Any(NativeAggregator):
    """The first value that arrives; of merged states the first that is not null."""

    name: str
    field_name: str
    value_type: ClassVar[ColumnType]

    @property
    def intermediate_type(self) -> ColumnType:
        return self.value_type

    def combining(self, name: str) -> NativeAggregator:
        from dataclasses import replace

        made: NativeAggregator = replace(self, name=name, field_name=name)
        return made

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        return {"v": Part(f"first({convert(Lowered(found.sql_name, found.type, found.multi_value), self.value_type)})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return combine(parts["v"]).cast(arrow_type(self.value_type))

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        rows = np.flatnonzero(validity(states))[::-1]
        chosen = np.full(len(runs), -1, dtype=np.int64)
        chosen[runs.ids()[rows]] = rows
        return states.take(pa.array(chosen, mask=chosen < 0))


@dataclass(frozen=True)
class StringAnyAggregator(_Any, tag="stringAny"):
    """`aggregate_multiple_values`: a row of several values prints as a list; else its first value counts."""

    max_string_bytes: int | None = None
    aggregate_multiple_values: bool = wire(default=True)
    value_type: ClassVar[ColumnType] = STRING

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if found.multi_value and not self.aggregate_multiple_values:
            return {"v": Part(f"first({found.sql_name}[1])")}
        return {"v": Part(f"first({as_text(found)})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return pairs.cut(combine(parts["v"]).cast(pa.string()), self.max_string_bytes or DEFAULT_STRING_BYTES)


class LongAnyAggregator(_Any, tag="longAny"):
    value_type = LONG


class DoubleAnyAggregator(_Any, tag="doubleAny"):
    value_type = DOUBLE


class FloatAnyAggregator(_Any, tag="floatAny"):
    value_type = FLOAT
