"""The aggregator that collects values in a bloom filter."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.sketch_base import SketchAggregator, gathered
from msq.codec import wire
from msq.datatypes import STRING, ColumnType, complex_of
from msq.native.query import DefaultDimensionSpec
from msq.sketches import bloom
from msq.sketches.binary import Ints


@dataclass(frozen=True)
class BloomFilterAggregator(SketchAggregator, tag="bloom"):
    """A filter made for `max_num_entries` values of `field`, nulls included. Finalised it is base64 text."""

    name: str
    field: DefaultDimensionSpec
    max_num_entries: int = wire(default=1500)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.field.dimension,)

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of("bloom")

    @property
    def final_type(self) -> ColumnType:
        return STRING

    def combining(self, name: str) -> NativeAggregator:
        return BloomFilterAggregator(name, DefaultDimensionSpec(name, name), self.max_num_entries)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field.dimension)
        key = "s" if found.type.is_complex and not found.type.is_json else "v"
        return {key: gathered(found.sql_name, flat=found.multi_value, nulls=True)}

    def finalize(self, states: pa.Array) -> pa.Array:
        return pa.array([None if s is None else base64.b64encode(s).decode() for s in states.to_pylist()], pa.string())

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return bloom.build(values, offsets, self.max_num_entries)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return bloom.union(states, offsets, self.max_num_entries)
