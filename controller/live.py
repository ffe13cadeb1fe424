"""What is known of a running query, kept so that a report can be drawn at any time from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.payload import mask_sources
from controller.phases import StagePhase
from msq.counters import basic_only
from msq.intervals import format_instant
from msq.report import (
    FAILED,
    RUNNING,
    SUCCESS,
    ErrorItem,
    ResultsReport,
    SegmentReport,
    StageReport,
    StatusReport,
    TaskReport,
    WorkerEntry,
)
from msq.stage.query import QueryDefinition

Clock = Callable[[], int]
"""ms since 1970-01-01T00:00:00Z."""


@dataclass
class _Stage:
    phase: StagePhase
    started: int
    ended: int | None = None
    workers: int = 0
    partitions: int = 0
    output: str | None = None


@dataclass
class _Worker:
    worker_id: str
    submitted: int
    started: int | None = None
    ended: int | None = None
    state: str | None = None


@dataclass
class LiveStatus:
    """The report's contents while they change. Every method may be called from any thread; times come from `clock`."""

    task_id: str
    clock: Clock
    include_all_counters: bool = True
    live_counters: bool = True
    brief: bool = False
    """Reports tell of no stages and no counters."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _query: QueryDefinition | None = None
    _definitions: tuple[dict[str, Any], ...] = ()
    _started: int | None = None
    _ended: int | None = None
    _status: str = RUNNING
    _stages: dict[int, _Stage] = field(default_factory=dict)
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _counters: dict[int, dict[int, Mapping[str, Any]]] = field(default_factory=dict)
    _error: ErrorItem | None = None
    _warnings: tuple[ErrorItem, ...] = ()
    _segments: SegmentReport | None = None
    _load: Mapping[str, Any] | None = None
    _results: ResultsReport | None = None

    def begin(self) -> None:
        with self._lock:
            self._started = self.clock()

    def planned(self, query: QueryDefinition) -> None:
        definitions = () if self.brief else tuple(mask_sources(s.to_json(query.query_id)) for s in query.stages)
        with self._lock:
            self._query, self._definitions = query, definitions

    def stage(self, number: int, phase: StagePhase, workers: int, partitions: int | None) -> None:
        """A stage's phase, worker count (0: not yet known) and partition count (None: not yet known)."""
        with self._lock:
            found = self._stages.get(number)
            if found is None:
                found = self._stages[number] = _Stage(phase, self.clock())
            if found.ended is None and (phase.has_results or phase.is_terminal):
                found.ended = self.clock()
            found.phase, found.workers, found.partitions = phase, workers, partitions or 0

    def stage_output(self, number: int, mode: str) -> None:
        with self._lock:
            self._stages[number].output = mode

    def worker_submitted(self, number: int, worker_id: str) -> None:
        with self._lock:
            self._workers[number] = _Worker(worker_id, self.clock())

    def worker_started(self, number: int) -> None:
        with self._lock:
            worker = self._workers[number]
            worker.started, worker.state = self.clock(), RUNNING

    def worker_ended(self, number: int, state: str) -> None:
        with self._lock:
            worker = self._workers.get(number)
            if worker is not None and worker.ended is None:
                worker.ended, worker.state = self.clock(), state

    def counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        """The newest counters of a worker: stage -> name -> JSON. Stages left out keep what they had."""
        with self._lock:
            for stage, named in snapshot.items():
                self._counters.setdefault(stage, {})[worker] = named

    def counters_of(self, stage: int) -> dict[int, Mapping[str, Any]]:
        with self._lock:
            return dict(self._counters.get(stage, {}))

    def count_warnings(self, code: str) -> int:
        """How often workers have counted a warning so far."""
        with self._lock:
            return sum(
                named.get("warnings", {}).get(code, 0)
                for workers in self._counters.values()
                for named in workers.values()
            )

    def warnings(self, items: tuple[ErrorItem, ...]) -> None:
        with self._lock:
            self._warnings = items

    def segments(self, report: SegmentReport | None, load: Mapping[str, Any] | None = None) -> None:
        with self._lock:
            self._segments = report or self._segments
            self._load = load or self._load

    def succeed(self, results: ResultsReport | None) -> None:
        with self._lock:
            self._status, self._results, self._ended = SUCCESS, results, self.clock()

    def fail(self, error: ErrorItem) -> None:
        with self._lock:
            self._status, self._error, self._ended = FAILED, error, self.clock()

    def succeeded(self, load: Mapping[str, Any] | None, task_context: Mapping[str, Any] | None) -> TaskReport:
        """The report as it will be once what is being published is visible and everything has ended.

        load: `segmentLoadWaiterStatus`, where somebody waits for it.
        """
        with self._lock:
            now = self.clock()
            stages = {
                n: replace(s, phase=StagePhase.FINISHED, ended=s.ended if s.ended is not None else now)
                for n, s in self._stages.items()
            }  # fmt: skip
            workers = {
                n: replace(w, ended=now, state=SUCCESS) if w.ended is None else w for n, w in self._workers.items()
            }
            final = replace(
                self, _lock=threading.Lock(), _status=SUCCESS, _ended=now, _stages=stages, _workers=workers,
                _load=load or self._load,
            )  # fmt: skip
        return final.report(task_context)

    @property
    def is_planned(self) -> bool:
        return self._query is not None

    def report(self, task_context: Mapping[str, Any] | None = None) -> TaskReport:
        """The report as things stand; final once `succeed` or `fail` was called."""
        with self._lock:
            now = self.clock()
            final = self._status != RUNNING
            counters: dict[int, dict[int, Mapping[str, Any]]] = {}
            if (final or self.live_counters) and not self.brief:
                keep = dict if self.include_all_counters else basic_only
                counters = {s: {w: keep(named) for w, named in by.items()} for s, by in self._counters.items()}
            return TaskReport(
                self.task_id, self._status_report(now, final),
                self._stage_reports(now) if self._query and not self.brief else None, counters, self._results,
                task_context if final else None,
            )  # fmt: skip

    def _status_report(self, now: int, final: bool) -> StatusReport:
        pending, running = -1, 1
        if self._query is not None:
            starting = sum(w.started is None for w in self._workers.values())
            pending, running = (0, 1) if final else (starting, 1 + len(self._workers) - starting)
        end = now if self._ended is None else self._ended
        return StatusReport(
            status=self._status,
            start_time=None if self._started is None else format_instant(self._started),
            duration_ms=-1 if self._started is None else end - self._started,
            error=self._error,
            warnings=self._warnings,
            workers={n: (self._worker_entry(w, now),) for n, w in self._workers.items()} if self._query else {},
            pending_tasks=pending,
            running_tasks=running,
            segment_load=self._load,
            segment_report=self._segments,
        )

    def _worker_entry(self, worker: _Worker, now: int) -> WorkerEntry:
        pending = (worker.started if worker.started is not None else now) - worker.submitted
        duration = -1
        if worker.ended is not None and worker.state == SUCCESS and worker.started is not None:
            duration = worker.ended - worker.started
        return WorkerEntry(worker.worker_id, worker.state, duration, pending)

    def _stage_reports(self, now: int) -> tuple[StageReport, ...]:
        assert self._query is not None
        out = []
        for stage, definition in zip(self._query.stages, self._definitions):
            found = self._stages.get(stage.number)
            shuffle = stage.shuffle_spec
            common = {
                "shuffle": None if shuffle is None else shuffle.kind,
                "sort": shuffle is not None and shuffle.cluster_by.sortable,
            }
            if found is None:
                out.append(StageReport(stage.number, definition, **common))  # type: ignore[arg-type]
                continue
            end = found.ended if found.ended is not None else self._ended if self._ended is not None else now
            out.append(
                StageReport(
                    stage.number,
                    definition,
                    phase=None if self._status == FAILED else found.phase.value,
                    worker_count=found.workers,
                    partition_count=found.partitions,
                    output=found.output,
                    start_time=format_instant(found.started),
                    duration_ms=max(end - found.started, 0),
                    **common,  # type: ignore[arg-type]
                )
            )
        return tuple(out)
