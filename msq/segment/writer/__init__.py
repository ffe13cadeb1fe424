"""Writes Druid V9 segments from Arrow tables, column by column.

Owns the order of files and the roles of columns; the order of rows stands in `rows` and `sort`, how one kind of column
is laid out in the modules beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from msq.faults import InsertTimeNullFault, MSQError
from msq.intervals import Interval
from msq.segment.compression import DEFAULT_LZ4_LEVEL
from msq.segment.schema import TIME, MetricSchema, SegmentSchema
from msq.segment.writer.columns import numeric_column
from msq.segment.writer.dimensions import write_metric
from msq.segment.writer.encoding import Encoding, Written
from msq.segment.writer.index import index_file, metadata_file
from msq.segment.writer.rows import SegmentRows
from msq.segment.writer.smoosh import MAX_CHUNK_BYTES, SmooshWriter
from msq.segment.writer.sort import RowOrder

__all__ = ["Combine", "WrittenSegment", "sort_rows", "write_segment"]

Combine = Callable[[MetricSchema, Any, Any], Any]
"""(metric, its values in order, first rows of groups or None) -> the values to store: one a group in a roll-up whose
groups hold several rows, else one a row in the form at rest."""


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
    combine: Combine | None = None, lz4_level: int = DEFAULT_LZ4_LEVEL, max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> WrittenSegment:  # fmt: skip
    """Write the Arrow table `rows` as one segment into `folder` (made when missing, else empty).

    `rows` holds every column of `schema` by its output name and `__time` as int64 ms; strings as `string`, dictionaries
    or lists, arrays as lists, JSON as text, complex values as binary in their own form. `interval` is the one of the
    segment's id, which all times must lie in. `is_sorted` promises the order of `sort_rows`; otherwise rows are put in
    order here. `combine` turns values of metrics into those at rest; with it and a roll-up schema, rows of equal time
    and dimensions become one. Raises MSQError(InsertTimeNullFault) for a null time, ValueError for no rows or what
    cannot be stored, and SegmentTooLargeError beyond 2 GiB a column.
    """
    if rows.num_rows == 0:
        raise ValueError("A segment cannot be empty")
    source = SegmentRows(rows, schema)
    if len(source.null_times):
        raise MSQError(InsertTimeNullFault())
    first, last = int(source.times.min()), int(source.times.max())
    if first < interval.start or last >= interval.end:
        raise ValueError(f"Rows with times from [{first}] to [{last}] do not fit the segment's interval [{interval}]")
    rolling = schema.rollup and combine is not None
    order = source.order() if rolling or not is_sorted else RowOrder(None, None)
    groups = np.flatnonzero(order.starts) if rolling and order.starts is not None else None
    kept = order.rows
    if groups is not None:
        kept = groups if order.rows is None else order.rows[groups]
    count = rows.num_rows if groups is None else len(groups)

    encoding = Encoding(schema.index_spec, lz4_level)
    sizes: dict[str, int] = {}
    null_only: set[str] = set()
    metrics = schema.stored_metrics
    with SmooshWriter(folder, max_chunk_bytes) as out:

        def add(name: str, written: Written) -> None:
            sizes[name] = sum([out.add(name, written.parts)] + [out.add(n, p) for n, p in written.side_files])
            if written.null_only:
                null_only.add(name)

        times = source.times if kept is None else source.times[kept]
        add(
            TIME,
            Written(numeric_column(times, np.zeros(0, np.int64), "LONG", encoding.metric, encoding.spec.long_encoding)),
        )
        take = None if order.rows is None else pa.array(order.rows)
        for metric in metrics:
            column = rows.column(metric.name)
            column = column if take is None else column.take(take)
            if combine is not None:
                column = combine(metric, column, groups)
            add(metric.name, write_metric(column, metric, encoding))
        for dimension in schema.dimensions:
            add(dimension.name, source.prepared(dimension.name).write(kept, encoding))
            source.release(dimension.name)
        names = [d.name for d in schema.dimensions]
        out.add("index.drd", [index_file([m.name for m in metrics], names, null_only, interval)])
        aggregators = [m.aggregator for m in metrics]
        metadata = metadata_file(aggregators, schema.query_granularity, schema.rollup, source.ordering())
        out.add("metadata.drd", [metadata])
        size = out.close()
    return WrittenSegment(size, count, tuple(names), tuple(m.name for m in schema.metrics), sizes)


def sort_rows(table: Any, schema: SegmentSchema) -> Any:
    """`table` in the segment's order: `__time` (at its place) and all dimensions ascending, nulls first.

    String columns come back dictionary-encoded with a sorted dictionary. A null time sorts first. Dimensions behind a
    JSON column do not take part: JSON has no order here.
    """
    source = SegmentRows(table, schema)
    return source.in_order(source.order().rows)
