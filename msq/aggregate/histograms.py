"""Aggregators of the histogram extension: the approximate histogram and the one of fixed buckets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.sketch_base import SketchAggregator, number_parts, sketch_faults
from msq.codec import decode_fields, encode_fields, wire
from msq.datatypes import STRING, ColumnType, complex_of
from msq.expr.printer import double_text
from msq.sketches import approximate_histogram, fixed_buckets
from msq.sketches.binary import Ints

APPROXIMATE, FIXED = complex_of("approximateHistogram"), complex_of("fixedBucketsHistogram")
SHOWN = complex_of("histogram2")
"""What an approximate histogram is when it is shown: JSON of breaks and counts."""
DEFAULT_SIZE, DEFAULT_BUCKETS, DEFAULT_FIXED_BUCKETS = 50, 7, 10


def json_number(value: float) -> str:
    """A double as Druid prints it in JSON; NaN and infinities are texts."""
    text = double_text(value)
    return f'"{text}"' if text[-1] in "Ny" else text


def json_numbers(values: Any) -> str:
    return "[" + ",".join(json_number(float(v)) for v in values) + "]"


def shown_histograms(breaks: Any, counts: Any) -> Iterator[str]:
    """JSON of one histogram for each row of breaks and counts."""
    for row, held in zip(breaks, counts, strict=True):
        yield f'{{"breaks":{json_numbers(row)},"counts":{json_numbers(held)}}}'


def json_column(values: Iterator[str], states: pa.Array) -> pa.Array:
    """JSON texts as a COMPLEX column holds them; null where there is no state."""
    there = states.is_valid().to_pylist()
    return pa.array([v.encode() if t else None for v, t in zip(values, there, strict=True)], pa.binary())


class _Histogram(SketchAggregator):
    shareable = True
    finalize_as_base64_binary: bool

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return number_parts(scope.column(self.field_name), nulls=self._counts_nulls)

    _counts_nulls = False


class _Approximate(_Histogram):
    resolution: int
    num_buckets: int
    lower_limit: float
    upper_limit: float

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ValueError("resolution must be greater than 1")
        if self.num_buckets < 1:
            raise ValueError("numBuckets must be greater than 1")
        if not self.upper_limit > self.lower_limit:
            raise ValueError("upperLimit must be greater than lowerLimit")

    def to_wire(self) -> Any:
        """The limits are texts where they are none, as JSON knows no infinity."""
        out = encode_fields(self)
        for key in ("lowerLimit", "upperLimit"):
            if math.isinf(out[key]):
                out[key] = double_text(out[key])
        return out

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        limits = {k: float(v) for k, v in value.items() if k in ("lowerLimit", "upperLimit") and isinstance(v, str)}
        return decode_fields(cls, {**value, **limits})

    @property
    def intermediate_type(self) -> ColumnType:
        return APPROXIMATE

    @property
    def final_type(self) -> ColumnType:
        return APPROXIMATE if self.finalize_as_base64_binary else SHOWN

    def combining(self, name: str) -> NativeAggregator:
        return ApproximateHistogramFoldAggregator(
            name, name, self.resolution, self.num_buckets, self.lower_limit, self.upper_limit,
            self.finalize_as_base64_binary,
        )  # fmt: skip

    def finalize(self, states: pa.Array) -> pa.Array:
        if self.finalize_as_base64_binary:
            return states
        with sketch_faults():
            bins = approximate_histogram.read(states)
            breaks = approximate_histogram.equal_breaks(bins, self.num_buckets)
            counts = approximate_histogram.counts_between(bins, breaks)
        return json_column(shown_histograms(breaks, counts), states)

    @property
    def _limits(self) -> approximate_histogram.Limits:
        return self.lower_limit, self.upper_limit

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return approximate_histogram.build(values, offsets, self.resolution, self._limits)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return approximate_histogram.union(states, offsets, self.resolution, self._limits)


@dataclass(frozen=True)
class ApproximateHistogramAggregator(_Approximate, tag="approxHistogram"):
    """Numbers in at most `resolution` bins. Finalised it is JSON of `num_buckets` equal ranges.

    When there are more values than bins, those below `lower_limit` share a bin, and those above `upper_limit`.
    """

    name: str
    field_name: str
    resolution: int = DEFAULT_SIZE
    num_buckets: int = DEFAULT_BUCKETS
    lower_limit: float = float("-inf")
    upper_limit: float = float("inf")
    finalize_as_base64_binary: bool = wire(name="finalizeAsBase64Binary", default=False)


@dataclass(frozen=True)
class ApproximateHistogramFoldAggregator(_Approximate, tag="approxHistogramFold"):
    """The union of approximate histograms."""

    name: str
    field_name: str
    resolution: int = DEFAULT_SIZE
    num_buckets: int = DEFAULT_BUCKETS
    lower_limit: float = float("-inf")
    upper_limit: float = float("inf")
    finalize_as_base64_binary: bool = wire(name="finalizeAsBase64Binary", default=False)


@dataclass(frozen=True)
class FixedBucketsHistogramAggregator(_Histogram, tag="fixedBucketsHistogram"):
    """Counts of numbers in `num_buckets` equal ranges from `lower_limit` up to `upper_limit`, or the union of such.

    `outlier_handling_mode`: values outside are left out (ignore), counted apart (overflow) or put in the first and last
    bucket (clip). Nulls are counted as missing. Finalised it is a text, or the histogram with
    `finalize_as_base64_binary`.
    """

    name: str
    field_name: str
    num_buckets: int = DEFAULT_FIXED_BUCKETS
    lower_limit: float = 0.0
    upper_limit: float = 0.0
    outlier_handling_mode: str = "ignore"
    finalize_as_base64_binary: bool = wire(name="finalizeAsBase64Binary", default=False)

    _counts_nulls = True

    def __post_init__(self) -> None:
        if not self.upper_limit > self.lower_limit:
            raise ValueError(
                f"Upper limit [{double_text(self.upper_limit)}] must be greater than lower limit "
                f"[{double_text(self.lower_limit)}]."
            )
        if self.num_buckets < 1:
            raise ValueError(f"numBuckets must be > 0, got [{self.num_buckets}] instead.")
        if self.outlier_handling_mode.lower() not in fixed_buckets.MODES:
            raise ValueError(f"Unknown outlier handling mode: {self.outlier_handling_mode}")

    @property
    def _shape(self) -> fixed_buckets.Shape:
        mode = fixed_buckets.MODES.index(self.outlier_handling_mode.lower())
        return fixed_buckets.Shape(self.lower_limit, self.upper_limit, self.num_buckets, mode)

    @property
    def intermediate_type(self) -> ColumnType:
        return FIXED

    @property
    def final_type(self) -> ColumnType:
        return FIXED if self.finalize_as_base64_binary else STRING

    def combining(self, name: str) -> NativeAggregator:
        return replace(self, name=name, field_name=name)

    def finalize(self, states: pa.Array) -> pa.Array:
        if self.finalize_as_base64_binary:
            return states
        with sketch_faults():
            return pa.array(fixed_buckets.describe(states, double_text), pa.string())

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return fixed_buckets.build(values, offsets, self._shape)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return fixed_buckets.union(states, offsets, self._shape)
