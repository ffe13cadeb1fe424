"""Tasks that are no statement: a function that runs in one slot, with its row, log and report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from controller.engine import SHUTDOWN_MESSAGE, Engine
from controller.metadata.store import now_ms, to_payload
from controller.metadata.tasks import LOG, REPORT, TaskStatus, add_task, end_task, put_file
from controller.metadata.waiting import begun, keep_request
from controller.tasks.log import TaskLog
from msq.faults import invalid_input

Work = Callable[["JobTask"], dict[str, Any] | None]


class JobTask:
    """`payload`: the task's JSON (id, type, dataSource, ..). `work` does it: it may log, should look at `cancelled`
    now and then, answers its report or None, and raises what makes the task fail.

    Raises DruidException when the id is taken. `recorded`: it stands in the store from before.
    """

    slots = 1

    def __init__(self, engine: Engine, payload: dict[str, Any], work: Work, recorded: bool = False) -> None:
        self.task_id: str = payload["id"]
        self.log = TaskLog(self.task_id)
        self.cancelled = threading.Event()
        self._engine = engine
        self._work = work
        if not recorded:
            with engine.store.transaction() as connection:
                try:
                    add_task(connection, payload, engine.lease_name)
                except ValueError as error:
                    raise invalid_input(str(error)) from error
                keep_request(connection, self.task_id, {"kind": "job", "payload": payload})
        self.log.info(f"{'taken over' if recorded else 'accepted'}: {payload['type']}")

    def is_ready(self) -> bool:
        return True

    def begin(self, ended: Callable[[], None]) -> None:
        with self._engine.store.transaction() as connection:
            begun(connection, self.task_id)

        def run() -> None:
            try:
                self._run()
            finally:
                ended()

        threading.Thread(target=run, name=self.task_id, daemon=True).start()

    def cancel(self) -> None:
        self.log.info(SHUTDOWN_MESSAGE)
        self.cancelled.set()

    def discard(self) -> None:
        self.cancelled.set()
        self._record("FAILED", -1, SHUTDOWN_MESSAGE, None)

    def leave(self) -> None:
        """Its record stays as it is."""

    def live_report(self) -> dict[str, Any] | None:
        return None

    def _run(self) -> None:
        began = now_ms()
        self.log.info("started")
        try:
            report = self._work(self)
        except Exception as error:
            # the thread's outermost frame: whatever the work raised is how the task ended
            self.log.error(f"{type(error).__name__}: {error}")
            self._record("FAILED", now_ms() - began, str(error) or type(error).__name__, None)
            return
        if self.cancelled.is_set() and report is None:
            self._record("FAILED", now_ms() - began, SHUTDOWN_MESSAGE, None)
        else:
            self._record("SUCCESS", now_ms() - began, None, report)

    def _record(self, status: str, duration: int, message: str | None, report: dict[str, Any] | None) -> None:
        self.log.info(f"ended: {status}")
        with self._engine.store.transaction() as connection:
            if report is not None:
                put_file(connection, self.task_id, REPORT, to_payload(report))
            put_file(connection, self.task_id, LOG, self.log.read())
            end_task(connection, TaskStatus(self.task_id, status, duration, message, self._engine.settings.location))
