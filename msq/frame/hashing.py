"""Hashes of key columns: the same on every worker and for equal values of different types or layouts.

LONG, DOUBLE and FLOAT of equal value hash alike, dictionary columns like plain ones, a scalar string like a list of
that one string. Null has a hash of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.frame.order import TextBytes, one_array

_U64 = np.dtype(np.uint64)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0x5851F42D4C957F2D)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


def _mix(x: Any) -> Any:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> _S30)) * _A
    x = (x ^ (x >> _S27)) * _B
    return x ^ (x >> _S31)


def _text_hash(array: Any) -> Any:
    text = TextBytes(array)
    out = _mix(text.words(0) + text.lengths.astype(_U64) * _STEP)
    depth = 1
    rows = np.flatnonzero(text.lengths > 8)
    while len(rows):
        out[rows] = _mix(out[rows] * _A + text.words(depth, rows) + _STEP)
        depth += 1
        rows = rows[text.lengths[rows] > 8 * depth]
    return out


def column_hash(array: Any) -> Any:
    """64-bit hashes (uint64) of the values of one column."""
    kind = array.type
    with np.errstate(over="ignore"):
        if pa.types.is_dictionary(kind):
            values = column_hash(array.dictionary)
            if not len(values):
                return np.full(len(array), _NULL, _U64)
            indices = array.indices
            out = values[np.asarray(pc.fill_null(indices, 0) if indices.null_count else indices)]
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            filled = pc.fill_null(array, 0) if array.null_count else array
            values = np.asarray(filled).astype(np.float64) + 0.0
            values[np.isnan(values)] = np.nan
            out = _mix(values.view(_U64) + _STEP)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            out = _list_hash(array)
        elif pa.types.is_null(kind):
            return np.full(len(array), _NULL, _U64)
        else:
            out = _text_hash(array)
        if array.null_count:
            out = np.where(np.asarray(array.is_valid()), out, _NULL)
        return out


def _list_hash(array: Any) -> Any:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    elements = np.append(column_hash(array.flatten()), _NULL)
    out = np.where(lengths > 0, elements[np.where(lengths > 0, starts, len(elements) - 1)], _mix(_STEP))
    depth = 1
    rows = np.flatnonzero(lengths > 1)
    while len(rows):
        out[rows] = _mix(out[rows] * _A + elements[starts[rows] + depth] + _STEP)
        depth += 1
        rows = rows[lengths[rows] > depth]
    return out


def key_hash(columns: Sequence[Any], count: int) -> Any:
    """64-bit hashes of the keys made of `columns`; of the empty key one constant."""
    with np.errstate(over="ignore"):
        out = np.full(count, _STEP, _U64)
        for column in columns:
            out = _mix(out * _A + column_hash(one_array(column)))
    return out


def hash_partitions(columns: Sequence[Any], count: int, partitions: int) -> Any:
    """The partition (int64, below `partitions`) of each key."""
    if partitions == 1:
        return np.zeros(count, np.int64)
    return (key_hash(columns, count) % np.uint64(partitions)).astype(np.int64)
