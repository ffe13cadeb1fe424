"""Reading the primitives: GenericIndexed lists, block columns, ids, FixedIndexed, front-coded dictionaries, bitmaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from msq.segment.compression import NONE, UNCOMPRESSED, decompress_into
from msq.segment.reader.smoosh import SegmentFormatError

Array = np.ndarray[Any, Any]


class Cursor:
    """A position in the bytes of one internal file."""

    __slots__ = ("at", "data")

    def __init__(self, data: memoryview, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def u8(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def be32(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def be64(self) -> int:
        return int.from_bytes(self.take(8), "big", signed=True)

    def le32(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise SegmentFormatError(
                f"A column is cut short: [{count}] bytes wanted at [{self.at}] of [{len(self.data)}]"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def array(self, dtype: str, count: int) -> Array:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def vbyte(self) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte & 0x80:
                return value
            shift += 7

    def text(self) -> str:
        return str(self.take(self.be32()), "utf-8")


class GenericList:
    """A GenericIndexed list, its elements found by number."""

    __slots__ = ("_ends", "area", "count", "is_sorted")

    def __init__(self, cursor: Cursor) -> None:
        version = cursor.u8()
        if version == 2:
            raise SegmentFormatError("A column of more than 2 GiB (GenericIndexed version 2) is not supported")
        if version != 1:
            raise SegmentFormatError(f"A list of unknown version [{version}]")
        self.is_sorted = bool(cursor.u8())
        used = cursor.be32()
        self.count = cursor.be32()
        self._ends = cursor.array(">i4", self.count)
        self.area = cursor.take(used - 4 - 4 * self.count)

    @property
    def ends(self) -> Array:
        """Where each element ends in `area`, as numbers to calculate with."""
        return self._ends.astype(np.int64)

    def bounds(self, i: int) -> tuple[int, int]:
        return (int(self._ends[i - 1]) if i else 0) + 4, int(self._ends[i])

    def __getitem__(self, i: int) -> memoryview | None:
        """The bytes of element `i`; None for a null."""
        start, end = self.bounds(i)
        if start == end and self.area[start - 4] == 0xFF:
            return None
        return self.area[start:end]

    def starts(self) -> Array:
        out = np.zeros(self.count, np.int64)
        out[1:] = self._ends[:-1]
        return out

    def nulls(self) -> Array:
        """A flag for each element: whether it is null."""
        starts = self.starts()
        raw = np.frombuffer(self.area, np.uint8)
        empty = self.ends - starts == 4
        out = np.zeros(self.count, bool)
        where = np.flatnonzero(empty)
        out[where] = raw[starts[where]] == 0xFF
        return out

    def to_arrow(self) -> Any:
        """All elements as a large_binary array."""
        starts = self.starts()
        raw = np.frombuffer(self.area, np.uint8)
        keep = np.ones(len(raw), bool)
        keep[(starts[:, None] + np.arange(4)).reshape(-1)] = False
        offsets = np.zeros(self.count + 1, np.int64)
        np.cumsum(self.ends - starts - 4, out=offsets[1:])
        return large_binary(offsets, raw[keep], self.nulls())


def large_binary(offsets: Array, data: Array, nulls: Array | None = None) -> Any:
    validity = None
    if nulls is not None and nulls.any():
        validity = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    made = np.ascontiguousarray(offsets, np.int64)
    return pa.Array.from_buffers(
        pa.large_binary(), len(made) - 1, [validity, pa.py_buffer(made), pa.py_buffer(np.ascontiguousarray(data))]
    )


def as_strings(values: Any) -> Any:
    """`string` of a large_binary array of UTF-8, `large_string` when it passes 2 GiB."""
    text = pa.Array.from_buffers(pa.large_string(), len(values), values.buffers(), offset=values.offset)
    return text.cast(pa.string()) if values.nbytes < 2**31 - 1 else text


class BlockValues:
    """Fixed-width values in compressed blocks; any range of rows is read by itself."""

    __slots__ = ("blocks", "codec", "count", "per_block", "raw", "width")

    def __init__(self, cursor: Cursor, width: int, count: int, per_block: int, codec: int) -> None:
        self.width, self.count, self.per_block, self.codec = width, count, per_block, codec
        self.raw = cursor.take(count * width) if codec == NONE else None
        self.blocks = None if codec == NONE else GenericList(cursor)

    def read(self, start: int, stop: int) -> Array:
        """uint8 bytes of the values [start, stop)."""
        return read_blocks(self.blocks, self.raw, self.codec, self.per_block, self.count, self.width, start, stop)


def read_blocks(
    blocks: GenericList | None, raw: memoryview | None, codec: int, per_block: int, count: int, width: int,
    start: int, stop: int,
) -> Array:  # fmt: skip
    if blocks is None:
        assert raw is not None
        return np.frombuffer(raw, np.uint8)[start * width : stop * width]
    if start >= stop:
        return np.zeros(0, np.uint8)
    first, last = start // per_block, (stop - 1) // per_block
    base = first * per_block
    out = np.empty((min((last + 1) * per_block, count) - base) * width, np.uint8)
    for i in range(first, last + 1):
        block = blocks[i]
        assert block is not None
        decompress_into(codec, block, out[(i * per_block - base) * width : ((i + 1) * per_block - base) * width])
    return out[(start - base) * width : (stop - base) * width]


class IdColumn:
    """Dictionary ids, compressed or not (1.7 a and c). `read` gives int32."""

    __slots__ = ("_plain", "_values", "count", "width")

    def __init__(self, cursor: Cursor) -> None:
        version = cursor.u8()
        self.width = cursor.u8()
        self._plain: Array | None = None
        self._values: BlockValues | None = None
        if version == 0:
            size = cursor.be32()
            self.count = (size - (4 - self.width)) // self.width
            self._plain = np.frombuffer(cursor.take(size), np.uint8)[: self.count * self.width]
        elif version == 2:
            self.count, per_block, codec = cursor.be32(), cursor.be32(), cursor.u8()
            self._values = BlockValues(cursor, self.width, self.count, per_block, codec)
        else:
            raise SegmentFormatError(f"Ids of unknown version [{version}]")

    def read(self, start: int, stop: int) -> Array:
        if self._values is not None:
            return widen(self._values.read(start, stop), self.width, "little")
        assert self._plain is not None
        return widen(self._plain[start * self.width : stop * self.width], self.width, "big")


def widen(raw: Array, width: int, order: str) -> Array:
    """int32 of `width`-byte unsigned ints."""
    if width == 1:
        return raw.astype(np.int32)
    if width == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        three = raw.reshape(-1, 3)
        wide[:, :3] = three if order == "little" else three[:, ::-1]
        return wide.view("<i4").reshape(-1)
    mark = "<" if order == "little" else ">"
    return raw.view(f"{mark}u{width}").astype(np.int32)


class IntColumn:
    """Compressed plain ints (1.7 b)."""

    __slots__ = ("_values", "count")

    def __init__(self, cursor: Cursor) -> None:
        version = cursor.u8()
        if version != 2:
            raise SegmentFormatError(f"Offsets of unknown version [{version}]")
        self.count, per_block, codec = cursor.be32(), cursor.be32(), cursor.u8()
        self._values = BlockValues(cursor, 4, self.count, per_block, codec)

    def read(self, start: int, stop: int) -> Array:
        return self._values.read(start, stop).view("<i4")


def read_fixed(cursor: Cursor, dtype: str) -> tuple[bool, Array]:
    """(whether id 0 is null, the values) of a FixedIndexed list."""
    version = cursor.u8()
    if version != 0:
        raise SegmentFormatError(f"A fixed-width list of unknown version [{version}]")
    flags, count = cursor.u8(), cursor.le32()
    return bool(flags & 1), cursor.array(dtype, count)


# -- dictionaries of strings ------------------------------------------------------------------------------------------

FRONT_CODED = 0x7F


@dataclass
class Dictionary:
    """The values of a dictionary, made into an array when first asked for: many columns are opened to be listed only.

    `count` leaves the null out; `has_null`: whether id 0 is null.
    """

    count: int
    has_null: bool
    load: Callable[[], Any]

    @cached_property
    def values(self) -> Any:
        """large_binary values without null."""
        return self.load()

    @cached_property
    def texts(self) -> Any:
        return as_strings(self.values)


def read_dictionary(cursor: Cursor) -> Dictionary:
    """A plain or front-coded dictionary."""
    if cursor.data[cursor.at] == FRONT_CODED:
        cursor.u8()
        kind = cursor.u8()
        if kind == 1:
            return _front_coded(cursor)
        if kind != 0:
            raise SegmentFormatError(f"A dictionary of unknown encoding [{kind}]")
    items = GenericList(cursor)
    has_null = bool(items.count) and items[0] is None
    return Dictionary(items.count - has_null, has_null, lambda: items.to_arrow()[int(has_null) :])


def _front_coded(cursor: Cursor) -> Dictionary:
    version, bucket_size, has_null = cursor.u8(), cursor.u8(), bool(cursor.u8())
    if version not in (0, 1):
        raise SegmentFormatError(f"A front-coded dictionary of unknown version [{version}]")
    count, size = cursor.vbyte(), cursor.vbyte()
    body = Cursor(cursor.take(size))
    return Dictionary(count, has_null, lambda: _front_coded_values(body, version, bucket_size, count))


def _front_coded_values(body: Cursor, version: int, bucket_size: int, count: int) -> Any:
    if count == 0:
        return pa.array([], pa.large_binary())
    buckets = (count + bucket_size - 1) // bucket_size
    body.take(4 * (buckets - 1))
    values: list[bytes] = []
    for i in range(count):
        if i % bucket_size == 0:
            first = value = bytes(body.take(body.vbyte()))
        else:
            prefix = body.vbyte()
            rest = body.take(body.vbyte())
            value = (first if version == 0 else value)[:prefix] + rest
        values.append(value)
    return pa.array(values, pa.large_binary())


# -- bitmaps ----------------------------------------------------------------------------------------------------------


def bitmap_rows(data: memoryview | None) -> Array:
    """Row numbers in a roaring bitmap, ascending; none for no bytes."""
    if data is None or not len(data):
        return np.zeros(0, np.int64)
    cursor = Cursor(data)
    cookie = int.from_bytes(data[:4], "little")
    runs = np.zeros(0, bool)
    if cookie & 0xFFFF == 12347:
        cursor.at = 4
        count = (cookie >> 16) + 1
        runs = np.unpackbits(np.frombuffer(cursor.take((count + 7) // 8), np.uint8), bitorder="little").astype(bool)
    elif cookie == 12346:
        cursor.at = 4
        count = cursor.le32()
    else:
        raise SegmentFormatError(f"A bitmap with unknown cookie [{cookie:#x}]: only roaring bitmaps can be read")
    keys = cursor.array("<u2", 2 * count).astype(np.int64).reshape(-1, 2)
    if not len(runs) or count >= 4:
        cursor.take(4 * count)
    out = []
    for i, (key, card) in enumerate(keys.tolist()):
        if len(runs) and runs[i]:
            number = int.from_bytes(cursor.take(2), "little")
            pairs = cursor.array("<u2", 2 * number).astype(np.int64).reshape(-1, 2)
            lengths = pairs[:, 1] + 1
            before = np.cumsum(lengths) - lengths
            low = np.repeat(pairs[:, 0] - before, lengths) + np.arange(lengths.sum())
        elif card + 1 <= 4096:
            low = cursor.array("<u2", card + 1).astype(np.int64)
        else:
            low = np.flatnonzero(np.unpackbits(np.frombuffer(cursor.take(8192), np.uint8), bitorder="little"))
        out.append(low + (key << 16))
    return np.concatenate(out) if out else np.zeros(0, np.int64)


__all__ = [
    "UNCOMPRESSED", "Array", "BlockValues", "Cursor", "GenericList", "IdColumn", "IntColumn", "as_strings",
    "bitmap_rows", "large_binary", "read_blocks", "read_dictionary", "read_fixed", "widen",
]  # fmt: skip
