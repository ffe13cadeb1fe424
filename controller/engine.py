"""Engine: a data folder opened, and statements run over it. The command line, the library and the server stand on it.

`prepare` takes a text to a bound statement and refuses what cannot run; `start` records it as a task and runs it on a
thread; `QueryRun` follows it. Closing the engine ends what still runs.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from controller.admission import Admission
from controller.catalog import MetadataCatalog, SystemTables
from controller.controller import Controller, Listener
from controller.explain import explain
from controller.fleet import quietly
from controller.launch.in_process import in_process_launcher
from controller.launch.services import WorkerServices
from controller.launching import Launcher
from controller.metadata import segments as segment_rows
from controller.metadata.liveness import ProcessLease, is_alive, others_alive
from controller.metadata.lookups import load_stored
from controller.metadata.snapshots import Snapshots
from controller.metadata.store import MetadataStore, now_ms, to_payload
from controller.metadata.tasks import LOG, REPORT, TaskStatus, add_task, end_task, let_go, put_file, recover
from controller.metadata.waiting import keep_request
from controller.payload import task_context, task_payload
from controller.publish.publisher import TablePublisher, discard_unpublished
from controller.result_pages import ResultPages
from controller.task import ControllerServices, ControllerTask
from msq.context import QueryContext
from msq.faults import invalid_input
from msq.report import SUCCESS
from msq.results import ResultsContext
from msq.segment.identity import DataSegment
from msq.segment.reader import open_segment
from msq.segment.stored import StoredSchema
from msq.segment.timeline import VisibleSegment
from msq.stage.destination import DataSourceDestination
from msq.storage.base import DeepStorage
from msq.storage.durable import DurableStorage
from msq.storage.opened import OpenSegments

if TYPE_CHECKING:
    from controller.runnable import Runnable
    from msq.sql.statement import Statement

from controller.outcome import Outcome
from controller.plans import PlanCache
from controller.prepared import Prepared, check_export, check_lock_type, check_task_id
from controller.query_run import SHUTDOWN_MESSAGE, QueryRun
from controller.settings import EngineSettings

ROWS_IN_MEMORY = 20_000
"""Rows of an interactive query that are held in memory; the others wait in a file until they are sent."""


class Engine:
    """A data folder in use by this process. A context manager; several threads may use it at once."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.data_dir = settings.data_dir.resolve()
        self.store = MetadataStore.open(self.data_dir, settings.metadata_url)
        self.snapshots = Snapshots(self.store)
        self.plans = PlanCache()
        self.lookups = settings.lookups
        self.worker_services = WorkerServices(
            settings.deep_storage or {"type": "local", "storageDirectory": str(self.data_dir / "segments")},
            self.data_dir / "segment-cache", settings.durable_storage or str(self.data_dir / "durable"),
            settings.access,
        )  # fmt: skip
        self._services = self.worker_services.make()
        self.deep_storage: DeepStorage = self._services["deep_storage"]
        self.durable_storage: DurableStorage = self._services["durable_storage"]
        self.admission = Admission(settings.threads or os.cpu_count() or 1, settings.max_queries)
        self._open_segments = OpenSegments(self.deep_storage, settings.kept_columns)
        if settings.workers == "process":
            from controller.launch.local_process import warm

            warm()
        self._lease = ProcessLease(self.data_dir)
        self._tmp = self.data_dir / "tmp" / self._lease.name
        self._runs: dict[str, QueryRun] = {}
        self._lock = threading.Lock()
        # first: a worker that outlives its server by a moment must find nothing that it could still push
        self._sweep()
        with self.store.transaction() as connection:
            dead = recover(connection, self.data_dir, self._lease.name)
            for task_id in dead:
                discard_unpublished(connection, task_id, self._discard)
            load_stored(connection, self.lookups)
        for task_id in dead:
            self._discard_outputs(task_id)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def lease_name(self) -> str:
        """What this process is called in the rows of the tasks it runs."""
        return self._lease.name

    def close(self) -> None:
        """Cancels what runs, waits for it, and leaves no temporary file."""
        with self._lock:
            running = list(self._runs.values())
        for run in running:
            run.close()
        for run in running:
            run.wait()
        shutil.rmtree(self._tmp, ignore_errors=True)
        self._lease.close()
        self.store.close()

    def _sweep(self) -> None:
        """Removes what processes that are gone have left half-way."""
        if not others_alive(self.data_dir, self._lease.name):
            self.deep_storage.clean()
        parent = self._tmp.parent
        for folder in parent.iterdir() if parent.exists() else ():
            if folder.name != self._lease.name and not is_alive(self.data_dir, folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    # -- statements --------------------------------------------------------------------------------------------------

    def prepare(
        self, sql: str, context: Mapping[str, Any] | None = None, parameters: Sequence[Mapping[str, Any]] = (), *,
        own_context: Mapping[str, Any] | None = None, system: SystemTables | None = None,
        admit: Callable[[Statement], None] | None = None,
    ) -> Prepared:  # fmt: skip
        """Parses and binds. Raises DruidException for what is refused; its text says what to do.

        `own_context`: keys that the caller may set and users may not. `system`: where system tables come from; without
        it they are refused. `admit` sees the parsed statement first and may refuse it.
        """
        from msq.sql.bind import bind
        from msq.sql.cursor import too_deep
        from msq.sql.statement import parse_statement

        statement = parse_statement(sql, dict(context or {}), parameters)
        if admit is not None:
            admit(statement)
        given = statement.context
        query_id = str(given.get("sqlQueryId") or uuid.uuid4())
        merged = QueryContext({**given, **(own_context or {}), "sqlQueryId": query_id, "queryId": query_id})
        catalog = self.catalog(system)
        try:
            bound = bind(statement, catalog, merged, query_id=query_id, now_ms=now_ms())
        except RecursionError:
            raise too_deep() from None
        merged.validate()
        check_task_id(f"query-{query_id}")
        prepared = Prepared(self, statement, bound, merged, query_id, catalog)
        check_lock_type(prepared)
        check_export(prepared)
        if statement.explain:
            return Prepared(self, statement, bound, merged, query_id, catalog, explain(statement, bound))
        return prepared

    def catalog(self, system: SystemTables | None = None) -> MetadataCatalog:
        """What a statement may read, as of now."""
        return MetadataCatalog(self.store, self.schema_of, self.lookups.tables(), system, snapshots=self.snapshots)

    def start(self, prepared: Prepared) -> QueryRun:
        """Records the statement as a task and runs it. Raises DruidException when its id is taken."""
        run = self.enrol(prepared)
        run.begin()
        return run

    def enrol(
        self, prepared: Prepared, listener: Listener | None = None, request: dict[str, Any] | None = None,
        recorded: bool = False,
    ) -> QueryRun:  # fmt: skip
        """Records the statement as a task that somebody will `begin`, `discard` or `leave`. Raises as `start` does.

        `request`: what a later process needs to begin it, should this one end before. `recorded`: it stands there.
        """
        if not recorded:
            payload = task_payload(prepared)
            with self.store.transaction() as connection:
                try:
                    add_task(connection, payload, self._lease.name)
                except ValueError as error:
                    raise invalid_input(str(error)) from error
                if request is not None:
                    keep_request(connection, prepared.task_id, request)
        run = QueryRun(self, prepared, self.controller_of(prepared, listener))
        with self._lock:
            self._runs[run.task_id] = run
        return run

    def execute(
        self, sql: str, context: Mapping[str, Any] | None = None, parameters: Sequence[Mapping[str, Any]] = ()
    ) -> Outcome:
        """Prepares, starts and waits. Raises DruidException for what is refused; a failed run is an outcome."""
        prepared = self.prepare(sql, context, parameters)
        if prepared.explained is not None:
            return prepared.explained.outcome(prepared.task_id)
        return self.start(prepared).outcome()

    def worker_threads(self, context: QueryContext) -> int:
        """Processing threads of one worker of a statement."""
        threads = self.settings.threads or os.cpu_count() or 1
        limit = context.value("maxThreads")
        return max(1, min(threads, limit) if limit else threads)

    def controller_of(
        self, prepared: Runnable, listener: Listener | None = None, results: ResultsContext | None = None,
        streams: bool = False,
    ) -> Controller:  # fmt: skip
        """What runs the statement, not recorded anywhere.

        `results`: how an interactive query prints its rows. Such a query has a folder of its own, for its work and for
        those of its rows that are not kept in memory: its services' `result_pages`, which the caller discards.
        `streams`: rows that need no sort are instead left to be read as they are made, where there are many.
        """
        context, bound = prepared.context, prepared.bound
        interactive = results is not None
        folder = self._tmp / (f"{uuid.uuid4()}" if interactive else prepared.task_id)
        launcher = self._launcher(prepared, folder, interactive)
        publisher = None
        if isinstance(bound.destination, DataSourceDestination):
            publisher = TablePublisher(
                self.store, prepared.task_id, bound.destination, priority=context.value("priority"),
                concurrent_locks=context.value("useConcurrentLocks"), lock_type=context.value("taskLockType"),
                max_num_segments=context.value("maxNumSegments"), discard=self._discard,
            )  # fmt: skip
        task = ControllerTask(
            prepared.task_id, prepared.definition, bound.destination, tuple(bound.column_mappings), context.raw,
            tuple(bound.sql_type_names), results or ResultsContext.of(bound.results_context.to_json()),
            task_context(bound.lookups),
            ROWS_IN_MEMORY if interactive else None, streams,
        )  # fmt: skip
        services = ControllerServices(
            launcher, self.settings.access, prepared.catalog, publisher, self.settings.host, now_ms,
            ResultPages(folder.with_suffix(".rows")) if interactive else self.result_pages(prepared.task_id),
            self.admission if interactive else None,
        )  # fmt: skip
        return Controller(task, services, listener)

    def result_pages(self, task_id: str) -> ResultPages:
        """Where the rows of a SELECT to durable storage are."""
        return ResultPages(self.data_dir / "query-results" / task_id)

    def _launcher(self, prepared: Runnable, folder: Path, interactive: bool) -> Launcher:
        lookups = prepared.catalog.lookups
        common: dict[str, Any] = {
            "memory_bytes": self._worker_memory(prepared.max_workers),
            "threads": self.worker_threads(prepared.context), "max_batch_rows": self.settings.max_batch_rows,
            "chaos": self.settings.chaos,
        }  # fmt: skip
        if self.settings.workers == "process" and not interactive:
            from controller.launch.local_process import local_process_launcher

            read = replace(self.worker_services, lookups={name: lookups[name] for name in prepared.bound.lookups})
            return local_process_launcher(folder, services=read, **common)
        services = {**self._services, "lookups": lookups}
        if interactive:
            services.update(
                open_segments=self._open_segments, thread_share=self.admission.threads, spill_folder=self._spill_folder
            )
        inline = interactive and prepared.max_workers == 1
        return in_process_launcher(folder, services=services, inline=inline, **common)

    @cached_property
    def _spill_folder(self) -> Path:
        self._tmp.mkdir(parents=True, exist_ok=True)
        return self._tmp

    def _worker_memory(self, workers: int) -> int:
        shared = self.settings.memory_bytes - self.settings.kept_columns
        return shared // max(workers, self.settings.memory_shares or 1)

    def _ended(self, status: TaskStatus, report: dict[str, Any] | None, log: bytes | None) -> None:
        """Who sees the end sees all of it: nothing is left to be removed, and report and log are those of the end."""
        self._discard_outputs(status.id)
        if status.status != SUCCESS:
            self.result_pages(status.id).discard()
        with self.store.transaction() as connection:
            if report is not None:
                put_file(connection, status.id, REPORT, to_payload(report))
            if log is not None:
                put_file(connection, status.id, LOG, log)
            end_task(connection, status)
        with self._lock:
            self._runs.pop(status.id, None)

    def _discard_outputs(self, task_id: str) -> None:
        quietly("remove stage outputs", lambda: self.durable_storage.delete(task_id))

    def _discard(self, segment: DataSegment) -> None:
        self.deep_storage.kill(self.deep_storage.locate(segment))

    def _left(self, task_id: str) -> None:
        with self.store.transaction() as connection:
            let_go(connection, task_id)
        with self._lock:
            self._runs.pop(task_id, None)

    # -- tables ------------------------------------------------------------------------------------------------------

    def schema_of(self, segment: DataSegment) -> StoredSchema | None:
        """The columns of a segment, read from its files; None for a tombstone."""
        if segment.is_tombstone:
            return None
        return open_segment(self.deep_storage.open(segment)).stored

    def used_segments(self, table: str) -> list[DataSegment]:
        """Used segments of a table, overshadowed ones and tombstones too."""
        with self.store.reading() as connection:
            return segment_rows.used_segments(connection, table)

    def visible_segments(self, table: str) -> tuple[VisibleSegment, ...]:
        """What a query over the table reads, in order of time."""
        return self.catalog().visible(table)

    def find_segments(self, name: str) -> list[DataSegment]:
        """The visible segments of table `name`, or the used segment with that id, or none."""
        visible = [v.segment for v in self.visible_segments(name)]
        if visible:
            return visible
        with self.store.reading() as connection:
            for table in segment_rows.datasource_names(connection):
                if name.startswith(table + "_"):
                    for segment in segment_rows.used_segments(connection, table):
                        if segment.id == name:
                            return [segment]
        return []

    def table_columns(self, table: str) -> list[tuple[str, str]]:
        """(name, SQL type) of a table's columns, as INFORMATION_SCHEMA tells them; empty for an unknown table."""
        from msq.catalog import sql_type_name

        found = self.catalog().table(table)
        if found is None:
            return []
        return [(c.name, sql_type_name(c.name, c.type)) for c in found.signature]


__all__ = ["SHUTDOWN_MESSAGE", "Engine", "EngineSettings", "Outcome", "Prepared", "QueryRun"]
