"""How much of a worker's memory setting each part of a work order may use, and who holds how much.

| part | share of an order's memory |
|---|---|
| rows held by a sort or a hash shuffle, before they are spilled; sorting them takes as much again | 25 % |
| keys kept for statistics | 5 % |
| blocks of a merge, all threads together | 20 % |
| DuckDB of the processor | 30 % |
| broadcast tables | 20 %, inside DuckDB's share |

Stage outputs that stay in memory take from one account of the whole worker, a quarter of the setting.
"""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MIN_BYTES = 64


class MemoryAccount:
    """A number of bytes that many may reserve from. Thread-safe; never hands out more than `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        return self._used

    def reserve(self, size: int) -> bool:
        """Takes `size` bytes, or answers False and takes nothing."""
        with self._lock:
            if self._used + size > self.limit:
                return False
            self._used += size
            return True

    def release(self, size: int) -> None:
        with self._lock:
            self._used -= size


@dataclass(frozen=True, slots=True)
class OrderMemory:
    """The shares of one work order, in bytes."""

    total: int

    @property
    def sort(self) -> int:
        return max(self.total * 25 // 100, MIN_BYTES)

    @property
    def statistics_keys(self) -> int:
        """Keys that the statistics of a sort may keep, at some 100 bytes each."""
        return max(self.total * 5 // 100 // 100, 20_000)

    @property
    def merge(self) -> int:
        return max(self.total * 20 // 100, MIN_BYTES)

    @property
    def duckdb(self) -> int:
        # below this DuckDB cannot run an operator at all
        return max(self.total * 30 // 100, 64 << 20)


@lru_cache(maxsize=1)
def choose_allocator() -> None:
    """Lets Arrow of this process allocate by malloc, unless ARROW_DEFAULT_MEMORY_POOL says otherwise.

    Its own pool asks for huge pages, whose zeroing and compaction took a fifth of the time of a large ingest.
    """
    import pyarrow as pa

    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())


@lru_cache(maxsize=1)
def _malloc_trim() -> Any | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None  # not the GNU library


def give_back_unused() -> None:
    """Hands free memory back to the system: Arrow's pool and malloc keep what was freed for themselves, up to several
    times what is in use after a phase with large temporaries."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


LARGE_BYTES = 64 << 20
"""Rows beyond so many bytes make it worth while to give memory back when a phase ends."""


def output_account(worker_bytes: int) -> MemoryAccount:
    """The account of all stage outputs that a worker keeps in memory."""
    return MemoryAccount(worker_bytes // 4)
