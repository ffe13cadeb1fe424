"""Streams of batches cut where their layout changes: which text columns are lists, which are dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import quote
from msq.datatypes import RowSignature
from msq.expr.lower import InputColumn


@dataclass(frozen=True)
class Layout:
    """Arrow schema of a run of batches and its columns as expressions see them."""

    schema: pa.Schema
    columns: Mapping[str, InputColumn]


def layout_of(schema: pa.Schema, signature: RowSignature) -> Layout:
    columns = {}
    for field in schema:
        column_type = signature.type_of(field.name)
        if column_type is not None:
            multi = column_type.kind == "STRING" and _is_list(field.type)
            columns[field.name] = InputColumn(quote(field.name), column_type, multi)
    return Layout(schema, columns)


def runs_of_one_layout(
    batches: Iterator[pa.RecordBatch], signature: RowSignature, check: Callable[[], None]
) -> Iterator[tuple[Layout, Iterator[pa.RecordBatch]]]:
    """Runs of batches with one Arrow schema. A column once seen as a list stays one. Read each run before the next."""
    source = (with_some_column(b) for b in batches if b.num_rows)
    pending = next(source, None)
    lists: set[str] = set()

    def run(first: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        nonlocal pending
        at: pa.RecordBatch | None = first
        while at is not None:
            check()
            lists.update(f.name for f in at.schema if _is_text(f.name, signature) and _is_list(f.type))
            fitted = fit(at, schema, lists)
            if fitted is None:
                break
            yield fitted
            at = next(source, None)
        pending = at

    while pending is not None:
        first = pending
        lists.update(f.name for f in first.schema if _is_text(f.name, signature) and _is_list(f.type))
        schema = pa.schema([(f.name, pa.list_(pa.string()) if f.name in lists else f.type) for f in first.schema])
        stream = run(first, schema)
        yield layout_of(schema, signature), stream
        for _ in stream:  # a reader that stopped early leaves the rest to be skipped
            pass


def fit(batch: pa.RecordBatch, schema: pa.Schema, lists: set[str]) -> pa.RecordBatch | None:
    """The batch in `schema`, plain texts turned into lists or taken out of dictionaries; None when it cannot be."""
    if batch.schema.equals(schema):
        return batch
    columns = []
    for field in schema:
        array = batch.column(batch.schema.get_field_index(field.name))
        if array.type != field.type:
            if field.name in lists and not _is_list(field.type):
                return None
            if pa.types.is_dictionary(field.type):
                array = plain(array).dictionary_encode().cast(field.type)
            elif _is_list(field.type) and not _is_list(array.type):
                array = as_lists(plain(array))
            elif pa.types.is_dictionary(array.type):
                array = plain(array).cast(field.type)
            else:
                array = array.cast(field.type)
        columns.append(array)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def with_some_column(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch; one without columns gets a column of nulls, since its rows still count."""
    if batch.num_columns:
        return batch
    return pa.record_batch([pa.nulls(batch.num_rows, pa.int8())], names=["__row"])


def plain(array: pa.Array) -> pa.Array:
    """The array without its dictionary."""
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def as_lists(array: pa.Array) -> pa.Array:
    """Texts as lists of one; a null stays null."""
    offsets = np.arange(len(array) + 1, dtype=np.int32)
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), array, mask=mask)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(name: str, signature: RowSignature) -> bool:
    found = signature.type_of(name)
    return found is not None and found.kind == "STRING"
