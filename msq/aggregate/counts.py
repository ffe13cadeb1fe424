"""Counts, sums, minima and maxima: states that are plain numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, numbers, numeric_array, wrapped_long
from msq.datatypes import DOUBLE, FLOAT, LONG, ColumnType, arrow_type
from msq.expr.lower import Lowered, convert


@dataclass(frozen=True)
class CountAggregator(NativeAggregator, tag="count"):
    """Number of rows; 0 for none."""

    name: str

    @property
    def intermediate_type(self) -> ColumnType:
        return LONG

    def combining(self, name: str) -> NativeAggregator:
        return LongSumAggregator(name, name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return {"n": Part("count(*)")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return combine(parts["n"])

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return pa.array(np.add.reduceat(numbers(states)[0], runs.starts))

    def finalize(self, states: pa.Array) -> pa.Array:
        return states.fill_null(0) if states.null_count else states

    def empty(self) -> pa.Array:
        return pa.array([0], type=pa.int64())


@dataclass(frozen=True)
class _Numeric(NativeAggregator, ABC):
    """Base of the aggregators over one numeric column whose state is a number of `value_type`, null for no value."""

    name: str
    field_name: str | None = None
    value_type: ClassVar[ColumnType]

    @property
    def intermediate_type(self) -> ColumnType:
        return self.value_type

    def combining(self, name: str) -> NativeAggregator:
        made: NativeAggregator = type(self)(name, name)
        return made

    def _column(self, scope: Scope) -> str:
        """SQL of the input as a number of the value type, by the rules of CAST; no such column reads as null."""
        found = scope.column(self.field_name or "")
        return convert(Lowered(found.sql_name, found.type, found.multi_value), self.value_type)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        values, valid = numbers(states)
        some = np.logical_or.reduceat(valid, runs.starts)
        return numeric_array(self._reduce(values, valid, runs.starts), some, arrow_type(self.value_type))

    @abstractmethod
    def _reduce(
        self, values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], starts: Any
    ) -> np.ndarray[Any, Any]: ...


class _Sum(_Numeric):
    def parts(self, scope: Scope) -> Mapping[str, Part]:
        column = self._column(scope)
        return {"s": Part(f"sum({column})" if self.value_type == LONG else f"sum(CAST({column} AS DOUBLE))")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if self.value_type == LONG:
            return wrapped_long(parts["s"])
        return combine(parts["s"]).cast(arrow_type(self.value_type), safe=False)

    def _reduce(self, values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], starts: Any) -> np.ndarray[Any, Any]:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.add.reduceat(values, starts)


class _Extreme(_Numeric):
    """NaN wins over every number, as in Java's Math.min and Math.max."""

    largest: ClassVar[bool]

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        column = self._column(scope)
        if self.largest:
            return {"x": Part(f"max({column})")}
        # DuckDB orders NaN above all numbers: the maximum tells whether there was one
        return {"x": Part(f"min({column})")} | (
            {} if self.value_type == LONG else {"nan": Part(f"max({column})", around="isnan({})")}
        )

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        found = combine(parts["x"]).cast(arrow_type(self.value_type))
        if "nan" in parts:
            values, valid = numbers(found)
            nan = combine(parts["nan"]).fill_null(False).to_numpy(zero_copy_only=False)
            if nan.any():
                return numeric_array(np.where(nan, np.nan, values), valid, arrow_type(self.value_type))
        return found

    def _reduce(self, values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], starts: Any) -> np.ndarray[Any, Any]:
        if self.value_type == LONG:
            info = np.iinfo(np.int64)
            neutral: Any = info.min if self.largest else info.max
        else:
            neutral = -np.inf if self.largest else np.inf
        if not valid.all():
            values = np.where(valid, values, neutral).astype(values.dtype)
        out: np.ndarray[Any, Any] = (np.maximum if self.largest else np.minimum).reduceat(values, starts)
        return out


class LongSumAggregator(_Sum, tag="longSum"):
    """Sum in 64 bits, wrapping."""

    value_type = LONG


class DoubleSumAggregator(_Sum, tag="doubleSum"):
    value_type = DOUBLE


class FloatSumAggregator(_Sum, tag="floatSum"):
    value_type = FLOAT


class LongMinAggregator(_Extreme, tag="longMin"):
    value_type = LONG
    largest = False


class LongMaxAggregator(_Extreme, tag="longMax"):
    value_type = LONG
    largest = True


class DoubleMinAggregator(_Extreme, tag="doubleMin"):
    value_type = DOUBLE
    largest = False


class DoubleMaxAggregator(_Extreme, tag="doubleMax"):
    value_type = DOUBLE
    largest = True


class FloatMinAggregator(_Extreme, tag="floatMin"):
    value_type = FLOAT
    largest = False


class FloatMaxAggregator(_Extreme, tag="floatMax"):
    value_type = FLOAT
    largest = True
