"""Binary arrays and flat buffers: how kernels read and write columns of states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


def flat(states: pa.Array) -> tuple[Bytes, Ints]:
    """All bytes and the offsets of a binary array; a null has no bytes."""
    if pa.types.is_dictionary(states.type):
        states = states.cast(states.type.value_type)
    if not pa.types.is_large_binary(states.type):
        states = states.cast(pa.large_binary())
    if states.null_count:
        states = states.fill_null(b"")
    if len(states) == 0:
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    _, ends, data = states.buffers()
    offsets = np.frombuffer(ends, dtype=np.int64)[states.offset : states.offset + len(states) + 1]
    if data is None:
        return np.zeros(0, dtype=np.uint8), offsets - offsets[0]
    return np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def binary(data: Bytes, offsets: Ints, valid: Any = None) -> pa.Array:
    """A binary array of flat bytes; null where `valid` is false."""
    if len(data) > 2**31 - 1:
        kind: Any = pa.large_binary()
        ends: Any = offsets.astype(np.int64)
    else:
        kind, ends = pa.binary(), offsets.astype(np.int32)
    bitmap = None
    if valid is not None and not np.all(valid):
        bitmap = pa.py_buffer(np.packbits(np.asarray(valid), bitorder="little"))
    nulls = -1 if bitmap is not None else 0
    return pa.Array.from_buffers(kind, len(ends) - 1, [bitmap, pa.py_buffer(ends), pa.py_buffer(data)], nulls)


def offsets_of(lengths: Any) -> Ints:
    """Offsets of pieces of these lengths."""
    out = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def gather(data: Bytes, starts: Ints, width: int) -> Bytes:
    """`width` bytes from each start, as rows."""
    if not len(starts):
        return np.zeros((0, width), dtype=np.uint8)
    if width in (4, 8):
        # one word at every byte: fewer and larger steps
        words: Any = np.ndarray((len(data) - width + 1,), dtype=f"<u{width}", buffer=data, strides=(1,))
        return np.ascontiguousarray(words[starts]).view(np.uint8).reshape(-1, width)
    return np.ascontiguousarray(data[starts[:, None] + np.arange(width)])


def scatter(out: Bytes, at: Ints, rows: Bytes) -> None:
    """Writes each row of bytes at its position."""
    if len(at):
        out[at[:, None] + np.arange(rows.shape[1])] = rows


def spread(out: Bytes, at: Ints, lengths: Ints, data: Bytes) -> None:
    """Writes consecutive pieces of `data`, of these lengths, at their positions."""
    if not len(data):
        return
    for width in (8, 4):
        if len(out) % width == 0 and not ((at | lengths) % width).any():
            kind = np.dtype(f"<u{width}")
            out, data = out.view(kind), np.ascontiguousarray(data).view(kind)
            at, lengths = at // width, lengths // width
            break
    out[np.repeat(at - offsets_of(lengths)[:-1], lengths) + np.arange(len(data))] = data


def bodies(begin: Ints, heads: Ints, words: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the words of images are none of the `heads` words at the begin of each."""
    made = np.ones(words, dtype=np.bool_)
    for place in range(int(heads.max(initial=0))):
        made[begin[heads > place] + place] = False
    return made


def words_behind(data: Bytes, begin: Ints, heads: Ints, counts: Ints) -> Ints:
    """`counts` words of each image behind its first `heads` words, as they stand in memory."""
    out: Ints
    if 8 * int((heads + counts).sum()) == len(data) and not (begin % 8).any():
        out = data.view("<i8")[bodies(begin // 8, heads, len(data) // 8)]
    else:
        start = np.repeat(begin + 8 * heads, counts) + 8 * places_within(counts)
        out = gather(data, start, 8).view("<i8").reshape(-1)
    return out


def list_parts(lists: pa.Array) -> tuple[pa.Array, Ints]:
    """Values of all lists one after another, and the offsets of each list; a null list has no values."""
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    lengths = lists.value_lengths()
    counts = np.asarray(lengths.fill_null(0) if lengths.null_count else lengths).astype(np.int64)
    return lists.flatten(), offsets_of(counts)


def group_ids(offsets: Ints) -> Ints:
    """For each value the number of the group that it belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def places_within(lengths: Ints) -> Ints:
    """For each item of groups of these lengths its place in its group, from 0."""
    return np.arange(int(lengths.sum())) - np.repeat(offsets_of(lengths)[:-1], lengths)


def plain_values(values: pa.Array) -> tuple[Any, Any]:
    """Numbers as doubles, and which of them are there; nulls read as 0."""
    numbers = values.cast(pa.float64())
    valid = np.asarray(numbers.is_valid())
    return np.asarray(numbers.fill_null(0) if numbers.null_count else numbers), valid
