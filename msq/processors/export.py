"""The `exportResults` processor: one file for each partition of a stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import ColumnType
from msq.expr.printer import double_text
from msq.faults import MSQError, UnknownFault
from msq.frame.frame import split_rows
from msq.protocol import ExecutionContext, OutputBatch
from msq.results import ResultColumn, ResultsContext, column_values
from msq.stage.destination import ColumnMapping
from msq.stage.query import StageProcessor
from msq.storage import StorageError
from msq.storage.exports import export_folder
from msq.storage.folders import Folder

_LINE_BYTES = 128 << 20
"""Bytes of rows that are turned into lines at once."""


@dataclass(frozen=True)
class ExportResultsProcessor(StageProcessor, tag="exportResults"):
    """`results_context`: `{"sqlTypeNames":[..],"sqlResultsContext":{"timeZone","stringifyArrays"}}`.

    Yields nothing; its results are the names of the files, which appear whole.
    """

    query_id: str
    export_storage_provider: dict[str, Any]
    export_format: str
    column_mappings: tuple[ColumnMapping, ...]
    results_context: dict[str, Any]

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        folder = self._folder(ctx)
        readable = ctx.inputs[0]
        columns = self._columns(readable.signature.type_of)
        partitions: Sequence[int] = readable.partitions
        if not partitions and ctx.worker_number == 0:
            partitions = (0,)  # an empty result is a file with a header
        for partition in partitions:
            name = f"{file_prefix(self.query_id)}{ctx.worker_number}-partition{partition}.csv"
            rows = self._write(ctx, folder, name, partition, columns)
            if rows:
                ctx.counters.channel("output").add(partition, rows=rows)
            ctx.add_result(name)
        yield from ()

    def _folder(self, ctx: ExecutionContext) -> Folder:
        if self.export_format != "csv":
            raise MSQError(UnknownFault(f"Export format [{self.export_format}] is not supported: use [csv]"))
        access = ctx.services.get("source_access")
        try:
            return export_folder(self.export_storage_provider, access.stores if access else {}, ctx.temp_dir)
        except StorageError as error:
            raise MSQError(UnknownFault(str(error))) from error

    def _columns(self, type_of: Any) -> list[ResultColumn]:
        made = []
        for mapping, sql_type in zip(self.column_mappings, self.results_context["sqlTypeNames"]):
            kind: ColumnType | None = type_of(mapping.query_column)
            if kind is None:
                raise ValueError(f"The exported stage has no column [{mapping.query_column}]")
            made.append(ResultColumn(mapping.query_column, mapping.output_column, kind, sql_type))
        return made

    def _write(
        self, ctx: ExecutionContext, folder: Folder, name: str, partition: int, columns: Sequence[ResultColumn]
    ) -> int:
        """Writes one file, which appears when it is whole; answers its rows."""
        context = ResultsContext.of(self.results_context.get("sqlResultsContext") or {})
        readable = ctx.inputs[0]
        wanted = list(dict.fromkeys(c.query_column for c in columns))
        rows = 0
        with folder.writer(name) as sink:
            _append(sink, [pa.array([c.name]) for c in columns])
            if partition in readable.partitions:
                for batch in readable.read(partition, wanted):
                    ctx.check_cancelled()
                    rows += batch.num_rows
                    for part in split_rows(batch, batch.num_rows, _LINE_BYTES):
                        _append(sink, [_texts(part.column(c.query_column), c, context) for c in columns])
            sink.write(b"\n")  # as in Druid, an empty line ends the file
        return rows


def file_prefix(query_id: str) -> str:
    """How the names of all files of an export begin; the worker's number follows."""
    return f"{query_id}-worker"


def _append(sink: Any, columns: Sequence[Any]) -> None:
    """Rows as CSV lines; values are quoted where they must be, and null is empty."""
    ends = [*(_quoted(c) for c in columns[:-1]), pc.binary_join_element_wise(
        _quoted(columns[-1]), "\n", "", null_handling="replace", null_replacement=""
    )]  # fmt: skip
    lines = pc.binary_join_element_wise(*ends, ",", null_handling="replace", null_replacement="")
    if len(lines):
        _, offsets, data = lines.buffers()
        cuts = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
        sink.write(memoryview(data)[int(cuts[0]) : int(cuts[-1])])


def _quoted(texts: Any) -> Any:
    special = pc.match_substring_regex(texts, '[",\n\r]')
    if not pc.any(special).as_py():
        return texts
    marked = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, marked, texts)


def _texts(array: Any, column: ResultColumn, context: ResultsContext) -> Any:
    """The column as texts, printed as in a task report; null stays null."""
    kind = array.type
    plain = column.sql_type not in ("TIMESTAMP", "DATE", "BOOLEAN", "OTHER")
    if plain and pa.types.is_string(kind):
        return array
    if plain and pa.types.is_integer(kind):
        return array.cast(pa.string())
    if plain and pa.types.is_floating(kind):
        codes = array.dictionary_encode()
        printed = pa.array([double_text(float(v)) for v in codes.dictionary.to_pylist()], pa.string())
        return printed.take(codes.indices)
    values = column_values(array, column, context)
    return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
