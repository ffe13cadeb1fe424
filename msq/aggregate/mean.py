"""The `doubleMean` aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, numbers
from msq.aggregate.sketch_base import gathered, holds_states, number_sql
from msq.datatypes import DOUBLE, ColumnType, complex_of
from msq.sketches.binary import Ints, binary, flat, gather, list_parts, offsets_of

_STATE = np.dtype([("total", ">f8"), ("count", ">i8")])
MEAN = complex_of("doubleMean")


@dataclass(frozen=True)
class DoubleMeanAggregator(NativeAggregator, tag="doubleMean"):
    """The mean of a column's numbers, 0 of none. A state is `BE double sum | BE64 count`."""

    name: str
    field_name: str

    @property
    def intermediate_type(self) -> ColumnType:
        return MEAN

    @property
    def final_type(self) -> ColumnType:
        return DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return DoubleMeanAggregator(name, name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        if holds_states(found):
            return {"p": gathered(found.sql_name)}
        value = number_sql(found)
        return {"n": Part(f"count({value})"), "s": Part(f"sum({value})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if "p" in parts:
            states, offsets = list_parts(parts["p"])
            return _joined(states, offsets)
        total, count = (numbers(combine(parts[key]))[0] for key in ("s", "n"))
        return _packed(total, count)

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        return states if runs.trivial else _joined(states, runs.offsets())

    def finalize(self, states: pa.Array) -> pa.Array:
        total, count = _unpacked(states)
        with np.errstate(all="ignore"):
            return pa.array(np.where(count == 0, 0.0, total / count))

    def empty(self) -> pa.Array:
        return _packed(np.zeros(1), np.zeros(1))


def _joined(states: pa.Array, offsets: Ints) -> pa.Array:
    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return _packed(*(np.bincount(groups, part, len(offsets) - 1) for part in _unpacked(states)))


def _packed(total: Any, count: Any) -> pa.Array:
    made = np.zeros(len(total), dtype=_STATE)
    made["total"], made["count"] = total, count
    return binary(made.view(np.uint8), offsets_of(np.full(len(made), _STATE.itemsize)))


def _unpacked(states: pa.Array) -> tuple[Any, Any]:
    """Sums and counts; zeros of nulls."""
    data, offsets = flat(states)
    made = np.zeros(len(states), dtype=_STATE)
    there = np.diff(offsets) >= _STATE.itemsize
    made[there] = gather(data, offsets[:-1][there], _STATE.itemsize).view(_STATE).reshape(-1)
    return made["total"].astype(np.float64), made["count"].astype(np.int64)
