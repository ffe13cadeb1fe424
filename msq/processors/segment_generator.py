"""The `segmentGenerator` processor: every partition of its input becomes one segment in deep storage.

Partitions are read one after the other; beside the reading, segments whose rows are all there are written by threads,
and written ones are pushed by further threads, which mostly wait for a disk or a network.
Rows of a partition are kept as Arrow batches. Beyond the memory budget they go to Arrow files, from which the writer
takes one column at a time, so that no more than a few columns of a segment are ever in memory.
"""

from __future__ import annotations

import itertools
import operator
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from msq.codec import decode, encode
from msq.faults import InsertTimeNullFault, MSQError
from msq.frame.frame import common_schema, to_schema, unify
from msq.intervals import Interval
from msq.mapped import is_mapped, open_arrow_file
from msq.segment.identity import DataSegment
from msq.segment.schema import TIME, MetricSchema, SegmentSchema
from msq.segment.stored import MadeSegment
from msq.stage.destination import ColumnMapping
from msq.stage.query import StageProcessor

if TYPE_CHECKING:
    from msq.aggregate.base import NativeAggregator
    from msq.protocol import ExecutionContext, OutputBatch, ReadableInput
    from msq.storage import DeepStorage


_MANY_ROWS = 200_000
_COLUMN_COPIES = 4
"""How many times its size a column of texts, almost all of them different, takes while it is written."""
_PUSHES = 4
"""Segments pushed at once. Files that are synchronized together cost a disk little more than one."""


