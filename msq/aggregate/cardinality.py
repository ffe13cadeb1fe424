"""Aggregators over Druid's own HyperLogLog: `cardinality` of columns and `hyperUnique` of stored states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.sketch_base import SketchAggregator, gathered, rounded, texts_by_code
from msq.codec import wire
from msq.datatypes import DOUBLE, LONG, ColumnType, complex_of
from msq.native.query import DefaultDimensionSpec
from msq.sketches import hyper_unique
from msq.sketches.binary import Ints, list_parts

HYPER_UNIQUE = complex_of("hyperUnique")


class _HyperUnique(SketchAggregator):
    round: bool

    @property
    def intermediate_type(self) -> ColumnType:
        return HYPER_UNIQUE

    @property
    def final_type(self) -> ColumnType:
        return LONG if self.round else DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return HyperUniqueAggregator(name, name, round=self.round)

    def finalize(self, states: pa.Array) -> pa.Array:
        estimates = hyper_unique.estimate(states)
        return rounded(estimates) if self.round else pa.array(estimates)

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return hyper_unique.union(states, offsets)


@dataclass(frozen=True)
class CardinalityAggregator(_HyperUnique, tag="cardinality"):
    """Number of distinct values of `fields`, all taken together (`byRow` false)."""

    name: str
    fields: tuple[DefaultDimensionSpec, ...]
    by_row: bool = False
    round: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(f.dimension for f in self.fields)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        if self.by_row:
            raise NotImplementedError("Aggregator [cardinality] with [byRow] is not supported")
        made: dict[str, Part] = {}
        for number, spec in enumerate(self.fields):
            key = f"v{number}"
            coded = texts_by_code(scope, spec.dimension, key)
            if coded:
                made.update(coded)
                continue
            found = scope.column(spec.dimension)
            made[key] = gathered(found.sql_name, flat=found.multi_value or found.type.is_array)
        return made

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        states = [self._build(*list_parts(values)) for values in parts.values()]
        if len(states) == 1:
            return states[0]
        rows = len(states[0])
        order = np.arange(rows * len(states)).reshape(len(states), rows).T.reshape(-1)
        return self._union(pa.concat_arrays(states).take(pa.array(order)), np.arange(rows + 1) * len(states))

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return hyper_unique.build(values, offsets)


@dataclass(frozen=True)
class HyperUniqueAggregator(_HyperUnique, tag="hyperUnique"):
    """Merges `hyperUnique` states; values of another type are hashed as ingestion does it."""

    name: str
    field_name: str
    is_input_hyper_unique: bool = False
    round: bool = wire(default=False)

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        return hyper_unique.build(values, offsets, utf16=False)
