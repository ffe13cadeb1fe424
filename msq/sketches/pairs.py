"""`serializablePairLong*` states: a time and the value it had (EARLIEST, LATEST), in the form of frames.

Numbers: `LE64 time | u8 0 | value` (8 bytes, 4 for a float), a null value `LE64 time | u8 1`. Texts: `BE64 time | BE32
bytes | UTF-8`, with -1 for a null text; at rest a null text has 0 bytes, as an empty one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, gather, offsets_of, scatter, spread

_TEXT_HEADER = 12
_NUMBER_HEADER = 9


def encode_numbers(times: pa.Array, values: pa.Array) -> pa.Array:
    """States of (time, number); no time means no state. Longs and doubles take 8 bytes, floats 4."""
    there = np.asarray(times.is_valid())
    full = there & np.asarray(values.is_valid())
    raw = np.asarray(values.fill_null(0) if values.null_count else values)
    width = raw.dtype.itemsize
    offsets = offsets_of(np.where(full, _NUMBER_HEADER + width, np.where(there, _NUMBER_HEADER, 0)))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    begin = offsets[:-1]
    instants = np.asarray(times.fill_null(0) if times.null_count else times).astype("<i8")
    scatter(out, begin[there], instants[there].view(np.uint8).reshape(-1, 8))
    out[begin[there] + 8] = ~full[there]
    data = np.ascontiguousarray(raw.astype(raw.dtype.newbyteorder("<"))[full])
    scatter(out, begin[full] + _NUMBER_HEADER, data.view(np.uint8).reshape(-1, width))
    return binary(out, offsets, there)


def encode_texts(times: pa.Array, values: pa.Array, max_bytes: int) -> pa.Array:
    """States of (time, text), texts cut to whole characters within `max_bytes` bytes of UTF-8."""
    there = np.asarray(times.is_valid())
    full = there & np.asarray(values.is_valid())
    data, ends = flat(cut(values, max_bytes).cast(pa.large_binary()))
    sizes = np.where(full, np.diff(ends), 0)
    offsets = offsets_of(np.where(there, _TEXT_HEADER + sizes, 0))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    begin = offsets[:-1]
    instants = np.asarray(times.fill_null(0) if times.null_count else times).astype(">i8")
    scatter(out, begin[there], instants[there].view(np.uint8).reshape(-1, 8))
    lengths = np.where(full, sizes, -1).astype(">i4")
    scatter(out, begin[there] + 8, lengths[there].view(np.uint8).reshape(-1, 4))
    spread(out, begin[full] + _TEXT_HEADER, sizes[full], data[np.repeat(full, np.diff(ends))])
    return binary(out, offsets, there)


def times(states: pa.Array, text: bool) -> tuple[Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The time of each state, and whether there is a state."""
    data, offsets = flat(states)
    there = np.diff(offsets) >= 8
    out = np.zeros(len(there), dtype=np.int64)
    out[there] = gather(data, offsets[:-1][there], 8).view(">i8" if text else "<i8").reshape(-1)
    return out, there


def decode_numbers(states: pa.Array, kind: Any) -> pa.Array:
    """The values of (time, number) states as an array of Arrow type `kind`."""
    data, offsets = flat(states)
    width = 4 if kind == pa.float32() else 8
    full = np.diff(offsets) >= _NUMBER_HEADER + width
    dtype = np.dtype(kind.to_pandas_dtype()).newbyteorder("<")
    out = np.zeros(len(full), dtype=dtype)
    out[full] = gather(data, offsets[:-1][full] + _NUMBER_HEADER, width).view(dtype).reshape(-1)
    return pa.array(out, type=kind, mask=None if full.all() else ~full)


def decode_texts(states: pa.Array) -> pa.Array:
    """The values of (time, text) states."""
    data, offsets = flat(states)
    there = np.diff(offsets) >= _TEXT_HEADER
    sizes = np.full(len(there), -1, dtype=np.int64)
    sizes[there] = gather(data, offsets[:-1][there] + 8, 4).view(">i4").reshape(-1)
    kept = np.maximum(sizes, 0)
    body = offsets[:-1] + _TEXT_HEADER
    ends = offsets_of(kept)
    index = np.repeat(body - ends[:-1], kept) + np.arange(int(ends[-1]))
    return binary(data[index], ends, sizes >= 0).cast(pa.string())


def texts_at_rest(states: pa.Array) -> pa.Array:
    """States of texts as a segment holds them: a null text has 0 bytes."""
    data, offsets = flat(states)
    there = np.diff(offsets) >= _TEXT_HEADER
    at = offsets[:-1][there] + 8
    missing = at[(data[at] & 0x80) != 0]
    if not len(missing):
        return states
    data = data.copy()
    scatter(data, missing, np.zeros((len(missing), 4), dtype=np.uint8))
    return binary(data, offsets, np.asarray(states.is_valid()))


def cut(values: pa.Array, max_bytes: int) -> pa.Array:
    """Texts cut to whole characters within `max_bytes` bytes of UTF-8."""
    data, offsets = flat(values.cast(pa.large_binary()))
    lengths = np.diff(offsets)
    long = np.flatnonzero(lengths > max_bytes)
    if not len(long):
        return values
    kept = lengths.copy()
    end = np.full(len(long), max_bytes, dtype=np.int64)
    for _ in range(3):  # step back out of the middle of a character
        inside = (data[offsets[:-1][long] + end] & 0xC0) == 0x80
        end = np.where(inside & (end > 0), end - 1, end)
    kept[long] = end
    ends = offsets_of(kept)
    index = np.repeat(offsets[:-1] - ends[:-1], kept) + np.arange(int(ends[-1]))
    return binary(data[index], ends, np.asarray(values.is_valid())).cast(pa.string())
