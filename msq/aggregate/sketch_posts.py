"""Post-aggregators over sketches of distinct values: estimates, bounds, unions and set operations.

Values that are text or numbers under a COMPLEX name (as Druid types some results) are UTF-8 text in the binary column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import validity
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.codec import wire
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, STRING, ColumnType, RowSignature, complex_of
from msq.expr.printer import double_text
from msq.native.aggregators import PostAggregator
from msq.sketches import hll, theta

COMPLEX = ColumnType("COMPLEX")
THETA = complex_of("thetaSketch")


def doubles(values: np.ndarray[Any, Any], states: pa.Array) -> pa.Array:
    """Numbers, null where there is no sketch."""
    valid = validity(states)
    return pa.array(values, type=pa.float64(), mask=None if valid.all() else ~valid)


def rows_of_doubles(values: np.ndarray[Any, Any], states: pa.Array) -> pa.Array:
    """Rows of numbers as lists, null where there is no sketch."""
    width = values.shape[1]
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * width)
    valid = validity(states)
    flat = pa.array(values.reshape(-1).astype(np.float64))
    return pa.ListArray.from_arrays(offsets, flat, mask=None if valid.all() else pa.array(~valid))


def each(states: pa.Array, of: Callable[[bytes], Any]) -> list[Any]:
    """`of` of every sketch that is there, once for each row: for results that are read by people."""
    return [None if s is None else of(s) for s in states.to_pylist()]


@dataclass(frozen=True)
class HLLSketchEstimate(NativePostAggregator, tag="HLLSketchEstimate"):
    name: str | None
    field: PostAggregator
    round: bool = False

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        values = hll.estimate(states)
        return doubles(np.floor(values + 0.5) if self.round else values, states)


@dataclass(frozen=True)
class HLLSketchEstimateWithBounds(NativePostAggregator, tag="HLLSketchEstimateWithBounds"):
    """[estimate, lower bound, upper bound]."""

    name: str | None
    field: PostAggregator
    num_std_dev: int | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        return rows_of_doubles(hll.bounds(states, self.num_std_dev or 1), states)


@dataclass(frozen=True)
class HLLSketchUnion(NativePostAggregator, tag="HLLSketchUnion"):
    name: str | None
    fields: tuple[PostAggregator, ...]
    lg_k: int | None = wire(name="lgK", default=None)
    tgt_hll_type: str | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return COMPLEX

    def compute(self, rows: GroupedRows) -> pa.Array:
        return hll.union_rows([post(f).compute(rows) for f in self.fields], self.lg_k or 12)


@dataclass(frozen=True)
class HLLSketchToString(NativePostAggregator, tag="HLLSketchToString"):
    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        return pa.array(each(post(self.field).compute(rows), hll.describe), pa.string())


@dataclass(frozen=True)
class ThetaSketchEstimate(NativePostAggregator, tag="thetaSketchEstimate"):
    """The estimate or, with `error_bounds_std_dev`, the JSON of estimate and bounds."""

    name: str | None
    field: PostAggregator
    error_bounds_std_dev: int | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE if self.error_bounds_std_dev is None else THETA

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        if self.error_bounds_std_dev is None:
            return doubles(theta.estimate(states), states)
        return theta.bounds_texts(states, self.error_bounds_std_dev, double_text)


@dataclass(frozen=True)
class ThetaSketchSetOp(NativePostAggregator, tag="thetaSketchSetOp"):
    """`func` UNION, INTERSECT or NOT (the first without the others)."""

    name: str | None
    func: str
    size: int | None = None
    fields: tuple[PostAggregator, ...] = ()

    def output_type(self, columns: RowSignature) -> ColumnType:
        return THETA

    def compute(self, rows: GroupedRows) -> pa.Array:
        columns = [post(f).compute(rows) for f in self.fields]
        return theta.combine(self.func, columns, theta.nominal(self.size or 16384))


@dataclass(frozen=True)
class ThetaSketchToString(NativePostAggregator, tag="thetaSketchToString"):
    """A summary for people."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        return pa.array(each(post(self.field).compute(rows), theta.describe), pa.string())
