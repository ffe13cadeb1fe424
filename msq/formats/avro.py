"""Avro object container files. Logical types are ignored: a timestamp is its number."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from msq.codec import wire
from msq.datatypes import STRING
from msq.formats import convert
from msq.formats.avro_values import UnionsByType, Value, plain_values, without_logical_types
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import damage, local_copy
from msq.formats.flatten import FlattenSpec, Place, paths_of_whole_records, places, refuse_jq
from msq.formats.parquet import walk
from msq.sources.base import InputItem

_BATCH = 8_192


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
        wanted = places(self.flatten_spec, request.columns)
        if self.extract_unions_by_type:
            wanted |= paths_of_whole_records(self.flatten_spec, request.columns)
        plain = plain_values(self.binary_as_string)
        with local_copy(request, item) as path, open(path, "rb") as file:
            records = self._records(file)
            while chunk := self._chunk(records, min(_BATCH, request.options.max_batch_rows)):
                arrays = []
                for name in request.columns:
                    cells = self._cells(chunk, wanted[name], plain)
                    arrays.append(convert.typed_array(cells, request.signature.type_of(name) or STRING))
                yield convert.with_rows(arrays, request.columns, len(chunk))

    def _chunk(self, records: Iterator[tuple[Any, Any]], size: int) -> list[tuple[Any, Any]]:
        with damage():
            return list(islice(records, size))

    def _cells(self, chunk: list[tuple[Any, Any]], place: Place, plain: Value) -> list[Any]:
        if place.find is not None:
            return [place.find(plain(whole)) for _, whole in chunk]
        cells = (record.get(place.key or "") for record, _ in chunk)
        return [walk(plain(cell), place.steps) for cell in cells]

    def _records(self, file: Any) -> Iterator[tuple[dict[str, Any], Any]]:
        """Each record, and what paths that look at all of it see."""
        import fastavro

        blocks = fastavro.block_reader(file)
        stored = without_logical_types(blocks.writer_schema)
        asked = stored if self.schema is None else without_logical_types(self.schema)
        # parsing twice would know each named type twice
        written = fastavro.parse_schema(stored)
        wanted = None if self.schema is None else fastavro.parse_schema(asked)
        unions = UnionsByType(asked) if self.extract_unions_by_type else None
        named = unions is not None
        for block in blocks:
            packed: Any = block  # its unpacked bytes are public and missing from the annotations
            for _ in range(block.num_records):
                record: Any = fastavro.schemaless_reader(
                    packed.bytes_, written, wanted, return_record_name=named, return_named_type=named
                )
                if not isinstance(record, dict):
                    record = {}
                if unions is None:
                    yield record, record
                else:
                    yield _unnamed(record), unions(record)


def _unnamed(value: Any) -> Any:
    """Without the names of the types in unions."""
    if isinstance(value, tuple):
        return _unnamed(value[1])
    if isinstance(value, list):
        return [_unnamed(v) for v in value]
    return {k: _unnamed(v) for k, v in value.items()} if isinstance(value, dict) else value
