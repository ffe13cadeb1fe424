"""The primitives every column is made of: GenericIndexed lists, compressed ids and offsets, FixedIndexed, names.

Every function returns the parts to be written one after another; nothing is joined. Lengths and counts are big endian,
the values inside blocks little endian.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.segment.compression import BLOCK_BYTES, DEFAULT_LZ4_LEVEL, LZ4, UNCOMPRESSED, compressor

Part = Any  # bytes, memoryview or a numpy array of uint8
Parts = list[Part]
Array = np.ndarray[Any, Any]

LARGE_BINARY = pa.large_binary()
MAX_LIST_BYTES = 2**31 - 1 - 4096
_NO_NULL, _NULL = b"\0" * 4, b"\xff" * 4
_EMPTY = pa.scalar(b"", LARGE_BINARY)
_PREFIX = pa.scalar(_NO_NULL, LARGE_BINARY)


class SegmentTooLargeError(ValueError):
    """A part of a segment passes the 2 GiB that V9 allows; the text says which column."""


@dataclass(frozen=True)
class Codecs:
    """The codecs one column is written with."""

    codec: int = LZ4
    lz4_level: int = DEFAULT_LZ4_LEVEL


def be32(value: int) -> bytes:
    return struct.pack(">i", value)


def le32(value: int) -> bytes:
    return struct.pack("<i", value)


def str4(text: str) -> bytes:
    data = text.encode()
    return be32(len(data)) + data


def vbyte(value: int) -> bytes:
    """Seven bits a byte, least significant first; the last byte has its high bit set."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F)
        value >>= 7
    out.append(value | 0x80)
    return bytes(out)


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def size_of(parts: Iterable[Part]) -> int:
    return sum(p.nbytes if hasattr(p, "nbytes") else len(p) for p in parts)


# -- GenericIndexed ---------------------------------------------------------------------------------------------------


def list_head(is_sorted: bool, ends: list[int] | Array, area_bytes: int) -> bytes:
    """`ends`: where each element ends in the area behind the head."""
    used = 4 + 4 * len(ends) + area_bytes
    if used > MAX_LIST_BYTES:
        raise SegmentTooLargeError(f"A list of values takes [{used}] bytes, more than [{MAX_LIST_BYTES}]")
    listed = struct.pack(f">{len(ends)}i", *ends) if isinstance(ends, list) else ends.astype(">i4").tobytes()
    return (b"\x01\x01" if is_sorted else b"\x01\x00") + struct.pack(">ii", used, len(ends)) + listed


def value_list(values: Any, leading_null: bool, is_sorted: bool) -> Parts:
    """A list of the string or binary array `values`, which holds no null; `leading_null` puts one before them."""
    joined = pc.binary_join_element_wise(_PREFIX, values.cast(LARGE_BINARY), _EMPTY)
    offsets, data = binary_buffers(joined)
    area = data[offsets[0] : offsets[-1]] if len(joined) else b""
    ends = offsets[1:] - offsets[0]
    if not leading_null:
        return [list_head(is_sorted, ends, len(area)), area]
    return [list_head(is_sorted, np.concatenate([[4], ends + 4]), len(area) + 4), _NULL, area]


def nullable_list(values: Any) -> Parts:
    """An unsorted list of the binary array `values` with its nulls where they are."""
    if not values.null_count:
        return value_list(values, False, False)
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    head, area = value_list(pc.fill_null(values.cast(LARGE_BINARY), b""), False, False)
    ends = np.frombuffer(head[10:], ">i4").astype(np.int64)  # behind version, flag, bytes and count
    starts = np.concatenate([[0], ends[:-1]])[~valid]
    marked = np.frombuffer(area, np.uint8).copy()
    marked[(starts[:, None] + np.arange(4)).reshape(-1)] = 0xFF
    return [head, marked]


def name_list(names: Sequence[str | None]) -> bytes:
    """A list of column names. Druid flags it sorted when each name is greater than the one before it."""
    ascending, previous = True, None
    ends, area = [], bytearray()
    for name in names:
        key = None if name is None else name.encode("utf-16-be", "surrogatepass")
        if previous is not None and (key is None or key <= previous):
            ascending = False
        previous = key
        area += _NULL if name is None else _NO_NULL + name.encode()
        ends.append(len(area))
    return list_head(ascending, ends, len(area)) + bytes(area)


