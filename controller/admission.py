"""Admission: which interactive queries run now and which wait for their turn, and how many threads each may use.

Threads of many queries at once hinder each other more than they help, so about as many queries run as there are
processors. One that takes long is joined by others, so that a few large queries do not keep small ones waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

SHORT_SECONDS = 1.0
"""A query that has run for so long counts no more among those that share the processors."""
ROWS_A_THREAD = 400_000
"""Rows that are worth a thread of their own: fewer are read sooner than another thread takes part."""


class Turn:
    """A query's place: waiting, then running, until `leave`."""

    def __init__(self, admission: Admission, priority: int, number: int, wake: Callable[[], None]) -> None:
        self.priority = priority
        self.number = number
        self.began: float | None = None
        self.wake = wake
        self._admission = admission

    def __lt__(self, other: Turn) -> bool:
        return (-self.priority, self.number) < (-other.priority, other.number)

    def pause(self) -> float | None:
        """Seconds to wait before it is worth asking again, unless `wake` is called first; None: it may run."""
        return self._admission._pause(self)

    def leave(self) -> None:
        """The query has ended, or waits no longer. May be called twice."""
        self._admission._leave(self)


class Admission:
    """`processors` short queries run at once, and `most` in all. Those that wait go by priority, higher ones first,
    then by arrival. Several threads may use it at once; no query asks for a second turn while it has one."""

    def __init__(self, processors: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._processors = max(1, processors)
        self._most = max(1, most)
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = count()
        self._waiting: list[Turn] = []
        self._running: set[Turn] = set()

    def join(self, priority: int, wake: Callable[[], None]) -> Turn:
        """A place in the queue; `wake` is called, from any thread, when the query may run."""
        turn = Turn(self, priority, next(self._numbers), wake)
        with self._lock:
            heappush(self._waiting, turn)
            admitted = self._admit()
        _wake(admitted)
        return turn

    def threads(self, most: int, rows: int | None) -> int:
        """Threads for a part of a query that reads `rows` (None: unknown), `most` at most, as things stand now."""
        worth = most if rows is None else min(most, -(-rows // ROWS_A_THREAD))
        return max(1, min(worth, self._processors // max(1, len(self._running))))

    @property
    def counts(self) -> tuple[int, int]:
        """Queries that run, and that wait."""
        with self._lock:
            return len(self._running), len(self._waiting)

    def _admit(self) -> list[Turn]:
        """Lets those run for whom there is room; called with the lock held."""
        admitted = []
        now = self._clock()
        while self._waiting and len(self._running) < min(self._most, self._processors + self._long(now)):
            turn = heappop(self._waiting)
            turn.began = now
            self._running.add(turn)
            admitted.append(turn)
        return admitted

    def _long(self, now: float) -> int:
        return sum(t.began is not None and now - t.began >= SHORT_SECONDS for t in self._running)

    def _pause(self, turn: Turn) -> float | None:
        with self._lock:
            admitted = self._admit()
            now = self._clock()
            ages = [now - t.began for t in self._running if t.began is not None]
            runs = turn.began is not None
        _wake([t for t in admitted if t is not turn])
        return None if runs else min((SHORT_SECONDS - a for a in ages if a < SHORT_SECONDS), default=SHORT_SECONDS)

    def _leave(self, turn: Turn) -> None:
        with self._lock:
            if turn in self._running:
                self._running.remove(turn)
            elif turn in self._waiting:
                self._waiting.remove(turn)
                self._waiting.sort()
            admitted = self._admit()
        _wake(admitted)


def _wake(turns: list[Turn]) -> None:
    for turn in turns:
        turn.wake()
