"""Aggregators over DataSketches HLL."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from msq.aggregate.base import NativeAggregator
from msq.aggregate.sketch_base import SketchAggregator, rounded, without_empty
from msq.codec import wire
from msq.datatypes import DOUBLE, LONG, ColumnType, complex_of
from msq.sketches import hll
from msq.sketches.binary import Ints


class _HLLSketch(SketchAggregator):
    lg_k: int
    tgt_hll_type: str
    string_encoding: str
    should_finalize: bool
    round: bool

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of(str(self.TAG))

    @property
    def final_type(self) -> ColumnType:
        if not self.should_finalize:
            return self.intermediate_type
        return LONG if self.round else DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return HLLSketchMergeAggregator(
            name, name, self.lg_k, self.tgt_hll_type, self.string_encoding, self.should_finalize, self.round
        )

    def finalize(self, states: pa.Array) -> pa.Array:
        if not self.should_finalize:
            return hll.in_table_order(states)
        # a count does not depend on how rows are spread over segments and workers
        estimates = hll.estimate(states, of_registers=True)
        return rounded(estimates) if self.round else pa.array(estimates)

    def at_rest(self, states: pa.Array) -> pa.Array:
        return without_empty(hll.in_table_order(states), hll.is_empty(states))

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return hll.build(values, offsets, self.lg_k, utf16=self.string_encoding != "utf8")

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return hll.union(states, offsets, self.lg_k)


@dataclass(frozen=True)
class HLLSketchBuildAggregator(_HLLSketch, tag="HLLSketchBuild"):
    """A sketch of a column's values: texts by their UTF-16 units unless `string_encoding` is utf8."""

    name: str
    field_name: str
    lg_k: int = wire(name="lgK", default=12)
    tgt_hll_type: str = "HLL_4"
    string_encoding: str = wire(default="utf16le", omit=lambda v: v == "utf16le")
    should_finalize: bool = wire(default=True, omit=lambda v: v)
    round: bool = False


@dataclass(frozen=True)
class HLLSketchMergeAggregator(_HLLSketch, tag="HLLSketchMerge"):
    """The union of a column of sketches."""

    name: str
    field_name: str
    lg_k: int = wire(name="lgK", default=12)
    tgt_hll_type: str = "HLL_4"
    string_encoding: str = wire(default="utf16le", omit=lambda v: v == "utf16le")
    should_finalize: bool = wire(default=True, omit=lambda v: v)
    round: bool = False
