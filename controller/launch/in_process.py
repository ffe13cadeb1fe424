"""Workers as threads of this process: for `msq run`, interactive SQL and tests."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.launching import WorkerEvents
from msq.faults import fault_of
from msq.protocol import ControllerClient
from msq.stage.query import QueryDefinition
from worker.chaos import Chaos
from worker.settings import WorkerSettings
from worker.worker import Worker

log = logging.getLogger(__name__)


def in_process_launcher(
    folder: Path, *, memory_bytes: int, threads: int, max_batch_rows: int | None, services: Mapping[str, Any],
    chaos: Chaos | None = None, inline: bool = False,
) -> InProcessLauncher:  # fmt: skip
    """A launcher of workers that hold at most `memory_bytes` each; `max_batch_rows` None is the worker's default."""
    settings = WorkerSettings(memory_bytes=memory_bytes, threads=threads, chaos=chaos, inline=inline)
    if max_batch_rows is not None:
        settings = replace(settings, max_batch_rows=max_batch_rows)
    return InProcessLauncher(folder, settings, services)


class InProcessLauncher:
    """Starts `Worker`s that share this process. One launcher serves one query.

    folder: everything temporary of the workers; made when needed, removed by `stop`. settings: of each worker.
    services: what processors may use (`deep_storage`, `lookups`, `source_access`, ..).
    """

    counters_are_cheap = True

    def __init__(self, folder: Path, settings: WorkerSettings, services: Mapping[str, Any] | None = None) -> None:
        self.runs_inline = settings.inline
        self._folder = folder
        self._settings = settings
        self._services = dict(services or {})
        self._lock = threading.Lock()
        self._workers: dict[int, Worker] = {}
        self._controller: ControllerClient | None = None
        self._events: WorkerEvents | None = None

    def begin(self, query: QueryDefinition, controller: ControllerClient, events: WorkerEvents) -> None:
        self._controller, self._events = controller, events

    def start(self, number: int, attempt: int, task_id: str) -> None:
        assert self._controller is not None and self._events is not None
        try:
            worker = Worker(
                number, task_id, self._controller, self._folder / task_id, self._peer, self._settings, self._services
            )
            with self._lock:
                old, self._workers[number] = self._workers.get(number), worker
            if old is not None:
                old.finish()
        except Exception as error:
            # whatever it was, the controller must hear of it: it waits for this worker
            log.warning("worker [%s] could not be started", task_id, exc_info=True)
            self._events.worker_failed(number, attempt, fault_of(error), str(error))
            return
        self._events.worker_ready(worker, attempt)

    def _peer(self, number: int) -> Worker:
        with self._lock:
            worker = self._workers.get(number)
        if worker is None:
            raise LookupError(f"There is no worker [{number}]")
        return worker

    def stop(self) -> None:
        with self._lock:
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.finish()
        if self._folder.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
