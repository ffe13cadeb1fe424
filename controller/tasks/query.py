"""A statement as a queued task: its run, its workers as tasks of their own, and its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from controller import events as ev
from controller.engine import SHUTDOWN_MESSAGE, Engine, Outcome, Prepared, QueryRun
from controller.metadata.store import MetadataStore, now_ms
from controller.metadata.tasks import TaskStatus, add_task, end_task
from controller.metadata.waiting import begun
from controller.payload import datasource_of, task_context
from controller.tasks.log import TaskLog
from msq.report import SUCCESS


@dataclass(frozen=True)
class Submission:
    """What was asked for, so that it can be prepared again; `own_context` as Engine.prepare takes it."""

    sql: str
    context: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]] = ()
    own_context: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "query", "sql": self.sql, "context": dict(self.context),
            "parameters": [dict(p) for p in self.parameters], "ownContext": dict(self.own_context),
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Submission:
        return Submission(value["sql"], value["context"], value["parameters"], value["ownContext"])


class Request(Protocol):
    """What a later process needs to prepare a task again; its `kind` says how."""

    def to_json(self) -> dict[str, Any]: ...


class QueryTask:
    """Recorded when it is made, unless it was before (`recorded`). Raises DruidException when its id is taken."""

    def __init__(self, engine: Engine, prepared: Prepared, submission: Request, *, recorded: bool = False) -> None:
        self.task_id = prepared.task_id
        self.slots = 1 + prepared.max_workers
        self.log = TaskLog(self.task_id)
        self._engine = engine
        self._prepared = prepared
        self._workers = WorkerTasks(engine.store, engine.lease_name, prepared, engine.settings.location)
        self.run: QueryRun = engine.enrol(prepared, self._hear, submission.to_json(), recorded)
        word = "taken over" if recorded else "accepted"
        self.log.info(f"{word}: {prepared.statement.kind}, up to {prepared.max_workers} workers")

    def is_ready(self) -> bool:
        return self.run.is_ready()

    def begin(self, ended: Callable[[], None]) -> None:
        with self._engine.store.transaction() as connection:
            begun(connection, self.task_id)
        self.log.info("started")

        self.run.begin(ended, self._last_words)

    def cancel(self) -> None:
        self.log.info(SHUTDOWN_MESSAGE)
        self.run.cancel("TASK_SHUTDOWN")

    def discard(self) -> None:
        self.log.info(f"{SHUTDOWN_MESSAGE}, before it began")
        self.run.discard(self.log.read())

    def leave(self) -> None:
        self.run.leave()

    def live_report(self) -> dict[str, Any]:
        payload = self.run.live_payload()
        return {"multiStageQuery": {"type": "multiStageQuery", "taskId": self.task_id, "payload": payload}}

    def _last_words(self, outcome: Outcome) -> bytes:
        """The whole log of a run that has ended so."""
        published = outcome.published
        if published is not None:
            rows = sum(s.total_rows or 0 for s in published.segments)
            self.log.info(
                f"published [{len(published.segments)}] segments with [{rows}] rows and "
                f"[{len(published.tombstones)}] tombstones"
            )
        fault = outcome.fault
        if fault is not None:
            self.log.error(f"{fault.get('errorCode')}: {fault.get('errorMessage')}")
        self.log.info(f"ended: {outcome.status}")
        return self.log.read()

    def _hear(self, progress: ev.Progress) -> None:
        """On the controller's thread."""
        if isinstance(progress, ev.StageChanged):
            parts = "" if progress.partitions is None else f", partitions [{progress.partitions}]"
            self.log.info(f"stage [{progress.stage}] {progress.phase.value}, workers [{progress.workers}]{parts}")
        elif isinstance(progress, ev.WorkerLaunched):
            self.log.info(f"worker [{progress.task_id}] started")
            self._workers.launched(progress)
        elif isinstance(progress, ev.QueryEnded):
            self._workers.ended(progress.status, self.run.cancelled)


class WorkerTasks:
    """The workers of one query as rows of type `query_worker`."""

    def __init__(
        self, store: MetadataStore, process: str, prepared: Prepared, location: tuple[str | None, int, int]
    ) -> None:
        self._store = store
        self._process = process
        self._controller = prepared.task_id
        self._datasource = datasource_of(prepared)
        self._context = task_context(prepared.bound.lookups)
        self._location = location
        self._running: dict[int, tuple[str, int]] = {}

    def launched(self, worker: ev.WorkerLaunched) -> None:
        payload = {
            "type": "query_worker", "id": worker.task_id, "groupId": self._controller,
            "dataSource": self._datasource, "controllerTaskId": self._controller, "workerNumber": worker.number,
            "retry": worker.attempt, "context": self._context,
            "resource": {"availabilityGroup": worker.task_id, "requiredCapacity": 1},
        }  # fmt: skip
        replaced = self._running.pop(worker.number, None)
        if replaced is not None:
            self._end(*replaced, "FAILED", "The worker was lost and started again")
        with self._store.transaction() as connection:
            add_task(connection, payload, self._process)
        self._running[worker.number] = (worker.task_id, now_ms())

    def ended(self, status: str, cancelled: bool) -> None:
        message = None
        if status != SUCCESS:
            message = SHUTDOWN_MESSAGE if cancelled else f"Its controller [{self._controller}] failed"
        for task_id, began in self._running.values():
            self._end(task_id, began, status, message)
        self._running.clear()

    def _end(self, task_id: str, began: int, status: str, message: str | None) -> None:
        with self._store.transaction() as connection:
            end_task(connection, TaskStatus(task_id, status, now_ms() - began, message, self._location))
