"""`auto` columns: typed scalars, arrays, variants of several types, and JSON documents."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import DOUBLE, JSON, LONG, STRING, ColumnType
from msq.expr.printer import double_text
from msq.segment.compression import BLOCK_BYTES, decompress_into
from msq.segment.reader.generic import (
    Array,
    Cursor,
    GenericList,
    IdColumn,
    as_strings,
    bitmap_rows,
    read_dictionary,
    read_fixed,
)
from msq.segment.reader.numbers import NumberValues, with_nulls
from msq.segment.reader.smoosh import SegmentFormatError, SmooshReader
from msq.segment.reader.strings import dictionary_array
from msq.segment.smile import SmileError, document_text


def open_auto(files: SmooshReader, cursor: Cursor, part: dict[str, Any]) -> Any:
    """The column that a `nestedCommonFormat` part describes; `cursor` stands behind the descriptor."""
    if cursor.u8() != 0:
        raise SegmentFormatError("it is an auto column of unknown version")
    name = str(cursor.take(cursor.vbyte()), "utf-8")
    logical = part["logicalType"]
    if logical == "COMPLEX<json>":
        return JsonColumn(files, name, cursor)
    column_type = ColumnType.parse(logical)
    if part.get("isVariantType") or column_type.is_array:
        return VariantColumn(files, name, column_type)
    return AutoScalar(files, name, column_type, bool(part.get("hasNulls")))


class AutoScalar:
    """An auto column of strings, longs or doubles."""

    has_bitmap = True
    has_multiple_values = False
    encoding = "auto"

    def __init__(self, files: SmooshReader, name: str, column_type: ColumnType, has_nulls: bool) -> None:
        self.type = column_type
        self._ids = IdColumn(Cursor(files[f"{name}.__encodedColumn"]))
        self.rows = self._ids.count
        self._values: NumberValues | None = None
        if column_type == STRING:
            values, _ = read_dictionary(Cursor(files[f"{name}.__stringDictionary"]))
            self._strings = as_strings(values)
            size = len(self._strings)
        elif column_type in (LONG, DOUBLE):
            word = column_type.kind.lower()
            _, numbers = read_fixed(Cursor(files[f"{name}.__{word}Dictionary"]), "<i8" if word == "long" else "<f8")
            self._values = NumberValues(Cursor(files[f"{name}.__{word}Column"]), column_type.kind)
            size = len(numbers)
        else:
            raise SegmentFormatError(f"its logical type [{column_type}] is not known")
        self.has_nulls = has_nulls
        self.cardinality = size + has_nulls
        self._indexes = f"{name}.__valueIndexes"
        self._files = files

    def rows_of(self, value_id: int) -> Array:
        return bitmap_rows(GenericList(Cursor(self._files[self._indexes]))[value_id])

    def read(self, start: int, stop: int) -> Any:
        if self._values is None:
            return dictionary_array(self._ids.read(start, stop), self._strings, True)
        values = self._values.read(start, stop)
        if not self.has_nulls:
            return pa.array(values)
        return with_nulls(values, np.flatnonzero(self._ids.read(start, stop) == 0) + start, start, stop)


class ValueDictionaries:
    """The strings, longs, doubles and arrays of a variant, array or JSON column, under one numbering of ids."""

    def __init__(self, files: SmooshReader, name: str) -> None:
        values, _ = read_dictionary(Cursor(files[f"{name}.__stringDictionary"]))
        self.strings = as_strings(values)
        _, self.longs = read_fixed(Cursor(files[f"{name}.__longDictionary"]), "<i8")
        _, self.doubles = read_fixed(Cursor(files[f"{name}.__doubleDictionary"]), "<f8")
        self.first_array = 1 + len(self.strings) + len(self.longs) + len(self.doubles)
        self.array_ids, self.array_offsets = _int_arrays(Cursor(files[f"{name}.__arrayDictionary"]))
        self.count = self.first_array + len(self.array_offsets) - 1

    def scalars(self, element: ColumnType) -> Any:
        """Null and all scalar values by id, as values of `element`."""
        if element == STRING:
            texts = [str(v) for v in self.longs.tolist()] + [double_text(v) for v in self.doubles.tolist()]
            parts = [pa.array([None], pa.string()), self.strings.cast(pa.string()), pa.array(texts, pa.string())]
            return pa.concat_arrays(parts)
        kind = pa.int64() if element == LONG else pa.float64()
        longs, doubles = pa.array(self.longs).cast(kind), pa.array(self.doubles).cast(kind, safe=False)
        return pa.concat_arrays([pa.nulls(1, kind), pa.nulls(len(self.strings), kind), longs, doubles])


class VariantColumn:
    """An auto column of arrays, or of values of several types, read as the type all of them have in common."""

    has_bitmap = True
    has_multiple_values = False
    encoding = "auto"

    def __init__(self, files: SmooshReader, name: str, column_type: ColumnType) -> None:
        self.type = column_type
        self._ids = IdColumn(Cursor(files[f"{name}.__encodedColumn"]))
        self.rows = self._ids.count
        made = ValueDictionaries(files, name)
        indexes = GenericList(Cursor(files[f"{name}.__valueIndexes"]))
        # ids of values that are only elements of arrays have an empty bitmap
        used = indexes.ends - indexes.starts() > 4
        self.cardinality = int(used.sum())
        self.has_nulls = bool(used[0]) if len(used) else False
        self._indexes = indexes
        element = column_type.element or column_type
        scalars = made.scalars(element)
        if column_type.element is None:
            self._values = scalars
        else:
            arrays = pa.ListArray.from_arrays(pa.array(made.array_offsets, pa.int32()), scalars.take(made.array_ids))
            singles = pa.ListArray.from_arrays(
                pa.array(np.arange(len(scalars) + 1), pa.int32()), scalars, mask=pa.array(np.arange(len(scalars)) == 0)
            )
            self._values = pa.concat_arrays([singles, arrays])

    def rows_of(self, value_id: int) -> Array:
        return bitmap_rows(self._indexes[value_id])

    def read(self, start: int, stop: int) -> Any:
        return self._values.take(pa.array(self._ids.read(start, stop)))


def _int_arrays(cursor: Cursor) -> tuple[Array, Array]:
    """(ids of all arrays one after another, offsets of the arrays) of a front-coded dictionary of int arrays."""
    version, bucket_size = cursor.u8(), cursor.u8()
    if version != 0:
        raise SegmentFormatError(f"A dictionary of arrays of unknown version [{version}]")
    cursor.u8()
    count, size = cursor.vbyte(), cursor.vbyte()
    body = Cursor(cursor.take(size))
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    buckets = (count + bucket_size - 1) // bucket_size
    body.take(4 * (buckets - 1))
    arrays: list[Array] = []
    for i in range(count):
        prefix = 0 if i % bucket_size == 0 else body.vbyte()
        rest = body.array("<i4", body.vbyte())
        arrays.append(np.concatenate([arrays[-1][:prefix], rest]) if prefix else rest)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum([len(a) for a in arrays], out=offsets[1:])
    return np.concatenate(arrays).astype(np.int64), offsets


class JsonColumn:
    """A column of JSON documents, read as JSON text."""

    type = JSON
    cardinality = None
    has_bitmap = True
    has_multiple_values = False
    encoding = "nested"

    def __init__(self, files: SmooshReader, name: str, cursor: Cursor) -> None:
        items = GenericList(cursor)
        self.paths = [str(items[i] or b"", "utf-8") for i in range(items.count)]
        self.path_types = list(cursor.take(items.count))
        self._files, self._name = files, name
        raw = f"{name}.__raw"
        if raw not in files:
            raise SegmentFormatError("its raw documents are not stored (objectStorageEncoding none)")
        head = Cursor(files[raw])
        head.u8()
        self.rows = head.be32()
        self._ends = BlockFile(Cursor(files[f"{raw}_offsets"]))
        self._data = BlockFile(Cursor(files[f"{raw}_compressed"]))
        nulls = f"{name}.__nullIndex"
        self.null_rows = bitmap_rows(files[nulls][4:]) if nulls in files else np.zeros(0, np.int64)
        self.has_nulls = len(self.null_rows) > 0

    def read(self, start: int, stop: int) -> Any:
        if start >= stop:
            return pa.array([], pa.string())
        first = max(start - 1, 0)
        ends = self._ends.read(8 * first, 8 * stop).view("<i8")
        if start == 0:
            ends = np.concatenate([[0], ends])
        data = self._data.read(int(ends[0]), int(ends[-1])).tobytes()
        cuts = (ends - ends[0]).tolist()
        known: dict[bytes, str] = {}
        out: list[str | None] = []
        try:
            for a, b in itertools.pairwise(cuts):
                if a == b:
                    out.append(None)
                    continue
                document = data[a:b]
                text = known.get(document)
                if text is None:
                    text = known[document] = document_text(document)
                    if len(known) > 4096:
                        known.clear()
                out.append(text)
        except SmileError as e:
            raise SegmentFormatError(str(e)) from e
        return pa.array(out, pa.string())


class BlockFile:
    """A stream of bytes cut into compressed blocks of 64 KiB (2.11)."""

    def __init__(self, cursor: Cursor) -> None:
        version = cursor.u8()
        if version != 1:
            raise SegmentFormatError(f"A file of blocks of unknown version [{version}]")
        self._codec = cursor.u8()
        if cursor.be32() != BLOCK_BYTES:
            raise SegmentFormatError("A file of blocks has blocks of another size than 65536")
        count = cursor.be32()
        ends = cursor.array("<i4", count).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        base = cursor.at
        self._blocks = [cursor.data[base + a : base + b] for a, b in zip(starts.tolist(), ends.tolist())]

    def read(self, start: int, stop: int) -> Array:
        """Bytes [start, stop), which must exist."""
        if start >= stop:
            return np.zeros(0, np.uint8)
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        base = first * BLOCK_BYTES
        out = np.empty(stop - base, np.uint8)
        for i in range(first, last + 1):
            part = out[i * BLOCK_BYTES - base : (i + 1) * BLOCK_BYTES - base]
            if len(part) == BLOCK_BYTES or i < len(self._blocks) - 1:
                whole = part if len(part) == BLOCK_BYTES else np.empty(BLOCK_BYTES, np.uint8)
                decompress_into(self._codec, self._blocks[i], whole)
                if whole is not part:
                    part[:] = whole[: len(part)]
            else:
                _last_block(self._codec, self._blocks[i], part)
        return out[start - base :]


def _last_block(codec: int, block: memoryview, out: Array) -> None:
    """Fill `out` with the start of a block whose full size is not known."""
    from msq.segment.compression import LZ4
    from msq.segment.reader.complex import lz4_size

    if codec == LZ4:
        whole = np.empty(lz4_size(block), np.uint8)
        decompress_into(codec, block, whole)
        out[:] = whole[: len(out)]
    else:
        decompress_into(codec, block, out)
