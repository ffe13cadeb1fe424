"""Complex metrics: serialised values one a row, and the cells of (time, number) pairs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import complex_of
from msq.segment import nullable
from msq.segment.compression import BLOCK_BYTES, LZ4, decompress_into
from msq.segment.pairs import INT_DELTAS, PAIR_VALUES, VERSION
from msq.segment.reader.blobs import BlobColumn, lz4_size
from msq.segment.reader.generic import Array, Cursor, GenericList, bitmap_rows, large_binary
from msq.segment.reader.smoosh import SegmentFormatError, SmooshReader

COMPRESSED_COMPLEX = 0x7F


class _Complex:
    cardinality = None
    has_bitmap = False
    has_multiple_values = False
    encoding = "complex"


class ComplexColumn(_Complex):
    """Values in the type's own form. `read` gives a binary array; null stays null, an empty value stays empty."""

    def __init__(self, cursor: Cursor, type_name: str) -> None:
        self.type = complex_of(type_name)
        self._items = GenericList(cursor)
        self.rows = self._items.count
        self.has_nulls = bool(self._items.nulls().any())

    def read(self, start: int, stop: int) -> Any:
        items = self._items
        all_ends = items.ends
        low = int(all_ends[start - 1]) if start else 0
        ends = all_ends[start:stop] - low
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        raw = np.frombuffer(items.area, np.uint8)[low : low + (int(ends[-1]) if len(ends) else 0)]
        keep = np.ones(len(raw), bool)
        keep[(starts[:, None] + np.arange(4)).reshape(-1)] = False
        nulls = (ends - starts == 4) & (raw[starts] == 0xFF) if len(ends) else np.zeros(0, bool)
        offsets = np.zeros(len(ends) + 1, np.int64)
        np.cumsum(ends - starts - 4, out=offsets[1:])
        return _binary(large_binary(offsets, raw[keep], nulls))


class BlobComplexColumn(_Complex):
    """Complex values in compressed blocks (`complexMetricCompression`), an index of null rows beside them."""

    def __init__(self, files: SmooshReader, cursor: Cursor, type_name: str) -> None:
        self.type = complex_of(type_name)
        cursor.take(1)
        if cursor.u8() != 0:
            raise SegmentFormatError("Compressed complex values of unknown version")
        described = json.loads(cursor.text())
        name = described["fileNameBase"]
        self._values = BlobColumn(files, f"{name}.__complexColumn")
        self.rows = self._values.rows
        nulls = f"{name}.__nullIndex"
        self._nulls = bitmap_rows(files[nulls][4:]) if described.get("hasNulls") else np.zeros(0, np.int64)
        self.has_nulls = len(self._nulls) > 0

    def read(self, start: int, stop: int) -> Any:
        offsets, data = self._values.read(start, stop)
        nulls = np.zeros(stop - start, bool)
        low, high = np.searchsorted(self._nulls, [start, stop])
        nulls[self._nulls[low:high] - start] = True
        return _binary(large_binary(offsets, data, nulls))


class NullableColumn(_Complex):
    """A column of spectator histograms; see msq.segment.nullable."""

    def __init__(self, cursor: Cursor, type_name: str) -> None:
        self.type = complex_of(type_name)
        version, _ = cursor.u8(), cursor.u8()
        if version != nullable.VERSION:
            raise SegmentFormatError(f"Spectator histograms of unknown version [{version}]")
        held = Cursor(cursor.take(cursor.be32()))
        self.rows = held.be32()
        bitmap = np.frombuffer(held.take(held.be32()), np.uint8)
        present = np.ones(self.rows, bool) if held.left else np.zeros(self.rows, bool)
        if len(bitmap):
            marked = np.unpackbits(bitmap, bitorder="little")[: self.rows].astype(bool)
            present = np.concatenate([marked, np.zeros(self.rows - len(marked), bool)])
        ends = held.array(">i4", int(present.sum())).astype(np.int64)
        lengths = np.zeros(self.rows, np.int64)
        lengths[present] = np.diff(ends, prepend=0)
        self._offsets = np.concatenate([[0], np.cumsum(lengths)])
        self._present = present
        self._area = np.frombuffer(held.take(held.left), np.uint8)
        self.has_nulls = not bool(present.all())

    def read(self, start: int, stop: int) -> Any:
        offsets = self._offsets[start : stop + 1]
        area = self._area[offsets[0] : offsets[-1]]
        return _binary(large_binary(offsets - offsets[0], area, ~self._present[start:stop]))


