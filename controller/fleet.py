"""The workers of one query as the controller holds them: started, called, asked for counters, ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from controller.launching import Launcher
from controller.live import LiveStatus
from msq.faults import Fault, WorkerRpcFailedFault
from msq.protocol import WorkerClient

log = logging.getLogger(__name__)


class Fleet:
    """`clients`: workers that are ready, by number. `holders`: whom to ask for a worker's results; a worker that is
    being replaced keeps its place until its successor is ready."""

    def __init__(self, task_id: str, launcher: Launcher, live: LiveStatus) -> None:
        self.clients: dict[int, WorkerClient] = {}
        self.holders: dict[int, WorkerClient] = {}
        self._task_id = task_id
        self._launcher = launcher
        self._live = live

    def worker_id(self, number: int, launched: Mapping[int, int]) -> str:
        """The task id of a worker's newest attempt."""
        return f"{self._task_id}-worker{number}_{launched.get(number, 0)}"

    def start(self, number: int, attempt: int) -> str:
        """Starts a worker (again); answers its task id."""
        self.clients.pop(number, None)
        worker_id = self.worker_id(number, {number: attempt})
        self._live.worker_submitted(number, worker_id)
        self._launcher.start(number, attempt, worker_id)
        return worker_id

    def ready(self, client: WorkerClient) -> None:
        self.clients[client.number] = self.holders[client.number] = client
        self._live.worker_started(client.number)

    def call(self, number: int, call: Callable[[WorkerClient], None]) -> Fault | None:
        """Calls a worker; answers a fault when it cannot be reached. One that is being replaced is left alone."""
        client = self.clients.get(number)
        if client is None:
            return None
        try:
            call(client)
        except (OSError, EOFError) as error:
            return WorkerRpcFailedFault(client.task_id, str(error) or type(error).__name__)
        return None

    def pull_counters(self) -> None:
        """Brings the newest counters of every worker into the live report; a worker that does not answer keeps its
        last ones."""
        if self._live.brief:
            return
        for number, client in list(self.clients.items()):
            try:
                self._live.counters(number, client.counters())
            except Exception:
                # counters are for showing: a query does not fail for want of them
                log.debug("[%s]: no counters of worker [%s]", self._task_id, number, exc_info=True)

    def cancel(self, fault: Fault) -> None:
        for number, client in list(self.clients.items()):
            quietly(f"cancel worker [{number}]", lambda c=client: c.cancel(fault))  # type: ignore[misc]

    def stop(self, state: str, numbers: Iterable[int]) -> None:
        """Ends all workers; `numbers` are those that were launched, and `state` how they ended."""
        for number, client in sorted(self.clients.items()):
            quietly(f"finish worker [{number}]", client.finish)
        quietly("stop workers", self._launcher.stop)
        for number in numbers:
            self._live.worker_ended(number, state)


def quietly(what: str, action: Callable[[], None]) -> None:
    """Does a step that must not stand in the way of others; its failure is logged."""
    try:
        action()
    except Exception:
        log.warning("failed to %s", what, exc_info=True)
