"""The aggregator over DataSketches arrays of doubles, and its post-aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Scope
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.sketch_base import SketchAggregator, gathered
from msq.aggregate.sketch_posts import rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, ColumnType, RowSignature, complex_of
from msq.expr.lower import Lowered, convert
from msq.native.aggregators import PostAggregator
from msq.sketches import tuples
from msq.sketches.binary import Ints, list_parts
from msq.sketches.theta import nominal


@dataclass(frozen=True)
class ArrayOfDoublesAggregator(SketchAggregator, tag="arrayOfDoublesSketch"):
    """Sums of `metric_columns` for each distinct value of the column, or (without them) the union of sketches.

    A row with a null among its metrics does not count. Finalised it is the number of distinct values.
    """

    name: str
    field_name: str
    nominal_entries: int = 16384
    metric_columns: tuple[str, ...] | None = None
    number_of_values: int = 1

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.field_name, *(self.metric_columns or ()))

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of(f"arrayOfDoublesSketch{'Merge' if self.metric_columns is None else 'Build'}")

    @property
    def final_type(self) -> ColumnType:
        return DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return ArrayOfDoublesAggregator(name, name, self.nominal_entries, None, self.number_of_values)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        if self.metric_columns is None:
            return super().parts(scope)
        key = scope.column(self.field_name)
        metrics = [scope.column(m) for m in self.metric_columns]
        there = " AND ".join(f"{c.sql_name} IS NOT NULL" for c in (key, *metrics))
        made = {"k": gathered(key.sql_name, nulls=True).also(there)}
        for number, metric in enumerate(metrics):
            value = convert(Lowered(metric.sql_name, metric.type), DOUBLE)
            made[f"m{number}"] = gathered(value, nulls=True).also(there)
        return made

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if "k" not in parts:
            return super().state(parts)
        keys, offsets = list_parts(parts["k"])
        metrics = [list_parts(parts[k])[0] for k in parts if k != "k"]
        return tuples.build(keys, metrics, offsets, nominal(self.nominal_entries))

    def finalize(self, states: pa.Array) -> pa.Array:
        return pa.array(tuples.estimate(states))

    def _build(self, values: pa.Array, offsets: Ints) -> pa.Array:
        columns = [pa.array([], type=pa.float64())] * self.number_of_values
        return tuples.build(values, columns, offsets, nominal(self.nominal_entries))

    def _union(self, states: pa.Array, offsets: Ints) -> pa.Array:
        return tuples.union(states, offsets, nominal(self.nominal_entries), self.number_of_values)


@dataclass(frozen=True)
class ArrayOfDoublesSums(NativePostAggregator, tag="arrayOfDoublesSketchToMetricsSumEstimate"):
    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        return rows_of_doubles(tuples.sums(states), states)


@dataclass(frozen=True)
class ArrayOfDoublesSetOp(NativePostAggregator, tag="arrayOfDoublesSketchSetOp"):
    """`operation` UNION, INTERSECT or NOT (the first without the others)."""

    name: str | None
    operation: str
    fields: tuple[PostAggregator, ...] = ()
    nominal_entries: int | None = None
    number_of_values: int | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return complex_of("arrayOfDoublesSketch")

    def compute(self, rows: GroupedRows) -> pa.Array:
        columns = [post(f).compute(rows) for f in self.fields]
        return tuples.combine(self.operation, columns, nominal(self.nominal_entries or 16384))
