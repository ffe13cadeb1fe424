"""Numeric kernels on whole numpy arrays: bit patterns and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, whole
from msq.expr.kernels.text import round_double

_EXACT_DIGITS = 15


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


def round_doubles(column: Any, digits: Any) -> Any:
    """Half away from zero on the shortest decimal text. Whole arrays; only what may be a tie goes value by value."""
    values, nulls = _parts(column, "f8")
    counts, more = _parts(digits, "i8")
    with np.errstate(invalid="ignore", over="ignore"):
        unit = 10.0 ** np.minimum(np.abs(counts), _EXACT_DIGITS).astype("f8")
        up = counts >= 0
        scaled = np.where(up, values * unit, values / unit)
        whole_part = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
        made = np.where(up, whole_part / unit, whole_part * unit) + 0.0
        size = np.abs(scaled)
        sure = (
            (size < 1e15) & (np.abs(size - np.floor(size) - 0.5) > size * 4.5e-16) & (np.abs(counts) <= _EXACT_DIGITS)
        )
    for at in np.flatnonzero(~sure):
        made[at] = round_double(float(values[at]), int(counts[at]))
    return pa.array(made, pa.float64(), mask=nulls | more)


KERNELS = (
    Kernel("py_double_bits", ("DOUBLE",), "BIGINT", _double_bits),
    Kernel("py_bits_double", ("BIGINT",), "DOUBLE", _bits_double),
    Kernel("py_round", ("DOUBLE", "BIGINT"), "DOUBLE", round_doubles),
)
