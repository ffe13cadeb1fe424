"""Post-aggregators of the histogram extension: quantiles, extremes, and histograms laid out anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from msq.aggregate.base import validity
from msq.aggregate.histograms import FIXED, SHOWN, json_column, json_number, json_numbers, shown_histograms
from msq.aggregate.post import GroupedRows, NativePostAggregator
from msq.aggregate.singles import shortest
from msq.aggregate.sketch_base import sketch_faults
from msq.datatypes import FLOAT, ColumnType, RowSignature, complex_of
from msq.sketches import approximate_histogram, fixed_buckets


def _floats(values: Any, states: pa.Array) -> pa.Array:
    valid = validity(states)
    return pa.array(values, pa.float32(), mask=None if valid.all() else ~valid)


def _quantiles(rows: GroupedRows, name: str, probabilities: tuple[float, ...]) -> Any:
    """One row of quantiles for each state of either kind of histogram."""
    for probability in probabilities:
        if not 0 <= probability <= 1:
            raise ValueError(f"Illegal probability[{probability}], must be strictly between 0 and 1")
    states = rows.states[name]
    if rows.state_types[name] == FIXED:
        return fixed_buckets.percentiles(states, [float(np.float32(p)) * 100.0 for p in probabilities])
    return approximate_histogram.quantiles(states, probabilities)


@dataclass(frozen=True)
class HistogramQuantile(NativePostAggregator, tag="quantile"):
    """The value at a probability, of an approximate histogram or one of fixed buckets."""

    name: str | None
    field_name: str
    probability: float = 0.0

    def output_type(self, columns: RowSignature) -> ColumnType:
        return FLOAT

    def compute(self, rows: GroupedRows) -> pa.Array:
        with sketch_faults():
            values = _quantiles(rows, self.field_name, (self.probability,))[:, 0]
        return _floats(values, rows.states[self.field_name])


@dataclass(frozen=True)
class HistogramQuantiles(NativePostAggregator, tag="quantiles"):
    """JSON of probabilities, their quantiles, least and greatest value."""

    name: str | None
    field_name: str
    probabilities: tuple[float, ...] = ()

    def output_type(self, columns: RowSignature) -> ColumnType:
        return complex_of("quantiles")

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = rows.states[self.field_name]
        with sketch_faults():
            values = _quantiles(rows, self.field_name, self.probabilities)
            least, greatest = _extremes(rows, self.field_name)
        asked = _singles(np.array(self.probabilities, dtype=np.float32))
        return json_column((
            f'{{"probabilities":{asked},"quantiles":{_singles(row)},'
            f'"min":{json_number(shortest(low))},"max":{json_number(shortest(high))}}}'
            for row, low, high in zip(values, least, greatest, strict=True)
        ), states)  # fmt: skip


def _singles(values: Any) -> str:
    """JSON of 32-bit floats."""
    return json_numbers([shortest(v) for v in values])


def _extremes(rows: GroupedRows, name: str) -> tuple[Any, Any]:
    states = rows.states[name]
    if rows.state_types[name] == FIXED:
        fields = fixed_buckets.read(states).fields
        return fields["min"].astype(np.float32), fields["max"].astype(np.float32)
    bins = approximate_histogram.read(states)
    return bins.least, bins.greatest


class _Extreme(NativePostAggregator):
    field_name: str
    _which: ClassVar[int]
    """Of (least, greatest)."""

    def output_type(self, columns: RowSignature) -> ColumnType:
        return FLOAT

    def compute(self, rows: GroupedRows) -> pa.Array:
        with sketch_faults():
            return _floats(_extremes(rows, self.field_name)[self._which], rows.states[self.field_name])


@dataclass(frozen=True)
class HistogramMin(_Extreme, tag="min"):
    """The least value."""

    _which = 0

    name: str | None
    field_name: str


@dataclass(frozen=True)
class HistogramMax(_Extreme, tag="max"):
    """The greatest value."""

    _which = 1

    name: str | None
    field_name: str


class _Layout(NativePostAggregator, ABC):
    field_name: str

    def output_type(self, columns: RowSignature) -> ColumnType:
        return SHOWN

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = rows.states[self.field_name]
        with sketch_faults():
            if rows.state_types[self.field_name] == FIXED:
                raise ValueError(f"Post-aggregator [{self.TAG}] needs an approximate histogram")
            return json_column(self._shown(approximate_histogram.read(states)), states)

    @abstractmethod
    def _shown(self, bins: approximate_histogram.Bins) -> Iterator[str]: ...


@dataclass(frozen=True)
class EqualBuckets(_Layout, tag="equalBuckets"):
    """Counts in `num_buckets` equal ranges from the least to the greatest value."""

    name: str | None
    field_name: str
    num_buckets: int = 7

    def _shown(self, bins: approximate_histogram.Bins) -> Iterator[str]:
        if self.num_buckets < 2:
            raise ValueError("Illegal number of buckets, must be > 1")
        breaks = approximate_histogram.equal_breaks(bins, self.num_buckets)
        return shown_histograms(breaks, approximate_histogram.counts_between(bins, breaks))


@dataclass(frozen=True)
class CustomBuckets(_Layout, tag="customBuckets"):
    """Counts between given breaks."""

    name: str | None
    field_name: str
    breaks: tuple[float, ...] = ()

    def _shown(self, bins: approximate_histogram.Bins) -> Iterator[str]:
        if len(self.breaks) < 2:
            raise ValueError("customBuckets needs two breaks or more")
        breaks = np.tile(np.array(self.breaks, dtype=np.float32), (bins.states, 1))
        return shown_histograms(breaks, approximate_histogram.counts_between(bins, breaks))


@dataclass(frozen=True)
class Buckets(_Layout, tag="buckets"):
    """Counts in ranges of `bucket_size`, one of which begins at `offset`; ranges that hold nothing are left out."""

    name: str | None
    field_name: str
    bucket_size: float = 0.0
    offset: float = 0.0

    def _shown(self, bins: approximate_histogram.Bins) -> Iterator[str]:
        if not self.bucket_size > 0:
            raise ValueError("Illegal bucketSize, must be > 0")
        for one in approximate_histogram.each(bins):
            breaks = approximate_histogram.stepped_breaks(one, self.bucket_size, self.offset)[None, :]
            yield from shown_histograms(breaks, approximate_histogram.counts_between(one, breaks))
