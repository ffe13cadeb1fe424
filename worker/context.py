"""ExecutionContext: what a processor may use while its work order runs, and the closing of all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msq.counters import CounterTracker
from msq.faults import CanceledFault, Fault, MSQError
from msq.protocol import ReadableInput
from msq.stage.query import QueryDefinition, StageDefinition
from worker.duck import Instance
from worker.memory import OrderMemory


class CancelToken:
    """Set once, with the fault that whoever checks it then raises."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.fault: Fault = CanceledFault()

    def cancel(self, fault: Fault) -> None:
        if not self._event.is_set():
            self.fault = fault
            self._event.set()

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        if self._event.is_set():
            raise MSQError(self.fault)


class WorkContext:
    """The ExecutionContext (msq.protocol) of one work order."""

    def __init__(
        self, *, query: QueryDefinition, stage: StageDefinition, worker_number: int, counters: CounterTracker,
        memory: OrderMemory, threads: int, temp_dir: Path, extra: Mapping[str, Any], max_batch_rows: int,
        services: Mapping[str, Any], token: CancelToken, warn: Callable[[Fault], None],
    ) -> None:  # fmt: skip
        self.query = query
        self.stage = stage
        self.worker_number = worker_number
        self.counters = counters
        self.memory = memory
        self.memory_bytes = memory.total
        self.threads = threads
        self._folder = temp_dir
        self._has_folder = False
        self.extra = extra
        self.max_batch_rows = max_batch_rows
        self.services = services
        self.inputs: Sequence[ReadableInput] = ()
        self.results: list[Any] = []
        self._token = token
        self._warn = warn
        self._lock = threading.Lock()
        self._connections: list[Any] = []
        self._instance: Instance | None = None

    @property
    def temp_dir(self) -> Path:
        if not self._has_folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._has_folder = True
        return self._folder

    def connection(self, without_optimizers: str = "") -> Any:
        self.check_cancelled()
        with self._lock:
            if self._instance is None:
                shared: Path | None = self.services.get("spill_folder")
                folder = self._folder if shared is not None else self.temp_dir
                self._instance = Instance.lease(self.memory.duckdb, self.threads, folder / "duckdb", shared)
            made = self._instance.connect(without_optimizers)
            self._connections.append(made)
        return made

    def check_cancelled(self) -> None:
        self._token.check()

    def warn(self, fault: Fault) -> None:
        self._warn(fault)

    def add_result(self, value: Any) -> None:
        with self._lock:
            self.results.append(value)

    def interrupt(self) -> None:
        """Stops statements that run on the order's connections."""
        import duckdb

        with self._lock:
            for connection in self._connections:
                with suppress(duckdb.ConnectionException):  # closed by whoever used it
                    connection.interrupt()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
            instance, self._instance = self._instance, None
        for connection in connections:
            connection.close()
        if instance is not None:
            instance.give_back()
