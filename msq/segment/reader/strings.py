"""String dimensions: dictionary, ids, rows of several values in all layouts, and the index of bitmaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import STRING
from msq.segment.reader.generic import (
    Array,
    Cursor,
    GenericList,
    IdColumn,
    IntColumn,
    bitmap_rows,
    read_dictionary,
    widen,
)
from msq.segment.reader.smoosh import SegmentFormatError

_MULTI, _MULTI_V3, _NO_INDEX = 1, 2, 4


class MultiIds:
    """Ids of rows that hold several: `read` gives (offsets from 0, ids)."""

    def __init__(self, cursor: Cursor, layout: str) -> None:
        self._flat: Array | None = None
        if layout == "plain":
            _version, width = cursor.u8(), cursor.u8()
            _size, self.rows = cursor.be32(), cursor.be32()
            ends = cursor.array(">i4", self.rows).astype(np.int64) // width
            self._plain_offsets = np.concatenate([[0], ends])
            self._flat = widen(
                np.frombuffer(cursor.take(int(ends[-1]) * width if self.rows else 0), np.uint8), width, "big"
            )
            cursor.take(4 - width)
            return
        version = cursor.u8()
        if version != (3 if layout == "v3" else 2):
            raise SegmentFormatError(f"Rows of several values in unknown version [{version}]")
        self._offsets: IntColumn | IdColumn = IntColumn(cursor) if layout == "v3" else IdColumn(cursor)
        self._ids = IdColumn(cursor)
        self.rows = self._offsets.count - 1

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        if self._flat is not None:
            offsets = self._plain_offsets[start : stop + 1]
            return offsets - offsets[0], self._flat[offsets[0] : offsets[-1]]
        offsets = self._offsets.read(start, stop + 1).astype(np.int64)
        return offsets - offsets[0], self._ids.read(int(offsets[0]), int(offsets[-1]))


class StringColumn:
    """A string dimension. `read` gives a dictionary array, or `list<string>` when rows may hold several values."""

    type = STRING

    def __init__(self, cursor: Cursor, part: dict[str, Any], multi: bool) -> None:
        version = cursor.u8()
        flags = cursor.be32() if version >= 2 else (_MULTI if version == 1 else 0)
        if version > 3:
            raise SegmentFormatError(f"A string column of unknown version [{version}]")
        self._dictionary = read_dictionary(cursor)
        self.has_null = self._dictionary.has_null
        self._single: IdColumn | None = None
        self._multi: MultiIds | None = None
        self.has_multiple_values = bool(flags & (_MULTI | _MULTI_V3))
        if self.has_multiple_values:
            layout = "plain" if version in (1, 3) else "v3" if flags & _MULTI_V3 else "v2"
            self._multi = MultiIds(cursor, layout)
            self.rows = self._multi.rows
        else:
            self._single = IdColumn(cursor)
            self.rows = self._single.count
        self.encoding = "dictionary"
        roaring = (part.get("bitmapSerdeFactory") or {}).get("type") == "roaring"
        self.has_bitmap = not flags & _NO_INDEX
        self._bitmaps = GenericList(cursor) if self.has_bitmap and roaring else None
        self.cardinality = self._dictionary.count + self.has_null
        self.has_nulls = self.has_null

    @property
    def values(self) -> Any:
        """The dictionary without null, as an Arrow array of texts."""
        return self._dictionary.texts

    def rows_of(self, value_id: int) -> Array:
        """Rows of dictionary id `value_id` by the index. Raises SegmentFormatError when there is no roaring index."""
        if self._bitmaps is None:
            raise SegmentFormatError("The column has no index of roaring bitmaps")
        return bitmap_rows(self._bitmaps[value_id])

    def read(self, start: int, stop: int) -> Any:
        if self._single is not None:
            ids = self._single.read(start, stop)
            return dictionary_array(ids, self.values, self.has_null)
        assert self._multi is not None
        offsets, ids = self._multi.read(start, stop)
        flat = dictionary_array(ids, self.values, self.has_null).dictionary_decode()
        nulls = None
        if self.has_null:
            lengths = np.diff(offsets)
            first = np.append(ids, 0)[offsets[:-1]]
            nulls = (lengths == 0) | ((lengths == 1) & (first == 0))
        return list_array(offsets, flat, nulls)


def dictionary_array(ids: Array, values: Any, has_null: bool) -> Any:
    if not has_null:
        return pa.DictionaryArray.from_arrays(pa.array(ids), values, safe=False)
    return pa.DictionaryArray.from_arrays(pa.array(ids - 1, mask=ids == 0), values, safe=False)


def list_array(offsets: Array, flat: Any, nulls: Array | None) -> Any:
    """Lists over `flat`; rows of `nulls` are null and hold nothing."""
    if nulls is None or not nulls.any():
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    keep = np.repeat(~nulls, np.diff(offsets))
    if not keep.all():
        flat = flat.filter(pa.array(keep))
        lengths = np.where(nulls, 0, np.diff(offsets))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, mask=pa.array(nulls))


class NullColumn:
    """A string dimension without any value."""

    type = STRING
    cardinality = 1
    has_bitmap = False
    has_nulls = True
    has_multiple_values = False
    encoding = "null"

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def read(self, start: int, stop: int) -> Any:
        return pa.nulls(stop - start, pa.string())
