"""The two group-by processors: partial aggregation before the shuffle, all the rest of a group-by behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, combine
from msq.aggregate.compute import Grouping, as_type, group
from msq.aggregate.post import GroupedRows, final_inputs, post, select_over
from msq.aggregate.runs import merge_sorted
from msq.codec import wire
from msq.datatypes import ColumnType, RowSignature, arrow_type
from msq.expr.filters import lower_filter
from msq.expr.lower import LowerEnv
from msq.native.query import FilterHaving, GroupByQuery
from msq.processors.errors import statement_errors
from msq.processors.hoist import Hoisted, hoist
from msq.processors.parallel import interleave
from msq.processors.scan import BOOST, BUCKET, bucket_granularity, floor_times
from msq.processors.source import Opened, SourcePiece
from msq.protocol import OutputBatch
from msq.stage.query import StageProcessor

if TYPE_CHECKING:
    from msq.protocol import ExecutionContext

MERGE_ROWS, MERGE_BYTES = 65_536, 64 << 20
"""Rows and bytes that are merged at once; smaller input batches are put together first."""


def native_aggregators(query: GroupByQuery) -> tuple[NativeAggregator, ...]:
    """The query's aggregators with their behaviour."""
    found = tuple(a for a in query.aggregations or () if isinstance(a, NativeAggregator))
    assert len(found) == len(query.aggregations or ())
    return found


@dataclass(frozen=True)
class GroupByPreShuffleProcessor(StageProcessor, tag="groupByPreShuffle"):
    """Output: dimensions, then aggregators in their intermediate types.

    `totals`: values of the last dimension whose groups are there even without rows: grand totals of GROUPING SETS. The
    first worker gives them where it has no rows; states of no rows change nothing where others have some.
    """

    query: GroupByQuery
    totals: tuple[int, ...] = wire(default=(), omit=lambda v: not v)

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        query = self.query
        opened = Opened(ctx, query.data_source)
        hoisted = hoist(query.virtual_columns or (), opened.signature)
        grouping = Grouping(
            keys=query.dimensions,
            aggregators=native_aggregators(query),
            signature=hoisted.signature,
            virtual_columns=hoisted.virtual_columns,
            filter=query.filter,
            unnest=_flag(query.context, "groupByEnableMultiValueUnnesting", True),
            env=_env(ctx),
        )
        pieces = opened.pieces(hoisted.source_columns(grouping.reads))
        # arrays keep the order of their rows, so pieces are read one after the other for them
        threads = 1 if any(a.intermediate_type.is_array for a in grouping.aggregators) else ctx.threads
        readers = [_reader(p, hoisted, grouping.reads) for p in pieces]
        batches = interleave(readers, threads, ctx.check_cancelled)
        grouped = group(
            batches, grouping, ctx.connection(), memory_bytes=ctx.memory_bytes, max_batch_rows=ctx.max_batch_rows,
            check=ctx.check_cancelled,
        )  # fmt: skip
        names = list(ctx.stage.signature.names)
        seen = False
        with statement_errors():
            for batch in grouped:
                seen = seen or batch.num_rows > 0
                yield OutputBatch(0, batch.select(names))
        if self.totals and not seen and ctx.worker_number == 0:
            yield OutputBatch(0, self._empty_totals(grouping.aggregators).select(names))

    def _empty_totals(self, aggregators: Sequence[NativeAggregator]) -> pa.RecordBatch:
        """A row for each grand total: no keys, the total's number, the states of no rows."""
        count = len(self.totals)
        *keys, number = self.query.dimensions
        columns = {d.output_name: pa.nulls(count, arrow_type(d.output_type)) for d in keys}
        columns[number.output_name] = pa.array(self.totals, pa.int64())
        for aggregator in aggregators:
            columns[aggregator.name] = pa.concat_arrays([combine(aggregator.empty())] * count)
        return pa.record_batch(list(columns.values()), names=list(columns))


def _reader(piece: SourcePiece, hoisted: Hoisted, reads: Sequence[str]) -> Callable[[], Iterator[Any]]:
    return lambda: hoisted.columns(piece.read(None), reads)


@dataclass(frozen=True)
class GroupByPostShuffleProcessor(StageProcessor, tag="groupByPostShuffle"):
    """Input: the output of groupByPreShuffle. Aggregators are finalised unless the context says `finalize` false.

    Rows of a partition come out in the order of their keys. A query without dimensions gives its one row even when
    nothing came in, from the worker that holds partition 0.
    """

    query: GroupByQuery

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        source = ctx.inputs[0]
        finish = _Finish(self.query, ctx)
        keys = [d.output_name for d in self.query.dimensions]
        partitions = tuple(source.partitions)
        if not keys and not partitions and ctx.worker_number == 0:
            yield from finish.batches(0, finish.empty())
        for partition in partitions:
            seen = False
            tables = _tables(ctx, partition, [*keys, *(a.name for a in finish.aggregators)])
            for table in merge_sorted(tables, keys, finish.aggregators):
                seen = True
                yield from finish.batches(partition, table)
            if not seen and not keys and partition == 0:
                yield from finish.batches(partition, finish.empty())


