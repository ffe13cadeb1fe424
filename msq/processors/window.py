"""The `window` processor: window functions over hash-partitioned rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import combine
from msq.aggregate.runs import find_runs
from msq.datatypes import RowSignature, arrow_type
from msq.faults import MSQError, TooManyRowsInAWindowFault
from msq.native.query import WindowOperatorQuery
from msq.processors.errors import statement_errors
from msq.processors.scan import BOOST, BUCKET, bucket_granularity, floor_times
from msq.processors.window_functions import WindowRows, columns_read
from msq.protocol import OutputBatch
from msq.stage.query import StageProcessor

if TYPE_CHECKING:
    from msq.protocol import ExecutionContext

CHUNK_ROWS = 100_000
"""Rows of whole window partitions that are computed at once, as long as no single partition is larger."""


@dataclass(frozen=True)
class WindowProcessor(StageProcessor, tag="window"):
    """Runs `operator_list` (reference msq-engine 3.8); rows come out as `stage_row_signature`, in window order.

    Rows of one window partition arrive together (sorted by `partition_column_names`; without these all rows are one
    partition). One with more than `max_rows_materialized_in_window` rows is a TooManyRowsInAWindowFault, which counts
    all rows held at that moment. `__boost` numbers the rows anew.
    """

    query: WindowOperatorQuery
    operator_list: tuple[dict[str, Any], ...]
    stage_row_signature: RowSignature
    max_rows_materialized_in_window: int
    partition_column_names: tuple[str, ...]

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        source = ctx.inputs[0]
        needed = self._needed(source.signature)
        rows = WindowRows(ctx.connection(), source.signature, self.operator_list, self.stage_row_signature)
        written = 0
        for partition in source.partitions:
            for table in self._chunks(ctx, source.read(partition, needed)):
                with statement_errors():
                    computed = rows.compute(table)
                count = computed.num_rows
                batch = self._output(ctx, computed, written)
                written += count
                for start in range(0, count, ctx.max_batch_rows):
                    yield OutputBatch(partition, batch.slice(start, ctx.max_batch_rows))

    def _needed(self, signature: RowSignature) -> tuple[str, ...]:
        """Input columns that the output or an operator uses."""
        used = {*self.stage_row_signature.names, *columns_read(self.operator_list), *self.partition_column_names}
        time = self.query.context.get("__timeColumn")
        if BUCKET in self.stage_row_signature and time is not None:
            used.add(time)
        return tuple(n for n in signature.names if n in used and n not in (BOOST, BUCKET)) or signature.names[:1]

    def _chunks(self, ctx: ExecutionContext, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Tables of whole window partitions."""
        held: list[pa.Table] = []
        rows = 0
        for batch in batches:
            ctx.check_cancelled()
            if batch.num_rows == 0:
                continue
            held.append(_plain(batch))
            rows += batch.num_rows
            if rows <= min(self.max_rows_materialized_in_window, CHUNK_ROWS):
                continue
            table = pa.concat_tables(_unified(held), promote_options="permissive")
            last = self._last_start(table)
            if last:
                yield table.slice(0, last)
            held, rows = [table.slice(last)], table.num_rows - last
        if held:
            table = pa.concat_tables(_unified(held), promote_options="permissive")
            self._last_start(table)
            yield table

    def _last_start(self, table: pa.Table) -> int:
        """Where the last window partition of the table begins; refuses one that is too large."""
        keys = [table.column(name) for name in self.partition_column_names]
        offsets = find_runs(keys, table.num_rows).offsets()
        if int(np.diff(offsets).max()) > self.max_rows_materialized_in_window:
            raise MSQError(TooManyRowsInAWindowFault(table.num_rows, self.max_rows_materialized_in_window))
        return int(offsets[-2])

    def _output(self, ctx: ExecutionContext, table: pa.Table, written: int) -> pa.RecordBatch:
        signature = ctx.stage.signature
        columns = {name: combine(table.column(name)) for name in table.column_names}
        if BOOST in signature:
            columns[BOOST] = pa.array(np.arange(written, written + table.num_rows))
        granularity = bucket_granularity(self.query.context) if BUCKET in signature else None
        if granularity is not None:
            columns[BUCKET] = floor_times(columns[self.query.context["__timeColumn"]], granularity)
        made = []
        for column in signature:
            values = columns[column.name]
            wanted = arrow_type(column.type, pa.types.is_list(values.type))
            made.append(values if values.type == wanted else values.cast(wanted))
        return pa.record_batch(made, names=list(signature.names))


def _plain(batch: pa.RecordBatch) -> pa.Table:
    columns = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    return pa.table(columns, names=batch.schema.names)


def _unified(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables with text columns as lists where one of them has lists."""
    from msq.aggregate.layout import as_lists

    lists = {f.name for t in tables for f in t.schema if pa.types.is_list(f.type)}
    out = []
    for table in tables:
        for name in lists:
            if not pa.types.is_list(table.schema.field(name).type):
                at = table.schema.get_field_index(name)
                table = table.set_column(at, name, as_lists(combine(table.column(name))))
        out.append(table)
    return out
