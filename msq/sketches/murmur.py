"""MurmurHash3 x64 128 over many values at once, and the bytes that Druid's sketches feed it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

U64 = np.ndarray[Any, np.dtype[np.uint64]]

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


def _rotate(x: U64, bits: int) -> U64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


def _mix(x: U64) -> U64:
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xFF51AFD7ED558CCD)
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def _first(k: U64) -> U64:
    return _rotate(k * _C1, 31) * _C2


def _second(k: U64) -> U64:
    return _rotate(k * _C2, 33) * _C1


def hash_bytes(data: np.ndarray[Any, np.dtype[np.uint8]], offsets: np.ndarray[Any, Any], seed: int) -> tuple[U64, U64]:
    """Both halves of the hash of each slice `data[offsets[i]:offsets[i + 1]]`."""
    offsets = offsets.astype(np.int64)
    starts, lengths = offsets[:-1], np.diff(offsets)
    padded = np.concatenate([data[: int(offsets[-1]) if len(offsets) else 0], np.zeros(16, dtype=np.uint8)])
    words: U64 = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded.data, strides=(1,))
    h1 = np.full(len(starts), seed, dtype=np.uint64)
    h2 = h1.copy()
    blocks = lengths >> 4
    for block in range(int(blocks.max()) if len(blocks) else 0):
        at = np.flatnonzero(blocks > block)
        whole = len(at) == len(starts)
        position = (starts if whole else starts[at]) + 16 * block
        a, b = (h1, h2) if whole else (h1[at], h2[at])
        a = (_rotate(a ^ _first(words[position]), 27) + b) * np.uint64(5) + np.uint64(0x52DCE729)
        b = (_rotate(b ^ _second(words[position + 8]), 31) + a) * np.uint64(5) + np.uint64(0x38495AB5)
        if whole:
            h1, h2 = a, b
        else:
            h1[at], h2[at] = a, b
    tail, rest = starts + (blocks << 4), lengths & 15
    h1 = h1 ^ _first(words[tail] & _MASKS[np.minimum(rest, 8)])
    upper = np.minimum(tail + 8, len(words) - 1)
    h2 = h2 ^ _second(words[upper] & _MASKS[np.maximum(rest - 8, 0)])
    return _finish(h1, h2, lengths.astype(np.uint64))


def hash_words(values: U64, seed: int) -> tuple[U64, U64]:
    """Both halves of the hash of each 8-byte little-endian word."""
    h1 = np.uint64(seed) ^ _first(values)
    return _finish(h1, np.full(len(values), seed, dtype=np.uint64), np.uint64(8))


def hash_ints(values: np.ndarray[Any, np.dtype[np.uint32]], seed: int) -> tuple[U64, U64]:
    """Both halves of the hash of each 4-byte little-endian word."""
    h1 = np.uint64(seed) ^ _first(values.astype(np.uint64))
    return _finish(h1, np.full(len(values), seed, dtype=np.uint64), np.uint64(4))


def _finish(h1: U64, h2: U64, length: Any) -> tuple[U64, U64]:
    h1, h2 = h1 ^ length, h2 ^ length
    h1 = h1 + h2
    h2 = h2 + h1
    h1, h2 = _mix(h1), _mix(h2)
    h1 = h1 + h2
    return h1, h2 + h1


def text_bytes(texts: pa.Array, utf16: bool) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, Any]]:
    """Bytes and offsets of texts without nulls, in UTF-8 or in UTF-16LE."""
    if pa.types.is_large_string(texts.type) or pa.types.is_string(texts.type):
        width = np.dtype(np.int64 if pa.types.is_large_string(texts.type) else np.int32)
    else:
        texts, width = texts.cast(pa.large_string()), np.dtype(np.int64)
    if len(texts) == 0:
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    buffers = texts.buffers()
    offsets = np.frombuffer(buffers[1], dtype=width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    data = np.frombuffer(buffers[2], dtype=np.uint8) if buffers[2] is not None else np.zeros(0, dtype=np.uint8)
    data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
    if not utf16:
        return data, offsets
    if not (data & 0x80).any():
        wide = np.zeros(2 * len(data), dtype=np.uint8)
        wide[::2] = data
        return wide, offsets * 2
    encoded = [t.encode("utf-16-le", "surrogatepass") for t in texts.to_pylist()]
    ends = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(e) for e in encoded], out=ends[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def double_bits(values: np.ndarray[Any, np.dtype[np.float64]], zero: bool) -> U64:
    """IEEE bits with one NaN, and one zero where `zero` asks for it."""
    values = np.where(np.isnan(values), np.nan, values)
    if zero:
        values = values + 0.0
    return values.astype(np.float64).view(np.uint64)


def sketch_hash(values: pa.Array, seed: int = 9001, utf16: bool = False) -> tuple[U64, U64, Any]:
    """DataSketches' hash of each value, and which values count (nulls and empty texts do not).

    Longs are hashed as 8 bytes, doubles and floats by their double bits (one zero, one NaN), texts by their bytes.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    counts = np.asarray(values.is_valid())
    if not counts.all():
        values = values.drop_null()
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        h1, h2 = hash_words(np.asarray(values.cast(pa.int64())).view(np.uint64), seed)
        return h1, h2, counts
    if pa.types.is_floating(values.type):
        h1, h2 = hash_words(double_bits(np.asarray(values.cast(pa.float64())), True), seed)
        return h1, h2, counts
    data, offsets = text_bytes(values, utf16)
    full = np.diff(offsets) > 0
    h1, h2 = hash_bytes(data, offsets, seed)
    if not full.all():
        h1, h2 = h1[full], h2[full]
        counts = counts.copy()
        counts[np.flatnonzero(counts)[~full]] = False
    return h1, h2, counts
