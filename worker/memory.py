"""How much of a worker's memory setting each part of a work order may use, and who holds how much.

| part | share of an order's memory |
|---|---|
| rows held by a sort or a hash shuffle, before they are spilled | 40 % |
| blocks of a merge, all threads together | 20 % |
| DuckDB of the processor | 30 % |
| broadcast tables | 20 %, inside DuckDB's share |

Stage outputs that stay in memory take from one account of the whole worker, a quarter of the setting.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

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
        return max(self.total * 40 // 100, MIN_BYTES)

    @property
    def merge(self) -> int:
        return max(self.total * 20 // 100, MIN_BYTES)

    @property
    def duckdb(self) -> int:
        # below this DuckDB cannot run an operator at all
        return max(self.total * 30 // 100, 64 << 20)


def output_account(worker_bytes: int) -> MemoryAccount:
    """The account of all stage outputs that a worker keeps in memory."""
    return MemoryAccount(worker_bytes // 4)
