"""The value space of an `auto` or JSON column: strings, longs, doubles and arrays under one numbering of ids.

Id 0 is null; then come the strings, the longs, the doubles, the arrays, each kind ascending in Druid's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.segment.writer.generic import (
    HAS_NULL,
    LARGE_BINARY,
    SORTED,
    Array,
    Parts,
    binary_array,
    binary_buffers,
    fixed_list,
    value_list,
    vbyte,
)
from msq.segment.writer.sort import distinct_lists, total_order


@dataclass
class ValueSpace:
    """strings: large_binary ascending; longs: int64 ascending; doubles: float64 in total order; arrays: each the
    big-endian u32 ids of its elements (large_binary), ascending."""

    strings: Any
    longs: Array
    doubles: Array
    arrays: Any

    @property
    def first_long(self) -> int:
        return 1 + len(self.strings)

    @property
    def first_double(self) -> int:
        return self.first_long + len(self.longs)

    @property
    def first_array(self) -> int:
        return self.first_double + len(self.doubles)

    @property
    def count(self) -> int:
        """All ids, null among them."""
        return self.first_array + len(self.arrays)

    def long_ids(self, values: Array) -> Array:
        return (self.first_long + np.searchsorted(self.longs, values)).astype(np.int32)

    def double_ids(self, values: Array) -> Array:
        keys = np.searchsorted(total_order(self.doubles), total_order(values))
        return (self.first_double + keys).astype(np.int32)

    def string_dictionary(self) -> Parts:
        return value_list(self.strings, True, True)

    def long_dictionary(self, with_null: bool = False) -> Parts:
        return fixed_list(np.ascontiguousarray(self.longs, "<i8"), SORTED | (HAS_NULL if with_null else 0))

    def double_dictionary(self, with_null: bool = False) -> Parts:
        return fixed_list(np.ascontiguousarray(self.doubles, "<f8"), SORTED | (HAS_NULL if with_null else 0))

    def array_dictionary(self) -> Parts:
        return array_dictionary(self.arrays)


NO_STRINGS: Any = pa.array([], LARGE_BINARY)
NO_ARRAYS: Any = pa.array([], LARGE_BINARY)
NO_LONGS: Array = np.zeros(0, np.int64)
NO_DOUBLES: Array = np.zeros(0, np.float64)


def distinct_longs(values: Array) -> Array:
    return np.unique(values)


def distinct_doubles(values: Array) -> Array:
    """Distinct doubles in total order; -0.0 and 0.0 are two values, all NaN are one."""
    keys = np.unique(total_order(values))
    bits = keys ^ ((keys >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
    doubles: Array = bits.view(np.float64)
    return doubles


def array_dictionary(arrays: Any) -> Parts:
    """Distinct arrays of ids, in buckets of one: each array whole, found by the bucket's end."""
    count = len(arrays)
    if count == 0:
        return [b"\x00\x04\x00" + vbyte(0) + vbyte(0)]
    offsets, data = binary_buffers(arrays)
    lengths = np.diff(offsets) // 4
    heads, of_row = np.unique(lengths, return_inverse=True)
    words = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].view(">u4").astype("<u4").view(np.uint8)
    lists = binary_array(offsets - offsets[0], words)
    length_words = pa.array([vbyte(int(h)) for h in heads], LARGE_BINARY).take(pa.array(of_row))
    joined = pc.binary_join_element_wise(length_words, lists, pa.scalar(b"", LARGE_BINARY))
    ends, body = binary_buffers(joined)
    ends = ends - ends[0]
    table = ends[1:-1].astype("<i4").view(np.uint8)
    size = len(table) + int(ends[-1])
    return [b"\x00\x01\x00" + vbyte(count) + vbyte(size), table, body[: int(ends[-1])]]


def element_ids(arrays: Any) -> Array:
    """Distinct element ids of the arrays (big-endian u32 in large_binary), ascending."""
    offsets, data = binary_buffers(arrays)
    words = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if len(arrays) else np.zeros(0, np.uint8)
    return np.unique(words.view(">u4")).astype(np.int64)


def number_lists(ids: Array, offsets: Array, missing: Array | None) -> tuple[Any, Array]:
    """(distinct lists, rank of each row's list) of element ids; rows flagged `missing` have rank -1."""
    if missing is None or not missing.any():
        return distinct_lists(ids, offsets)
    kept = np.append(offsets[:-1][~missing], offsets[-1])
    arrays, rank = distinct_lists(ids, kept)
    out = np.full(len(offsets) - 1, -1, np.int64)
    out[~missing] = rank
    return arrays, out


def local_dictionary(ids: Array) -> Parts:
    """FixedIndexed of global ids, ascending."""
    return fixed_list(np.ascontiguousarray(ids, "<i4"), SORTED)


__all__ = [
    "NO_ARRAYS", "NO_DOUBLES", "NO_LONGS", "NO_STRINGS", "ValueSpace", "array_dictionary", "distinct_doubles",
    "distinct_longs", "element_ids", "local_dictionary", "number_lists",
]  # fmt: skip
