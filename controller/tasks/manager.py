"""TaskManager: the tasks of one server, live and recorded, behind one door."""

from __future__ import annotations

import logging
from typing import Any

from controller.engine import Engine, Prepared
from controller.metadata.store import from_payload
from controller.metadata.task_list import TaskFilter, TaskSummary, summaries
from controller.metadata.tasks import LOG, PUBLISHED, REPORT, TaskStatus, end_task, get_file, task
from controller.metadata.waiting import adopt
from controller.tasks.batch import INDEX, BatchSubmission, ingestion_stats, prepare_batch
from controller.tasks.job import JobTask
from controller.tasks.kill import kill_task
from controller.tasks.noop import noop_task
from controller.tasks.query import QueryTask, Submission
from controller.tasks.queue import TaskQueue
from controller.tasks.views import task_status_plus
from msq.faults import DruidException

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5.0
"""How long a shutdown waits for the task to be gone before it answers all the same."""
SETTLE_SECONDS = 5.0
"""How long who asks for a task may wait between the record of its end and its slots being free: next to nothing."""


_JOBS = {"kill": kill_task, "noop": noop_task}


class TaskManager:
    """`slots`: how many controllers and workers may run at once. Thread-safe."""

    def __init__(self, engine: Engine, slots: int) -> None:
        self.engine = engine
        self.queue: TaskQueue[QueryTask | JobTask] = TaskQueue(slots)

    # -- in -----------------------------------------------------------------------------------------------------------

    def submit(self, prepared: Prepared, submission: Submission) -> str:
        """Queues a statement; answers the task's id. Raises DruidException when the id is taken."""
        return self.add(QueryTask(self.engine, prepared, submission))

    def restore(self) -> list[str]:
        """Queues what earlier processes had accepted and not begun; answers the tasks' ids."""
        with self.engine.store.transaction() as connection:
            found = adopt(connection, self.engine.data_dir, self.engine.lease_name)
        for task_id, request in found:
            try:
                self.add(self._again(request))
            except DruidException as error:
                log.warning("task [%s] cannot be taken over: %s", task_id, error.message)
                with self.engine.store.transaction() as connection:
                    end_task(connection, TaskStatus(task_id, "FAILED", -1, error.message))
        return [task_id for task_id, _ in found]

    def _again(self, request: dict[str, Any]) -> QueryTask | JobTask:
        if request["kind"] == "job":
            payload = request["payload"]
            return _JOBS[payload["type"]](self.engine, payload, True)
        if request["kind"] == "batch":
            spec = BatchSubmission.from_json(request)
            return QueryTask(self.engine, prepare_batch(self.engine, spec), spec, recorded=True)
        asked = Submission.from_json(request)
        prepared = self.engine.prepare(asked.sql, asked.context, asked.parameters, own_context=asked.own_context)
        return QueryTask(self.engine, prepared, asked, recorded=True)

    def add(self, made: QueryTask | JobTask) -> str:
        self.queue.submit(made)
        return made.task_id

    def shutdown(self, task_id: str) -> bool:
        """Ends a task; False when nothing of that id runs or waits here. Returns when it is gone, or after a while."""
        owner = task_id if self.queue.state(task_id) is not None else self._controller_of(task_id)
        if owner is None or not self.queue.cancel(owner):
            return False
        self.queue.wait_gone((owner,), SHUTDOWN_SECONDS)
        return True

    def _controller_of(self, task_id: str) -> str | None:
        """A running worker ends with its controller: there is nobody else to ask."""
        found = self.summary(task_id)
        return found.group_id if found is not None and found.active and found.group_id != task_id else None

    def close(self, timeout: float) -> None:
        self.queue.close(timeout)

    # -- out ----------------------------------------------------------------------------------------------------------

    def live(self, task_id: str) -> QueryTask | JobTask | None:
        """A task that waits or runs here."""
        return self.queue.task(task_id)

    def summary(self, task_id: str) -> TaskSummary | None:
        found = self.summaries(TaskFilter(id=task_id))
        return found[0] if found else None

    def summaries(self, wanted: TaskFilter, limit: int | None = None) -> list[TaskSummary]:
        """As the store has them. Who is told that a task has ended finds its slots free, and nothing of it live."""
        with self.engine.store.reading() as connection:
            found = summaries(connection, wanted, limit)
        self.queue.wait_gone([t.id for t in found if not t.active], SETTLE_SECONDS)
        return found

    def shown(self, found: TaskSummary) -> dict[str, Any]:
        return task_status_plus(found, self.queue.states(), self.engine.settings.location)

    def payload(self, task_id: str) -> dict[str, Any] | None:
        with self.engine.store.reading() as connection:
            row = task(connection, task_id)
        return None if row is None else row.payload

    def report(self, task_id: str) -> dict[str, Any] | None:
        """The live report of a running task, else the one that was kept; None when there is none."""
        running = self.live(task_id)
        if running is not None and self.queue.state(task_id) == "RUNNING":
            report = running.live_report()
            if report is not None:
                return self._of_kind(task_id, report)
        kept = self._file(task_id, REPORT)
        return None if kept is None else self._of_kind(task_id, dict(from_payload(kept)))

    def _of_kind(self, task_id: str, report: dict[str, Any]) -> dict[str, Any]:
        """The report with what readers of the task's type look for."""
        found = self.summary(task_id)
        if found is None or found.kind not in INDEX:
            return report
        return {"ingestionStatsAndErrors": ingestion_stats(report, task_id), **report}

    def log(self, task_id: str) -> bytes | None:
        running = self.live(task_id)
        return running.log.read() if running is not None else self._file(task_id, LOG)

    def published(self, task_id: str) -> list[dict[str, Any]]:
        """JSON of the segments that the task published."""
        kept = self._file(task_id, PUBLISHED)
        return [] if kept is None else list(from_payload(kept))

    def _file(self, task_id: str, kind: str) -> bytes | None:
        with self.engine.store.reading() as connection:
            return get_file(connection, task_id, kind)

    def wait(self, task_id: str, seconds: float) -> bool:
        """Whether the task has ended, after waiting for that for at most `seconds`."""
        return self.queue.wait_gone((task_id,), seconds)
