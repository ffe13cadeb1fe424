"""QueryRun: a statement that runs on a thread of its own, followed and cancelled from any other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from controller.controller import Controller
from controller.metadata.store import now_ms
from controller.metadata.tasks import TaskStatus
from controller.outcome import Outcome
from controller.prepared import Prepared
from msq.report import TaskReport

if TYPE_CHECKING:
    from controller.engine import Engine


SHUTDOWN_MESSAGE = "Shutdown request from user"
"""`errorMsg` of a task that somebody ended; clients tell cancelled tasks from failed ones by this text."""


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
        self._lock = threading.Lock()
        self._begun = False
        self._on_end: Callable[[], None] | None = None
        self._last_words: Callable[[Outcome], bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=self.task_id, daemon=True)

    def begin(
        self, ended: Callable[[], None] | None = None, last_words: Callable[[Outcome], bytes] | None = None
    ) -> None:
        """Starts the run. `last_words` answers its log, which is recorded with its end; `ended` is called once all is.
        Both are called on its thread."""
        self._on_end, self._last_words = ended, last_words
        with self._lock:
            if self._done.is_set():
                raise RuntimeError(f"Task [{self.task_id}] was let go before it began")
            self._begun = True
            self._thread.start()

    def _run(self) -> None:
        began = now_ms()
        try:
            report = self._controller.run()
            status = report.status.status
            final = report.to_json()
            outcome = Outcome(self.task_id, status, final, self._controller.published)
            self._engine._ended(
                TaskStatus(
                    self.task_id, status, now_ms() - began, self._message(report), self._engine.settings.location
                ),
                final, None if self._last_words is None else self._last_words(outcome),
            )  # fmt: skip
            self._outcome = outcome
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

    def discard(self, log: bytes | None = None) -> None:
        """Ends a run that has not begun, without a report."""
        self.cancelled = True
        self._engine._ended(TaskStatus(self.task_id, "FAILED", -1, SHUTDOWN_MESSAGE), None, log)
        self._done.set()

    def leave(self) -> None:
        """Lets go of a run that has not begun; its record stays, for another process to begin it."""
        self._engine._left(self.task_id)
        self._done.set()

    def close(self) -> None:
        """Asks a run to stop, and lets go of one that has not begun: nobody will begin it any more."""
        with self._lock:
            begun = self._begun
            if not begun:
                self._done.set()
        if begun:
            self.cancel()
        else:
            self._engine._left(self.task_id)

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
