"""The `scan` processor: rows of one input, filtered, computed, projected, ordered by the shuffle behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import RowSignature
from msq.faults import DruidExceptionFault, MSQError
from msq.frame.frame import plain_column
from msq.intervals import Granularity
from msq.native.query import ScanQuery
from msq.processors.direct import DirectColumns
from msq.processors.locate import invalid_field
from msq.processors.lowering import Projection, framed, project
from msq.processors.parallel import interleave
from msq.processors.source import Opened, SourcePiece
from msq.protocol import ExecutionContext, OutputBatch
from msq.stage.query import StageProcessor

BOOST = "__boost"
BUCKET = "__bucket"


def bucket_granularity(context: dict[str, Any]) -> Granularity | None:
    """What `sqlInsertSegmentGranularity` (JSON text) asks to bucket by; None for nothing or ALL."""
    text = context.get("sqlInsertSegmentGranularity")
    if text is None:
        return None
    made = Granularity.from_json(json.loads(text))
    return None if made.is_all else made


def floor_times(array: Any, granularity: Granularity) -> Any:
    """An int64 column of ms, each floored to its time chunk; nulls stay."""
    if array.null_count == 0:
        return pa.array(granularity.floor_array(np.asarray(array)))
    valid = np.asarray(array.is_valid())
    values = np.asarray(array.fill_null(0))
    return pa.array(granularity.floor_array(values), mask=~valid)


@dataclass(frozen=True)
class ScanProcessor(StageProcessor, tag="scan"):
    """`query.data_source` is an inputNumber, an external or inline source, or a join/unnest/filter/union over them."""

    query: ScanQuery

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        query = self.query
        opened = Opened(ctx, query.data_source)
        granularity = bucket_granularity(query.context) if BUCKET in ctx.stage.signature else None
        time_column = query.context.get("__timeColumn")
        made = {BUCKET} if granularity is not None else set()
        computed = RowSignature(
            c for c in ctx.stage.signature if c.name not in made and not (c.name == BOOST and _is_new(query, opened))
        )
        plan = Projection(
            opened.signature, query.virtual_columns or (), query.filter, computed, ctx.services.get("lookups") or {}
        )
        shape = _Shape(ctx.stage.signature, granularity, time_column)
        direct = DirectColumns.of(plan)
        pieces = opened.pieces(plan.needed)
        if query.limit is not None and not query.order_by and query.order is None:
            limit = query.limit + (query.offset or 0)
            yield from self._limited(ctx, pieces, plan, direct, shape, limit)
            return

        def source(piece: SourcePiece) -> Callable[[], Iterator[OutputBatch]]:
            return lambda: self._piece(ctx, piece, plan, direct, shape)

        yield from interleave([source(p) for p in pieces], ctx.threads, ctx.check_cancelled)

    def _piece(
        self, ctx: ExecutionContext, piece: SourcePiece, plan: Projection, direct: DirectColumns | None, shape: _Shape
    ) -> Iterator[OutputBatch]:
        batches = piece.read(None)
        try:
            yield from shape.finish(piece, _computed(ctx, batches, plan, direct))
        except MSQError as error:
            if not isinstance(error.fault, DruidExceptionFault):
                raise
            close = getattr(batches, "close", None)
            if close is not None:
                close()  # a join that is read holds its lock
            raise invalid_field(ctx, self.query.data_source, plan, piece.read(None), error) from error

    def _limited(
        self, ctx: ExecutionContext, pieces: Sequence[SourcePiece], plan: Projection, direct: DirectColumns | None,
        shape: _Shape, limit: int,
    ) -> Iterator[OutputBatch]:  # fmt: skip
        """The first `limit` rows, piece by piece. As in Druid, one row more than is wanted is read."""
        left = limit
        for piece in pieces:
            if left <= 0:
                return
            batches = piece.read(left + 1 if plan.condition is None else None)
            rows = _computed(ctx, batches, plan, direct)
            try:
                for out in shape.finish(piece, rows):
                    cut = out.batch.slice(0, left)
                    left -= cut.num_rows
                    yield OutputBatch(out.partition, cut, out.piece)
                    if left <= 0:
                        break
            finally:
                for opened in (rows, batches):
                    close = getattr(opened, "close", None)
                    if close is not None:
                        close()


def _is_new(query: ScanQuery, opened: Opened) -> bool:
    """Whether __boost is this stage's own counter, rather than a column that the query reads from below."""
    return BOOST not in query.columns


def _computed(
    ctx: ExecutionContext, batches: Iterator[Any], plan: Projection, direct: DirectColumns | None
) -> Iterator[Any]:
    """The outputs of `plan`, without DuckDB where no expression needs it."""
    connection: Any = None
    try:
        if direct is None:
            connection = ctx.connection()
            for batch in project(connection, plan, batches, ctx.max_batch_rows):
                yield framed(batch, plan.outputs)
            return
        for batch in batches:
            ctx.check_cancelled()
            done = direct.compute(batch)
            if done is not None:
                yield done
                continue
            if connection is None:
                connection = ctx.connection()
            for made in project(connection, plan, iter([batch]), ctx.max_batch_rows):
                yield framed(made, plan.outputs)
    finally:
        if connection is not None:
            connection.close()


@dataclass(frozen=True)
class _Shape:
    """Adds __bucket and __boost, and puts the columns in the stage's order."""

    signature: RowSignature
    granularity: Granularity | None
    time_column: str | None

    def finish(self, piece: SourcePiece, batches: Iterator[Any]) -> Iterator[OutputBatch]:
        """`__boost` counts the rows of the piece from 0."""
        written = 0
        for batch in batches:
            rows = batch.num_rows
            if not rows:
                continue
            have = dict(zip(batch.schema.names, batch.columns))
            if self.granularity is not None:
                if self.time_column is None or self.time_column not in have:
                    raise ValueError(f"Stage output has no time column [{self.time_column}] to bucket by")
                have[BUCKET] = floor_times(plain_column(have[self.time_column]), self.granularity)
            if BOOST in self.signature and BOOST not in have:
                have[BOOST] = pa.array(np.arange(written, written + rows))
            written += rows
            out = pa.RecordBatch.from_arrays([have[n] for n in self.signature.names], names=list(self.signature.names))
            # as in Druid, a scan's rows count as one partition whatever partition they were read from
            yield OutputBatch(0, out, piece.number)
