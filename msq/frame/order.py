"""Order of keys on whole columns: codes that sort like Druid's keys, permutations, comparison and search.

A key column becomes an array of unsigned codes whose numeric order is the column's order: nulls first ascending (last
descending), numbers by value with NaN greatest, text by its UTF-8 bytes, arrays and several values element by element
(null row < empty < null element < values). Codes compare only within one call: they are relative to its values.
Several columns are packed into as few 64-bit words as their codes need, so that most sorts are one sort of integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.frame.frame import common_type, to_type

Codes = tuple[Any, int]
"""Codes (uint64) and the number of bits they need."""

_U64 = np.dtype(np.uint64)
_SIGN = np.uint64(1 << 63)
_SAMPLE_ROWS = 8_192
_DICTIONARY_SHARE = 0.1
_DICTIONARY_VALUES = 300_000
"""A text column is sorted through its dictionary when that has no more values, and no larger share of the rows."""
_PARALLEL_ROWS = 250_000
_WIDE_BITS, _FEW_VALUES = 16, 4_096
"""Integers of a wider range and no more values (time chunks, say) are numbered, so that more keys fit in a word."""


def _bits(maximum: int) -> int:
    return max(int(maximum).bit_length(), 0)


def _with_nulls(values: Any, maximum: int, valid: Any | None) -> Codes:
    """Codes 1.. for values and 0 for nulls, or the values themselves when there are none."""
    if valid is None:
        return values, _bits(maximum)
    if maximum == (1 << 64) - 1:
        distinct, ranks = np.unique(values, return_inverse=True)
        values, maximum = ranks.astype(_U64), len(distinct)
    return np.where(valid, values + np.uint64(1), np.uint64(0)), _bits(maximum + 1)


def _integer_codes(array: Any) -> Codes:
    valid = np.asarray(array.is_valid()) if array.null_count else None
    values = np.asarray(pc.fill_null(array, 0) if valid is not None else array).astype(np.int64, copy=False)
    if not len(values):
        return values.view(_U64), 0
    shown = values if valid is None else values[valid]
    if not len(shown):
        return np.zeros(len(values), _U64), 0
    low, high = int(shown.min()), int(shown.max())
    if _bits(high - low) > _WIDE_BITS and len(values) > _SAMPLE_ROWS and estimate_distinct(array) <= _FEW_VALUES:
        return _numbered(array, valid)
    codes = values.view(_U64) - np.uint64(low & ((1 << 64) - 1))
    return _with_nulls(codes, high - low, valid)


def _numbered(array: Any, valid: Any | None) -> Codes:
    """Integers as the ranks of their distinct values."""
    encoded = array.dictionary_encode()
    distinct = np.asarray(encoded.dictionary)
    ranks = np.empty(len(distinct), _U64)
    ranks[np.argsort(distinct)] = np.arange(len(distinct), dtype=_U64)
    places = encoded.indices if valid is None else pc.fill_null(encoded.indices, 0)
    return _with_nulls(ranks[np.asarray(places)], len(distinct) - 1, valid)


def _float_codes(array: Any) -> Codes:
    valid = np.asarray(array.is_valid()) if array.null_count else None
    values = np.asarray(pc.fill_null(array, 0) if valid is not None else array).astype(np.float64)
    if not len(values):
        return values.view(_U64), 0
    values = values + 0.0  # -0.0 equals 0.0
    values[np.isnan(values)] = np.nan  # one NaN, of positive sign: the greatest
    bits = values.view(_U64)
    codes = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    shown = codes if valid is None else codes[valid]
    if not len(shown):
        return np.zeros(len(values), _U64), 0
    low, high = int(shown.min()), int(shown.max())
    return _with_nulls(codes - np.uint64(low), high - low, valid)


class TextBytes:
    """The bytes of a string array as overlapping big-endian words, so that eight of them are read at once.

    `skip` leading bytes of every text, which all of them share, are left out.
    """

    def __init__(self, array: Any, skip: int = 0) -> None:
        wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        _, offsets, data = array.buffers()
        n = len(array)
        if offsets is None or n == 0:
            ends: Any = np.zeros(n + 1, np.int64)
        else:
            ends = np.frombuffer(offsets, np.int64 if wide else np.int32)[array.offset : array.offset + n + 1]
        self.starts = ends[:-1].astype(np.int64) + skip
        self.lengths = np.diff(ends).astype(np.int64) - skip
        base, last = int(ends[0]), int(ends[-1])
        size = 0 if data is None else data.size
        if data is None or last + 8 > size:
            padded = np.zeros(last - base + 8, np.uint8)
            if data is not None:
                padded[: last - base] = np.frombuffer(data, np.uint8)[base:last]
            self.starts -= base
            data, size = padded, len(padded)
            base, last = 0, last - base
        self._words = np.ndarray((size - 7,), ">u8", buffer=data, strides=(1,))
        self._bytes = np.frombuffer(data, np.uint8)[base:last]

    def words(self, depth: int, rows: Any | None = None) -> Any:
        """Bytes 8*depth to 8*depth+8 of the texts (of `rows`), as numbers; bytes beyond a text's end are zero."""
        starts, lengths = self.starts, self.lengths
        if rows is not None:
            starts, lengths = starts[rows], lengths[rows]
        left = np.clip(lengths - 8 * depth, 0, 8)
        words = self._words[np.where(left > 0, starts + 8 * depth, 0)].astype(_U64)
        drop = (64 - 8 * left).astype(_U64)
        return np.where(left > 0, (words >> np.minimum(drop, np.uint64(63))) << np.minimum(drop, np.uint64(63)), 0)

    @property
    def holds_nul(self) -> bool:
        return bool((self._bytes == 0).any())


