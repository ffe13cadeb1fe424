"""Writes Druid V9 segments from Arrow tables, column by column.

Owns the order of files and the roles of columns; the order of rows stands in `rows` and `sort`, how one kind of column
is laid out in the modules beside them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import LONG, ColumnType, RowSignature
from msq.faults import InsertTimeNullFault, MSQError
from msq.intervals import Interval
from msq.mapped import let_go
from msq.segment.compression import DEFAULT_LZ4_LEVEL
from msq.segment.schema import TIME, MetricSchema, SegmentSchema
from msq.segment.stored import StoredSchema
from msq.segment.writer.columns import numeric_column
from msq.segment.writer.dimensions import write_metric
from msq.segment.writer.encoding import Encoding, Written
from msq.segment.writer.generic import SegmentTooLargeError
from msq.segment.writer.index import index_file, metadata_file
from msq.segment.writer.rows import SegmentRows
from msq.segment.writer.smoosh import MAX_CHUNK_BYTES, SmooshWriter, constant_files
from msq.segment.writer.sort import RowOrder

__all__ = ["Combine", "WrittenSegment", "constant_files", "sort_rows", "write_segment"]

Combine = Callable[[MetricSchema, Any, Any], Any]
"""(metric, its values in order, first rows of groups or None) -> the values to store: one a group in a roll-up whose
groups hold several rows, else one a row in the form at rest."""


@dataclass(frozen=True)
class WrittenSegment:
    """What stands in the folder: bytes of all files, rows, the columns as a `DataSegment` lists them, and as whoever
    opens the segment finds them."""

    size: int
    rows: int
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    column_bytes: dict[str, int]
    stored: StoredSchema


def write_segment(
    folder: Path, rows: Any, schema: SegmentSchema, interval: Interval, *, is_sorted: bool = False,
    combine: Combine | None = None, threads: int = 1, lz4_level: int = DEFAULT_LZ4_LEVEL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES, low_memory: bool = False, shared: Path | None = None,
) -> WrittenSegment:  # fmt: skip
    """Write the Arrow table `rows` as one segment into `folder` (made when missing, else empty).

    `rows` holds every column of `schema` by its output name and `__time` as int64 ms; strings as `string`, dictionaries
    or lists, arrays as lists, JSON as text, complex values as binary in their own form. `interval` is the one of the
    segment's id, which all times must lie in. `is_sorted` promises the order of `sort_rows`; otherwise rows are put in
    order here. `combine` turns values of metrics into those at rest; with it and a roll-up schema, rows of equal time
    and dimensions become one. `threads` columns are made side by side, which holds as many more in memory; with
    `low_memory` columns are encoded once to be sorted and once more to be written. `shared`: see SmooshWriter. Raises
    MSQError(InsertTimeNullFault) for a null time, ValueError for no rows or what cannot be stored, and
    SegmentTooLargeError beyond 2 GiB a column.
    """
    if rows.num_rows == 0:
        raise ValueError("A segment cannot be empty")
    source = SegmentRows(rows, schema, low_memory)
    if len(source.null_times):
        raise MSQError(InsertTimeNullFault())
    first, last = int(source.times.min()), int(source.times.max())
    if first < interval.start or last >= interval.end:
        raise ValueError(f"Rows with times from [{first}] to [{last}] do not fit the segment's interval [{interval}]")
    rolling = schema.rollup and combine is not None
    order = source.order(threads) if rolling or not is_sorted else RowOrder(None, None)
    groups = np.flatnonzero(order.starts) if rolling and order.starts is not None else None
    kept = order.rows
    if groups is not None:
        kept = groups if order.rows is None else order.rows[groups]
    count = rows.num_rows if groups is None else len(groups)

    encoding = Encoding(schema.index_spec, lz4_level)
    spec = encoding.spec
    take = None if order.rows is None else pa.array(order.rows)

    def time_column() -> Written:
        times = source.times if kept is None else source.times[kept]
        return Written(numeric_column(times, np.zeros(0, np.int64), "LONG", encoding.metric, spec.long_encoding), LONG)

    def metric_column(metric: MetricSchema) -> Written:
        column = rows.column(metric.name)
        column = column if take is None else column.take(take)
        return write_metric(column if combine is None else combine(metric, column, groups), metric, encoding)

    def dimension_column(name: str) -> Written:
        written = source.prepared(name).write(kept, encoding)
        source.release(name)
        return written

    metrics = schema.stored_metrics
    names = [d.name for d in schema.dimensions]
    jobs: list[tuple[str, Callable[[], Written]]] = [(TIME, time_column)]
    jobs += [(m.name, partial(metric_column, m)) for m in metrics]
    jobs += [(n, partial(dimension_column, n)) for n in names]

    sizes: dict[str, int] = {}
    null_only: set[str] = set()
    types: dict[str, ColumnType] = {}
    several: list[str] = []
    with SmooshWriter(folder, max_chunk_bytes, shared) as out:
        longest = max(names, key=lambda n: rows.column(n).nbytes, default=None) if threads > 1 else None
        for name, written in _made_in_order(jobs, threads, longest):
            sizes[name] = out.add(name, written.parts) + sum(out.add(n, p) for n, p in written.side_files)
            types[name] = written.type
            let_go()
            if written.null_only:
                null_only.add(name)
            if written.multiple:
                several.append(name)
        out.add("index.drd", [index_file([m.name for m in metrics], names, null_only, interval)])
        aggregators = [m.aggregator for m in metrics]
        metadata = metadata_file(aggregators, schema.query_granularity, schema.rollup, source.ordering())
        out.add("metadata.drd", [metadata])
        size = out.close()
    # as a reader lists them: time, dimensions, metrics by name
    signature = RowSignature((n, types[n]) for n in (TIME, *names, *(m.name for m in metrics)))
    stored = StoredSchema(signature, tuple(n for n in names if n in several))
    return WrittenSegment(size, count, tuple(names), tuple(m.name for m in schema.metrics), sizes, stored)


def _made_in_order(
    jobs: Sequence[tuple[str, Callable[[], Written]]], threads: int, longest: str | None
) -> Iterator[tuple[str, Written]]:
    """Run the jobs, at most `threads` at a time and that many ahead of what is taken; results in order. With several
    threads, the job named `longest` starts first, so that it is not left over for one of them."""

    def make(name: str, job: Callable[[], Written]) -> Written:
        try:
            return job()
        except SegmentTooLargeError as e:
            raise SegmentTooLargeError(f"Column [{name}] cannot be stored: {e}") from e

    if threads <= 1:
        for name, job in jobs:
            yield name, make(name, job)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="segment-column") as pool:
        early = {name: pool.submit(make, name, job) for name, job in jobs if name == longest}
        waiting: deque[tuple[str, Future[Written]]] = deque()
        try:
            for name, job in jobs:
                if len(waiting) >= threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
                waiting.append((name, early.get(name) or pool.submit(make, name, job)))
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def sort_rows(table: Any, schema: SegmentSchema) -> Any:
    """`table` in the segment's order: `__time` (at its place) and all dimensions ascending, nulls first.

    String columns come back dictionary-encoded with a sorted dictionary. A null time sorts first. Dimensions behind a
    JSON column do not take part: JSON has no order here.
    """
    source = SegmentRows(table, schema)
    return source.in_order(source.order().rows)
