"""Engine: a data folder opened, and statements run over it. The command line, the library and the server stand on it.

`prepare` takes a text to a bound statement and refuses what cannot run; `start` records it as a task and runs it on a
thread; `QueryRun` follows it. Closing the engine ends what still runs.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from controller.catalog import MetadataCatalog, SystemTables
from controller.controller import Controller, ControllerServices, ControllerTask, Listener
from controller.explain import Explained, explain
from controller.launch.in_process import in_process_launcher
from controller.launch.services import WorkerServices
from controller.launching import Launcher
from controller.metadata import segments as segment_rows
from controller.metadata.liveness import ProcessLease, is_alive, others_alive
from controller.metadata.segments import StoredSchema
from controller.metadata.store import MetadataStore, now_ms
from controller.metadata.tasks import TaskStatus, add_task, end_task, let_go, put_file, recover
from controller.metadata.waiting import keep_request
from controller.payload import TASK_CONTEXT, task_payload
from controller.publish.publisher import TablePublisher, discard_unpublished
from controller.publish.timeline import VisibleSegment
from controller.publishing import Published
from controller.result_pages import ResultPages
from msq.context import QueryContext
from msq.faults import DruidException, invalid_input
from msq.report import SUCCESS, TaskReport
from msq.results import ResultsContext
from msq.segment.identity import DataSegment
from msq.segment.reader import open_segment
from msq.sources.base import SourceAccess
from msq.stage.destination import DataSourceDestination, ExportDestination
from msq.storage.base import DeepStorage
from msq.storage.durable import DurableStorage

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.sql.bind import BoundQuery
    from msq.sql.statement import Statement
    from msq.stage.query import QueryDefinition

log = logging.getLogger(__name__)

ROWS_IN_MEMORY = 20_000
"""Rows of an interactive query that are held in memory; the others wait in a file until they are sent."""
SHUTDOWN_MESSAGE = "Shutdown request from user"
"""`errorMsg` of a task that somebody ended; clients tell cancelled tasks from failed ones by this text."""


@dataclass(frozen=True)
class EngineSettings:
    """data_dir: metadata, segments and temporary files. memory_bytes: what the process may hold beside Python itself.

    threads: processing threads (None: the processors there are). max_batch_rows: rows of a frame (None: the default).
    chaos: faults to inject into workers (worker.chaos.Chaos), for tests. metadata_url: an SQLAlchemy URL (None: SQLite
    in the data folder). deep_storage: as msq.storage reads it (None: a local folder of the data folder). access: what
    input sources may reach. lookups: tables of LOOKUP by name. host: as reports name this process.
    """

    data_dir: Path
    memory_bytes: int = 2 << 30
    threads: int | None = None
    max_batch_rows: int | None = None
    metadata_url: str | None = None
    deep_storage: Mapping[str, Any] | None = None
    access: SourceAccess = field(default_factory=SourceAccess)
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    host: str = "localhost"
    chaos: Any = None
    memory_shares: int | None = None
    """Into how many equal shares the memory is cut, each worker having one; None: a query's workers have all of it."""
    workers: str = "thread"
    """What the workers of a task are: `thread` of this process, or `process` of this machine each. Interactive queries
    always run on threads."""
    export_folders: tuple[Path, ...] | None = None
    """Folders that exports may write into; None: any."""
    location: tuple[str | None, int, int] = (None, -1, -1)
    """Host, port and TLS port that the statuses of tasks name."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `status` SUCCESS or FAILED, the final report, what was published, the rows of a SELECT."""

    task_id: str
    status: str
    report: dict[str, Any]
    published: Published | None = None

    @property
    def _payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.report["multiStageQuery"]["payload"]
        return payload

    @property
    def fault(self) -> dict[str, Any] | None:
        """The fault's JSON of a failed run."""
        item = self._payload["status"].get("errorReport")
        return None if item is None else item["error"]

    @property
    def names(self) -> list[str] | None:
        """Output columns of a SELECT, None otherwise."""
        results = self._payload.get("results")
        return None if results is None else [c["name"] for c in results["signature"]]

    @property
    def rows(self) -> list[list[Any]] | None:
        """Rows of a SELECT as the report prints them."""
        results = self._payload.get("results")
        return None if results is None else results["results"]

    def table(self) -> pa.Table | None:
        """Rows of a SELECT as an Arrow table, typed by their SQL types; None for an ingest."""
        results = self._payload.get("results")
        if results is None:
            return None
        from controller.tables import arrow_table

        return arrow_table(results)


