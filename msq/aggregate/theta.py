"""The aggregator over DataSketches theta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from msq.aggregate.base import NativeAggregator
from msq.aggregate.sketch_base import SketchAggregator, without_empty
from msq.codec import wire
from msq.datatypes import DOUBLE, ColumnType, complex_of
from msq.sketches import theta
from msq.sketches.binary import Ints


@dataclass(frozen=True)
class ThetaSketchAggregator(SketchAggregator, tag="thetaSketch"):
    """A sketch of values or the union of sketches. A finalised one is its estimate, as DOUBLE."""

    name: str
    field_name: str
    size: int = 16384
    should_finalize: bool = wire(default=True, omit=lambda v: v)
    is_input_theta_sketch: bool = wire(default=False, omit=lambda v: not v)
    error_bounds_std_dev: Any = None

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of("thetaSketchBuild")

    @property
    def final_type(self) -> ColumnType:
        return DOUBLE if self.should_finalize else self.intermediate_type

    def combining(self, name: str) -> NativeAggregator:
        return ThetaSketchAggregator(name, name, self.size, self.should_finalize)

    def finalize(self, states: pa.Array) -> pa.Array:
        return pa.array(theta.estimate(states)) if self.should_finalize else states

    def at_rest(self, states: pa.Array) -> pa.Array:
        held, thetas = theta.sizes(states)
        return without_empty(states, (held == 0) & (thetas == theta.MAX_THETA))

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return theta.build(values, offsets, theta.nominal(self.size))

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return theta.union(states, offsets, theta.nominal(self.size))
