"""DuckDB instances of work orders: prepared once, lent to one order at a time, so that small orders start at once.

All connections of an order are cursors of one instance and share its memory limit and threads. Tables must be TEMP:
they belong to a cursor and go with it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

_MAX_IDLE = 4
_idle: list[Instance] = []
_lock = threading.Lock()


class Instance:
    """An in-memory database whose catalog holds what `msq.expr.prepare` makes, and nothing else."""

    def __init__(self) -> None:
        import duckdb

        from msq.expr.prepare import prepare

        self._base = prepare(duckdb.connect(":memory:"))
        self._folder: Path | None = None

    @staticmethod
    def lease(memory_bytes: int, threads: int, folder: Path) -> Instance:
        """An instance with these limits that spills to `folder`, which it makes when it needs it."""
        with _lock:
            found = _idle.pop() if _idle else None
        made = found or Instance()
        made._configure(memory_bytes, threads, folder)
        return made

    def _configure(self, memory_bytes: int, threads: int, folder: Path) -> None:
        base = self._base
        base.execute(f"SET threads = {int(threads)}")
        base.execute(f"SET memory_limit = '{int(memory_bytes)}B'")
        base.execute("SET temp_directory = '" + str(folder).replace("'", "''") + "'")
        self._folder = folder

    def connect(self) -> Any:
        """A connection of its own over the instance, prepared as it is; the caller closes it."""
        return self._base.cursor()

    def give_back(self) -> None:
        """Ends the lease; all connections must be closed. An instance that has spilled is not used again, since its
        folder cannot be changed any more."""
        spilled = self._folder is not None and self._folder.exists()
        if not spilled:
            self._base.execute("RESET disabled_optimizers")
            with _lock:
                if len(_idle) < _MAX_IDLE:
                    _idle.append(self)
                    return
        self._base.close()
