"""A segment opened: its columns by name and role, its rows as Arrow."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from msq.datatypes import ColumnType, RowSignature
from msq.intervals import Interval
from msq.segment.nullable import SPECTATOR_TYPES
from msq.segment.pairs import PAIR_VALUES
from msq.segment.reader.auto import open_auto
from msq.segment.reader.complex import COMPRESSED_COMPLEX, BlobComplexColumn, ComplexColumn, NullableColumn, PairColumn
from msq.segment.reader.generic import Cursor, GenericList
from msq.segment.reader.json_text import as_json_text
from msq.segment.reader.numbers import NumericColumn
from msq.segment.reader.smoosh import SegmentFormatError, SmooshReader
from msq.segment.reader.strings import NullColumn, StringColumn
from msq.segment.schema import TIME
from msq.segment.stored import StoredSchema

# Rows decoded at once by `batches`: whole blocks of every column kind, so that no block is decompressed twice.
_SLAB_ROWS = 262_144


class ColumnReader(Protocol):
    """What every kind of column answers."""

    @property
    def type(self) -> ColumnType: ...

    @property
    def rows(self) -> int: ...

    @property
    def cardinality(self) -> int | None: ...

    @property
    def has_bitmap(self) -> bool: ...

    @property
    def has_nulls(self) -> bool: ...

    @property
    def has_multiple_values(self) -> bool: ...

    @property
    def encoding(self) -> str: ...

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop) as an Arrow array."""


@dataclass(frozen=True)
class ColumnInfo:
    """What is known of a column without reading its rows. `size` is bytes with side files, in compressed form."""

    name: str
    type: ColumnType
    cardinality: int | None
    size: int
    has_bitmap: bool
    has_nulls: bool
    has_multiple_values: bool
    encoding: str