@dataclass(frozen=True)
class Prepared:
    """A statement that may run: parsed, bound, its context checked. `explained` for an EXPLAIN, which does not run."""

    engine: Engine
    statement: Statement
    bound: BoundQuery
    context: QueryContext
    query_id: str
    catalog: MetadataCatalog
    explained: Explained | None = None

    @property
    def task_id(self) -> str:
        return f"query-{self.query_id}"

    @property
    def max_workers(self) -> int:
        return int(self.context.value("maxNumTasks")) - 1

    def definition(self) -> QueryDefinition:
        """The stages. Raises MSQError for what planning refuses."""
        from msq.plan.planner import plan

        def signature(table: str) -> Any:
            found = self.catalog.table(table)
            if found is None:
                raise invalid_input(f"Table [{table}] is gone")
            return found.signature

        return plan(
            self.bound, query_id=self.task_id, context=self.context.raw, max_workers=self.max_workers,
            target_partitions_per_worker=self.engine.worker_threads(self.context), table_signature=signature,
            results_context={
                "sqlTypeNames": list(self.bound.sql_type_names),
                "sqlResultsContext": self.bound.results_context.to_json(),
            },
        )  # fmt: skip


class QueryRun:
    """A statement that runs on a thread of its own."""

    def __init__(self, engine: Engine, prepared: Prepared, controller: Controller) -> None:
        self.task_id = prepared.task_id
        self.cancelled = False
        self._engine = engine
        self._prepared = prepared
        self._controller = controller
        self._outcome: Outcome | None = None
        self._done = threading.Event()
        self._on_end: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name=self.task_id, daemon=True)

    def begin(self, ended: Callable[[], None] | None = None) -> None:
        """Starts the run; `ended` is called on its thread once everything is recorded."""
        self._on_end = ended
        self._thread.start()

    def _run(self) -> None:
        began = now_ms()
        try:
            report = self._controller.run()
            status = report.status.status
            final = report.to_json()
            self._engine._ended(
                TaskStatus(
                    self.task_id, status, now_ms() - began, self._message(report), self._engine.settings.location
                ),
                final,
            )
            self._outcome = Outcome(self.task_id, status, final, self._controller.published)
        finally:
            self._done.set()
            if self._on_end is not None:
                self._on_end()

    def _message(self, report: TaskReport) -> str | None:
        error = report.status.error
        if error is None:
            return None
        return SHUTDOWN_MESSAGE if self.cancelled and error.code == "Canceled" else error.status_message()

    @property
    def prepared(self) -> Prepared:
        return self._prepared

    def is_ready(self) -> bool:
        """Takes the locks that a REPLACE needs before it runs; False while another task holds one of them."""
        publisher = self._controller.services.publisher
        return publisher is None or publisher.lock()

    def discard(self) -> None:
        """Ends a run that has not begun, without a report."""
        self.cancelled = True
        self._engine._ended(TaskStatus(self.task_id, "FAILED", -1, SHUTDOWN_MESSAGE), None)
        self._done.set()

    def leave(self) -> None:
        """Lets go of a run that has not begun; its record stays, for another process to begin it."""
        self._engine._left(self.task_id)
        self._done.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the run has ended, after waiting for it for at most `timeout` seconds."""
        return self._done.wait(timeout)

    def cancel(self, reason: str = "USER_REQUEST") -> None:
        """Asks the run to stop; it ends soon, with nothing published unless it was published already."""
        self.cancelled = True
        self._controller.cancel(reason)

    def live_payload(self) -> dict[str, Any]:
        """The live report's payload; without stages before there is a plan."""
        report = self._controller.snapshot()
        if report is None:
            return {"status": {"status": "RUNNING", "durationMs": -1}, "counters": {}}
        return report.payload()

    def outcome(self) -> Outcome:
        """Waits for the end."""
        self._done.wait()
        if self._outcome is None:
            raise RuntimeError(f"Task [{self.task_id}] ended without a report; see the log")
        return self._outcome


