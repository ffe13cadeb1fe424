"""The aggregator over t-digests and its post-aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.sketch_base import SketchAggregator, number_parts, sketch_faults
from msq.aggregate.sketch_posts import doubles, rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, ColumnType, RowSignature, complex_of
from msq.native.aggregators import PostAggregator
from msq.sketches import tdigest
from msq.sketches.binary import Ints

TDIGEST = complex_of("tDigestSketch")
DEFAULT_COMPRESSION = 100


@dataclass(frozen=True)
class TDigestAggregator(SketchAggregator, tag="tDigestSketch"):
    """A digest of numbers, or the union of digests. A NaN fails the query."""

    shareable = True

    name: str
    field_name: str
    compression: int = DEFAULT_COMPRESSION

    def __post_init__(self) -> None:
        if self.compression < 1:
            raise ValueError(f"compression must be > 0, got [{self.compression}]")

    @property
    def intermediate_type(self) -> ColumnType:
        return TDIGEST

    def combining(self, name: str) -> NativeAggregator:
        return replace(self, name=name, field_name=name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return number_parts(scope.column(self.field_name))

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return tdigest.build(values, offsets, self.compression)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return tdigest.union(states, offsets, self.compression)


@dataclass(frozen=True)
class TDigestToQuantile(NativePostAggregator, tag="quantileFromTDigestSketch"):
    name: str | None
    field: PostAggregator
    fraction: float = 0.5

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        with sketch_faults():
            return doubles(tdigest.quantiles(states, [self.fraction])[:, 0], states)


@dataclass(frozen=True)
class TDigestToQuantiles(NativePostAggregator, tag="quantilesFromTDigestSketch"):
    name: str | None
    field: PostAggregator
    fractions: tuple[float, ...] = ()

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        with sketch_faults():
            return rows_of_doubles(tdigest.quantiles(states, self.fractions), states)
