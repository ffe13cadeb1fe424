"""Reading external data: a source's items, in a format, as Arrow batches of a signature's columns."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import RowSignature
from msq.faults import InvalidNullByteFault, MSQError
from msq.formats import convert
from msq.formats.base import InputFormat, ReadOptions, ReadRequest, ReadSink
from msq.formats.text import Batches, read_text
from msq.sources.base import InputItem, InputSource, reading

__all__ = ["ReadOptions", "ReadSink", "read_external"]

_NUL = "\0"


def read_external(
    source: InputSource, input_format: InputFormat, signature: RowSignature, *, columns: Sequence[str] | None,
    items: Sequence[InputItem], options: ReadOptions, sink: ReadSink,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """The rows of `items` (of `source.list`) in order, as batches that hold just `columns` (None: all), in that order.

    Values are laid out as `msq.datatypes` says; a STRING column is `list<string>` in batches where a row holds several
    values. Rows that cannot be parsed go to `sink.bad_row` and are left out. Raises MSQError: InvalidNullByte for a NUL
    in a string, UnknownError for damage below the rows (missing or broken files, lost connections). Closing the
    generator early ends the threads behind it.
    """
    names = tuple(signature.names if columns is None else columns)
    system = [n for n in names if n in (source.system_fields or ())]
    request = ReadRequest(source, signature, tuple(n for n in names if n not in system), options, sink)
    rows = 0
    with closing(_batches(request, input_format, items)) as batches:
        for item, batch in batches:
            if system:
                batch = _with_system(batch, source, item, system, names)
            yield _check_null_bytes(batch, request, rows)
            rows += batch.num_rows


def _batches(request: ReadRequest, input_format: InputFormat, items: Sequence[InputItem]) -> Batches:
    for itself, group in groupby(items, request.source.reads_itself):
        reader = None if itself else input_format.text_reader(request)
        if reader is not None:
            with closing(read_text(request, list(group), reader)) as batches:
                yield from batches
            continue
        for item in group:
            read = request.source.rows(item, request) if itself else input_format.read_item(request, item)
            yield from _rows(request, item, read)


def _rows(request: ReadRequest, item: InputItem, read: Generator[pa.RecordBatch, None, None]) -> Batches:
    sink, counted = request.sink, request.source.counted
    sink.check_cancelled()
    with reading(item), closing(read) as batches:
        for batch in batches:
            sink.check_cancelled()
            if counted:
                sink.rows(batch.num_rows)
            yield item, batch
    if counted:
        sink.file_done()


def _with_system(
    batch: pa.RecordBatch, source: InputSource, item: InputItem, system: Sequence[str], names: Sequence[str]
) -> pa.RecordBatch:
    have = dict(zip(batch.schema.names, batch.columns))
    for name in system:
        have[name] = pa.repeat(pa.scalar(source.system_value(item, name), pa.string()), batch.num_rows)
    return convert.with_rows([have[n] for n in names], names, batch.num_rows)


def _check_null_bytes(batch: pa.RecordBatch, request: ReadRequest, rows_before: int) -> pa.RecordBatch:
    """The batch without NUL characters, or the fault they are."""
    options = request.options
    for at, name in enumerate(batch.schema.names):
        column = batch.column(at)
        if options.null_byte_columns is not None and name not in options.null_byte_columns:
            continue
        texts = column.flatten() if pa.types.is_list(column.type) else column
        if not pa.types.is_string(texts.type):
            continue
        row = convert.find_null_byte(texts)
        if row is None:
            continue
        if not options.remove_null_bytes:
            value = texts[row].as_py()
            if pa.types.is_list(column.type):
                row = pc.list_parent_indices(column)[row].as_py()
            raise MSQError(
                InvalidNullByteFault(
                    source=f"external input source: {request.source.describe()}", row_number=rows_before + row + 1,
                    column=name, value=value, position=value.index(_NUL),
                )
            )  # fmt: skip
        clean = pc.replace_substring(texts, _NUL, "")
        if pa.types.is_list(column.type):
            parents = column.flatten()
            assert len(parents) == len(clean)
            clean = convert.relisted(column, clean)
        batch = batch.set_column(at, name, clean)
    return batch
