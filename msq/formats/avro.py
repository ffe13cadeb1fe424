"""Avro object container files. Logical types are ignored: a timestamp is its number."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import pyarrow as pa

from msq.codec import CodecError, wire
from msq.datatypes import STRING
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import local_copy
from msq.formats.flatten import FlattenSpec, places
from msq.formats.parquet import walk
from msq.sources.base import InputItem

_BATCH = 8_192


@dataclass(frozen=True)
class AvroInputFormat(InputFormat, tag="avro_ocf"):
    """`schema` is a reader schema. `extract_unions_by_type` is refused when set."""

    flatten_spec: FlattenSpec | None = None
    schema: dict[str, Any] | None = None
    binary_as_string: bool = wire(default=False, omit=lambda v: not v)
    extract_unions_by_type: bool = wire(default=False, omit=lambda v: not v)

    compressed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.extract_unions_by_type:
            raise CodecError("[extractUnionsByType] of input format [avro_ocf] is not supported")

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        wanted = places(self.flatten_spec, request.columns)
        with local_copy(request, item) as path, open(path, "rb") as file:
            records = self._records(file)
            while chunk := list(islice(records, min(_BATCH, request.options.max_batch_rows))):
                arrays = []
                for name in request.columns:
                    place = wanted[name]
                    if place.find is not None:
                        cells = [place.find(self._value(record)) for record in chunk]
                        arrays.append(convert.typed_array(cells, request.signature.type_of(name) or STRING))
                        continue
                    cells = [record.get(place.key or "") for record in chunk]
                    if place.steps or self.binary_as_string:
                        cells = [walk(self._value(cell), place.steps) for cell in cells]
                    arrays.append(convert.typed_array(cells, request.signature.type_of(name) or STRING))
                yield convert.with_rows(arrays, request.columns, len(chunk))

    def _records(self, file: Any) -> Iterator[dict[str, Any]]:
        import fastavro

        blocks = fastavro.block_reader(file)
        written = fastavro.parse_schema(_without_logical_types(blocks.writer_schema))
        wanted = None if self.schema is None else fastavro.parse_schema(_without_logical_types(self.schema))
        for block in blocks:
            packed: Any = block  # its unpacked bytes are public and missing from the annotations
            for _ in range(block.num_records):
                record = fastavro.schemaless_reader(packed.bytes_, written, wanted)
                yield record if isinstance(record, dict) else {}

    def _value(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace") if self.binary_as_string else value
        if isinstance(value, list):
            return [self._value(v) for v in value]
        if isinstance(value, dict):
            return {k: self._value(v) for k, v in value.items()}
        return value


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(s) for s in schema]
    if isinstance(schema, dict):
        dropped = ("logicalType", "__fastavro_parsed__", "__named_schemas")
        return {k: _without_logical_types(v) for k, v in schema.items() if k not in dropped}
    return schema
