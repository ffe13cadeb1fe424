"""Aggregators over DataSketches KLL sketches of doubles and of floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.sketch_base import SketchAggregator, number_parts, without_empty
from msq.datatypes import LONG, ColumnType, complex_of
from msq.sketches import kll
from msq.sketches.binary import Ints

DEFAULT_K, DEFAULT_STREAM = 200, 1_000_000_000


class _KllSketch(SketchAggregator):
    """Numbers, or the union of sketches; finalised it is the number of values."""

    of: ClassVar[kll.Kll]
    kind: ClassVar[ColumnType]
    merging: ClassVar[type[_Merge]]
    """The combining form."""
    k: int
    max_stream_length: int

    def __post_init__(self) -> None:
        if not kll.LEAST_K <= self.k <= kll.GREATEST_K:
            raise ValueError(f"K must be >= {kll.LEAST_K} and <= {kll.GREATEST_K}: {self.k}")

    @property
    def intermediate_type(self) -> ColumnType:
        return self.kind

    @property
    def final_type(self) -> ColumnType:
        return LONG

    def combining(self, name: str) -> NativeAggregator:
        return self.merging(name, self.k, self.max_stream_length)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return number_parts(scope.column(self.field_name))

    def finalize(self, states: pa.Array) -> pa.Array:
        return pa.array(self.of.counts(states))

    def at_rest(self, states: pa.Array) -> pa.Array:
        return without_empty(states, self.of.counts(states) == 0)

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return self.of.build(values, offsets, self.k)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return self.of.union(states, offsets, self.k)


@dataclass(frozen=True)
class _Build(_KllSketch):
    name: str
    field_name: str
    k: int = DEFAULT_K
    max_stream_length: int = DEFAULT_STREAM


@dataclass(frozen=True)
class _Merge(_KllSketch):
    """The combining form, which reads the column of its own name."""

    name: str
    k: int = DEFAULT_K
    max_stream_length: int = DEFAULT_STREAM
    field_name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "field_name", self.name)

    def combining(self, name: str) -> NativeAggregator:
        return replace(self, name=name)


class KllDoublesMergeAggregator(_Merge, tag="KllDoublesSketchMerge"):
    of = kll.DOUBLES
    kind = complex_of("KllDoublesSketch")


class KllDoublesAggregator(_Build, tag="KllDoublesSketch"):
    of = kll.DOUBLES
    kind = complex_of("KllDoublesSketch")
    merging = KllDoublesMergeAggregator


class KllFloatsMergeAggregator(_Merge, tag="KllFloatsSketchMerge"):
    of = kll.FLOATS
    kind = complex_of("KllFloatsSketch")


class KllFloatsAggregator(_Build, tag="KllFloatsSketch"):
    of = kll.FLOATS
    kind = complex_of("KllFloatsSketch")
    merging = KllFloatsMergeAggregator
