"""The queue: which task may run. A task takes all the slots it needs at once, or waits.

```
submit -> WAITING (for locks) -> PENDING (for slots) -> RUNNING -> gone
```
A task holds one slot for its controller and one for each worker, so no set of controllers can take all slots and then
wait for each other's workers. A task that needs more slots than there are runs when it has all of them to itself. Tasks
start in order of submission; one that waits for a lock lets others pass.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

WAITING, PENDING, RUNNING = "WAITING", "PENDING", "RUNNING"
LOCK_POLL_SECONDS = 0.25


class QueuedTask(Protocol):
    """What the queue needs to know. Only the queue calls `begin`, at most once, not after `discard` or `leave`."""

    @property
    def task_id(self) -> str: ...

    @property
    def slots(self) -> int: ...

    def is_ready(self) -> bool:
        """Whether it has the locks it needs; takes them."""
        ...

    def begin(self, ended: Callable[[], None]) -> None:
        """Starts it and returns at once; `ended` is called when it has recorded its end."""
        ...

    def cancel(self) -> None:
        """Asks a running task to end soon."""
        ...

    def discard(self) -> None:
        """Records the end of a task that will not begin."""
        ...

    def leave(self) -> None:
        """Lets go of a task that this process will not begin; its record stays, for the next one."""
        ...


Task = TypeVar("Task", bound=QueuedTask)


@dataclass
class _Entry(Generic[Task]):
    task: Task
    state: str = WAITING
    slots: int = 0


class TaskQueue(Generic[Task]):
    """`capacity`: slots there are. Thread-safe; a thread of its own starts tasks."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: dict[str, _Entry[Task]] = {}
        self._used = 0
        self._enabled = True
        self._closed = False
        self._dirty = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="task-queue", daemon=True)
        self._thread.start()

    # -- what callers ask --------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """Takes the task in; once the queue is closed, leaves it to the next process."""
        with self._changed:
            closed = self._closed
            if not closed:
                self._entries[task.task_id] = _Entry(task)
                self._wake()
        if closed:
            task.leave()

    def task(self, task_id: str) -> Task | None:
        """The task while it is in the queue."""
        with self._changed:
            entry = self._entries.get(task_id)
            return None if entry is None else entry.task

    def state(self, task_id: str) -> str | None:
        """WAITING, PENDING or RUNNING; None for a task that is not in the queue."""
        with self._changed:
            entry = self._entries.get(task_id)
            return None if entry is None else entry.state

    def states(self) -> dict[str, str]:
        with self._changed:
            return {task_id: entry.state for task_id, entry in self._entries.items()}

    @property
    def used(self) -> int:
        with self._changed:
            return self._used

    @property
    def enabled(self) -> bool:
        return self._enabled

    def enable(self, value: bool) -> None:
        """Whether new tasks may start; running ones go on."""
        with self._changed:
            self._enabled = value
            self._wake()

    def cancel(self, task_id: str) -> bool:
        """Ends a task: at once while it waits, soon when it runs. False when it is not in the queue."""
        with self._changed:
            entry = self._entries.get(task_id)
            if entry is None:
                return False
            running = entry.state == RUNNING
            if not running:
                del self._entries[task_id]
        if running:
            entry.task.cancel()
        else:
            entry.task.discard()
            with self._changed:
                self._wake()
        return True

    def wait_gone(self, task_ids: Collection[str], timeout: float) -> bool:
        """Whether the tasks have left the queue, after waiting for that for at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._entries.keys().isdisjoint(task_ids), timeout)

    def close(self, timeout: float) -> None:
        """Leaves what waits, cancels what runs and waits for it, at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            waiting = [e.task for e in self._entries.values() if e.state != RUNNING]
            for task in waiting:
                del self._entries[task.task_id]
            running = list(self._entries)
            self._wake()
        # the thread may be asking one of them for its locks right now
        self._thread.join()
        for task in waiting:
            task.leave()
        for task_id in running:
            self.cancel(task_id)
        with self._changed:
            self._changed.wait_for(lambda: not self._entries, timeout)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._dirty = True
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                waiting = any(e.state == WAITING for e in self._entries.values())
                self._changed.wait_for(lambda: self._dirty or self._closed, LOCK_POLL_SECONDS if waiting else None)
                if self._closed:
                    return
                self._dirty = False
                candidates = [e for e in self._entries.values() if e.state != RUNNING]
            blocked = False
            for entry in candidates:
                if entry.state == WAITING and not self._ready(entry):
                    continue
                blocked = self._start(entry, blocked) or blocked

    def _ready(self, entry: _Entry[Task]) -> bool:
        try:
            return entry.task.is_ready()
        except Exception:
            # the metadata store may be away for a while: the others of the queue are asked all the same
            log.warning("task [%s] could not ask for its locks; it is asked again", entry.task.task_id, exc_info=True)
            return False

    def _start(self, entry: _Entry[Task], blocked: bool) -> bool:
        """Starts the task if it fits; answers whether it has to wait."""
        needed = min(entry.task.slots, self.capacity)
        task_id = entry.task.task_id
        with self._changed:
            if self._entries.get(task_id) is not entry or self._closed:
                return False
            if blocked or not self._enabled or self._used + needed > self.capacity:
                entry.state = PENDING
                return True
            entry.state, entry.slots = RUNNING, needed
            self._used += needed
        try:
            entry.task.begin(lambda: self._ended(task_id))
        except Exception:
            # whatever kept it from starting, its slots and locks go back and the queue goes on
            log.exception("task [%s] could not be started", task_id)
            entry.task.discard()
            self._ended(task_id)
        return False

    def _ended(self, task_id: str) -> None:
        with self._changed:
            entry = self._entries.pop(task_id, None)
            if entry is not None:
                self._used -= entry.slots
            self._wake()
