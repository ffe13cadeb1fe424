"""Avro object container files. Logical types are ignored: a timestamp is its number."""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from msq.codec import wire
from msq.datatypes import STRING, ColumnType
from msq.formats import convert
from msq.formats.avro_values import UnionsByType, Value, plain_values, without_logical_types
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import ArrowColumns, damage, local_copy
from msq.formats.flatten import FlattenSpec, Place, paths_of_whole_records, places, refuse_jq
from msq.formats.parquet import walk
from msq.sources.base import InputItem

_BATCH = 8_192
_BUFFER = 1 << 20
_HEADER = {
    "type": "record", "name": "Header", "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "Magic", "size": 4}},
        {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "Sync", "size": 16}},
    ],
}  # fmt: skip
_FLOAT = pa.float32()


@dataclass(frozen=True)
class AvroInputFormat(InputFormat, tag="avro_ocf"):
    """`schema` is a reader schema. extract_unions_by_type: paths of a flattenSpec see the branches of a union by name
    (`$.field.long`)."""

    flatten_spec: FlattenSpec | None = None
    schema: dict[str, Any] | None = None
    binary_as_string: bool = wire(default=False, omit=lambda v: not v)
    extract_unions_by_type: bool = wire(default=False, omit=lambda v: not v)

    def __post_init__(self) -> None:
        refuse_jq(self.flatten_spec, "Avro")

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        size = min(_BATCH, request.options.max_batch_rows)
        with local_copy(request, item) as path, open(path, "rb") as file:
            with damage():
                records = _Records(file, self.schema, self.extract_unions_by_type)
            columns = _Columns(self, request, records)
            while True:
                with damage():
                    chunk = list(islice(records.rows, size))
                if not chunk:
                    return
                arrays = [columns.array(chunk, name) for name in request.columns]
                yield convert.with_rows(arrays, request.columns, len(chunk))


class _Records:
    """The records of a file; `floats`: fields of 32-bit numbers, which Java prints by fewer digits."""

    def __init__(self, file: Any, schema: dict[str, Any] | None, named: bool) -> None:
        import fastavro

        stored, stream = _plain_header(file)
        asked = stored if schema is None else without_logical_types(schema)
        self.unions = UnionsByType(asked) if named else None
        self.rows: Iterator[Any] = iter(
            fastavro.reader(
                stream, None if schema is None else asked, return_record_name=named, return_named_type=named
            )
        )
        fields = asked.get("fields") or () if isinstance(asked, dict) else ()
        self.floats = {f["name"] for f in fields if f["type"] in ("float", ["null", "float"], ["float", "null"])}


class _Columns:
    """Makes the columns of a chunk of records."""

    def __init__(self, form: AvroInputFormat, request: ReadRequest, records: _Records) -> None:
        self._request = request
        self._records = records
        self._places = places(form.flatten_spec, request.columns)
        if form.extract_unions_by_type:
            self._places |= paths_of_whole_records(form.flatten_spec, request.columns)
        self._plain: Value = plain_values(form.binary_as_string)
        self._arrow = ArrowColumns(form.binary_as_string, False)

    def array(self, chunk: list[Any], name: str) -> pa.Array:
        place = self._places[name]
        declared = self._request.signature.type_of(name) or STRING
        unions = self._records.unions
        if place.find is not None:
            wholes = chunk if unions is None else map(unions, chunk)
            return convert.typed_array([place.find(self._plain(whole)) for whole in wholes], declared)
        cells = [record.get(place.key) if isinstance(record, dict) else None for record in chunk]
        if unions is not None:
            cells = [_unnamed(cell) for cell in cells]
        quick = self._quick(cells, place, declared)
        return self._exact(cells, place, declared) if quick is None else quick

    def _quick(self, cells: list[Any], place: Place, declared: ColumnType) -> pa.Array | None:
        """A whole column at once, where its values are of one plain kind."""
        if place.steps:
            return None
        try:
            column = pa.array(cells, _FLOAT if place.key in self._records.floats else None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return None
        return None if pa.types.is_nested(column.type) else self._arrow.typed(column, declared)

    def _exact(self, cells: list[Any], place: Place, declared: ColumnType) -> pa.Array:
        return convert.typed_array([walk(self._plain(cell), place.steps) for cell in cells], declared)


def _plain_header(file: Any) -> tuple[Any, Any]:
    """The writer's schema without logical types, and the file as if that were the schema in its header."""
    import fastavro

    header: Any = fastavro.schemaless_reader(file, _HEADER, None)
    if header["magic"] != b"Obj\x01":
        raise ValueError("not an Avro object container file")
    written = json.loads(header["meta"]["avro.schema"])
    stored = without_logical_types(written)
    header["meta"]["avro.schema"] = json.dumps(stored).encode()
    front = io.BytesIO()
    fastavro.schemaless_writer(front, _HEADER, header)
    return stored, io.BufferedReader(_Joined(front.getvalue(), file), _BUFFER)


class _Joined(io.RawIOBase):
    """Bytes, and then the rest of a file."""

    def __init__(self, front: bytes, rest: Any) -> None:
        super().__init__()
        self._front = memoryview(front)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._front:
            n = min(len(buffer), len(self._front))
            buffer[:n] = self._front[:n]
            self._front = self._front[n:]
            return n
        return self._rest.readinto(buffer) or 0


def _unnamed(value: Any) -> Any:
    """Without the names of the types in unions."""
    if isinstance(value, tuple):
        return _unnamed(value[1])
    if isinstance(value, list):
        return [_unnamed(v) for v in value]
    return {k: _unnamed(v) for k, v in value.items()} if isinstance(value, dict) else value
