"""Variance and standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, numbers, numeric_array
from msq.aggregate.post import GroupedRows, NativePostAggregator
from msq.aggregate.sketch_base import gathered
from msq.datatypes import DOUBLE, ColumnType, RowSignature, complex_of
from msq.expr.lower import Lowered, convert
from msq.sketches.binary import Ints, binary, flat, gather, list_parts, offsets_of

_WIDTH = 24
Columns = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


class _Variance(NativeAggregator):
    field_name: str
    estimator: str | None

    @property
    def intermediate_type(self) -> ColumnType:
        return complex_of("variance")

    @property
    def final_type(self) -> ColumnType:
        return DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return VarianceFoldAggregator(name, name, self.estimator)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if found.type.is_complex and not found.type.is_json:
            return {"p": gathered(found.sql_name)}
        value = convert(Lowered(found.sql_name, found.type, found.multi_value), DOUBLE)
        return {"n": Part(f"count({value})"), "s": Part(f"sum({value})"), "v": Part(f"var_pop({value})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if "p" in parts:
            states, offsets = list_parts(parts["p"])
            return self._combine(states, offsets)
        count, total, spread = (numbers(combine(parts[k]))[0] for k in ("n", "s", "v"))
        return _pack(count, total, spread * count)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return states if runs.trivial else self._combine(states, runs.offsets())

    def _combine(self, states: pa.Array, offsets: Ints) -> pa.Array:
        """Sums of squares about the mean of all: those of the parts, and of the parts' means about it."""
        count, total, square = _unpack(states)
        groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        size = len(offsets) - 1
        n = np.bincount(groups, count, size)
        s = np.bincount(groups, total, size)
        with np.errstate(all="ignore"):
            mean = np.where(n > 0, s / n, 0.0)
            apart = np.where(count > 0, total / np.maximum(count, 1) - mean[groups], 0.0)
        return _pack(n, s, np.bincount(groups, square + count * apart * apart, size))

    def finalize(self, states: pa.Array) -> pa.Array:
        return variances(states, self.estimator)


@dataclass(frozen=True)
class VarianceAggregator(_Variance, tag="variance"):
    """A state is `BE64 count | BE double sum | BE double (count * population variance)`, null for no values.

    `estimator` population divides by the count, else by one less; a single value has variance 0 either way.
    """

    name: str
    field_name: str
    estimator: str | None = None
    input_type: str | None = None


@dataclass(frozen=True)
class VarianceFoldAggregator(_Variance, tag="varianceFold"):
    """The combining form: the variance of a column of states."""

    name: str
    field_name: str
    estimator: str | None = None
    input_type: str | None = "variance"


def variances(states: pa.Array, estimator: str | None) -> pa.Array:
    """The variance of each state; null for no values."""
    count, _, square = _unpack(states)
    by = count if estimator == "population" else np.maximum(count - 1, 1)
    with np.errstate(all="ignore"):
        return numeric_array(np.where(count > 0, square / np.maximum(by, 1), 0.0), count > 0, pa.float64())


@dataclass(frozen=True)
class StandardDeviation(NativePostAggregator, tag="stddev"):
    name: str | None
    field_name: str
    estimator: str | None = None

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        values, valid = numbers(variances(rows.states[self.field_name], self.estimator))
        return numeric_array(np.sqrt(values), valid, pa.float64())


def _pack(count: Any, total: Any, square: Any) -> pa.Array:
    out = np.empty((len(count), 3), dtype=">f8")
    out[:, 0] = count.astype(np.int64).astype(">i8").view(">f8")
    out[:, 1], out[:, 2] = total, square
    data = out.view(np.uint8).reshape(-1, _WIDTH)
    there = np.asarray(count) > 0
    return binary(np.ascontiguousarray(data[there]).reshape(-1), offsets_of(np.where(there, _WIDTH, 0)), there)


def _unpack(states: pa.Array) -> Columns:
    data, offsets = flat(states)
    there = np.diff(offsets) >= _WIDTH
    raw = np.zeros((len(there), _WIDTH), dtype=np.uint8)
    raw[there] = gather(data, offsets[:-1][there], _WIDTH)
    count = np.ascontiguousarray(raw[:, :8]).view(">i8").reshape(-1).astype(np.float64)
    rest = np.ascontiguousarray(raw[:, 8:]).view(">f8").astype(np.float64)
    return count, rest[:, 0], rest[:, 1]