class Segment:
    """A V9 segment. Columns are opened when first named; safe to read from several threads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._files = SmooshReader(folder)
        self._readers: dict[str, ColumnReader] = {}
        self._lock = threading.Lock()
        self.dimensions, self.metrics, self.interval = _roles(Cursor(self._files["index.drd"]))
        self.metadata = _metadata(self._files)
        # `SELECT *` lists time, dimensions, metrics by name
        self.names: tuple[str, ...] = (TIME, *self.dimensions, *self.metrics)
        self.num_rows = self.column(TIME).rows

    def column(self, name: str) -> ColumnReader:
        """The reader of column `name`. Raises KeyError for an unknown one, SegmentFormatError for one that cannot be
        read."""
        if name not in self.names:
            raise KeyError(name)
        with self._lock:
            if name not in self._readers:
                try:
                    self._readers[name] = _open_column(self._files, name)
                except SegmentFormatError as e:
                    raise SegmentFormatError(f"Column [{name}] of segment [{self.path}] cannot be read: {e}") from e
            return self._readers[name]

    @property
    def signature(self) -> RowSignature:
        return RowSignature((n, self.column(n).type) for n in self.names)

    @property
    def stored(self) -> StoredSchema:
        """What the metadata store keeps of the columns."""
        return StoredSchema(self.signature, tuple(n for n in self.names if self.column(n).has_multiple_values))

    @property
    def columns(self) -> Mapping[str, ColumnInfo]:
        return {name: self.info(name) for name in self.names}

    def info(self, name: str) -> ColumnInfo:
        c = self.column(name)
        size = self._files.column_bytes(name)
        return ColumnInfo(
            name, c.type, c.cardinality, size, c.has_bitmap, c.has_nulls, c.has_multiple_values, c.encoding
        )

    def read(self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> Any:
        """Rows [start, stop) of `columns` (all when None) as an Arrow table.

        Strings come as dictionary arrays, or `list<string>` where rows may hold several values; a row of several
        values that holds one null, or nothing, is null.
        """
        names = self.names if columns is None else tuple(columns)
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        start = min(max(start, 0), stop)
        return pa.table([self.column(n).read(start, stop) for n in names], names=list(names))

    def batches(
        self, columns: Sequence[str] | None = None, max_rows: int = 65536, as_json: Collection[str] = ()
    ) -> Iterator[Any]:
        """The rows in order as record batches of at most `max_rows`.

        Columns named in `as_json` come as JSON text whatever this segment stores them as: a JSON column whose values
        are all of one type is stored as a column of that type.
        """
        names = self.names if columns is None else tuple(columns)
        slab = max(_SLAB_ROWS // max_rows, 1) * max_rows
        for start in range(0, self.num_rows, slab):
            stop = min(start + slab, self.num_rows)
            arrays = [self._read(n, start, stop, n in as_json) for n in names]
            for at in range(0, stop - start, max_rows):
                count = min(max_rows, stop - start - at)
                parts = [a.slice(at, count) for a in arrays]
                if parts:
                    yield pa.record_batch(parts, names=list(names))
                else:
                    yield pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))

    def _read(self, name: str, start: int, stop: int, as_json: bool) -> Any:
        column = self.column(name)
        array = column.read(start, stop)
        return as_json_text(array) if as_json and not column.type.is_json else array


def open_segment(path: Path | str) -> Segment:
    """Open the unzipped segment in the folder `path`. Raises SegmentFormatError when it is none."""
    return Segment(Path(path))


def _roles(cursor: Cursor) -> tuple[tuple[str, ...], tuple[str, ...], Interval]:
    """(dimensions, metrics, interval) of an `index.drd`."""
    stored, stored_dimensions = _names(cursor), _names(cursor)
    interval = Interval(cursor.be64(), cursor.be64())
    everything: list[str | None] = [None] * len(stored)
    every_dimension: list[str | None] = [None] * len(stored_dimensions)
    if cursor.left:
        cursor.text()
    if cursor.left:
        everything, every_dimension = _names(cursor), _names(cursor)
    columns = _merged(everything, stored)
    dimensions = _merged(every_dimension, stored_dimensions)
    return dimensions, tuple(c for c in columns if c not in set(dimensions)), interval


def _names(cursor: Cursor) -> list[str | None]:
    items = GenericList(cursor)
    found = (items[i] for i in range(items.count))
    return [None if e is None else str(e, "utf-8") for e in found]


def _merged(listed: list[str | None], stored: list[str | None]) -> tuple[str, ...]:
    rest = iter(stored)
    return tuple(str(name if name is not None else next(rest)) for name in listed)


def _metadata(files: SmooshReader) -> dict[str, Any]:
    """The content of `metadata.drd`; empty when it is absent or no JSON, as Druid takes it."""
    if "metadata.drd" not in files:
        return {}
    try:
        value = json.loads(bytes(files["metadata.drd"]))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _open_column(files: SmooshReader, name: str) -> ColumnReader:
    cursor = Cursor(files[name])
    described = json.loads(cursor.text())
    kind, parts = described["valueType"], described["parts"]
    if len(parts) != 1:
        raise SegmentFormatError(f"it has [{len(parts)}] parts")
    part = parts[0]
    match part["type"]:
        case "stringDictionary":
            return StringColumn(cursor, part, bool(described.get("hasMultipleValues")))
        case "null":
            return NullColumn(part["numRows"])
        case "complex":
            name_of_type = part["typeName"]
            if name_of_type == "json":
                raise SegmentFormatError("nested columns of Druid 24 to 27 (complex type [json]) are not supported")
            if name_of_type in PAIR_VALUES:
                return PairColumn(cursor, name_of_type)
            if name_of_type in SPECTATOR_TYPES:
                return NullableColumn(cursor, name_of_type)
            if cursor.left and cursor.data[cursor.at] == COMPRESSED_COMPLEX:
                return BlobComplexColumn(files, cursor, name_of_type)
            return ComplexColumn(cursor, name_of_type)
        case "long" | "double" | "float" | "longV2" | "doubleV2" | "floatV2":
            return NumericColumn(cursor, kind, part)
        case "nestedCommonFormat":
            column: ColumnReader = open_auto(files, cursor, part)
            return column
        case other:
            raise SegmentFormatError(f"its kind [{other}] is not known")
