"""Counters of one worker's stage, as the report prints them. Source: reference msq-engine 5.2 and 6.

Every counter is thread-safe to update and cheap: plain ints under one lock a tracker. A snapshot is JSON, or None when
the counter holds nothing.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CHANNEL_FIELDS = (
    "rows", "bytes", "frames", "files", "totalFiles", "loadBytes", "loadTime", "loadWait", "loadFiles", "queries",
    "totalQueries",
)  # fmt: skip
NAME_ORDER = ("output", "shuffle", "sortProgress", "warnings")


class ChannelCounter:
    """Amounts by partition number (`CHANNEL_FIELDS`); fields whose entries are all zero are left out."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._fields: dict[str, list[int]] = {}
        self._length = 0

    def add(self, partition: int = 0, **amounts: int) -> None:
        """`add(3, rows=10, bytes=200, frames=1)`; keys are the JSON names."""
        with self._lock:
            self._length = max(self._length, partition + 1)
            for name, amount in amounts.items():
                values = self._fields.setdefault(name, [])
                if len(values) <= partition:
                    values.extend([0] * (partition + 1 - len(values)))
                values[partition] += amount

    def touch(self, partition: int) -> None:
        """Makes the arrays long enough for `partition`, with zeros."""
        with self._lock:
            self._length = max(self._length, partition + 1)

    def total(self, name: str) -> int:
        with self._lock:
            return sum(self._fields.get(name, ()))

    def snapshot(self) -> dict[str, Any] | None:
        out: dict[str, Any] = {"type": "channel"}
        for name in CHANNEL_FIELDS:
            values = self._fields.get(name)
            if values and any(values):
                out[name] = values + [0] * (self._length - len(values))
        return out if len(out) > 1 else None


class SortProgressCounter:
    """Levels of a merge sort and how many of each level's batches are merged."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._levels = -1
        self._totals: dict[int, int] = {}
        self._merged: dict[int, int] = {}
        self._ultimate = -1
        self._trivial = False

    def set_levels(self, levels: int) -> None:
        """Total number of merging levels, known once the inputs are counted."""
        with self._lock:
            self._levels = levels

    def set_total(self, level: int, batches: int) -> None:
        """Mergers of a level; -1 for the ultimate one while boundaries are unknown."""
        with self._lock:
            self._totals[level] = batches

    def set_ultimate(self, mergers: int) -> None:
        """Mergers of the last level: the number of output partitions."""
        with self._lock:
            self._ultimate = mergers
            if self._levels > 0:
                self._totals[self._levels - 1] = mergers

    def merged(self, level: int, batches: int = 1) -> None:
        with self._lock:
            self._merged[level] = self._merged.get(level, 0) + batches

    def set_trivially_complete(self) -> None:
        with self._lock:
            self._trivial = True

    def finish(self) -> None:
        """Marks every known batch as merged (a limited sort that stopped early)."""
        with self._lock:
            self._merged = {level: total for level, total in self._totals.items() if total > 0}

    def snapshot(self) -> dict[str, Any] | None:
        with self._lock:
            out: dict[str, Any] = {
                "type": "sortProgress", "totalMergingLevels": self._levels,
                "levelToTotalBatches": {str(k): v for k, v in sorted(self._totals.items())},
                "levelToMergedBatches": {str(k): v for k, v in sorted(self._merged.items())},
                "totalMergersForUltimateLevel": self._ultimate,
            }  # fmt: skip
            if self._trivial:
                out["triviallyComplete"] = True
                out["progressDigest"] = 1.0
            elif self._levels > 0 and len(self._totals) == self._levels:
                done = sum(self._merged.get(k, 0) / v for k, v in self._totals.items() if v > 0)
                out["progressDigest"] = min(1.0, done / self._levels)
            return out


class SegmentGenerationCounter:
    """`rowsProcessed, rowsPersisted, rowsMerged, rowsPushed`; printed once a partition was begun."""

    FIELDS = ("rowsProcessed", "rowsPersisted", "rowsMerged", "rowsPushed")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._values = dict.fromkeys(self.FIELDS, 0)

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._values[name] += amount

    def snapshot(self) -> dict[str, Any] | None:
        return {"type": "segmentGenerationProgress", **self._values}


class WarningCounter:
    """How often each warning code came up."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._counts: dict[str, int] = {}

    def add(self, code: str, count: int = 1) -> int:
        with self._lock:
            self._counts[code] = self._counts.get(code, 0) + count
            return self._counts[code]

    def snapshot(self) -> dict[str, Any] | None:
        return {"type": "warnings", **self._counts} if self._counts else None


class CpuCounter:
    """Thread CPU and wall nanoseconds by label (`main`, `sortOutput`, `collectKeyStatistics`, ...)."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._labels: dict[str, list[int]] = {}

    @contextmanager
    def measure(self, label: str) -> Iterator[None]:
        """Adds the time of the block on this thread."""
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(label, time.thread_time_ns() - cpu, time.perf_counter_ns() - wall)

    def add(self, label: str, cpu: int, wall: int) -> None:
        with self._lock:
            entry = self._labels.setdefault(label, [0, 0])
            entry[0] += cpu
            entry[1] += wall

    def snapshot(self) -> dict[str, Any] | None:
        if not self._labels:
            return None
        out: dict[str, Any] = {"type": "cpus"}
        for label, (cpu, wall) in self._labels.items():
            out[label] = {"type": "cpu", **({"cpu": cpu} if cpu else {}), **({"wall": wall} if wall else {})}
        return out


class CounterTracker:
    """All counters of one work order, made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Any] = {}

    def _get(self, name: str, kind: Any) -> Any:
        with self._lock:
            found = self._counters.get(name)
            if found is None:
                found = self._counters[name] = kind(threading.Lock())
            return found

    def channel(self, name: str) -> ChannelCounter:
        """`input0`.., `output` or `shuffle`."""
        found: ChannelCounter = self._get(name, ChannelCounter)
        return found

    def sort_progress(self) -> SortProgressCounter:
        found: SortProgressCounter = self._get("sortProgress", SortProgressCounter)
        return found

    def segment_generation(self) -> SegmentGenerationCounter:
        found: SegmentGenerationCounter = self._get("segmentGenerationProgress", SegmentGenerationCounter)
        return found

    def warnings(self) -> WarningCounter:
        found: WarningCounter = self._get("warnings", WarningCounter)
        return found

    def cpu(self) -> CpuCounter:
        found: CpuCounter = self._get("cpu", CpuCounter)
        return found

    def snapshot(self) -> dict[str, Any]:
        """name -> JSON in the report's order; empty counters left out."""
        with self._lock:
            counters = dict(self._counters)
        made = {name: value for name, c in counters.items() if (value := c.snapshot()) is not None}
        return {name: made[name] for name in sorted(made, key=name_order)}


def name_order(name: str) -> tuple[int, int, str]:
    """Report order of counter names: inputs by number, output, shuffle, sortProgress, warnings, rest by name."""
    m = re.fullmatch(r"input(\d+)", name)
    if m:
        return 0, int(m[1]), ""
    return (1, NAME_ORDER.index(name), "") if name in NAME_ORDER else (2, 0, name)


BASIC_TYPES = ("channel", "sortProgress", "warnings", "segmentGenerationProgress")


def basic_only(counters: Mapping[str, Any]) -> dict[str, Any]:
    """What `includeAllCounters=false` leaves of a worker's counters."""
    return {name: value for name, value in counters.items() if value.get("type") in BASIC_TYPES}