def _refine(
    first: Any, word_at: Callable[[int, Any], Any], more_at: Callable[[int, Any], Any | None], depths: int | None
) -> tuple[Any, Any]:
    """Sorts rows by `first`, then ties by word_at(1, rows), word_at(2, rows), ..; stable.

    more_at(depth, rows) masks the rows that have anything to compare from `depth` on (None: all). Answers the order
    (row numbers) and a mask over it that is true where a new distinct key begins.
    """
    count = len(first)
    order = np.argsort(first, kind="stable")
    if not count:
        return order, np.zeros(0, bool)
    ordered = first[order]
    fresh = np.ones(count, bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    at = np.flatnonzero(~(fresh & np.append(fresh[1:], True)))
    group = np.maximum.accumulate(np.where(fresh, np.arange(count), 0))[at]
    depth = 1
    while len(at) and (depths is None or depth < depths):
        rows = order[at]
        more = more_at(depth, rows)
        if more is not None:
            starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
            alive = np.repeat(np.maximum.reduceat(more, starts), np.diff(np.append(starts, len(at))))
            at, group, rows = at[alive], group[alive], rows[alive]
            if not len(at):
                break
        words = word_at(depth, rows)
        local = np.lexsort((words, group))
        words = words[local]
        order[at] = rows[local]
        split = np.ones(len(at), bool)
        split[1:] = (group[1:] != group[:-1]) | (words[1:] != words[:-1])
        fresh[at[split]] = True
        group = at[np.maximum.accumulate(np.where(split, np.arange(len(at)), 0))]
        tied = ~(split & np.append(split[1:], True))
        at, group = at[tied], group[tied]
        depth += 1
    return order, fresh


def _ranks(order: Any, fresh: Any) -> Any:
    ranks = np.empty(len(order), _U64)
    ranks[order] = np.cumsum(fresh).astype(_U64) - np.uint64(1) if len(order) else ranks
    return ranks


def text_ranks(array: Any) -> Any:
    """Dense ranks (uint64, from 0) of a string or binary array by bytes; what stands at nulls is unspecified."""
    low, high = (v if isinstance(v, bytes) else v.encode() for v in _extremes(array))
    skip = 0
    if array.null_count == 0:
        while skip < min(len(low), len(high)) and low[skip] == high[skip]:
            skip += 1
    text = TextBytes(array, skip)
    lengths = text.lengths
    if not text.holds_nul:
        return _ranks(*_refine(
            text.words(0), text.words, lambda depth, rows: lengths[rows] > 8 * depth, None,
        ))  # fmt: skip
    # texts that differ only by trailing NULs have the same words: their lengths decide, as a word after the last
    longest = -(-int(lengths.max(initial=0)) // 8) if len(lengths) else 0

    def word_at(depth: int, rows: Any) -> Any:
        return text.words(depth, rows) if depth < longest else lengths[rows].astype(_U64)

    return _ranks(*_refine(text.words(0), word_at, lambda depth, rows: None, max(longest, 1) + 1))


def _extremes(array: Any) -> tuple[Any, Any]:
    found = pc.min_max(array)
    low, high = found["min"].as_py(), found["max"].as_py()
    return ("", "") if low is None else (low, high)


def _text_codes(array: Any) -> Codes:
    valid = np.asarray(array.is_valid()) if array.null_count else None
    if not pa.types.is_dictionary(array.type):
        if not _repeats(array):
            ranks = text_ranks(array)
            return _with_nulls(ranks, max(len(ranks) - 1, 0), valid)
        array = array.dictionary_encode()
    ranks = text_ranks(array.dictionary.cast(pa.string()) if _is_view(array.dictionary.type) else array.dictionary)
    if not len(ranks):
        return np.zeros(len(array), _U64), 0
    codes = ranks[np.asarray(pc.fill_null(array.indices, 0) if array.indices.null_count else array.indices)]
    return _with_nulls(codes, int(ranks.max()), valid)


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind))