def block_list(data: Array, block_bytes: int, codecs: Codecs) -> Parts:
    """A list of the compressed blocks of the uint8 array `data`, cut every `block_bytes`."""
    compress = compressor(codecs.codec, codecs.lz4_level)
    view = memoryview(data)  # type: ignore[arg-type]
    blocks = [compress(view[i : i + block_bytes]) for i in range(0, len(data), block_bytes)]
    ends = list(itertools.accumulate(len(b) + 4 for b in blocks))
    out: Parts = [list_head(False, ends, ends[-1] if ends else 0)]
    for block in blocks:
        out += (_NO_NULL, block)
    return out


def binary_buffers(array: Any) -> tuple[Array, Any]:
    """(offsets, data) of a large_binary array: `len + 1` int64 offsets into the memoryview `data`."""
    _, offsets, data = array.buffers()
    view = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return view, memoryview(data) if data is not None else memoryview(b"")


def binary_array(offsets: Array, data: Any) -> Any:
    """A large_binary array over `data` with int64 `offsets` (one more than elements)."""
    made = np.ascontiguousarray(offsets, np.int64)
    return pa.Array.from_buffers(LARGE_BINARY, len(made) - 1, [None, pa.py_buffer(made), pa.py_buffer(data)])


# -- integers ---------------------------------------------------------------------------------------------------------


def id_width(max_value: int) -> int:
    return 1 if max_value <= 0xFF else 2 if max_value <= 0xFFFF else 3 if max_value <= 0xFFFFFF else 4


_ID_BLOCK = {1: 65536, 2: 32768, 3: 16384, 4: 16384}


def id_column(ids: Array, max_value: int, codecs: Codecs) -> Parts:
    """Dictionary ids (non-negative ints), as wide as `max_value` needs."""
    width = id_width(max_value)
    if codecs.codec == UNCOMPRESSED:
        return [b"\0", _wide_header(ids, width), _big_endian(ids, width), b"\0" * (4 - width)]
    per_block = _ID_BLOCK[width]
    head = b"\x02" + bytes([width]) + be32(len(ids)) + be32(per_block) + bytes([codecs.codec])
    return [head, *block_list(_little_endian(ids, width), per_block * width, codecs)]


def multi_id_column(ids: Array, offsets: Array, max_value: int, codecs: Codecs) -> Parts:
    """Ids of rows that hold several: `offsets` (rows + 1) cut `ids` into rows. The body behind a V3 version byte,
    or the uncompressed form."""
    width = id_width(max_value)
    if codecs.codec == UNCOMPRESSED:
        rows = len(offsets) - 1
        data = _big_endian(ids, width)
        ends = (offsets[1:] * width).astype(">i4").tobytes()
        size = 4 + 4 * rows + len(data) + 4 - width
        return [b"\x01" + bytes([width]) + be32(size) + be32(rows), ends, data, b"\0" * (4 - width)]
    head = b"\x02" + be32(len(offsets)) + be32(16384) + bytes([codecs.codec])
    starts = block_list(np.ascontiguousarray(offsets, "<i4").view(np.uint8), BLOCK_BYTES, codecs)
    return [head, *starts, *id_column(ids, max_value, codecs)]


def _wide_header(ids: Array, width: int) -> bytes:
    return bytes([width]) + be32(len(ids) * width + 4 - width)


def _little_endian(ids: Array, width: int) -> Array:
    if width == 1:
        return ids.astype(np.uint8)
    if width == 2:
        return ids.astype("<u2").view(np.uint8)
    wide = np.ascontiguousarray(ids, "<i4").view(np.uint8)
    return wide if width == 4 else np.ascontiguousarray(wide.reshape(-1, 4)[:, :3]).reshape(-1)


def _big_endian(ids: Array, width: int) -> bytes:
    return np.ascontiguousarray(ids.astype(">i4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]).tobytes()


HAS_NULL, SORTED = 1, 2


def fixed_list(values: Array, flags: int) -> Parts:
    """FixedIndexed: `values` in their little-endian form, ascending; the null (flag 1) is not among them."""
    return [b"\0" + bytes([flags]) + le32(len(values)), np.ascontiguousarray(values).view(np.uint8).reshape(-1)]