def _tables(ctx: ExecutionContext, partition: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The partition's batches, small ones put together."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    wanted = min(MERGE_ROWS, max(1, ctx.max_batch_rows))
    for batch in ctx.inputs[0].read(partition, columns):
        ctx.check_cancelled()
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= wanted or size >= MERGE_BYTES:
            yield _table(held)
            held, rows, size = [], 0, 0
    if held:
        yield _table(held)


def _table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """The batches as one table; dictionaries that differ are taken out."""
    plain = []
    for batch in batches:
        columns = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in batch.columns]
        plain.append(pa.table(columns, names=batch.schema.names))
    return pa.concat_tables(plain, promote_options="permissive")


class _Finish:
    """What happens to merged rows: finalise, post-aggregate, having, and the columns the stage adds."""

    def __init__(self, query: GroupByQuery, ctx: ExecutionContext) -> None:
        self._query = query
        self._ctx = ctx
        self.aggregators = native_aggregators(query)
        self._finalize = _flag(query.context, "finalize", True)
        self._signature: RowSignature = ctx.stage.signature
        self._env = _env(ctx)
        self._boost = 0
        self._connection: Any = None

    def empty(self) -> pa.Table:
        """The states of no rows."""
        return pa.table([a.empty() for a in self.aggregators], names=[a.name for a in self.aggregators])

    def batches(self, partition: int, table: pa.Table) -> Iterator[OutputBatch]:
        rows = self._grouped(table)
        with statement_errors():
            for item in self._query.post_aggregations or ():
                assert item.name is not None
                made = post(item)
                kind = made.output_type(rows.signature)
                rows.add(item.name, made.compute(rows), kind)
            kept = self._having(rows)
        source, types = (rows.finals, rows.final_types) if self._finalize else (rows.states, rows.state_types)
        columns = {name: source[name] for name in types if name in self._signature}
        count = rows.rows
        if kept is not None:
            columns = {name: values.filter(kept) for name, values in columns.items()}
            count = int(kept.true_count)
        if count == 0:
            return
        self._add_columns(columns, count)
        batch = pa.record_batch(
            [_output(columns[c.name], c.type) for c in self._signature], names=list(self._signature.names)
        )
        for start in range(0, count, self._ctx.max_batch_rows):
            yield OutputBatch(partition, batch.slice(start, self._ctx.max_batch_rows))

    def _grouped(self, table: pa.Table) -> GroupedRows:
        rows = GroupedRows(table.num_rows, {}, {}, {}, {}, self._open, self._env)
        for dimension in self._query.dimensions:
            name = dimension.output_name
            rows.add(name, combine(table.column(name)), dimension.output_type)
        for aggregator in self.aggregators:
            states = as_type(combine(table.column(aggregator.name)), aggregator.intermediate_type)
            rows.states[aggregator.name] = states
            rows.state_types[aggregator.name] = aggregator.intermediate_type
            rows.finals[aggregator.name] = aggregator.finalize(states)
            rows.final_types[aggregator.name] = aggregator.final_type
        return rows

    def _having(self, rows: GroupedRows) -> pa.Array | None:
        having = self._query.having
        if not isinstance(having, FilterHaving):
            return None
        condition = lower_filter(having.filter, final_inputs(rows), self._env)
        return select_over(rows, [f"coalesce({condition}, false)"], [pa.bool_()])[0]

    def _add_columns(self, columns: dict[str, pa.Array], count: int) -> None:
        if BUCKET in self._signature:
            name = self._query.context.get("__timeColumn", "__time")
            granularity = bucket_granularity(self._query.context)
            assert granularity is not None
            columns[BUCKET] = floor_times(columns[name], granularity)
        if BOOST in self._signature:
            columns[BOOST] = pa.array(np.arange(self._boost, self._boost + count, dtype=np.int64))
            self._boost += count

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = self._ctx.connection()
        return self._connection


def _output(values: pa.Array, kind: ColumnType) -> pa.Array:
    wanted = arrow_type(kind, pa.types.is_list(values.type))
    return values if values.type == wanted else values.cast(wanted)


def _env(ctx: ExecutionContext) -> LowerEnv:
    return LowerEnv(ctx.services.get("lookups") or {})


def _flag(context: Mapping[str, Any], key: str, default: bool) -> bool:
    value = context.get(key, default)
    return value.lower() == "true" if isinstance(value, str) else bool(value)
