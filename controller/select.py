"""Rows of a finished SELECT, gathered from the workers in the order of the final stage's partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from controller.result_pages import ResultPages
from msq.faults import MSQError, UnknownFault
from msq.frame.frame import one_batch, unify
from msq.frame.order import key_words, permutation
from msq.protocol import WorkerClient
from msq.report import ResultsReport
from msq.results import ResultColumn, ResultsContext, result_rows
from msq.stage.destination import ColumnMapping
from msq.stage.query import StageDefinition

PREVIEW_ROWS = 3_000
"""Rows of a SELECT to durable storage that stand in its report."""
PRINTED_ROWS = 5_000
"""Rows that are printed at once for whoever reads them one by one."""


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


@dataclass(frozen=True)
class ResultReader:
    """Reads the final stage. Pieces that several workers hold of a sorted partition are merged.

    `check` is called between batches and may raise to stop.
    """

    stage: StageDefinition
    workers: Sequence[int]
    clients: Mapping[int, WorkerClient]
    check: Callable[[], None]

    def whole(self, partitions: int, columns: tuple[ResultColumn, ...], context: ResultsContext) -> ResultsReport:
        """All rows, for the report."""
        batches = read_results(self.stage, partitions, self.workers, self.clients, self.check)
        return results_report(result_rows(batches, columns, context), columns, None)

    def paged(
        self, partitions: int, columns: tuple[ResultColumn, ...], context: ResultsContext, pages: ResultPages | None
    ) -> ResultsReport:
        """All rows into `pages`, the first ones for the report. Raises MSQError where there is no place for pages."""
        if pages is None:
            raise MSQError(UnknownFault("There is no durable storage for results: use selectDestination taskReport"))

        def rows() -> Iterator[list[Any]]:
            for partition in range(partitions):
                yield from pages.write(partition, result_rows(self.partition(partition), columns, context))

        return results_report(rows(), columns, PREVIEW_ROWS)

    def begun(
        self, partitions: int, columns: tuple[ResultColumn, ...], context: ResultsContext, in_memory: int
    ) -> tuple[ResultsReport, Iterator[list[Any]] | None]:
        """The first rows as a report, truncated where there are more; these, still to be read, or None."""
        batches = read_results(self.stage, partitions, self.workers, self.clients, self.check)
        rows = iter(result_rows(small_batches(batches), columns, context))
        report = results_report(islice(rows, in_memory), columns, None)
        ahead = next(rows, None) if len(report.rows) == in_memory else None
        return (report, None) if ahead is None else (replace(report, truncated=True), _and_then(ahead, rows))

    def partition(self, partition: int) -> Iterator[Any]:
        """Batches of one partition."""
        shuffle = self.stage.shuffle_spec
        orders = [] if shuffle is None else [c.order for c in shuffle.cluster_by.columns]
        names = [] if shuffle is None or not shuffle.cluster_by.sortable else list(shuffle.cluster_by.names)
        if not names or len(self.workers) == 1:
            for worker in self.workers:
                yield from self._pieces(worker, partition)
            return
        pieces = [[b for b in self._pieces(worker, partition) if b.num_rows] for worker in self.workers]
        pieces = [piece for piece in pieces if piece]
        if len(pieces) == 1:
            yield from pieces[0]
        elif pieces:
            # a report holds all its rows in memory anyway, so the pieces are simply sorted together
            merged = one_batch(unify([batch for piece in pieces for batch in piece]))
            order = permutation(key_words([merged.column(n) for n in names], orders, merged.num_rows), merged.num_rows)
            yield merged if order is None else merged.take(pa.array(order))

    def _pieces(self, worker: int, partition: int) -> Iterator[Any]:
        for batch in self.clients[worker].read_results(self.stage.number, partition):
            self.check()
            yield batch


def small_batches(batches: Iterable[Any]) -> Iterator[Any]:
    """The same rows, so few at once that printing them takes little memory and time."""
    for batch in batches:
        for start in range(0, max(batch.num_rows, 1), PRINTED_ROWS):
            yield batch.slice(start, PRINTED_ROWS)


def _and_then(first: list[Any], others: Iterator[list[Any]]) -> Iterator[list[Any]]:
    yield first
    yield from others


def read_results(
    stage: StageDefinition, partitions: int, workers: Sequence[int], clients: Mapping[int, WorkerClient],
    check: Callable[[], None],
) -> Iterator[Any]:  # fmt: skip
    """Batches of all partitions of the final stage, as `ResultReader` gives them."""
    reader = ResultReader(stage, workers, clients, check)
    for partition in range(partitions):
        yield from reader.partition(partition)


def results_report(rows_of: Iterable[list[Any]], columns: tuple[ResultColumn, ...], limit: int | None) -> ResultsReport:
    """The report's `results`; `limit` cuts the rows (None: all of them). Reads all of `rows_of` in any case."""
    rows: list[list[Any]] = []
    truncated = False
    for row in rows_of:
        if limit is not None and len(rows) >= limit:
            truncated = True
        else:
            rows.append(row)
    signature = tuple({"name": c.name, "type": str(c.type)} for c in columns)
    return ResultsReport(signature, tuple(c.sql_type for c in columns), rows, truncated)
