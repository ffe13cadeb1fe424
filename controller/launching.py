"""Launcher: how workers come and go. Implementations start threads, processes or actors (controller.launch)."""

from __future__ import annotations

from typing import Protocol

from msq.faults import Fault
from msq.protocol import ControllerClient, WorkerClient
from msq.stage.query import QueryDefinition


class WorkerEvents(Protocol):
    """What a launcher tells; may be called from any thread."""

    def worker_ready(self, client: WorkerClient, attempt: int) -> None: ...

    def worker_failed(self, number: int, attempt: int, fault: Fault | None, message: str) -> None:
        """A worker could not be started, or vanished. `fault`: why, when it is known."""
        ...


class Launcher(Protocol):
    """Starts the workers of one query."""

    #: whether `WorkerClient.counters` costs next to nothing, so that live reports may ask each time
    counters_are_cheap: bool
    #: whether work orders run on the controller's thread: then others must stop them
    runs_inline: bool

    def begin(self, query: QueryDefinition, controller: ControllerClient, events: WorkerEvents) -> None:
        """Called once, before any worker is started."""
        ...

    def start(self, number: int, attempt: int, task_id: str) -> None:
        """Starts worker `number`; returns at once. Ends in `worker_ready` or `worker_failed`.

        An older attempt of the same number is dead and must not be heard of again.
        """
        ...

    def stop(self) -> None:
        """Ends whatever still runs and frees all of it; returns when that is done. May be called twice."""
        ...