def _repeats(array: Any) -> bool:
    """Whether the text column seems to have few enough distinct values for a dictionary to pay."""
    n = len(array)
    return n > 64 and estimate_distinct(array) <= min(_DICTIONARY_SHARE * n, _DICTIONARY_VALUES)


def estimate_distinct(array: Any, sample_rows: int = _SAMPLE_ROWS) -> float:
    """Roughly how many distinct values the column has, from a sample: the number of equally likely values that would
    show as many distinct ones in a sample of this size."""
    n = len(array)
    sampled = n > sample_rows
    if sampled:
        array = array.take(pa.array(np.linspace(0, n - 1, sample_rows).astype(np.int64)))
    seen = float(pc.count_distinct(array).as_py())
    if not sampled or seen <= sample_rows / 4:
        return seen
    if seen >= sample_rows * 0.995:
        return float(n)
    low, high = seen, float(max(n, seen))
    for _ in range(40):
        middle = (low + high) / 2
        if middle * -np.expm1(-sample_rows / middle) < seen:
            low = middle
        else:
            high = middle
    return high


def _list_codes(array: Any) -> Codes:
    n = len(array)
    if n == 0:
        return np.zeros(0, _U64), 0
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    elements = array.flatten()
    codes, _ = column_codes(elements)
    if not elements.null_count:
        codes = codes + np.uint64(1)  # 0 is the null element, whether there is one or not
    codes = np.append(codes, np.uint64(0))

    def word_at(depth: int, rows: Any) -> Any:
        has = lengths[rows] > depth
        return np.where(has, codes[np.where(has, starts[rows] + depth, len(codes) - 1)] + np.uint64(1), 0)

    everything = np.arange(n)
    first = word_at(0, everything) + np.uint64(1)
    if array.null_count:
        first = np.where(np.asarray(array.is_valid()), first, 0)
    order, fresh = _refine(first, word_at, lambda depth, rows: lengths[rows] > depth, None)
    return _ranks(order, fresh), _bits(n - 1)


def column_codes(array: Any, order: str = "ASCENDING") -> Codes:
    """Order-preserving codes of one column (see the module's words on order) and how many bits they need.

    Raises TypeError for a type that has no order.
    """
    kind = array.type
    if isinstance(array, pa.ChunkedArray):
        raise TypeError("column_codes takes one array")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        codes, bits = _integer_codes(array.cast(pa.int64()) if kind != pa.int64() else array)
    elif pa.types.is_floating(kind):
        codes, bits = _float_codes(array)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        codes, bits = _list_codes(array)
    elif pa.types.is_null(kind):
        codes, bits = np.zeros(len(array), _U64), 0
    elif pa.types.is_dictionary(kind) or _is_text(kind):
        codes, bits = _text_codes(array)
    else:
        raise TypeError(f"columns of type [{kind}] cannot be ordered")
    if order == "DESCENDING" and bits:
        codes = np.uint64((1 << bits) - 1) - codes
    return codes, bits


def _is_text(kind: Any) -> bool:
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(check(kind) for check in checks)


def one_array(column: Any) -> Any:
    """A chunked column as one array; text beyond 2 GiB becomes `large_string`."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.array([], column.type)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
    elif pa.types.is_string(kind) and column.nbytes > 1 << 31:
        column = column.cast(pa.large_string())
    elif pa.types.is_list(kind) and column.nbytes > 1 << 31:
        column = column.cast(pa.large_list(kind.value_type))
    return pa.concat_arrays(column.chunks)


def key_words(columns: Sequence[Any], orders: Sequence[str], count: int) -> list[Codes]:
    """The columns' codes packed into words, most significant first; no words when all keys are equal."""
    words: list[Codes] = []
    pairs = list(zip(columns, orders))
    if count > _PARALLEL_ROWS and len(pairs) > 1:
        with ThreadPoolExecutor(2, thread_name_prefix="codes") as pool:
            made = list(pool.map(lambda pair: column_codes(one_array(pair[0]), pair[1]), pairs))
    else:
        made = [column_codes(one_array(column), order) for column, order in pairs]
    for codes, bits in made:
        if not bits:
            continue
        if words and words[-1][1] + bits <= 64:
            held, used = words[-1]
            words[-1] = ((held << np.uint64(bits)) | codes, used + bits)
        else:
            words.append((codes, bits))
    return words


