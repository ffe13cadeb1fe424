"""Conclusion: the last thing that a query does when all its stages have ended: rows, segments or a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from controller.export import write_manifest
from controller.fleet import Fleet
from controller.ingest import with_compaction_state
from controller.kernel import ControllerQueryKernel
from controller.live import LiveStatus
from controller.publishing import Published
from controller.select import ResultReader, result_columns
from controller.task import ControllerServices, ControllerTask
from msq.context import QueryContext
from msq.intervals import format_instant
from msq.processors.export import ExportResultsProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.report import ResultsReport
from msq.segment.stored import MadeSegment
from msq.stage.destination import DataSourceDestination, DurableStorageDestination
from msq.stage.query import QueryDefinition


class Conclusion:
    """`rows`: a SELECT's results. `rest`: the rows behind those, where they are still to be read. `published`: what an
    ingest made visible. Each is None while there is none."""

    def __init__(
        self, task: ControllerTask, services: ControllerServices, query: QueryDefinition,
        kernel: ControllerQueryKernel, live: LiveStatus, fleet: Fleet, check_cancelled: Callable[[], None],
    ) -> None:  # fmt: skip
        self.rows: ResultsReport | None = None
        self.rest: Iterator[list[Any]] | None = None
        self.published: Published | None = None
        self._task = task
        self._services = services
        self._context = QueryContext(task.context)
        self._final = query.final
        self._kernel = kernel
        self._live = live
        self._fleet = fleet
        self._check_cancelled = check_cancelled

    def conclude(self, results: Sequence[Any], streamed: bool = False) -> None:
        """`results`: of the last stage, all workers' in their order: segments made, files written. `streamed`: its rows
        are made as they are read."""
        processor = self._final.processor
        if isinstance(processor, SegmentGeneratorProcessor):
            self._publish(processor, results)
        elif isinstance(processor, ExportResultsProcessor):
            write_manifest(processor, list(results), self._services.access)
        else:
            self.rows = self._read_rows(streamed)

    def _read_rows(self, streamed: bool) -> ResultsReport:
        final, task = self._final, self._task
        columns = result_columns(final, task.column_mappings, task.sql_types)
        reader = ResultReader(final, self._kernel.workers(final.number), self._fleet.holders, self._check_cancelled)
        count = self._kernel.partition_count(final.number) or 1
        pages, kept = self._services.result_pages, task.rows_in_memory
        if kept is not None and pages is not None:
            report, rest = reader.begun(count, columns, task.results_context, kept)
            if streamed:
                self.rest = rest
            elif rest is not None:
                for _ in pages.write(0, rest):
                    pass
            return report
        if isinstance(task.destination, DurableStorageDestination):
            return reader.paged(count, columns, task.results_context, pages)
        return reader.whole(count, columns, task.results_context)

    def _publish(self, generator: SegmentGeneratorProcessor, made: Sequence[Any]) -> None:
        destination, publisher = self._task.destination, self._services.publisher
        assert isinstance(destination, DataSourceDestination) and publisher is not None
        written = [MadeSegment.from_json(value) for value in made]
        segments = [w.segment for w in written]
        segments.sort(key=lambda s: (s.interval, s.shard_spec.partition_num))
        replacing = destination.replace_time_chunks is not None
        if replacing and self._context.value("storeCompactionState"):
            segments = with_compaction_state(segments, destination, generator)
        started = self._services.clock()

        def loaded(made: Published) -> dict[str, Any] | None:
            waits = self._context.value("waitUntilSegmentsLoad") and (made.segments or made.tombstones)
            return _loaded(made, started, self._services.clock()) if waits else None

        def report(made: Published) -> dict[str, Any]:
            return self._live.succeeded(loaded(made), self._task.task_context).to_json()

        if segments or replacing:
            self.published = publisher.publish(segments, {w.segment.id: w.columns for w in written}, report)
        else:
            publisher.abort()
            self.published = Published((), ())
        self._live.segments(None, loaded(self.published))


def _loaded(published: Published, started: int, now: int) -> dict[str, Any]:
    """`segmentLoadWaiterStatus`: what is published here is readable at once."""
    total = len(published.segments) + len(published.tombstones)
    return {
        "state": "SUCCESS", "startTime": format_instant(started), "duration": now - started, "totalSegments": total,
        "usedSegments": total, "precachedSegments": total, "onDemandSegments": 0, "pendingSegments": 0,
        "unknownSegments": 0,
    }  # fmt: skip
