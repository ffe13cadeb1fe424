"""Snapshots: what was read of a metadata store, kept until the store changes, whoever changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from controller.metadata.store import MetadataStore

T = TypeVar("T")


class Snapshot:
    """Values by key, each made once. Several threads may use it at once; values are not to be changed.

    Each value is that of the snapshot's time or newer: a write in between ends the snapshot at the next `now`.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, read: Callable[[], T]) -> T:
        """The value of `key`; `read` makes it where it is not known yet. What it raises is not kept."""
        try:
            found: T = self._values[key]
        except KeyError:
            found = self._values[key] = read()
        return found


class Snapshots:
    """The snapshot of now of one store."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: tuple[object, Snapshot] = None, Snapshot()

    def now(self) -> Snapshot:
        """Holds nothing that was read before the last commit of any process."""
        version = self._store.version()
        with self._lock:
            known, held = self._held
            if known is None or known != version:
                held = Snapshot()
                self._held = version, held
            return held
