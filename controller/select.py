"""Rows of a finished SELECT, gathered from the workers in the order of the final stage's partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from msq.frame.frame import one_batch, unify
from msq.frame.order import key_words, permutation
from msq.protocol import WorkerClient
from msq.report import ResultsReport
from msq.results import ResultColumn, ResultsContext, result_rows
from msq.stage.destination import ColumnMapping
from msq.stage.query import StageDefinition

PREVIEW_ROWS = 3_000
"""Rows of a SELECT to durable storage that stand in its report."""


def result_columns(
    stage: StageDefinition, mappings: Sequence[ColumnMapping], sql_types: Sequence[str]
) -> tuple[ResultColumn, ...]:
    """Output columns in SELECT order; the native type is that of the final stage."""
    columns = []
    for mapping, sql_type in zip(mappings, sql_types, strict=True):
        native = stage.signature.type_of(mapping.query_column)
        if native is None:
            raise ValueError(f"Output column [{mapping.output_column}] maps from [{mapping.query_column}], "
                             "which the final stage does not produce")  # fmt: skip
        columns.append(ResultColumn(mapping.query_column, mapping.output_column, native, sql_type))
    return tuple(columns)


def read_results(
    stage: StageDefinition, partitions: int, workers: Sequence[int], clients: Mapping[int, WorkerClient],
    check: Callable[[], None],
) -> Iterator[Any]:  # fmt: skip
    """Batches of the final stage. Pieces that several workers hold of a sorted partition are merged.

    `check` is called between batches and may raise to stop.
    """
    shuffle = stage.shuffle_spec
    orders = [] if shuffle is None else [c.order for c in shuffle.cluster_by.columns]
    names = [] if shuffle is None or not shuffle.cluster_by.sortable else list(shuffle.cluster_by.names)
    for partition in range(partitions):
        if not names or len(workers) == 1:
            for worker in workers:
                for batch in clients[worker].read_results(stage.number, partition):
                    check()
                    yield batch
            continue
        pieces: list[list[Any]] = []
        for worker in workers:
            piece = []
            for batch in clients[worker].read_results(stage.number, partition):
                check()
                if batch.num_rows:
                    piece.append(batch)
            if piece:
                pieces.append(piece)
        if len(pieces) == 1:
            yield from pieces[0]
        elif pieces:
            # a report holds all its rows in memory anyway, so the pieces are simply sorted together
            merged = one_batch(unify([batch for piece in pieces for batch in piece]))
            order = permutation(key_words([merged.column(n) for n in names], orders, merged.num_rows), merged.num_rows)
            yield merged if order is None else merged.take(pa.array(order))


def results_report(
    batches: Iterator[Any], columns: tuple[ResultColumn, ...], context: ResultsContext, limit: int | None
) -> ResultsReport:
    """The report's `results`; `limit` cuts the rows (None: all of them)."""
    rows: list[list[Any]] = []
    truncated = False
    for row in result_rows(batches, columns, context):
        if limit is not None and len(rows) >= limit:
            truncated = True
            break
        rows.append(row)
    signature = tuple({"name": c.name, "type": str(c.type)} for c in columns)
    return ResultsReport(signature, tuple(c.sql_type for c in columns), rows, truncated)