def _binary(values: Any) -> Any:
    return values.cast(pa.binary()) if values.nbytes < 2**31 - 1 else values


class PairColumn(_Complex):
    """A column of `serializablePairLongLong`, `..Double` or `..Float`, read into the form of frames."""

    encoding = "cells"

    def __init__(self, cursor: Cursor, type_name: str) -> None:
        self.type = complex_of(type_name)
        self._width = PAIR_VALUES[type_name]
        version, flags = cursor.u8(), cursor.u8()
        if version != VERSION:
            raise SegmentFormatError(f"Pairs of unknown version [{version}]")
        cursor.take(2)
        self._least = int.from_bytes(cursor.take(8), "little", signed=True)
        self._time_bytes = 4 if flags & INT_DELTAS else 8
        index = _Blocks(Cursor(cursor.take(cursor.le32())))
        self._cells = _Blocks(Cursor(cursor.take(cursor.le32())))
        self._starts = index.everything().view("<i8")
        self.rows = len(self._starts) - 1
        self.has_nulls = bool((np.diff(self._starts) == 0).any())

    def read(self, start: int, stop: int) -> Any:
        starts = self._starts[start : stop + 1]
        cells = self._cells.read(int(starts[0]), int(starts[-1]))
        at = starts[:-1] - starts[0]
        lengths = np.diff(starts)
        present = lengths > 0
        extra = 8 - self._time_bytes
        out_lengths = np.where(present, lengths + extra, 0)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(out_lengths, out=offsets[1:])
        out = np.zeros(int(offsets[-1]), np.uint8)
        source, target = at[present], offsets[:-1][present]
        raw = _window(cells, source, self._time_bytes)
        times = raw.view("<i4" if extra else "<i8").reshape(-1).astype("<i8") + self._least
        _put(out, target, times.view(np.uint8).reshape(-1, 8))
        _put(out, target + 8, _window(cells, source + self._time_bytes, 1))
        full = lengths[present] > self._time_bytes + 1
        _put(out, target[full] + 9, _window(cells, source[full] + self._time_bytes + 1, self._width))
        return _binary(large_binary(offsets, out, ~present))


def _window(raw: Array, starts: Array, width: int) -> Array:
    if not len(starts):
        return np.zeros((0, width), np.uint8)
    return np.ascontiguousarray(raw[starts[:, None] + np.arange(width)])


def _put(out: Array, at: Array, data: Array) -> None:
    if len(at):
        out[at[:, None] + np.arange(data.shape[1])] = data


class _Blocks:
    """A stream of LZ4 blocks of 64 KiB behind an index of their starts. The last block's size is found by trying."""

    def __init__(self, cursor: Cursor) -> None:
        starts = cursor.array("<i4", cursor.le32() // 4)
        data = cursor.take(cursor.le32())
        self._blocks = [data[a:b] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]

    def everything(self) -> Array:
        return self.read(0, len(self._blocks) * BLOCK_BYTES)

    def read(self, start: int, stop: int) -> Array:
        """Bytes [start, stop) of the stream, fewer when it ends before."""
        first, last = start // BLOCK_BYTES, min((stop - 1) // BLOCK_BYTES, len(self._blocks) - 1)
        if stop <= start or last < first:
            return np.zeros(0, np.uint8)
        parts = []
        for i in range(first, last + 1):
            size = lz4_size(self._blocks[i]) if i == len(self._blocks) - 1 else BLOCK_BYTES
            part = np.empty(size, np.uint8)
            decompress_into(LZ4, self._blocks[i], part)
            parts.append(part)
        joined = np.concatenate(parts)
        base = first * BLOCK_BYTES
        return joined[start - base : stop - base]
