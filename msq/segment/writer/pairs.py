"""Columns of (time, number) pairs: cells with their times as distances, in two streams of LZ4 blocks."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow.compute as pc

from msq.segment.compression import BLOCK_BYTES, LZ4, compressor
from msq.segment.pairs import INT_DELTAS, PAIR_VALUES, VERSION
from msq.segment.writer.generic import LARGE_BINARY, Array, Parts, binary_buffers, le32, size_of

_INT_MAX = 2**31 - 1


def pair_column(values: Any, type_name: str, lz4_level: int) -> Parts:
    """The body of a column of pairs from their frame form; a null or a value of no bytes is a row without a pair.

    Raises ValueError when a value has not the length of its form.
    """
    width = PAIR_VALUES[type_name]
    rows = len(values)
    binary = values.cast(LARGE_BINARY)
    if binary.null_count:
        binary = pc.fill_null(binary, b"")
    offsets, data = binary_buffers(binary)
    raw = np.frombuffer(data, np.uint8)
    lengths = np.diff(offsets)
    present = lengths > 0
    starts = offsets[:-1][present]
    full = lengths[present] == 9 + width
    if not (full | (lengths[present] == 9)).all():
        raise ValueError(f"A value of [{type_name}] has neither [9] nor [{9 + width}] bytes")
    times = _gather(raw, starts, 8).view("<i8").reshape(-1)
    least = int(times.min()) if len(times) else 2**63 - 1
    greatest = int(times.max()) if len(times) else 0
    ints = not len(times) or greatest - least <= _INT_MAX
    time_bytes = 4 if ints else 8

    cell_lengths = np.zeros(rows, np.int64)
    cell_lengths[present] = time_bytes + 1 + np.where(full, width, 0)
    cell_starts = np.zeros(rows + 1, "<i8")
    np.cumsum(cell_lengths, out=cell_starts[1:])
    cells = np.zeros(int(cell_starts[-1]), np.uint8)
    at = cell_starts[:-1][present]
    deltas = (times - least).astype("<i4" if ints else "<i8")
    _scatter(cells, at, np.ascontiguousarray(deltas).view(np.uint8).reshape(-1, time_bytes))
    _scatter(cells, at + time_bytes, _gather(raw, starts + 8, 1))
    _scatter(cells, at[full] + time_bytes + 1, _gather(raw, starts[full] + 9, width))

    index, payload = _blocks(cell_starts.view(np.uint8), lz4_level), _blocks(cells, lz4_level)
    head = bytes([VERSION, INT_DELTAS if ints else 0, 0, 0]) + struct.pack("<q", least)
    return [head, le32(size_of(index)), *index, le32(size_of(payload)), *payload]


def _gather(raw: Array, starts: Array, width: int) -> Array:
    return (
        np.ascontiguousarray(raw[starts[:, None] + np.arange(width)]) if len(starts) else np.zeros((0, width), np.uint8)
    )


def _scatter(out: Array, at: Array, data: Array) -> None:
    if len(at):
        out[at[:, None] + np.arange(data.shape[1])] = data


def _blocks(data: Array, lz4_level: int) -> Parts:
    """`LE32 bytes of the index | LE32 block starts, one more than blocks | LE32 bytes | blocks`."""
    compress = compressor(LZ4, lz4_level)
    view = memoryview(data)  # type: ignore[arg-type]
    blocks = [bytes(compress(view[i : i + BLOCK_BYTES])) for i in range(0, len(data), BLOCK_BYTES)]
    starts = np.zeros(len(blocks) + 1, "<i4")
    np.cumsum([len(b) for b in blocks], out=starts[1:])
    return [le32(starts.nbytes), starts.view(np.uint8), le32(int(starts[-1])), *blocks]
