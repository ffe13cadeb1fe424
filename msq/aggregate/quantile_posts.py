"""Post-aggregators over sketches of quantiles: classic ones of doubles, KLL ones of doubles and of floats.

Each operation is written once; its members differ in the kernels that they call and in the type of a quantile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from msq.aggregate.base import numeric_array, validity
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.sketch_base import sketch_faults
from msq.aggregate.sketch_posts import doubles, each, rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, FLOAT, FLOAT_ARRAY, STRING, ColumnType, RowSignature, arrow_type
from msq.native.aggregators import PostAggregator
from msq.sketches import kll, quantiles, ranked

DEFAULT_BINS = 10


class _OfSketch(NativePostAggregator, ABC):
    """A value of one sketch. `number`: the type of the values that the sketch holds."""

    of: ClassVar[ranked.Ranked]
    number: ClassVar[ColumnType] = DOUBLE
    field: PostAggregator

    def compute(self, rows: GroupedRows) -> pa.Array:
        with sketch_faults():
            return self._values(post(self.field).compute(rows))

    @abstractmethod
    def _values(self, states: pa.Array) -> pa.Array: ...


@dataclass(frozen=True)
class _ToQuantile(_OfSketch):
    """The value at a fraction; NaN for an empty sketch."""

    name: str | None
    field: PostAggregator
    fraction: float = 0.5

    def output_type(self, columns: RowSignature) -> ColumnType:
        return self.number

    def _values(self, states: pa.Array) -> pa.Array:
        found = self.of.quantiles(states, [self.fraction])[:, 0]
        return numeric_array(found, validity(states), pa.float64()).cast(arrow_type(self.number))


@dataclass(frozen=True)
class _ToQuantiles(_OfSketch):
    """The values at several fractions."""

    name: str | None
    field: PostAggregator
    fractions: tuple[float, ...]

    def output_type(self, columns: RowSignature) -> ColumnType:
        return FLOAT_ARRAY if self.number == FLOAT else DOUBLE_ARRAY

    def _values(self, states: pa.Array) -> pa.Array:
        found = rows_of_doubles(self.of.quantiles(states, self.fractions), states)
        return found.cast(pa.list_(arrow_type(self.number)))


@dataclass(frozen=True)
class _ToRank(_OfSketch):
    """The share of values up to a value."""

    name: str | None
    field: PostAggregator
    value: float = 0.0

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def _values(self, states: pa.Array) -> pa.Array:
        return doubles(self.of.ranks(states, [self.value])[:, 0], states)


@dataclass(frozen=True)
class _ToCDF(_OfSketch):
    """Shares of values up to each split point, and 1."""

    name: str | None
    field: PostAggregator
    split_points: tuple[float, ...]

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def _values(self, states: pa.Array) -> pa.Array:
        return rows_of_doubles(ranked.cdf(self.of, states, self.split_points), states)


@dataclass(frozen=True)
class _ToHistogram(_OfSketch):
    """Numbers of values between the split points; without them in `num_bins` (10) equal ranges."""

    name: str | None
    field: PostAggregator
    split_points: tuple[float, ...] | None = None
    num_bins: int | None = None

    def __post_init__(self) -> None:
        if self.split_points is not None and self.num_bins is not None:
            raise ValueError("Cannot accept both 'splitPoints' and 'numBins'")
        if self.bins < 2:
            raise ValueError("at least 2 bins expected")

    @property
    def bins(self) -> int:
        if self.split_points is not None:
            return len(self.split_points) + 1
        return DEFAULT_BINS if self.num_bins is None else self.num_bins

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def _values(self, states: pa.Array) -> pa.Array:
        if self.split_points is None:
            return rows_of_doubles(ranked.equal_counts(self.of, states, self.bins), states)
        return rows_of_doubles(ranked.split_counts(self.of, states, self.split_points), states)


@dataclass(frozen=True)
class _ToString(_OfSketch):
    """A summary for people."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return STRING

    def _values(self, states: pa.Array) -> pa.Array:
        return pa.array(each(states, self.of.describe), pa.string())


class QuantilesToQuantile(_ToQuantile, tag="quantilesDoublesSketchToQuantile"):
    of: ClassVar[ranked.Ranked] = quantiles


class QuantilesToQuantiles(_ToQuantiles, tag="quantilesDoublesSketchToQuantiles"):
    of: ClassVar[ranked.Ranked] = quantiles


class QuantilesToRank(_ToRank, tag="quantilesDoublesSketchToRank"):
    of: ClassVar[ranked.Ranked] = quantiles


class QuantilesToCDF(_ToCDF, tag="quantilesDoublesSketchToCDF"):
    of: ClassVar[ranked.Ranked] = quantiles


class QuantilesToHistogram(_ToHistogram, tag="quantilesDoublesSketchToHistogram"):
    of: ClassVar[ranked.Ranked] = quantiles


class QuantilesToString(_ToString, tag="quantilesDoublesSketchToString"):
    of: ClassVar[ranked.Ranked] = quantiles


class KllDoublesToQuantile(_ToQuantile, tag="KllDoublesSketchToQuantile"):
    of = kll.DOUBLES


class KllDoublesToQuantiles(_ToQuantiles, tag="KllDoublesSketchToQuantiles"):
    of = kll.DOUBLES


class KllDoublesToRank(_ToRank, tag="KllDoublesSketchToRank"):
    of = kll.DOUBLES


class KllDoublesToCDF(_ToCDF, tag="KllDoublesSketchToCDF"):
    of = kll.DOUBLES


class KllDoublesToHistogram(_ToHistogram, tag="KllDoublesSketchToHistogram"):
    of = kll.DOUBLES


class KllDoublesToString(_ToString, tag="KllDoublesSketchToString"):
    of = kll.DOUBLES


class KllFloatsToQuantile(_ToQuantile, tag="KllFloatsSketchToQuantile"):
    of = kll.FLOATS
    number = FLOAT


class KllFloatsToQuantiles(_ToQuantiles, tag="KllFloatsSketchToQuantiles"):
    of = kll.FLOATS
    number = FLOAT


class KllFloatsToRank(_ToRank, tag="KllFloatsSketchToRank"):
    of = kll.FLOATS
    number = FLOAT


class KllFloatsToCDF(_ToCDF, tag="KllFloatsSketchToCDF"):
    of = kll.FLOATS
    number = FLOAT


class KllFloatsToHistogram(_ToHistogram, tag="KllFloatsSketchToHistogram"):
    of = kll.FLOATS
    number = FLOAT


class KllFloatsToString(_ToString, tag="KllFloatsSketchToString"):
    of = kll.FLOATS
    number = FLOAT
