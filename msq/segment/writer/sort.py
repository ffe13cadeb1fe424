"""The order of a segment's rows: keys packed into 64-bit words, sorted as numbers, later keys only where ties remain.

Keys are small unsigned ints (dictionary ids, distances from a minimum). As many keys as fit stand in one word beside
the row number, so that one sort of plain numbers gives the order, stable and ties visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.segment.writer.generic import Array, binary_array


@dataclass
class SortKey:
    """One key: `values()` gives a non-negative integer a row, all below 2**bits. Called at most once, when needed."""

    bits: int
    values: Callable[[], Array]


def bits_of(largest: int) -> int:
    return int(largest).bit_length()


@dataclass
class RowOrder:
    """`rows`: row numbers in sorted order (stable), None when they stand in order already. `starts`: for each place in
    that order whether its keys differ from those of the place before; None when all do."""

    rows: Array | None
    starts: Array | None


def sort_order(keys: Iterable[SortKey], count: int) -> RowOrder:
    """The order of `count` rows by `keys`, which are drawn one by one and only while rows are still tied."""
    source = (key for key in keys if key.bits > 0)
    following = next(source, None)
    order = np.arange(count, dtype=np.int64)
    starts = np.zeros(count, bool)
    starts[:1] = True
    positions: Array | None = None  # where in `order` the rows stand that are still tied; None is everywhere
    rows = order
    permutation: Array | None
    groups: Array = np.zeros(count, np.uint64)
    group_bits = 0
    while following is not None and len(rows) > 1:
        index_bits = bits_of(len(rows) - 1)
        word, used = groups, group_bits
        while following is not None and used + following.bits + index_bits <= 64:
            word = (word << np.uint64(following.bits)) | _at(following, rows, positions)
            used += following.bits
            following = next(source, None)
        if used == group_bits:
            assert following is not None
            permutation, fresh = _sort_wide(groups, _at(following, rows, positions))
            following = next(source, None)
        else:
            permutation, fresh = _sort_packed(word, index_bits)
        if permutation is not None:
            rows = rows[permutation]
            if positions is None:
                order = rows
            else:
                order[positions] = rows
        if positions is None:
            starts = fresh
        else:
            starts[positions] = fresh
        if fresh.all():
            break
        tied = ~fresh
        tied[:-1] |= ~fresh[1:]
        positions = np.flatnonzero(tied) if positions is None else positions[tied]
        rows = rows[tied]
        groups = (np.cumsum(fresh[tied]) - 1).astype(np.uint64)
        group_bits = bits_of(int(groups[-1]))
    in_order = bool((order[1:] > order[:-1]).all())
    return RowOrder(None if in_order else order, None if starts.all() else starts)


def _at(key: SortKey, rows: Array, positions: Array | None) -> Array:
    values = key.values()
    return (values if positions is None else values[rows]).astype(np.uint64)


def _sort_packed(word: Array, index_bits: int) -> tuple[Array | None, Array]:
    fresh = np.ones(len(word), bool)
    np.not_equal(word[1:], word[:-1], out=fresh[1:])
    if (word[1:] >= word[:-1]).all():
        return None, fresh
    packed = (word << np.uint64(index_bits)) | np.arange(len(word), dtype=np.uint64)
    packed.sort()
    permutation = (packed & np.uint64((1 << index_bits) - 1)).astype(np.int64)
    word = packed >> np.uint64(index_bits)
    np.not_equal(word[1:], word[:-1], out=fresh[1:])
    return permutation, fresh


def _sort_wide(groups: Array, values: Array) -> tuple[Array, Array]:
    permutation = np.lexsort((values, groups))
    groups, values = groups[permutation], values[permutation]
    fresh = np.ones(len(values), bool)
    fresh[1:] = (values[1:] != values[:-1]) | (groups[1:] != groups[:-1])
    return permutation, fresh


# -- keys -------------------------------------------------------------------------------------------------------------


def id_key(ids: Array, cardinality: int) -> SortKey:
    return SortKey(bits_of(max(cardinality - 1, 0)), lambda: ids)


def number_keys(values: Array, nulls: Array) -> list[SortKey]:
    """Nulls first, then by number; doubles by their total order (-0.0 before 0.0, NaN last)."""
    if not len(values):
        return []
    ordered = total_order(values) if values.dtype.kind == "f" else values.astype(np.int64, copy=False)
    low, high = int(ordered.min()), int(ordered.max())
    by_value = SortKey(bits_of(high - low), lambda: ordered.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF))
    if not len(nulls):
        return [by_value]

    def present() -> Array:
        flags = np.ones(len(values), np.uint8)
        flags[nulls] = 0
        return flags

    return [SortKey(1, present), by_value]


def total_order(values: Array) -> Array:
    """int64 whose order is that of Java's `Double.compare`."""
    wide = values.astype(np.float64)
    wide[np.isnan(wide)] = np.nan
    bits = wide.view(np.int64)
    return bits ^ ((bits >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))


def list_key(ids: Array, offsets: Array) -> SortKey:
    """Lists of ids in lexicographic order, shorter first; bits are an upper bound by the number of rows."""
    count = len(offsets) - 1
    return SortKey(bits_of(max(count - 1, 0)), lambda: distinct_lists(ids, offsets)[1])


def distinct_lists(ids: Array, offsets: Array) -> tuple[Any, Array]:
    """(the distinct lists of ids as big-endian u32 bytes, ascending; the rank of each row's list).

    Bytes of big-endian ids compare as the lists do.
    """
    words = np.ascontiguousarray(ids, ">u4").view(np.uint8)
    lists = binary_array(offsets * 4, words)
    encoded = lists.dictionary_encode()
    values = encoded.dictionary
    order = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return values.take(pa.array(order)), rank[encoded.indices.to_numpy()]
