"""A task's log: lines in memory while it runs, kept in the metadata store with its end."""

from __future__ import annotations

import threading

from controller.metadata.store import now_iso

MAX_LINES = 20_000
"""Lines kept of one task; what is over is counted."""


class TaskLog:
    """Thread-safe. A line reads `time level [task] text`."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self._lines: list[str] = []
        self._dropped = 0
        self._lock = threading.Lock()

    def info(self, text: str) -> None:
        self._add("INFO", text)

    def error(self, text: str) -> None:
        self._add("ERROR", text)

    def _add(self, level: str, text: str) -> None:
        flat = text.replace("\r", "\\r").replace("\n", "\\n")
        with self._lock:
            if len(self._lines) < MAX_LINES:
                self._lines.append(f"{now_iso()} {level} [{self.task_id}] {flat}\n")
            else:
                self._dropped += 1

    def read(self) -> bytes:
        """The whole log so far, UTF-8."""
        with self._lock:
            end = f"{self._dropped} more lines were not kept\n" if self._dropped else ""
            return ("".join(self._lines) + end).encode()
