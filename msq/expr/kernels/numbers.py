"""Numeric kernels on whole numpy arrays: bit patterns and shifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, whole


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


KERNELS = (
    Kernel("py_double_bits", ("DOUBLE",), "BIGINT", _double_bits),
    Kernel("py_bits_double", ("BIGINT",), "DOUBLE", _bits_double),
    Kernel("py_shift_left", ("BIGINT", "BIGINT"), "BIGINT", _shift_left),
)
