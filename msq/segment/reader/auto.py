"""`auto` columns: typed scalars, arrays, variants of several types, and JSON documents."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import DOUBLE, JSON, LONG, STRING, ColumnType
from msq.expr.printer import double_text
from msq.segment.reader.blobs import BlobColumn
from msq.segment.reader.generic import (
    Array,
    Cursor,
    GenericList,
    IdColumn,
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
            self._dictionary = read_dictionary(Cursor(files[f"{name}.__stringDictionary"]))
            size = self._dictionary.count
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
            return dictionary_array(self._ids.read(start, stop), self._dictionary.texts, True)
        values = self._values.read(start, stop)
        if not self.has_nulls:
            return pa.array(values)
        return with_nulls(values, np.flatnonzero(self._ids.read(start, stop) == 0) + start, start, stop)


class ValueDictionaries:
    """The strings, longs, doubles and arrays of a variant, array or JSON column, under one numbering of ids."""

    def __init__(self, files: SmooshReader, name: str) -> None:
        self.strings = read_dictionary(Cursor(files[f"{name}.__stringDictionary"])).texts
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
        self._raw = BlobColumn(files, raw)
        self.rows = self._raw.rows
        nulls = f"{name}.__nullIndex"
        self.null_rows = bitmap_rows(files[nulls][4:]) if nulls in files else np.zeros(0, np.int64)
        self.has_nulls = len(self.null_rows) > 0

    def read(self, start: int, stop: int) -> Any:
        offsets, data = self._raw.read(start, stop)
        raw, cuts = data.tobytes(), offsets.tolist()
        known: dict[bytes, str] = {}
        out: list[str | None] = []
        try:
            for a, b in itertools.pairwise(cuts):
                if a == b:
                    out.append(None)
                    continue
                document = raw[a:b]
                text = known.get(document)
                if text is None:
                    text = known[document] = document_text(document)
                    if len(known) > 4096:
                        known.clear()
                out.append(text)
        except SmileError as e:
            raise SegmentFormatError(str(e)) from e
        return pa.array(out, pa.string())
