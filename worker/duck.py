"""DuckDB instances of work orders: prepared once, lent to one order at a time, so that small orders start at once.

All connections of an order are cursors of one instance and share its memory limit and threads. Tables must be TEMP:
they belong to a cursor and go with it.
"""

from __future__ import annotations

import shutil
import threading
import uuid
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
        self._limits: tuple[int, int, Path | None] | None = None
        self._folder: Path | None = None
        self._tuned = False

    @staticmethod
    def lease(memory_bytes: int, threads: int, folder: Path, shared: Path | None = None) -> Instance:
        """An instance with these limits that spills to `folder`, which it makes when it needs it.

        `shared`: a folder that outlives the lease; then it spills to a folder of its own there. That is quicker, since
        one that was lent with the same limits and `shared` before is ready as it is.
        """
        limits = memory_bytes, threads, shared
        with _lock:
            same = [n for n, one in enumerate(_idle) if shared is not None and one._limits == limits]
            found = _idle.pop(same[-1] if same else -1) if _idle else None
        made = found or Instance()
        if shared is None or made._limits != limits:
            own = folder if shared is None else shared / f"duckdb-{uuid.uuid4()}"
            made._configure(memory_bytes, threads, own)
            made._limits = limits
        return made

    def _configure(self, memory_bytes: int, threads: int, folder: Path) -> None:
        base = self._base
        base.execute(f"SET threads = {int(threads)}")
        base.execute(f"SET memory_limit = '{int(memory_bytes)}B'")
        base.execute("SET temp_directory = '" + str(folder).replace("'", "''") + "'")
        self._folder = folder

    def connect(self, without_optimizers: str = "") -> Any:
        """A connection of its own over the instance, prepared as it is; the caller closes it.

        `without_optimizers`: their names, comma-separated; they stay off until the lease ends.
        """
        if without_optimizers:
            self._tuned = True
            self._base.execute(f"SET disabled_optimizers = '{without_optimizers}'")
        return self._base.cursor()

    def give_back(self) -> None:
        """Ends the lease; all connections must be closed. An instance that has spilled is not used again, since its
        folder cannot be changed any more."""
        spilled = self._folder is not None and self._folder.exists()
        if not spilled:
            if self._tuned:
                self._base.execute("RESET disabled_optimizers")
                self._tuned = False
            with _lock:
                if len(_idle) < _MAX_IDLE:
                    _idle.append(self)
                    return
        self._base.close()
        if spilled and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
