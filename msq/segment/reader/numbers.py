"""Numeric columns: plain values in blocks, long encodings `delta` and `table`, and the bitmap of null rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import DOUBLE, FLOAT, LONG, ColumnType
from msq.segment.compression import LZF, NONE, PACKED_BITS, decompress_into
from msq.segment.reader.generic import Array, BlockValues, Cursor, GenericList, bitmap_rows
from msq.segment.reader.smoosh import SegmentFormatError

_LAYOUT = {"LONG": ("<i8", LONG), "DOUBLE": ("<f8", DOUBLE), "FLOAT": ("<f4", FLOAT)}
_DELTA, _TABLE, _LONGS = 0, 1, 0xFF


class NumberValues:
    """The values of a LONG, DOUBLE or FLOAT column (1.9). `read` gives a numpy array of its type."""

    def __init__(self, cursor: Cursor, kind: str, big_endian: bool = False) -> None:
        self.dtype = _LAYOUT[kind][0].replace("<", ">" if big_endian else "<")
        version = cursor.u8()
        if version not in (1, 2):
            raise SegmentFormatError(f"Numbers of unknown version [{version}]")
        self.count, per_block = cursor.be32(), cursor.be32()
        codec = cursor.u8() if version == 2 else LZF
        self.encoding = "longs" if kind == "LONG" else kind.lower()
        self._packed: _PackedLongs | None = None
        if kind == "LONG" and 0x80 <= codec < 0xFE:
            codec = (codec + 126) & 0xFF
            word = cursor.u8()
            if word in (_DELTA, _TABLE):
                self.encoding = "delta" if word == _DELTA else "table"
                self._packed = _PackedLongs(cursor, word, self.count, per_block, codec)
                return
            if word != _LONGS:
                raise SegmentFormatError(f"Longs of unknown encoding [{word}]")
        self._values = BlockValues(cursor, np.dtype(self.dtype).itemsize, self.count, per_block, codec)

    def read(self, start: int, stop: int) -> Array:
        if self._packed is not None:
            return self._packed.read(start, stop)
        values = self._values.read(start, stop).view(self.dtype)
        return values if self.dtype[0] == "<" else values.astype(self.dtype.replace(">", "<"))


class _PackedLongs:
    """Longs as bit-packed distances from a base, or indexes into a table (3.3)."""

    def __init__(self, cursor: Cursor, word: int, count: int, per_block: int, codec: int) -> None:
        version = cursor.u8()
        if version != 1:
            raise SegmentFormatError(f"Packed longs of unknown version [{version}]")
        self.table: Array | None = None
        self.base = 0
        if word == _TABLE:
            self.table = cursor.array(">i8", cursor.be32()).astype(np.int64)
            bound = len(self.table)
            self.bits = next(b for b in PACKED_BITS if bound <= 1 << b)
        else:
            self.base = cursor.be64()
            self.bits = cursor.be32()
        self.count = count
        self._codec, self.per_block = codec, per_block
        if codec == NONE:
            self.per_block = count
            self._raw: list[memoryview] = [cursor.take(self._bytes(count))]
        else:
            blocks = GenericList(cursor)
            self._raw = [b for b in (blocks[i] for i in range(blocks.count)) if b is not None]

    def _bytes(self, values: int) -> int:
        return (self.bits * values + 7) // 8 + 4

    def read(self, start: int, stop: int) -> Array:
        if start >= stop:
            return np.zeros(0, np.int64)
        parts = []
        for i in range(start // self.per_block, (stop - 1) // self.per_block + 1):
            base = i * self.per_block
            values = min(self.per_block, self.count - base)
            raw = np.empty(self._bytes(values), np.uint8)
            if self._codec == NONE:
                raw = np.frombuffer(self._raw[i], np.uint8)
            else:
                decompress_into(self._codec, self._raw[i], raw)
            parts.append(unpack(raw, self.bits, values)[max(start - base, 0) : stop - base])
        packed: Array = np.concatenate(parts)
        return self.table[packed] if self.table is not None else packed + np.int64(self.base)


def unpack(raw: Array, bits: int, count: int) -> Array:
    """int64 of `count` big-endian bit-packed values."""
    if bits % 8 == 0:
        width = bits // 8
        wide = np.zeros((count, 8), np.uint8)
        wide[:, 8 - width :] = raw[: count * width].reshape(-1, width)
        return wide.view(">i8").reshape(-1).astype(np.int64)
    flags = np.unpackbits(raw)[: count * bits].reshape(-1, bits)
    out = np.zeros(count, np.int64)
    for column in flags.T:
        out = (out << 1) | column
    return out


class NumericColumn:
    """A classic numeric column: values, then the bitmap of nulls when there are bytes left."""

    cardinality = None
    has_bitmap = False
    has_multiple_values = False

    def __init__(self, cursor: Cursor, kind: str, part: dict[str, Any]) -> None:
        self.type: ColumnType = _LAYOUT[kind][1]
        big = part.get("byteOrder") == "BIG_ENDIAN"
        if part["type"].endswith("V2"):
            size = cursor.be32()
            self._values = NumberValues(Cursor(cursor.take(size)), kind, big)
            bitmap = cursor.take(cursor.be32()) if cursor.left >= 4 else None
            if bitmap is not None and (part.get("bitmapSerdeFactory") or {}).get("type") == "concise":
                raise SegmentFormatError("A column with null rows in a concise bitmap is not supported")
            self._nulls = bitmap_rows(bitmap)
        else:
            self._values = NumberValues(cursor, kind, big)
            self._nulls = np.zeros(0, np.int64)
        self.rows = self._values.count
        self.has_nulls = len(self._nulls) > 0
        self.encoding = self._values.encoding

    def read(self, start: int, stop: int) -> Any:
        return with_nulls(self._values.read(start, stop), self._nulls, start, stop)


def with_nulls(values: Array, nulls: Array, start: int, stop: int) -> Any:
    """The Arrow array of `values` for rows [start, stop), null at the rows `nulls` (ascending, in the whole column)."""
    if not len(nulls):
        return pa.array(values)
    mask = np.zeros(stop - start, bool)
    low, high = np.searchsorted(nulls, [start, stop])
    mask[nulls[low:high] - start] = True
    return pa.array(values, mask=mask)
