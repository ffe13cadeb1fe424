"""Parquet files."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from msq.codec import wire
from msq.datatypes import STRING, ColumnType, arrow_type
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import ArrowColumns, damage, local_copy, undamaged
from msq.formats.flatten import FlattenSpec, Place, places, refuse_jq
from msq.mapped import let_go, map_file
from msq.sources.base import InputItem


@dataclass(frozen=True)
class ParquetInputFormat(InputFormat, tag="parquet"):
    flatten_spec: FlattenSpec | None = None
    binary_as_string: bool = wire(default=False, omit=lambda v: not v)

    compressed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_jq(self.flatten_spec, "Parquet")

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow.parquet as pq

        builder = RecordBuilder(request, self.flatten_spec, ArrowColumns(self.binary_as_string, True))
        with local_copy(request, item) as path:
            with damage():
                source = pa.BufferReader(pa.py_buffer(map_file(path)))
                metadata = pq.read_metadata(source)
                file = pq.ParquetFile(
                    source, metadata=metadata, coerce_int96_timestamp_unit="ms",
                    read_dictionary=repeating_texts(metadata),
                )  # fmt: skip
            with file:
                rows, threads = request.options.max_batch_rows, request.options.threads > 1
                with damage():
                    present = builder.present(file.schema_arrow.names)
                    batches = file.iter_batches(batch_size=rows, columns=present, use_threads=threads)
                for batch in undamaged(iter(batches)):
                    yield builder.batch(batch)
                    let_go()


_LARGE_GROUP = 32_768
_SMALL_DICTIONARY = 64 << 10


def repeating_texts(metadata: Any) -> list[str]:
    """Text columns that every row group of a file stores as a small dictionary: they are read as one, which saves
    making each text and then finding the few different ones again. None in files of small row groups, which would give
    many of them."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if not groups or metadata.num_rows < _LARGE_GROUP * len(groups):
        return []

    def repeats(chunk: Any) -> bool:
        start = chunk.dictionary_page_offset
        return start is not None and 0 < chunk.data_page_offset - start <= _SMALL_DICTIONARY

    return [
        chunk.path_in_schema
        for number, chunk in enumerate(groups[0].column(n) for n in range(metadata.num_columns))
        if chunk.physical_type == "BYTE_ARRAY" and "." not in chunk.path_in_schema
        and all(repeats(group.column(number)) for group in groups)
    ]  # fmt: skip


class RecordBuilder:
    """Makes batches of the requested columns out of batches of a file's own columns."""

    def __init__(self, request: ReadRequest, spec: FlattenSpec | None, columns: ArrowColumns) -> None:
        self._request = request
        self._places = places(spec, request.columns)
        self._columns = columns
        self._whole = any(p.find is not None for p in self._places.values())
        self._keys = {p.key for p in self._places.values() if p.key is not None}

    def present(self, names: Sequence[str]) -> list[str]:
        """Which of a file's columns are needed."""
        return [n for n in names if self._whole or n in self._keys]

    def batch(self, found: pa.RecordBatch) -> pa.RecordBatch:
        rows = found.num_rows
        arrays = []
        records = self._records(found) if self._whole else []
        for name in self._request.columns:
            declared: ColumnType = self._request.signature.type_of(name) or STRING
            place = self._places[name]
            if place.find is not None:
                arrays.append(convert.typed_array([place.find(r) for r in records], declared))
                continue
            at = found.schema.get_field_index(place.key) if place.key is not None else -1
            if at < 0:
                arrays.append(pa.nulls(rows, arrow_type(declared)))
            else:
                arrays.append(self._at(found.column(at), place, declared))
        return convert.with_rows(arrays, self._request.columns, rows)

    def _records(self, found: pa.RecordBatch) -> list[dict[str, Any]]:
        kinds = {f.name: f.type for f in found.schema}
        return [{n: self._columns.value(v, kinds[n]) for n, v in row.items()} for row in found.to_pylist()]

    def _at(self, column: pa.Array, place: Place, declared: ColumnType) -> pa.Array:
        for done, step in enumerate(place.steps):
            kind = column.type
            if pa.types.is_struct(kind) and isinstance(step, str):
                if kind.get_field_index(step) < 0:
                    return pa.nulls(len(column), arrow_type(declared))
                column = pc.struct_field(column, step)
                continue
            steps = place.steps[done:]
            cells = [walk(self._columns.value(v, kind), steps) for v in column.to_pylist()]
            return convert.typed_array(cells, declared)
        return self._columns.typed(column, declared)


def walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    """What lies at `steps` below a value; None where there is nothing."""
    for step in steps:
        if isinstance(step, int) and isinstance(value, list):
            value = value[step] if -len(value) <= step < len(value) else None
        elif isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value
