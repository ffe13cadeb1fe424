"""Writes Druid V9 segments from Arrow tables, column by column.

Owns the order of rows and files and the roles of columns; how one kind of column is laid out stands in the modules
beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import LONG
from msq.faults import InsertTimeNullFault, MSQError
from msq.intervals import Interval
from msq.segment.compression import DEFAULT_LZ4_LEVEL
from msq.segment.schema import TIME, SegmentSchema
from msq.segment.writer.columns import numbers_and_nulls, numeric_column
from msq.segment.writer.dimensions import Written, codecs_of, sort_keys, sortable, write_dimension, write_metric
from msq.segment.writer.index import index_file, metadata_file
from msq.segment.writer.smoosh import MAX_CHUNK_BYTES, SmooshWriter
from msq.segment.writer.sort import SortKey, number_keys, sort_order

__all__ = ["WrittenSegment", "sort_rows", "write_segment"]


@dataclass(frozen=True)
class WrittenSegment:
    """What stands in the folder: bytes of all files, rows, and the columns as a `DataSegment` lists them."""

    size: int
    rows: int
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    column_bytes: dict[str, int]


def write_segment(
    folder: Path, rows: Any, schema: SegmentSchema, interval: Interval, *, is_sorted: bool = False,
    lz4_level: int = DEFAULT_LZ4_LEVEL, max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> WrittenSegment:  # fmt: skip
    """Write the Arrow table `rows` as one segment into `folder` (made when missing, else empty).

    `rows` holds every column of `schema` by its output name and `__time` as int64 ms; strings as `string`, dictionaries
    or lists, arrays as lists, JSON as text, complex values as binary in their own form. `interval` is the one of the
    segment's id, which all times must lie in. `is_sorted` promises the order of `sort_rows`; otherwise rows are sorted
    here. Raises MSQError(InsertTimeNullFault) for a null time, ValueError for no rows or what cannot be stored, and
    SegmentTooLargeError beyond 2 GiB a column.
    """
    if rows.num_rows == 0:
        raise ValueError("A segment cannot be empty")
    missing = [name for name in schema.column_names if name not in rows.column_names]
    if missing:
        raise ValueError(f"Columns [{', '.join(missing)}] of the segment are not among the rows' {rows.column_names}")
    if not is_sorted:
        rows = sort_rows(rows, schema)
    times, nulls = numbers_and_nulls(rows.column(TIME), LONG)
    if len(nulls):
        raise MSQError(InsertTimeNullFault())
    first, last = (times[0], times[-1]) if schema.time_position == 0 else (times.min(), times.max())
    if first < interval.start or last >= interval.end:
        raise ValueError(f"Rows with times from [{first}] to [{last}] do not fit the segment's interval [{interval}]")

    sizes: dict[str, int] = {}
    null_only: set[str] = set()
    spec = schema.index_spec
    metrics = schema.stored_metrics
    with SmooshWriter(folder, max_chunk_bytes) as out:

        def add(name: str, written: Written) -> None:
            sizes[name] = sum([out.add(name, written.parts)] + [out.add(n, p) for n, p in written.side_files])
            if written.null_only:
                null_only.add(name)

        codecs = codecs_of(spec.metric_compression, lz4_level)
        add(TIME, Written(numeric_column(times, nulls, "LONG", codecs, spec.long_encoding)))
        for metric in metrics:
            add(metric.name, write_metric(rows.column(metric.name), metric, spec, lz4_level))
        for dimension in schema.dimensions:
            add(dimension.name, write_dimension(rows.column(dimension.name), dimension, spec, lz4_level))
        names = [d.name for d in schema.dimensions]
        out.add("index.drd", [index_file([m.name for m in metrics], names, null_only, interval)])
        ordering = sortable(schema, rows)
        aggregators = [m.combining for m in metrics]
        out.add("metadata.drd", [metadata_file(aggregators, schema.query_granularity, schema.rollup, ordering)])
        size = out.close()
    return WrittenSegment(size, rows.num_rows, tuple(names), tuple(m.name for m in schema.metrics), sizes)


def sort_rows(table: Any, schema: SegmentSchema) -> Any:
    """`table` in the segment's order: `__time` (at its place) and all dimensions ascending, nulls first.

    String columns come back dictionary-encoded with a sorted dictionary, so that writing them costs no second encoding.
    A null time sorts first. Dimensions behind a JSON column do not take part: JSON has no order here.
    """
    keys: list[SortKey] = []
    columns = {name: table.column(name) for name in table.column_names}
    dimensions = {d.name: d for d in schema.dimensions}
    wanted = set(sortable(schema, table))
    encoded: dict[str, Any] = {}
    for name in schema.sort_names:
        if name == TIME:
            keys += number_keys(*numbers_and_nulls(columns[TIME], LONG))
            continue
        made, its_keys = sort_keys(columns[name], dimensions[name])
        encoded[name] = made
        if name in wanted:
            keys += its_keys
    order = sort_order(keys, table.num_rows)
    out = []
    take = None if order is None else pa.array(order)
    for name in table.column_names:
        made = encoded.get(name)
        if made is not None:
            out.append(made.to_arrow() if order is None else made.take(order).to_arrow())
        else:
            out.append(columns[name] if take is None else columns[name].take(take))
    return pa.table(out, names=table.column_names)
