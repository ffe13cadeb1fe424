"""The aggregators over spectator histograms and their post-aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.sketch_base import SketchAggregator, gathered, number_parts, sketch_faults
from msq.aggregate.sketch_posts import rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, ColumnType, RowSignature, complex_of
from msq.native.aggregators import PostAggregator
from msq.sketches import spectator
from msq.sketches.binary import Ints


class _Spectator(SketchAggregator):
    shareable = True

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of(str(self.TAG))

    def combining(self, name: str) -> NativeAggregator:
        return replace(self, name=name, field_name=name)  # type: ignore[type-var]

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if found.type == LONG:
            # a double would not hold every long
            return {"v": gathered(found.sql_name, flat=found.multi_value)}
        return number_parts(found)

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return spectator.build(values, offsets)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return spectator.union(states, offsets)


@dataclass(frozen=True)
class SpectatorHistogramAggregator(_Spectator, tag="spectatorHistogram"):
    """Counts of numbers in fixed buckets, or the union of such; null without values."""

    name: str
    field_name: str


@dataclass(frozen=True)
class SpectatorTimerAggregator(_Spectator, tag="spectatorHistogramTimer"):
    """As spectatorHistogram, of durations."""

    name: str
    field_name: str


@dataclass(frozen=True)
class SpectatorDistributionAggregator(_Spectator, tag="spectatorHistogramDistribution"):
    """As spectatorHistogram, of sizes."""

    name: str
    field_name: str


@dataclass(frozen=True)
class SpectatorCount(NativePostAggregator, tag="countSpectatorHistogram"):
    """How many values a histogram holds; 0 for none."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return LONG

    def compute(self, rows: GroupedRows) -> pa.Array:
        with sketch_faults():
            return pa.array(spectator.counts(post(self.field).compute(rows)))


@dataclass(frozen=True)
class SpectatorPercentile(NativePostAggregator, tag="percentileSpectatorHistogram"):
    """The value at `percentile` (0 to 100); NaN without values."""

    name: str | None
    field: PostAggregator
    percentile: float = 50.0

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        with sketch_faults():
            return pa.array(spectator.percentiles(post(self.field).compute(rows), [self.percentile])[:, 0])


@dataclass(frozen=True)
class SpectatorPercentiles(NativePostAggregator, tag="percentilesSpectatorHistogram"):
    """The values at several percentages; null without values."""

    name: str | None
    field: PostAggregator
    percentiles: tuple[float, ...] = ()

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        with sketch_faults():
            return rows_of_doubles(spectator.percentiles(states, self.percentiles), states)