def is_sorted(words: Sequence[Codes], count: int) -> bool:
    """Whether rows of these key words are in order as they stand."""
    if count < 2:
        return True
    equal = None
    for word, _ in words:
        a, b = word[:-1], word[1:]
        wrong = a > b if equal is None else (a > b) & equal
        if wrong.any():
            return False
        same = a == b
        equal = same if equal is None else equal & same
        if not equal.any():
            return True
    return True


def permutation(words: Sequence[Codes], count: int) -> Any | None:
    """The stable order (int64 row numbers) of rows of these key words; None when they are in order already."""
    if is_sorted(words, count):
        return None
    if len(words) == 1:
        word, bits = words[0]
        position = _bits(count - 1)
        if bits + position <= 64:
            packed = (word << np.uint64(position)) | np.arange(count, dtype=_U64)
            packed.sort()
            return (packed & np.uint64((1 << position) - 1)).astype(np.int64)
        return np.argsort(word, kind="stable")
    order, _ = _refine(words[0][0], lambda depth, rows: words[depth][0][rows], lambda depth, rows: None, len(words))
    return order


def new_key_mask(words: Sequence[Codes], count: int, order: Any | None) -> Any:
    """Over rows in `order`: true where the key differs from the one before; true for the first row."""
    fresh = np.zeros(count, bool)
    if count:
        fresh[0] = True
    for word, _ in words:
        ordered = word if order is None else word[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    return fresh


def _joined(a: Any, b: Any) -> Any:
    kind = common_type([a.type, b.type])
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    a, b = to_type(a, kind), to_type(b, kind)
    return pa.concat_arrays([a, b])


def compare(left: Sequence[Any], right: Sequence[Any], orders: Sequence[str]) -> Any:
    """Row by row: -1, 0 or 1 (int8) as the left key is less than, equal to or greater than the right one."""
    count = len(left[0]) if left else 0
    out = np.zeros(count, np.int8)
    for a, b, order in zip(left, right, orders):
        codes, _ = column_codes(_joined(one_array(a), one_array(b)), order)
        x, y = codes[:count], codes[count:]
        out = np.where(out == 0, (x > y).astype(np.int8) - (x < y).astype(np.int8), out)
    return out


def _some_rows(column: Any, rows: Any) -> Any:
    """A few rows of a column as one array. Each chunk gives its own: Arrow would copy all chunks into one first."""
    if not isinstance(column, pa.ChunkedArray) or column.num_chunks <= 1:
        return one_array(column.take(pa.array(rows)))
    chunks = column.chunks
    ends = np.cumsum([len(c) for c in chunks])
    belongs = np.searchsorted(ends, rows, side="right")
    by_chunk = np.argsort(belongs, kind="stable")
    numbers, starts = np.unique(belongs[by_chunk], return_index=True)
    found = [
        chunks[n].take(pa.array(rows[some] - (ends[n] - len(chunks[n]))))
        for n, some in zip(numbers.tolist(), np.split(by_chunk, starts[1:]))
    ]
    back = np.empty(len(rows), np.int64)
    back[by_chunk] = np.arange(len(rows))
    return one_array(pa.chunked_array(found, column.type)).take(pa.array(back))


def search(
    columns: Sequence[Any], count: int, keys: Sequence[Any], orders: Sequence[str], side: str = "left",
    order: Any | None = None,
) -> Any:  # fmt: skip
    """For each of `keys`: how many of the sorted rows of `columns` are less than it (side right: less or equal).

    `order`: the sorted order of the rows when `columns` are not stored in it. Takes log2(count) comparisons of
    all keys at once.
    """
    wanted = len(keys[0]) if keys else 0
    low = np.zeros(wanted, np.int64)
    high = np.full(wanted, count, np.int64)
    while wanted and (low < high).any():
        middle = (low + high) // 2
        at = np.minimum(middle, max(count - 1, 0))
        rows = at if order is None else order[at]
        found = compare([_some_rows(c, rows) for c in columns], keys, orders)
        before = found < 0 if side == "left" else found <= 0
        active = low < high
        low = np.where(active & before, middle + 1, low)
        high = np.where(active & ~before, middle, high)
    return low
