"""Text keys grouped by their places in a dictionary.

Every segment has a dictionary of its own, so that DuckDB must hash texts. Blocks of batches are given one dictionary
for all their rows; DuckDB groups numbers then, and only the groups get their texts back. It pays where a dictionary is
neither so small that DuckDB finds its texts at once, nor so large that most rows have texts of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from msq.aggregate.base import combine, quote
from msq.aggregate.layout import Layout
from msq.aggregate.rows import codes_name
from msq.datatypes import LONG, STRING
from msq.expr.lower import InputColumn
from msq.native.query import DefaultDimensionSpec

BLOCK_ROWS = 8_000_000
_FEWEST_TEXTS = 256
_ROWS_A_TEXT = 4
"""At least so many rows of a batch for each text of its dictionary, or the texts are left as they are."""


def coded_columns(keys: Sequence[DefaultDimensionSpec], virtual: Sequence[str], first: pa.RecordBatch) -> list[str]:
    """The columns among `keys` that are worth it by the dictionaries of the first batch."""
    wanted = []
    for spec in keys:
        at = first.schema.get_field_index(spec.dimension)
        if at < 0 or spec.dimension in virtual or spec.output_type != STRING or spec.dimension in wanted:
            continue
        column = first.column(at)
        if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
            texts = len(column.dictionary)
            if texts > _FEWEST_TEXTS and texts * _ROWS_A_TEXT <= first.num_rows:
                wanted.append(spec.dimension)
    return wanted


@dataclass(frozen=True)
class Coded:
    """A block of rows with columns of places beside the texts, and the texts by column."""

    table: pa.Table
    texts: Mapping[str, pa.Array]


def with_places(layout: Layout, columns: Sequence[str]) -> Layout:
    """The layout of blocks."""
    schema, known = layout.schema, dict(layout.columns)
    for name in columns:
        schema = schema.append(pa.field(codes_name(name), pa.int32()))
        known[codes_name(name)] = InputColumn(quote(codes_name(name)), LONG)
    return Layout(schema, known)


def by_places(keys: Sequence[DefaultDimensionSpec], columns: Sequence[str]) -> tuple[DefaultDimensionSpec, ...]:
    """The keys, those over `columns` as places."""
    return tuple(
        replace(k, dimension=codes_name(k.dimension), output_type=LONG) if k.dimension in columns else k for k in keys
    )


def blocks(
    stream: Iterator[pa.RecordBatch], schema: pa.Schema, columns: Sequence[str], max_bytes: int
) -> Iterator[Coded]:
    """The stream in blocks of at most about `max_bytes`."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in stream:
        held.append(batch)
        rows += batch.num_rows
        size += sum(_own_bytes(c) for c in batch.columns)
        if rows >= BLOCK_ROWS or size >= max_bytes:
            yield _coded(held, schema, columns)
            held, rows, size = [], 0, 0
    if held:
        yield _coded(held, schema, columns)


def _own_bytes(column: pa.Array) -> int:
    # batches of a segment share its dictionary
    return int(column.indices.nbytes if pa.types.is_dictionary(column.type) else column.nbytes)


def _coded(held: Sequence[pa.RecordBatch], schema: pa.Schema, columns: Sequence[str]) -> Coded:
    table = pa.Table.from_batches(held, schema)
    texts = {}
    for name in columns:
        unified = table.column(name).unify_dictionaries()
        texts[name] = unified.chunk(0).dictionary
        places = pa.chunked_array([chunk.indices.cast(pa.int32()) for chunk in unified.chunks], pa.int32())
        table = table.append_column(codes_name(name), places)
    return Coded(table, texts)


def with_texts(
    batch: pa.RecordBatch, keys: Sequence[DefaultDimensionSpec], texts: Mapping[str, pa.Array]
) -> pa.RecordBatch:
    """A result of keys by place, the keys first, with texts again."""
    columns = list(batch.columns)
    names = list(batch.schema.names)
    for number, spec in enumerate(keys):
        if spec.dimension in texts:
            columns[number] = combine(texts[spec.dimension].take(columns[number]))
    return pa.record_batch(columns, names=names)
