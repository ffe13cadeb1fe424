"""Aggregators around others or around nothing: filtered, grouping, passthrough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope
from msq.codec import encode
from msq.datatypes import LONG, ColumnType, complex_of
from msq.native.aggregators import Aggregator
from msq.native.filters import DimFilter


@dataclass(frozen=True)
class FilteredAggregator(NativeAggregator, tag="filtered"):
    """`aggregator` over the rows that fulfil `filter`; both have the same name."""

    aggregator: Aggregator
    filter: DimFilter
    name: str = ""

    @property
    def _inner(self) -> NativeAggregator:
        assert isinstance(self.aggregator, NativeAggregator)
        return self.aggregator

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self._inner.inputs, *filter_columns(self.filter))

    @property
    def intermediate_type(self) -> ColumnType:
        return self._inner.intermediate_type

    @property
    def final_type(self) -> ColumnType:
        return self._inner.final_type

    def combining(self, name: str) -> NativeAggregator:
        return self._inner.combining(name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        condition = scope.condition(self.filter)
        return {key: part.also(condition) for key, part in self._inner.parts(scope).items()}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return self._inner.state(parts)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return self._inner.merge(states, runs)

    def finalize(self, states: pa.Array) -> pa.Array:
        return self._inner.finalize(states)

    def at_rest(self, states: pa.Array) -> pa.Array:
        return self._inner.at_rest(states)

    def empty(self) -> pa.Array:
        return self._inner.empty()


@dataclass(frozen=True)
class GroupingAggregator(NativeAggregator, tag="grouping"):
    """GROUPING(..): one bit for each of `groupings`, first most significant; without subtotals all are grouped: 0."""

    name: str
    groupings: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    @property
    def intermediate_type(self) -> ColumnType:
        return LONG

    def combining(self, name: str) -> NativeAggregator:
        from msq.aggregate.counts import LongMaxAggregator

        return LongMaxAggregator(name, name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return {"n": Part("count(*)")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return pa.array(np.zeros(len(parts["n"]), dtype=np.int64))

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return states.take(pa.array(runs.starts))


@dataclass(frozen=True)
class PassthroughAggregator(NativeAggregator, tag="passthrough"):
    """A complex column of the generator's input that is stored as it is: of equal keys the first one stays."""

    column_name: str
    complex_type_name: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.column_name

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.column_name,)

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of(self.complex_type_name)

    def combining(self, name: str) -> NativeAggregator:
        return PassthroughAggregator(name, self.complex_type_name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return {"v": Part(f"any_value({scope.column(self.column_name).sql_name})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return parts["v"]

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return states if runs.trivial else states.take(pa.array(runs.starts))


def filter_columns(condition: DimFilter) -> tuple[str, ...]:
    """Names of the columns that a native filter reads, each once."""
    return tuple(dict.fromkeys(_columns(encode(condition))))


def _columns(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _columns(item)
    elif isinstance(value, dict):
        for key in ("column", "dimension"):
            if isinstance(value.get(key), str):
                yield value[key]
        if value.get("type") == "columnComparison":
            yield from (d for d in value["dimensions"] if isinstance(d, str))
        if value.get("type") == "expression":
            from msq.expr.nodes import identifiers
            from msq.expr.parser import parse

            yield from identifiers(parse(value["expression"]))
        for key in ("field", "fields"):
            yield from _columns(value.get(key))
