"""Strings to a sorted dictionary and ids: the form in which string columns are sorted, rolled up and written.

The order is Java's `String.compareTo` (UTF-16 code units). It is the order of UTF-8 bytes except that U+E000..U+FFFF
sort behind the supplementary planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.segment.writer.generic import LARGE_BINARY, Array, binary_array, binary_buffers

_SURROGATE_ORDER = np.arange(256, dtype=np.uint8)
_SURROGATE_ORDER[0xEE], _SURROGATE_ORDER[0xEF] = 0xF8, 0xF9


@dataclass
class EncodedStrings:
    """A string column as ids into a sorted dictionary.

    values: large_binary without nulls, strictly ascending. has_null: id 0 is null and the values' ids start at 1.
    ids: int32, one a row, or one a value when `offsets` (int64, rows + 1) cuts them into rows of several values.
    """

    values: Any
    ids: Array
    has_null: bool
    offsets: Array | None = None

    @property
    def cardinality(self) -> int:
        """Distinct values, null among them when it occurs."""
        return len(self.values) + self.has_null

    @property
    def rows(self) -> int:
        return len(self.ids) if self.offsets is None else len(self.offsets) - 1

    def take(self, order: Array) -> EncodedStrings:
        """The same column with its rows in `order` (all of them)."""
        if self.offsets is None:
            return EncodedStrings(self.values, self.ids[order], self.has_null)
        element, offsets = list_take(self.offsets, order)
        return EncodedStrings(self.values, self.ids[element], self.has_null, offsets)

    def to_arrow(self) -> Any:
        """A dictionary array (in a list when rows hold several values), null where the id is null's."""
        codes = self.ids - 1 if self.has_null else self.ids
        mask = self.ids == 0 if self.has_null else None
        indices = pa.array(codes, pa.int32(), mask=mask)
        flat = pa.DictionaryArray.from_arrays(indices, _as_strings(self.values), safe=False)
        if self.offsets is None:
            return flat
        # a row of one null is null
        lengths = np.diff(self.offsets)
        nulls = (lengths == 1) & (self.ids[self.offsets[:-1]] == 0) if self.has_null else np.zeros(len(lengths), bool)
        absent = pa.array(nulls) if nulls.any() else None
        if self.offsets[-1] > 2**31 - 1:
            return pa.LargeListArray.from_arrays(pa.array(self.offsets, pa.int64()), flat, mask=absent)
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), flat, mask=absent)


def list_take(offsets: Array, order: Array) -> tuple[Array, Array]:
    """(index of each element, offsets) of the lists cut by `offsets` when their rows come in `order`."""
    lengths = np.diff(offsets)[order]
    made = np.zeros(len(order) + 1, np.int64)
    np.cumsum(lengths, out=made[1:])
    element = np.repeat(offsets[:-1][order] - made[:-1], lengths) + np.arange(made[-1])
    return element, made


def encode_strings(column: Any, multi_value_handling: str = "SORTED_ARRAY") -> EncodedStrings:
    """Encode a chunked array of strings, dictionaries of strings, or lists of either.

    A row that is null, empty or holds a single null is null. The result has `offsets` only when some row holds two
    values or more.
    """
    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _encode_lists(column, multi_value_handling)
    values, codes = encode_flat(column)
    has_null = bool(len(codes)) and int(codes.min()) < 0
    return EncodedStrings(values, codes + 1 if has_null else codes, has_null)


def _encode_lists(column: Any, handling: str) -> EncodedStrings:
    offsets, flat = flatten_lists(column)
    values, codes = encode_flat(flat)
    lengths = np.diff(offsets)
    if not len(lengths) or lengths.max() <= 1:
        one = np.full(len(lengths), -1, np.int32)
        one[lengths == 1] = codes
        has_null = bool(len(one)) and int(one.min()) < 0
        return EncodedStrings(values, one + 1 if has_null else one, has_null)
    if (lengths == 0).any():
        # a row without values is stored as one null
        codes = np.insert(codes, offsets[:-1][lengths == 0], np.int32(-1))
        lengths = np.maximum(lengths, 1)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    has_null = int(codes.min()) < 0
    ids = codes + 1 if has_null else codes
    if handling != "ARRAY":
        key = (np.repeat(np.arange(len(lengths), dtype=np.int64), lengths) << 32) | ids
        key.sort()
        if handling == "SORTED_SET":
            fresh = np.ones(len(key), bool)
            fresh[1:] = key[1:] != key[:-1]
            key = key[fresh]
            lengths = np.bincount(key >> 32, minlength=len(lengths))
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = (key & 0xFFFFFFFF).astype(np.int32)
        if lengths.max() <= 1:
            return EncodedStrings(values, ids, has_null)
    return EncodedStrings(values, ids, has_null, offsets)


