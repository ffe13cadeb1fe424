"""Rows that could not be parsed, over all workers: how many are tolerated, which are shown. Source: msq-engine 11.3."""

from __future__ import annotations

import threading
from collections import Counter

from msq.faults import CannotParseExternalDataFault, Fault, MSQError, TooManyWarningsFault
from msq.report import ErrorItem

SHOWN_PARSE_ERRORS = 5
SHOWN_PER_WORKER = 10


class WarningLog:
    """Counts warnings of one query. Thread-safe. `limit`: parse errors tolerated, -1 for any number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._total = 0
        self._shown: Counter[int] = Counter()
        self._items: list[ErrorItem] = []

    @property
    def items(self) -> tuple[ErrorItem, ...]:
        with self._lock:
            return tuple(self._items)

    def add(self, worker: int, fault: Fault, item: ErrorItem) -> None:
        """Raises MSQError: the warning itself when none is tolerated, TooManyWarnings when it is one too many."""
        if not isinstance(fault, CannotParseExternalDataFault):
            with self._lock:
                self._show(worker, item, SHOWN_PER_WORKER)
            return
        if self._limit == 0:
            raise MSQError(fault)
        with self._lock:
            self._total += 1
            self._show(worker, item, SHOWN_PARSE_ERRORS if self._limit < 0 else min(self._limit, SHOWN_PARSE_ERRORS))
            if 0 <= self._limit < self._total:
                raise MSQError(TooManyWarningsFault(self._limit, fault.code))

    def check_counters(self, total: int) -> Fault | None:
        """What to fail with when workers have counted `total` parse errors, some of them perhaps never posted."""
        code = CannotParseExternalDataFault.code
        return TooManyWarningsFault(self._limit, code) if 0 <= self._limit < total else None

    def _show(self, worker: int, item: ErrorItem, most: int) -> None:
        if self._shown[worker] < min(most, SHOWN_PER_WORKER):
            self._shown[worker] += 1
            self._items.append(item)
