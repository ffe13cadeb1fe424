"""Sizes as people read them: HUMAN_READABLE_BINARY_BYTE_FORMAT and its kin, over whole columns."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, same, whole

_LARGE = 1 << 50
"""From here on sizes are written one by one: products with them do not fit in 64 bits."""


def human_readable(value: int, precision: int, kind: str) -> str:
    """`1.00 MiB`, `1.05 MB`, `1.05 M` for kind BINARY_BYTE, DECIMAL_BYTE, DECIMAL."""
    unit = "B" if kind != "DECIMAL" else ""
    size = abs(value)
    base = 1024 if kind == "BINARY_BYTE" else 1000
    if size < base:
        return f"{value} {unit}".strip()
    if kind == "BINARY_BYTE":
        step = (size.bit_length() - 1) // 10
        number, suffix = Decimal(value) / (1024**step), "KMGTPE"[step - 1] + "iB"
    else:
        step = 0
        while size >= 1_000_000:
            size //= 1000
            step += 1
        number, suffix = Decimal(size if value > 0 else -size) / 1000, "KMGTPE"[step] + unit
    return f"{number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)} {suffix}"


def _human_column(column: Any, precision: Any, kinds: Any) -> Any:
    """`human_readable` of whole arrays; precision and kind are the same in every row."""
    array, digits, kind = whole(column), whole(precision), whole(kinds)
    if not len(array) or digits.null_count or not same(digits):
        rows = zip(array.to_pylist(), digits.to_pylist(), kind.to_pylist())
        return pa.array([None if v is None or p is None else human_readable(v, p, k) for v, p, k in rows], pa.string())
    places, word = digits[0].as_py(), kind[0].as_py()
    values = np.asarray(pc.fill_null(array, 0)).astype(np.int64, copy=False)
    large = (values >= _LARGE) | (values <= -_LARGE)
    size = np.where(large, 0, np.abs(np.where(large, 0, values)))
    base = 1024 if word == "BINARY_BYTE" else 1000
    step = sum((size >= base**n).astype(np.int64) for n in range(1, 6))
    if word == "BINARY_BYTE":
        unit, suffixes = np.int64(1024) ** step, ["B", *(f"{c}iB" for c in "KMGTP")]
    else:
        # what lies below a thousandth of the unit is cut off, not rounded
        size = np.where(step > 0, size // (np.int64(1000) ** np.maximum(step - 1, 0)), size)
        unit, suffixes = np.where(step > 0, 1000, 1), ["", *"KMGTP"]
        suffixes = [f"{c}B" for c in suffixes] if word == "DECIMAL_BYTE" else suffixes
    scale = 10**places
    rounded = np.where(step > 0, size // unit * scale + (size % unit * scale * 2 + unit) // (2 * unit), size * scale)
    whole_part, rest = pa.array(rounded // scale).cast(pa.string()), pa.array(rounded % scale).cast(pa.string())
    fraction = pc.utf8_lpad(rest, places, "0")
    shown = pc.binary_join_element_wise(whole_part, fraction, ".") if places else whole_part
    shown = pc.if_else(pa.array(step > 0), shown, whole_part)
    sign = pa.array(np.where(values < 0, "-", ""))
    tail = pa.array([f" {s}".rstrip() for s in suffixes]).take(pa.array(step))
    made = pc.binary_join_element_wise(sign, shown, tail, "")
    if large.any():
        texts = made.to_pylist()
        for at in np.flatnonzero(large):
            texts[at] = human_readable(int(values[at]), places, word)
        made = pa.array(texts, pa.string())
    return pc.if_else(pc.is_null(array), pa.scalar(None, pa.string()), made)


KERNELS = (Kernel("py_human", ("BIGINT", "BIGINT", "VARCHAR"), "VARCHAR", _human_column),)
