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
from msq.aggregate.significance import welch
from msq.aggregate.sketch_base import sketch_faults
from msq.aggregate.sketch_posts import doubles, rows_of_doubles
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, STRING, ColumnType, RowSignature
from msq.expr.printer import double_text
from msq.native.aggregators import PostAggregator
from msq.sketches import quantiles, sampling, tuples
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
        return pa.array(tuples.sizes(states)[0], mask=None if valid.all() else ~valid)


def _moments(states: pa.Array) -> tuple[Any, Any, Any]:
    """Numbers of keys, and mean and sum of squares about it of each column, one row a sketch."""
    parts = tuples.read(states)
    count = parts.sets.counts
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
        offsets = offsets_of(parts.sets.counts)
        return quantiles.build(pa.array(parts.rows[:, self.column - 1]), offsets, self.k)


@dataclass(frozen=True)
class ArrayOfDoublesBounds(NativePostAggregator, tag="arrayOfDoublesSketchToEstimateAndBounds"):
    """[estimate, lower bound, upper bound] of the number of distinct keys at 1 to 3 standard deviations."""

    name: str | None
    field: PostAggregator
    num_std_devs: int = 1

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        with sketch_faults():
            return rows_of_doubles(np.array(_bounds(states, self.num_std_devs)).reshape(-1, 3), states)


def _bounds(states: pa.Array, deviations: int) -> list[tuple[float, float, float]]:
    counts, thetas = tuples.sizes(states)
    return [sampling.bounds(n, t, deviations) for n, t in zip(counts.tolist(), thetas.tolist(), strict=True)]


@dataclass(frozen=True)
class ArrayOfDoublesTTest(NativePostAggregator, tag="arrayOfDoublesSketchTTest"):
    """For each column the p-value that its values over the keys of two sketches have one mean (Welch's t-test)."""

    name: str | None
    fields: tuple[PostAggregator, ...]

    def __post_init__(self) -> None:
        if len(self.fields) != 2:
            raise ValueError(f"Illegal number of fields[{len(self.fields)}], must be 2")

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE_ARRAY

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = [post(f).compute(rows) for f in self.fields]
        with sketch_faults():
            counts, means, squares = zip(*map(_moments, states), strict=True)
            widths = [m.shape[1] for m in means]
            if widths[0] != widths[1]:
                raise ValueError(f"Sketches have different number of values: {widths[0]} and {widths[1]}")
        held = np.stack([np.repeat(c, widths[0]) for c in counts]).astype(np.float64)
        with np.errstate(all="ignore"):
            variances = np.stack([s.reshape(-1) for s in squares]) / (held - 1)
        found = welch(held, np.stack([m.reshape(-1) for m in means]), variances)
        return rows_of_doubles(found.reshape(-1, widths[0]), states[0])


@dataclass(frozen=True)
class ArrayOfDoublesToString(NativePostAggregator, tag="arrayOfDoublesSketchToString"):
    """A summary for people, in the words of DataSketches for Java."""

    name: str | None
    field: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return STRING

    def compute(self, rows: GroupedRows) -> pa.Array:
        states = post(self.field).compute(rows)
        counts, thetas = tuples.sizes(states)
        made = map(_summary, counts.tolist(), thetas.tolist(), _bounds(states, 2))
        there = validity(states).tolist()
        return pa.array([text if ok else None for text, ok in zip(made, there, strict=True)], pa.string())


def _summary(count: int, theta: int, bounds: tuple[float, float, float]) -> str:
    estimating = theta < sampling.ALL
    lines = {
        "Estimate": double_text(bounds[0]), "Upper Bound, 95% conf": double_text(bounds[2]),
        "Lower Bound, 95% conf": double_text(bounds[1]), "Theta (double)": double_text(theta / float(1 << 63)),
        "Theta (long)": theta, "EstMode?": str(estimating).lower(),
        "Empty?": str(not count and not estimating).lower(), "Retained Entries": count, "Seed Hash": "93cc | 37836",
    }  # fmt: skip
    told = "".join(f"   {name:<24}: {value}\n" for name, value in lines.items())
    return f"### HeapArrayOfDoublesCompactSketch SUMMARY: \n{told}### END SKETCH SUMMARY\n"
