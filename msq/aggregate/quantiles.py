"""Aggregators over DataSketches classic quantiles of doubles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.sketch_base import SketchAggregator, gathered, number_sql, without_empty
from msq.codec import wire
from msq.datatypes import LONG, ColumnType, complex_of
from msq.sketches import quantiles
from msq.sketches.binary import Ints

QUANTILES = complex_of("quantilesDoublesSketch")


class _Quantiles(SketchAggregator):
    k: int
    should_finalize: bool

    @property
    def intermediate_type(self) -> ColumnType:
        return QUANTILES

    @property
    def final_type(self) -> ColumnType:
        return LONG if self.should_finalize else QUANTILES

    def combining(self, name: str) -> NativeAggregator:
        return QuantilesMergeAggregator(name, self.k, 1_000_000_000, self.should_finalize)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if found.type.is_complex:
            return super().parts(scope)
        return {"v": gathered(number_sql(found))}

    def finalize(self, states: pa.Array) -> pa.Array:
        return pa.array(quantiles.counts(states)) if self.should_finalize else states

    def at_rest(self, states: pa.Array) -> pa.Array:
        return without_empty(states, quantiles.counts(states) == 0)

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return quantiles.build(values, offsets, self.k)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return quantiles.union(states, offsets, self.k)


@dataclass(frozen=True)
class QuantilesAggregator(_Quantiles, tag="quantilesDoublesSketch"):
    """A sketch of numbers, or the union of sketches; finalised it is the number of values."""

    shareable = True

    name: str
    field_name: str
    k: int = 128
    max_stream_length: int = 1_000_000_000
    should_finalize: bool = wire(default=True, omit=lambda v: v)


@dataclass(frozen=True)
class QuantilesMergeAggregator(_Quantiles, tag="quantilesDoublesSketchMerge"):
    """The combining form, which knows only its own name."""

    name: str
    k: int = 128
    max_stream_length: int = 1_000_000_000
    should_finalize: bool = wire(default=True, omit=lambda v: v)
    field_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "field_name", self.name)
