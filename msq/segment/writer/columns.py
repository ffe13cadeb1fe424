"""The classic columns: numbers with a null bitmap, strings with dictionary and index, null-only strings, complex.

Each function returns the parts of one column file: descriptor and body.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import ColumnType, arrow_type
from msq.segment import nullable
from msq.segment.compression import BLOCK_BYTES, NONE, UNCOMPRESSED
from msq.segment.writer.dictionary import EncodedStrings
from msq.segment.writer.generic import (
    LARGE_BINARY,
    Array,
    Codecs,
    Parts,
    be32,
    binary_buffers,
    block_list,
    compact_json,
    id_column,
    multi_id_column,
    nullable_list,
    size_of,
    str4,
    value_list,
)
from msq.segment.writer.longs import packed_longs
from msq.segment.writer.roaring import bitmap_list, pair_bitmap_list, single_bitmap

BITMAP_SERDE = {"type": "roaring"}
_LAYOUT = {"LONG": "<i8", "DOUBLE": "<f8", "FLOAT": "<f4"}


def descriptor(value_type: str, part: dict[str, Any], multi: bool = False) -> bytes:
    return str4(compact_json({"valueType": value_type, "hasMultipleValues": multi, "parts": [part]}))


@cache
def _number_head(kind: str) -> bytes:
    part = {"type": f"{kind.lower()}V2", "byteOrder": "LITTLE_ENDIAN", "bitmapSerdeFactory": BITMAP_SERDE}
    return descriptor(kind, part)


@cache
def _string_head(multi: bool) -> bytes:
    part = {"type": "stringDictionary", "bitmapSerdeFactory": BITMAP_SERDE, "byteOrder": "LITTLE_ENDIAN"}
    return descriptor("STRING", part, multi)


def value_column(values: Array, kind: str, codecs: Codecs) -> Parts:
    """The values of a LONG, DOUBLE or FLOAT column, without descriptor, length or nulls."""
    made = np.ascontiguousarray(values, _LAYOUT[kind])
    if codecs.codec == NONE:
        return [b"\x02" + be32(len(made)) + be32(0) + bytes([NONE]), made.view(np.uint8)]
    head = b"\x02" + be32(len(made)) + be32(BLOCK_BYTES // made.itemsize) + bytes([codecs.codec])
    return [head, *block_list(made.view(np.uint8), BLOCK_BYTES, codecs)]


def numbers_and_nulls(column: Any, column_type: ColumnType) -> tuple[Array, Array]:
    """(values with 0 for null, rows that are null) of a numeric chunked array."""
    wanted = arrow_type(column_type)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.type != wanted:
        array = array.cast(wanted)
    if not array.null_count:
        return array.to_numpy(zero_copy_only=True), np.zeros(0, np.int64)
    nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    return pc.fill_null(array, 0).to_numpy(zero_copy_only=True), nulls


def numeric_column(values: Array, nulls: Array, kind: str, codecs: Codecs, long_encoding: str = "longs") -> Parts:
    """A LONG, DOUBLE or FLOAT column; `nulls` are the rows without a value, ascending."""
    packed = packed_longs(values, codecs) if kind == "LONG" and long_encoding == "auto" else None
    body = packed if packed is not None else value_column(values, kind, codecs)
    out: Parts = [_number_head(kind), be32(size_of(body)), *body]
    if len(nulls):
        out += single_bitmap(nulls)
    return out


_MULTI, _NO_INDEX = 2, 4


def string_column(column: EncodedStrings, codecs: Codecs, with_index: bool, dictionary: Parts | None = None) -> Parts:
    """A string dimension with at least one value that is not null. `dictionary` replaces the plain one."""
    multi = column.offsets is not None
    out: Parts = [_string_head(multi)]
    uncompressed = codecs.codec == UNCOMPRESSED
    if uncompressed and with_index:
        # the version byte alone tells both forms; the ids' own version byte is part of them
        out.append(b"\x01" if multi else b"\x00")
    else:
        flags = (_MULTI if multi and not uncompressed else 1 if multi else 0) | (0 if with_index else _NO_INDEX)
        out.append((b"\x03" if uncompressed else b"\x02") + be32(flags))
    out += dictionary if dictionary is not None else value_list(column.values, column.has_null, True)
    if column.offsets is not None:
        if not uncompressed:
            out.append(b"\x03")
        out += multi_id_column(column.ids, column.offsets, column.cardinality, codecs)
    else:
        out += id_column(column.ids, column.cardinality, codecs)
    if with_index:
        out += string_index(column)
    return out


def string_index(column: EncodedStrings) -> Parts:
    if column.offsets is None:
        return bitmap_list(column.ids, column.cardinality)
    ids, rows = unique_pairs(column.ids, column.offsets)
    return pair_bitmap_list(ids, rows, column.cardinality)


def unique_pairs(ids: Array, offsets: Array) -> tuple[Array, Array]:
    """(id, row) of lists of ids, sorted, each pair once."""
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    key = (ids.astype(np.int64) << 32) | rows
    key.sort()
    fresh = np.ones(len(key), bool)
    fresh[1:] = key[1:] != key[:-1]
    key = key[fresh]
    return key >> 32, key & 0xFFFFFFFF


def complex_column(values: Any, type_name: str) -> Parts:
    """A complex metric of serialised values (a binary array); a null and a value of no bytes are kept apart."""
    return [*complex_head(type_name), *nullable_list(values)]


def nullable_column(values: Any, type_name: str) -> Parts:
    """A complex metric whose rows without a value take no room: a null and a value of no bytes are the same."""
    offsets, data = binary_buffers(values.cast(LARGE_BINARY))
    lengths = np.diff(offsets)
    present = lengths > 0
    if values.null_count:
        present &= values.is_valid().to_numpy(zero_copy_only=False)
    raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    raw = raw[np.repeat(present, lengths)]
    ends = np.cumsum(lengths[present])
    return [*complex_head(type_name), nullable.header(present, ends, len(raw)), raw]


def complex_head(type_name: str) -> Parts:
    return [descriptor("COMPLEX", {"type": "complex", "typeName": type_name})]


def null_column(rows: int) -> Parts:
    """A string dimension in which every row is null."""
    return [descriptor("STRING", {"type": "null", "numRows": rows, "bitmapSerdeFactory": BITMAP_SERDE})]
