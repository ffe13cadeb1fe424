"""Numeric kernels on whole numpy arrays: bit patterns and shifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, whole
from msq.expr.kernels.text import round_double


def _parts(column: Any, kind: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(values with 0 for NULL, mask of NULLs) of a column."""
    array = whole(column)
    return np.asarray(pc.fill_null(array, 0)).astype(kind, copy=False), np.asarray(pc.is_null(array))


def _double_bits(column: Any) -> Any:
    values, nulls = _parts(column, "f8")
    bits = values.view("i8").copy()
    bits[np.isnan(values)] = 0x7FF8000000000000
    return pa.array(bits, pa.int64(), mask=nulls)


def _bits_double(column: Any) -> Any:
    values, nulls = _parts(column, "i8")
    return pa.array(values.view("f8"), pa.float64(), mask=nulls)


def _shift_left(column: Any, count: Any) -> Any:
    values, nulls = _parts(column, "i8")
    counts, more = _parts(count, "i8")
    return pa.array((values.view("u8") << (counts & 63).view("u8")).view("i8"), pa.int64(), mask=nulls | more)


def _round(column: Any, digits: Any) -> Any:
    """Half away from zero on the shortest decimal text. Whole arrays; only what lies near a tie goes value by value."""
    values, nulls = _parts(column, "f8")
    counts, more = _parts(digits, "i8")
    places = int(counts[0]) if len(counts) and (counts == counts[0]).all() else None
    if places is None or abs(places) > 15:
        made = np.array([round_double(v, int(c)) for v, c in zip(values.tolist(), counts.tolist())], np.float64)
        return pa.array(made, pa.float64(), mask=nulls | more)
    unit = 10.0 ** abs(places)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.abs(values) * unit if places >= 0 else np.abs(values) / unit
        whole_part = np.floor(scaled + 0.5)
        made = np.copysign(whole_part / unit if places >= 0 else whole_part * unit, values) + 0.0
        # Not exact enough: near a tie, beyond the whole doubles, or no number.
        doubt = (np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6) | ~(scaled < 2.0**50)
    for at in np.flatnonzero(doubt):
        made[at] = round_double(float(values[at]), places)
    return pa.array(made, pa.float64(), mask=nulls | more)


KERNELS = (
    Kernel("py_double_bits", ("DOUBLE",), "BIGINT", _double_bits),
    Kernel("py_bits_double", ("BIGINT",), "DOUBLE", _bits_double),
    Kernel("py_round", ("DOUBLE", "BIGINT"), "DOUBLE", _round),
    Kernel("py_shift_left", ("BIGINT", "BIGINT"), "BIGINT", _shift_left),
)