class Engine:
    """A data folder in use by this process. A context manager; several threads may use it at once."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.data_dir = settings.data_dir.resolve()
        self.store = MetadataStore.open(self.data_dir, settings.metadata_url)
        self.durable_storage = DurableStorage(settings.data_dir / "durable")
        self.worker_services = WorkerServices(
            settings.deep_storage or {"type": "local", "storageDirectory": str(self.data_dir / "segments")},
            self.data_dir / "segment-cache", self.durable_storage.root, settings.access, settings.lookups,
        )  # fmt: skip
        self._services = self.worker_services.make()
        self.deep_storage: DeepStorage = self._services["deep_storage"]
        if settings.workers == "process":
            from controller.launch.local_process import warm

            warm()
        self._lease = ProcessLease(self.data_dir)
        self._tmp = self.data_dir / "tmp" / self._lease.name
        self._runs: dict[str, QueryRun] = {}
        self._lock = threading.Lock()
        with self.store.transaction() as connection:
            for task_id in recover(connection, self.data_dir, self._lease.name):
                discard_unpublished(connection, task_id, self._discard)
        self._sweep()

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
            run.cancel()
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
        catalog = MetadataCatalog(self.store, self.schema_of, self.settings.lookups, system)
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

    def run_of(self, task_id: str) -> QueryRun | None:
        """The run of a task that this process runs, None when it does not."""
        with self._lock:
            return self._runs.get(task_id)

    def worker_threads(self, context: QueryContext) -> int:
        """Processing threads of one worker of a statement."""
        threads = self.settings.threads or os.cpu_count() or 1
        limit = context.value("maxThreads")
        return max(1, min(threads, limit) if limit else threads)

    def controller_of(
        self, prepared: Prepared, listener: Listener | None = None, results: ResultsContext | None = None
    ) -> Controller:
        """What runs the statement, not recorded anywhere.

        `results`: how an interactive query prints its rows. Such a query has a folder of its own, for its work and for
        those of its rows that are not kept in memory: its services' `result_pages`, which the caller discards.
        """
        context, bound = prepared.context, prepared.bound
        interactive = results is not None
        folder = self._tmp / (f"{uuid.uuid4()}" if interactive else prepared.task_id)
        launcher = self._launcher(prepared, folder, interactive)
        publisher = None
        if isinstance(bound.destination, DataSourceDestination):
            publisher = TablePublisher(
                self.store, prepared.task_id, bound.destination, self.schema_of, priority=context.value("priority"),
                concurrent_locks=context.value("useConcurrentLocks"), lock_type=context.value("taskLockType"),
                max_num_segments=context.value("maxNumSegments"), discard=self._discard,
            )  # fmt: skip
        task = ControllerTask(
            prepared.task_id, prepared.definition, bound.destination, tuple(bound.column_mappings), context.raw,
            tuple(bound.sql_type_names), results or ResultsContext.of(bound.results_context.to_json()), TASK_CONTEXT,
            ROWS_IN_MEMORY if interactive else None,
        )  # fmt: skip
        services = ControllerServices(
            launcher, self.settings.access, prepared.catalog, publisher, self.settings.host, now_ms,
            ResultPages(folder.with_suffix(".rows")) if interactive else self.result_pages(prepared.task_id),
        )  # fmt: skip
        return Controller(task, services, listener)

    def result_pages(self, task_id: str) -> ResultPages:
        """Where the rows of a SELECT to durable storage are."""
        return ResultPages(self.data_dir / "query-results" / task_id)

    def _launcher(self, prepared: Prepared, folder: Path, interactive: bool) -> Launcher:
        common: dict[str, Any] = {
            "memory_bytes": self._worker_memory(prepared.max_workers),
            "threads": self.worker_threads(prepared.context), "max_batch_rows": self.settings.max_batch_rows,
            "chaos": self.settings.chaos,
        }  # fmt: skip
        if self.settings.workers == "process" and not interactive:
            from controller.launch.local_process import local_process_launcher

            return local_process_launcher(folder, services=self.worker_services, **common)
        return in_process_launcher(folder, services=self._services, **common)

    def _worker_memory(self, workers: int) -> int:
        return self.settings.memory_bytes // max(workers, self.settings.memory_shares or 1)

    def _ended(self, status: TaskStatus, report: dict[str, Any] | None) -> None:
        from controller.metadata.store import to_payload

        with self.store.transaction() as connection:
            if report is not None:
                put_file(connection, status.id, "report", to_payload(report))
            end_task(connection, status)
        self.durable_storage.delete(status.id)
        if status.status != SUCCESS:
            self.result_pages(status.id).discard()
        with self._lock:
            self._runs.pop(status.id, None)

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
        opened = open_segment(self.deep_storage.open(segment))
        several = tuple(name for name in opened.names if opened.column(name).has_multiple_values)
        return StoredSchema(opened.signature, several)

    def used_segments(self, table: str) -> list[DataSegment]:
        """Used segments of a table, overshadowed ones and tombstones too."""
        with self.store.reading() as connection:
            return segment_rows.used_segments(connection, table)

    def visible_segments(self, table: str) -> tuple[VisibleSegment, ...]:
        """What a query over the table reads, in order of time."""
        return MetadataCatalog(self.store, self.schema_of).visible(table)

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

        found = MetadataCatalog(self.store, self.schema_of).table(table)
        if found is None:
            return []
        return [(c.name, sql_type_name(c.name, c.type)) for c in found.signature]


def check_task_id(task_id: str) -> None:
    """Raises DruidException for an id that Druid would not take."""
    for bad in ("/", "\\", "\n", "\r", "\t", "\0"):
        if bad in task_id:
            raise invalid_input(f"Invalid value for field [task ID]: Value [{task_id}] cannot contain '{bad}'.")
    if task_id.startswith("."):
        raise invalid_input(f"Invalid value for field [task ID]: Value [{task_id}] cannot start with '.'.")


def check_export(prepared: Prepared) -> None:
    """Raises DruidException for an export to a kind of storage that is not there, or to a folder not allowed."""
    destination = prepared.bound.destination
    if not isinstance(destination, ExportDestination):
        return
    kind = destination.export_storage_provider.get("type")
    if kind != "local":
        raise invalid_input(
            f"Could not resolve type id '{kind}' as an export destination: known type ids = [local]. Use "
            "EXTERN(local(exportPath => '..'))."
        )
    allowed = prepared.engine.settings.export_folders
    path = str(destination.export_storage_provider.get("exportPath"))
    if allowed is not None and not any(Path(path).resolve().is_relative_to(folder.resolve()) for folder in allowed):
        raise DruidException(
            f"Export path [{path}] is outside the folders this server may write to",
            error_code="forbidden", category="FORBIDDEN",
        )  # fmt: skip


def check_lock_type(prepared: Prepared) -> None:
    """Raises DruidException for a `taskLockType` that the statement cannot use."""
    kind = prepared.context.value("taskLockType")
    destination = prepared.bound.destination
    if kind is None or not isinstance(destination, DataSourceDestination):
        return
    replacing = destination.replace_time_chunks is not None
    wanted = ("EXCLUSIVE", "REPLACE") if replacing else ("SHARED", "APPEND")
    if kind not in wanted:
        from msq.faults import not_plannable

        verb = "a REPLACE" if replacing else "an INSERT"
        raise not_plannable(
            f"TaskLock must be of type [{wanted[0]}] or [{wanted[1]}] for {verb} query. Found invalid type [{kind}] "
            "set. Please use [taskLockType] key in the context parameter and use one of the TaskLock types as mentioned "
            "earlier or remove this key for automatic lock type selection"
        )


__all__ = ["SUCCESS", "Engine", "EngineSettings", "Outcome", "Prepared", "QueryRun"]
