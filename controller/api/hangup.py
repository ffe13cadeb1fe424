"""Hangup: whether the client of a request is still there, and what is to end when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Hangup:
    """The handler's side says what to end; the listener's side tells that the client has gone. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], object]] = []
        self._gone = False

    @property
    def gone(self) -> bool:
        return self._gone

    @contextmanager
    def ends(self, action: Callable[[], object]) -> Iterator[None]:
        """`action` is called when the client goes away during the block, or at once when it has gone before."""
        with self._lock:
            self._actions.append(action)
            gone = self._gone
        if gone:
            action()
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)

    def happened(self) -> None:
        """The client has gone away."""
        with self._lock:
            self._gone = True
            actions = list(self._actions)
        for action in actions:
            action()
