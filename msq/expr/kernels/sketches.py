"""Sketch kernels: whole columns of sketches to estimates, bounds, quantiles, unions and set operations."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from msq.expr.kernels.base import Kernel, whole
from msq.expr.printer import double_text
from msq.sketches import bloom, hll, quantiles, ranked, theta, tuples
from msq.sketches.binary import list_parts


def _numbers(values: Any, states: Any) -> Any:
    valid = np.asarray(states.is_valid())
    return pa.array(values, type=pa.float64(), mask=None if valid.all() else ~valid)


def _first(parameter: Any) -> Any:
    """The value of a parameter that is the same in every row."""
    made = whole(parameter)
    return made[0].as_py() if len(made) else None


def _each(states: Any, of: Callable[[bytes], Any], kind: Any) -> Any:
    return pa.array([None if s is None else of(s) for s in states.to_pylist()], type=kind)


def _hll_estimate(states: Any) -> Any:
    states = whole(states)
    return _numbers(hll.estimate(states), states)


def _rows(values: Any, states: Any) -> Any:
    """Rows of numbers as lists, NULL where there is no sketch."""
    width = values.shape[1] if len(values) else 0
    offsets = pa.array(np.arange(len(states) + 1, dtype=np.int32) * width)
    valid = np.asarray(states.is_valid())
    flat = pa.array(np.asarray(values).reshape(-1), pa.float64())
    return pa.ListArray.from_arrays(offsets, flat, mask=None if valid.all() else pa.array(~valid))


def _hll_bounds(states: Any, deviations: Any) -> Any:
    states = whole(states)
    return _rows(hll.bounds(states, _first(deviations) or 1), states)


def _hll_union(lists: Any, lg_k: Any) -> Any:
    lists = whole(lists)
    states, offsets = list_parts(lists)
    return hll.union(states, offsets, _first(lg_k) or 12)


def _hll_text(states: Any) -> Any:
    return _each(whole(states), hll.describe, pa.string())


def _theta_estimate(states: Any) -> Any:
    states = whole(states)
    return _numbers(theta.estimate(states), states)


def _theta_bounds(states: Any, deviations: Any) -> Any:
    return theta.bounds_texts(whole(states), _first(deviations) or 1, double_text)


def _set(of: Callable[[str, list[Any], int], Any]) -> Callable[[Any, Any, Any], Any]:
    """A set operation over the sketches of each row, which come as lists of one length."""

    def run(lists: Any, function: Any, size: Any) -> Any:
        states, offsets = list_parts(whole(lists))
        lengths = np.diff(offsets)
        if not len(lengths):
            return pa.array([], pa.binary())
        columns = [states.take(pa.array(offsets[:-1] + i)) for i in range(int(lengths[0]))]
        return of(_first(function), columns, theta.nominal(_first(size) or 16384))

    return run


def _tuple_sums(states: Any) -> Any:
    states = whole(states)
    return _rows(tuples.sums(states), states)


def _quantile(states: Any, fraction: Any) -> Any:
    states = whole(states)
    number = _first(fraction)
    return _numbers(quantiles.quantiles(states, [number])[:, 0] if number is not None else np.zeros(0), states)


def _rank(states: Any, value: Any) -> Any:
    states = whole(states)
    number = _first(value)
    return _numbers(quantiles.ranks(states, [number])[:, 0] if number is not None else np.zeros(0), states)


def _many(of: Callable[[Any, list[float]], Any]) -> Callable[[Any, Any], Any]:
    def run(states: Any, numbers: Any) -> Any:
        states = whole(states)
        return _rows(of(states, _first(numbers) or []), states)

    return run


def _quantiles_text(states: Any) -> Any:
    return _each(whole(states), quantiles.describe, pa.string())


def _bloom(values: Any, filters: Any) -> Any:
    values = whole(values)
    text = _first(filters)
    if text is None:
        return pa.nulls(len(values), pa.bool_())
    return pa.array(bloom.might_contain(base64.b64decode(text), values))


KERNELS = (
    Kernel("py_bloom_text", ("VARCHAR", "VARCHAR"), "BOOLEAN", _bloom),
    Kernel("py_bloom_long", ("BIGINT", "VARCHAR"), "BOOLEAN", _bloom),
    Kernel("py_bloom_double", ("DOUBLE", "VARCHAR"), "BOOLEAN", _bloom),
    Kernel("py_hll_estimate", ("BLOB",), "DOUBLE", _hll_estimate),
    Kernel("py_hll_bounds", ("BLOB", "BIGINT"), "DOUBLE[]", _hll_bounds),
    Kernel("py_hll_union", ("BLOB[]", "BIGINT"), "BLOB", _hll_union),
    Kernel("py_hll_text", ("BLOB",), "VARCHAR", _hll_text),
    Kernel("py_theta_estimate", ("BLOB",), "DOUBLE", _theta_estimate),
    Kernel("py_theta_bounds", ("BLOB", "BIGINT"), "BLOB", _theta_bounds),
    Kernel("py_theta_set", ("BLOB[]", "VARCHAR", "BIGINT"), "BLOB", _set(theta.combine)),
    Kernel("py_tuple_set", ("BLOB[]", "VARCHAR", "BIGINT"), "BLOB", _set(tuples.combine)),
    Kernel("py_tuple_sums", ("BLOB",), "DOUBLE[]", _tuple_sums),
    Kernel("py_quantile", ("BLOB", "DOUBLE"), "DOUBLE", _quantile),
    Kernel("py_quantile_rank", ("BLOB", "DOUBLE"), "DOUBLE", _rank),
    Kernel("py_quantiles", ("BLOB", "DOUBLE[]"), "DOUBLE[]", _many(quantiles.quantiles)),
    Kernel("py_quantiles_cdf", ("BLOB", "DOUBLE[]"), "DOUBLE[]", _many(partial(ranked.cdf, quantiles))),
    Kernel("py_quantiles_histogram", ("BLOB", "DOUBLE[]"), "DOUBLE[]", _many(partial(ranked.split_counts, quantiles))),
    Kernel("py_quantiles_text", ("BLOB",), "VARCHAR", _quantiles_text),
)
