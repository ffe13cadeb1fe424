"""Native post-aggregators over DataSketches arrays of doubles that SQL has no function for."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import validity
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.quantiles import QUANTILES
from msq.aggregate.sketch_base import sketch_faults
from msq.aggregate.sketch_posts import doubles, rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, STRING, ColumnType, RowSignature
from msq.native.aggregators import PostAggregator
from msq.sketches import quantiles, tuples
from msq.sketches.binary import offsets_of


@dataclass(frozen=True)
class ArrayOfDoublesEstimate(NativePostAggregator, tag="arrayOfDoublesSketchToEstimate"):
    """The estimated number of distinct keys."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        return doubles(tuples.estimate(states), states)


@dataclass(frozen=True)
class ArrayOfDoublesEntries(NativePostAggregator, tag="arrayOfDoublesSketchToNumEntries"):
    """How many keys the sketch holds."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return LONG

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        valid = validity(states)
        return pa.array(_counts(tuples.read(states), len(states)), mask=None if valid.all() else ~valid)


def _counts(parts: tuples.Tuples, states: int) -> Any:
    return np.bincount(parts.owner, minlength=states).astype(np.int64)


def _moments(states: pa.Array) -> tuple[Any, Any, Any]:
    """Numbers of keys, and mean and sum of squares about it of each column, one row a sketch."""
    parts = tuples.read(states)
    count = _counts(parts, len(states))
    with np.errstate(all="ignore"):
        total = np.zeros((len(states), parts.width))
        np.add.at(total, parts.owner, parts.rows)
        mean = total / count[:, None]
        square = np.zeros_like(total)
        np.add.at(square, parts.owner, (parts.rows - mean[parts.owner]) ** 2)
    return count, mean, square


@dataclass(frozen=True)
class ArrayOfDoublesMeans(NativePostAggregator, tag="arrayOfDoublesSketchToMeans"):
    """The mean of each column over the keys that the sketch holds; NaN for none."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        return rows_of_doubles(_moments(states)[1], states)


@dataclass(frozen=True)
class ArrayOfDoublesVariances(NativePostAggregator, tag="arrayOfDoublesSketchToVariances"):
    """The sample variance of each column over the keys that the sketch holds; 0 for one key, NaN for none."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        count, _, square = _moments(states)
        made = np.where(count[:, None] > 0, square / np.maximum(count - 1, 1)[:, None], np.nan)
        return rows_of_doubles(made, states)


@dataclass(frozen=True)
class ArrayOfDoublesBase64(NativePostAggregator, tag="arrayOfDoublesSketchToBase64String"):
    """The sketch as base64 text."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows).to_pylist()
        return pa.array([None if s is None else base64.b64encode(s).decode() for s in states], pa.string())


@dataclass(frozen=True)
class ArrayOfDoublesQuantiles(NativePostAggregator, tag="arrayOfDoublesSketchToQuantilesSketch"):
    """A quantiles sketch of the values of `column` (from 1) over the keys that the sketch holds."""

    name: str | None
    field: PostAggregator
    column: int = 1
    k: int = 128

    def output_type(self, columns: RowSignature) -> ColumnType:
        return QUANTILES

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        parts = tuples.read(states)
        with sketch_faults():
            if not 1 <= self.column <= parts.width:
                raise ValueError(f"Column [{self.column}] must be between 1 and [{parts.width}]")
        offsets = offsets_of(_counts(parts, len(states)))
        return quantiles.build(pa.array(parts.rows[:, self.column - 1]), offsets, self.k)