def flatten_lists(column: Any) -> tuple[Array, Any]:
    """(int64 offsets from 0, chunked array of elements) of a chunked array of lists; a null row is empty."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(lengths.to_numpy(), out=offsets[1:])
    chunks = [chunk.flatten() for chunk in column.chunks]
    return offsets, pa.chunked_array(chunks, column.type.value_type)


def encode_flat(column: Any) -> tuple[Any, Array]:
    """(ascending distinct values of the rows, int32 codes of the rows with -1 for null) of a chunked string array."""
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    elif _mostly_unique(column):
        return _sorted_rows(column)
    else:
        column = column.dictionary_encode()  # all chunks share one dictionary
    if column.num_chunks == 0 or len(column) == 0:
        return pa.array([], LARGE_BINARY), np.zeros(0, np.int32)
    dictionary = column.chunk(column.num_chunks - 1).dictionary
    codes = (
        np.concatenate([_codes(chunk) for chunk in column.chunks]) if column.num_chunks > 1 else _codes(column.chunk(0))
    )
    return _sorted_dictionary(dictionary, codes)


_FEW_ROWS = 4096


def _mostly_unique(column: Any) -> bool:
    """Whether distinct values are so many, by a sample, that a sort of all rows beats a hash table of the values.

    A sample of k out of d equally frequent values holds about k^2 / 2d of them twice.
    """
    count = len(column)
    if count < _FEW_ROWS:
        return False
    step = max(4, count >> 14)
    sample = pa.chunked_array([c.take(pa.array(np.arange(0, len(c), step))) for c in column.chunks], column.type)
    size = len(sample)
    repeated = size - pc.count_distinct(sample, mode="all").as_py()
    return bool(repeated < size * size / count)


def _sorted_rows(column: Any) -> tuple[Any, Array]:
    """`encode_flat` without a hash table: rows are sorted, equal neighbours are one value."""
    array = column.cast(LARGE_BINARY).combine_chunks()
    codes = np.full(len(array), -1, np.int32)
    rows: Array | None = None
    if array.null_count:
        rows = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
        array = array.drop_null()
    order = java_order(array)
    ordered = array.take(pa.array(order))
    fresh = _fresh(ordered)
    codes[order if rows is None else rows[order]] = np.cumsum(fresh, dtype=np.int32) - 1
    return _values_at(ordered, fresh), codes


def _fresh(ordered: Any) -> Array:
    """Which values of a sorted array differ from the one before."""
    fresh = np.ones(len(ordered), bool)
    if len(ordered) > 1:
        fresh[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    return fresh


def _values_at(ordered: Any, fresh: Array) -> Any:
    """The flagged values; long text is taken several times faster than it is filtered."""
    return ordered if fresh.all() else ordered.take(pa.array(np.flatnonzero(fresh)))


def _codes(chunk: Any) -> Array:
    indices = chunk.indices
    if indices.type != pa.int32():
        indices = indices.cast(pa.int32())
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    codes: Array = indices.to_numpy(zero_copy_only=True)
    return codes


def _sorted_dictionary(dictionary: Any, codes: Array) -> tuple[Any, Array]:
    values = dictionary.cast(LARGE_BINARY)
    count = len(values)
    used = np.zeros(count + 1, bool)
    used[codes] = True  # -1 marks the extra last place
    used = used[:-1]
    if values.null_count:
        used &= values.is_valid().to_numpy(zero_copy_only=False)
    if used.all() and is_ascending(values):
        return values, codes
    kept = np.flatnonzero(used)
    subset = values.take(pa.array(kept)) if len(kept) < count else values
    order = java_order(subset)
    ordered = subset.take(pa.array(order))
    fresh = _fresh(ordered)
    rank = np.full(count + 1, -1, np.int32)
    rank[kept[order]] = np.cumsum(fresh, dtype=np.int32) - 1
    return _values_at(ordered, fresh), rank[codes]


def is_ascending(values: Any) -> bool:
    """Whether a large_binary array without nulls ascends strictly in Java's order."""
    if values.null_count:
        return False
    if len(values) < 2:
        return True
    key = _order_key(values)
    return bool(pc.all(pc.greater(key[1:], key[:-1])).as_py())


def java_order(values: Any) -> Array:
    """The permutation that sorts a large_binary array without nulls."""
    order: Array = pc.sort_indices(_order_key(values)).to_numpy()
    return order


def _order_key(values: Any) -> Any:
    offsets, data = binary_buffers(values)
    raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if len(values) else np.zeros(0, np.uint8)
    if raw.size and raw.max() >= 0xF0:
        return binary_array(offsets - offsets[0], _SURROGATE_ORDER[raw])
    return values


def _as_strings(values: Any) -> Any:
    """The dictionary as `string`, or `large_string` when its text passes 2 GiB."""
    offsets, _ = binary_buffers(values)
    small = not len(values) or offsets[-1] - offsets[0] < 2**31 - 1
    return values.cast(pa.large_string()).cast(pa.string()) if small else values.cast(pa.large_string())
