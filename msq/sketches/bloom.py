"""Hive's BloomKFilter as Druid uses it: blocked filters of a false positive rate of 5 %.

A filter is `u8 hashes | BE32 longs | longs (BE64)`. A value sets bits in one block of 8 longs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, gather, group_ids, offsets_of
from msq.sketches.murmur import text_bytes

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_SEED = 104729
_NULL_HASH = np.int64(2862933555777941757)
_HEADER = 5
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


@lru_cache(maxsize=256)
def shape(entries: int) -> tuple[int, int]:
    """(hash functions, longs) of a filter made for that many values."""
    bits = int(-entries * math.log(0.05) / math.log(2) ** 2)
    hashes = max(1, round(bits / entries * math.log(2)))
    longs = -(-bits // 64)
    return hashes, longs + 8 - longs % 8


def hashes(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The 64-bit hash of each value: texts by UTF-8, numbers by the big-endian bytes of their long bits."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    valid = np.asarray(values.is_valid())
    known = values.drop_null() if values.null_count else values
    if pa.types.is_integer(known.type) or pa.types.is_boolean(known.type):
        words = np.asarray(known.cast(pa.int64())).astype("<u8").byteswap()
        made = _finish(_word(np.full(len(words), _SEED, dtype=np.uint64), words), np.uint64(8))
    elif pa.types.is_floating(known.type):
        words = np.asarray(known.cast(pa.float64())).view(np.uint64).byteswap()
        made = _finish(_word(np.full(len(words), _SEED, dtype=np.uint64), words), np.uint64(8))
    else:
        made = _hash_texts(*text_bytes(known, False))
    out = np.full(len(valid), _NULL_HASH)
    out[valid] = made.view(np.int64)
    return out


def _hash_texts(data: Any, offsets: Ints) -> np.ndarray[Any, np.dtype[np.uint64]]:
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    padded = np.concatenate([data, np.zeros(8, dtype=np.uint8)])
    words: Any = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded.data, strides=(1,))
    state = np.full(len(starts), _SEED, dtype=np.uint64)
    whole = lengths >> 3
    for place in range(int(whole.max()) if len(whole) else 0):
        at = np.flatnonzero(whole > place)
        state[at] = _word(state[at], words[starts[at] + 8 * place])
    rest = lengths & 7
    at = np.flatnonzero(rest)
    tail = words[starts[at] + 8 * whole[at]] & _MASKS[rest[at]]
    state[at] ^= _mixed(tail)
    made: np.ndarray[Any, np.dtype[np.uint64]] = _finish(state, lengths.astype(np.uint64))
    return made


def _rotate(x: Any, bits: int) -> Any:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


def _mixed(word: Any) -> Any:
    return _rotate(word * _C1, 31) * _C2


def _word(state: Any, word: Any) -> Any:
    return _rotate(state ^ _mixed(word), 27) * np.uint64(5) + np.uint64(0x52DCE729)


def _finish(state: Any, length: Any) -> Any:
    h = state ^ length
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


def places(values: np.ndarray[Any, np.dtype[np.int64]], count: int, longs: int) -> tuple[Any, Any]:
    """(long, bit) of every hash function for each hash: arrays of `count` columns."""
    low = values.astype(np.int32)
    high = (values >> np.int64(32)).astype(np.int32)
    with np.errstate(over="ignore"):
        block = _flip(low + high) % (longs // 8)
        steps = np.arange(2, count + 2, dtype=np.int32)
        combined = _flip(low[:, None] + steps[None, :] * high[:, None])
    return block.astype(np.int64)[:, None] * 8 + (combined & 7), (combined >> 3) & 63


def _flip(x: Any) -> Any:
    return np.where(x < 0, ~x, x)


def build(values: pa.Array, offsets: Ints, entries: int) -> pa.Array:
    """Filters of groups of values; a null is a value too."""
    count, longs = shape(entries)
    at, bit = places(hashes(values), count, longs)
    groups = np.repeat(group_ids(offsets), count)
    words = np.zeros((len(offsets) - 1) * longs, dtype=np.uint64)
    np.bitwise_or.at(words, groups * longs + at.reshape(-1), np.uint64(1) << bit.reshape(-1).astype(np.uint64))
    return _write(words.reshape(-1, longs), count)


def union(states: pa.Array, offsets: Ints, entries: int) -> pa.Array:
    """One filter for each group of filters of one shape; nulls are empty."""
    count, longs = shape(entries)
    data, ends = flat(states)
    there = np.flatnonzero(np.diff(ends) == _HEADER + 8 * longs)
    words = np.zeros((len(ends) - 1, longs), dtype=np.uint64)
    words[there] = gather(data, ends[:-1][there] + _HEADER, 8 * longs).view(">u8")
    out = np.zeros((len(offsets) - 1, longs), dtype=np.uint64)
    full = np.flatnonzero(np.diff(offsets) > 0)
    if len(full):
        out[full] = np.bitwise_or.reduceat(words, offsets[:-1][full], axis=0)
    return _write(out, count)


def _write(words: Any, count: int) -> pa.Array:
    longs = words.shape[1]
    out = np.empty((len(words), _HEADER + 8 * longs), dtype=np.uint8)
    out[:, 0] = count
    out[:, 1:_HEADER] = np.frombuffer(int(longs).to_bytes(4, "big"), dtype=np.uint8)
    out[:, _HEADER:] = words.astype(">u8").view(np.uint8).reshape(len(words), -1)
    return binary(out.reshape(-1), offsets_of(np.full(len(words), out.shape[1])))


def check(filter_bytes: bytes) -> int:
    """Longs of a filter. Raises ValueError for bytes that are no filter."""
    longs = int.from_bytes(filter_bytes[1:_HEADER], "big") if len(filter_bytes) > _HEADER else 0
    if not longs or longs % 8 or len(filter_bytes) != _HEADER + 8 * longs:
        raise ValueError(f"[{len(filter_bytes)}] bytes do not fit its header")
    return longs


def might_contain(filter_bytes: bytes, values: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each value (or null) may be among those of the filter. Raises ValueError for bytes that are no filter."""
    longs = check(filter_bytes)
    words = np.frombuffer(filter_bytes, ">u8", longs, _HEADER).astype(np.uint64)
    at, bit = places(hashes(values), filter_bytes[0], longs)
    made: np.ndarray[Any, np.dtype[np.bool_]] = ((words[at] >> bit.astype(np.uint64)) & np.uint64(1)).all(axis=1)
    return made