@dataclass(frozen=True)
class SegmentGeneratorProcessor(StageProcessor, tag="segmentGenerator"):
    """The order's `extra` says which segment each partition becomes (`{"segments": {"<partition>": DataSegment}}`);
    results are JSON of MadeSegment: load spec, columns, size and rows. A partition without rows makes no segment.

    The context's service `deep_storage` takes the files.
    """

    data_schema: dict[str, Any]
    column_mappings: tuple[ColumnMapping, ...]
    cluster_by_virtual_column_mappings: dict[str, Any] | None = None
    tuning_config: dict[str, Any] | None = None

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        """Yields nothing. Raises MSQError(InsertTimeNullFault) for a row without a time."""
        from msq.segment.writer import constant_files

        schema = SegmentSchema.from_data_schema(self.data_schema, (self.tuning_config or {}).get("indexSpec"))
        segments: dict[str, Any] = ctx.extra["segments"]
        counter = ctx.counters.segment_generation()
        source = ctx.inputs[0]
        # one partition is read while as many as there are threads are written
        writers = max(ctx.threads, 1)
        budget = max(ctx.memory_bytes // (3 * (writers + 1)), 1 << 20)
        # a segment alone is written by all threads, column by column, if that is worth it
        alone = sum(str(p) in segments for p in source.partitions) == 1
        shared = None if alone or not segments else constant_files(ctx.temp_dir / "constant")
        with (
            ThreadPoolExecutor(_PUSHES, thread_name_prefix="segment-push") as pushes,
            ThreadPoolExecutor(writers, thread_name_prefix="segment-writer") as pool,
        ):
            writing: deque[tuple[Future[MadeSegment], _Rows, int]] = deque()
            pushing: deque[Future[MadeSegment]] = deque()
            combine = _Combine()

            def settle(most_writing: int, most_bytes: int, most_pushing: int = 2 * _PUSHES) -> None:
                """Hand over the first segments, and take their results, until few enough are under way."""
                while writing and (len(writing) > most_writing or sum(need for _, _, need in writing) > most_bytes):
                    future, rows, _ = writing.popleft()
                    pushing.append(pushes.submit(_push, ctx, rows, future.result()))
                while len(pushing) > most_pushing:
                    ctx.add_result(pushing.popleft().result().to_json())

            try:
                for partition in source.partitions:
                    segment = segments.get(str(partition))
                    if segment is None:
                        continue
                    ctx.check_cancelled()
                    rows = _Rows(ctx.temp_dir / f"partition-{partition}", budget)
                    for batch in self._output_batches(ctx, source, partition, schema):
                        counter.add(rowsProcessed=batch.num_rows)
                        rows.add(batch)
                    if rows.count == 0:
                        continue
                    most = ctx.memory_bytes // 2
                    threads = writers if alone and rows.count >= _MANY_ROWS else 1
                    if rows.writing_bytes(threads) > most:
                        threads = 1
                    need = rows.writing_bytes(threads)
                    settle(writers - 1, most - need)
                    made = DataSegment.from_json(segment)
                    writing.append((pool.submit(_write, ctx, rows, schema, made, combine, threads, shared), rows, need))
                settle(0, 0, 0)
            finally:
                for future, _, _ in writing:
                    future.cancel()
                for future in pushing:
                    future.cancel()
                if shared is not None:
                    # a segment that is still being written makes the files itself
                    shutil.rmtree(shared, ignore_errors=True)
        return
        yield

    def _output_batches(
        self, ctx: ExecutionContext, source: ReadableInput, partition: int, schema: SegmentSchema
    ) -> Iterator[Any]:
        """Batches of one partition with the segment's columns under their output names."""
        by_output = {m.output_column: m.query_column for m in self.column_mappings}
        wanted = [n for n in schema.column_names if n != TIME or n in by_output]
        missing = [n for n in wanted if n not in by_output]
        if missing:
            raise ValueError(f"Columns [{', '.join(missing)}] of the segment are not mapped to columns of the query")
        needed = list(dict.fromkeys(by_output[n] for n in wanted))
        for batch in source.read(partition, needed):
            ctx.check_cancelled()
            if not batch.num_rows:
                continue
            arrays = {n: batch.column(needed.index(by_output[n])) for n in wanted}
            if TIME not in arrays:
                # PARTITIONED BY ALL without a time column
                arrays[TIME] = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
            elif arrays[TIME].null_count:
                raise MSQError(InsertTimeNullFault())
            yield pa.record_batch([arrays[n] for n in schema.column_names], names=list(schema.column_names))


def _write(
    ctx: ExecutionContext, rows: _Rows, schema: SegmentSchema, segment: DataSegment, combine: _Combine, threads: int,
    shared: Path | None,
) -> MadeSegment:  # fmt: skip
    """Writes the rows as a segment into their folder and lets go of them; answers the segment, not pushed yet."""
    from msq.segment.writer import write_segment

    counter = ctx.counters.segment_generation()
    try:
        ctx.check_cancelled()
        interval = Interval.parse(segment.interval)
        written = write_segment(
            rows.index, rows.table(), schema, interval, combine=combine, threads=threads, low_memory=rows.spilled,
            shared=shared,
        )  # fmt: skip
        counter.add(rowsPersisted=written.rows, rowsMerged=written.rows)
        rows.release()
        made = replace(segment, dimensions=written.dimensions, metrics=written.metrics, total_rows=written.rows)
        return MadeSegment(made, written.stored)
    except BaseException:
        rows.close()
        raise


def _push(ctx: ExecutionContext, rows: _Rows, made: MadeSegment) -> MadeSegment:
    """Stores the written files of a segment in deep storage; nothing is left in the folder of its rows."""
    storage: DeepStorage = ctx.services["deep_storage"]
    try:
        ctx.check_cancelled()
        pushed = storage.push(rows.index, made.segment)
        ctx.counters.segment_generation().add(rowsPushed=pushed.total_rows or 0)
        return MadeSegment(pushed, made.columns)
    finally:
        rows.close()


class _Combine:
    """Values at rest of a metric, those of each group merged where there are groups. Serves the metrics of one schema,
    and several threads."""

    def __init__(self) -> None:
        self._aggregators: dict[str, NativeAggregator] = {}

    def __call__(self, metric: MetricSchema, column: Any, starts: Any) -> Any:
        from msq.aggregate.base import Runs

        aggregator = self._aggregators.get(metric.name)
        if aggregator is None:
            aggregator = self._aggregators[metric.name] = _aggregator(metric)
        states = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if starts is not None:
            states = aggregator.merge(states, Runs(starts, len(states)))
        return aggregator.at_rest(states)


def _aggregator(metric: MetricSchema) -> NativeAggregator:
    from msq.aggregate.base import NativeAggregator
    from msq.native.aggregators import Aggregator

    aggregator = decode(Aggregator, encode(metric.aggregator))
    if not isinstance(aggregator, NativeAggregator):
        raise ValueError(f"Aggregator [{metric.aggregator.get('type')}] of metric [{metric.name}] cannot be rolled up")
    return aggregator


class _Rows:
    """The rows of one partition in order: batches in memory up to `budget` bytes, the others in Arrow files, written
    here under `folder` or by the stage before."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.index = folder.with_name(f"{folder.name}-index")
        """Where the segment is written."""
        self.budget = budget
        self.count = 0
        self._tables: list[Any] = []
        """What lies in files."""
        self._batches: list[Any] = []
        """What follows it, in memory."""
        self._bytes = self._all_bytes = 0
        self._column_bytes: list[int] = []
        self._files = 0
        self._plain = False
        """Whether texts in files are plain, and must stay so."""

    def add(self, batch: Any) -> None:
        self.count += batch.num_rows
        sizes = [column.nbytes for column in batch.columns]
        self._column_bytes = [*map(operator.add, self._column_bytes, sizes)] if self._column_bytes else sizes
        size = sum(sizes)
        self._all_bytes += size
        if is_mapped(batch):
            # its texts are plain; what is beside it must be so too, or it would be made so in memory
            self._spill(plain=True)
            self._tables.append(pa.Table.from_batches([batch]))
            return
        self._batches.append(batch)
        self._bytes += size
        if self._bytes > self.budget:
            self._spill(self._plain)

    @property
    def spilled(self) -> bool:
        return bool(self._tables)

    def writing_bytes(self, columns: int = 1) -> int:
        """What writing them as a segment takes in memory, roughly: their order, and `columns` columns at a time, each
        as it is and as it is stored, with what leads from one to the other."""
        held = 0 if self.spilled else self._all_bytes
        return held + 32 * self.count + columns * _COLUMN_COPIES * max(self._column_bytes, default=0)

    def _spill(self, plain: bool) -> None:
        """Puts what is in memory into a file; with `plain`, everything, its texts not as dictionaries."""
        held = self._batches
        if plain and not self._plain:
            held = [b for table in self._tables for b in table.to_batches()] + held
            self._tables, self._plain = [], True
        self._batches, self._bytes = [], 0
        if not held:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._files}.arrow"
        self._files += 1
        schema = common_schema(held)
        if plain:
            schema = pa.schema(
                [(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema]
            )
        elif any(pa.types.is_dictionary(t) for t in schema.types):
            held = unify(held).unify_dictionaries().to_batches()
            schema = held[0].schema
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            for batch in held:
                out.write_batch(to_schema(batch, schema))
        self._tables.append(open_arrow_file(path).read_all())

    def table(self) -> Any:
        """All rows; those in files are mapped, not loaded."""
        if self._tables:
            self._spill(self._plain)
        return _concat(self._tables or [pa.Table.from_batches([b]) for b in self._batches])

    def release(self) -> None:
        """The segment is written: the rows are not needed any more."""
        self._tables, self._batches = [], []
        if self._files:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._files = 0

    def close(self) -> None:
        """Nothing is left on disk, written or spilled."""
        self.release()
        shutil.rmtree(self.index, ignore_errors=True)


def _concat(tables: list[Any]) -> Any:
    """One table, without copies, of tables whose text columns may differ in layout (plain, dictionary, lists)."""
    names = tables[0].column_names
    columns = []
    for name in names:
        chunks = list(itertools.chain.from_iterable(t.column(name).chunks for t in tables))
        columns.append(pa.chunked_array(_one_layout(chunks)) if chunks else tables[0].column(name))
    return pa.table(columns, names=names)


def _one_layout(chunks: list[Any]) -> list[Any]:
    kinds = {c.type for c in chunks}
    if len(kinds) == 1:
        return chunks
    plain = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in chunks]
    lists = next((c.type for c in plain if pa.types.is_list(c.type) or pa.types.is_large_list(c.type)), None)
    if lists is not None:
        return [_as_lists(c, lists) for c in plain]
    target = next((c.type for c in plain if not pa.types.is_null(c.type)), plain[0].type)
    return [c if c.type == target else c.cast(target) for c in plain]


def _as_lists(chunk: Any, kind: Any) -> Any:
    if pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type) or pa.types.is_null(chunk.type):
        return chunk.cast(kind)
    offsets = pa.array(np.arange(len(chunk) + 1, dtype=np.int32))
    values = chunk.cast(kind.value_type)
    return pa.ListArray.from_arrays(offsets, values, mask=chunk.is_null() if chunk.null_count else None).cast(kind)
