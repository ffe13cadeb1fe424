"""A controller in a few lines: runs the stages of a query one after the other on in-process workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from msq.faults import Fault, MSQError
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.stage.inputs import InputSlice, NilInputSlice, StageInputSlice, StageInputSpec
from msq.stage.query import QueryDefinition
from msq.stage.work_order import WorkOrder
from worker.settings import WorkerSettings
from worker.worker import Worker

Slicer = Callable[[int, int, int], InputSlice]
"""(stage, input number, worker) -> slice, for inputs that are no stage."""


class FakeController:
    """Answers the calls of the workers and keeps what they say."""

    def __init__(
        self, query: QueryDefinition, folder: Path, workers: int = 1, settings: WorkerSettings | None = None,
        services: Mapping[str, Any] | None = None, max_partitions: int = 25_000,
    ) -> None:  # fmt: skip
        self.query = query
        self.folder = folder
        self.changed = threading.Condition()
        self.statistics: dict[int, dict[int, KeyStatistics]] = {}
        self.complete: dict[int, dict[int, Sequence[int]]] = {}
        self.results: dict[int, list[Any]] = {}
        self.boundaries: dict[int, ClusterByPartitions] = {}
        self.done_reading: list[tuple[int, int]] = []
        self.warnings: list[Fault] = []
        self.errors: list[tuple[int | None, Fault, str]] = []
        self.snapshots: dict[int, Mapping[int, Mapping[str, Any]]] = {}
        self.max_partitions = max_partitions
        self.workers = [
            Worker(
                n, f"query-x-worker{n}_0", self, folder / f"w{n}", lambda number: self.workers[number],
                settings or WorkerSettings(memory_bytes=512 << 20), services,
            )
            for n in range(workers)
        ]  # fmt: skip
        for worker in self.workers:
            worker.start_query(query)

    # -- ControllerClient ---------------------------------------------------------------------------------------

    def post_partial_key_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None:
        with self.changed:
            copied = KeyStatistics.from_bytes(statistics.to_bytes())
            self.statistics.setdefault(stage, {})[worker] = copied
            self.changed.notify_all()

    def post_done_reading(self, stage: int, worker: int) -> None:
        self.done_reading.append((stage, worker))

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        with self.changed:
            self.complete.setdefault(stage, {})[worker] = partitions
            self.results.setdefault(stage, []).extend(results)
            self.changed.notify_all()

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        self.warnings.append(fault)

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None:
        with self.changed:
            self.errors.append((stage, fault, trace))
            self.changed.notify_all()

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        self.snapshots[worker] = snapshot

    # -- running ------------------------------------------------------------------------------------------------

    def _wait(self, ready: Callable[[], bool]) -> None:
        with self.changed:
            while not ready():
                if self.errors:
                    stage, fault, trace = self.errors[0]
                    raise MSQError(fault, stage_number=stage) from RuntimeError(trace)
                assert self.changed.wait(60), "a worker does not answer"

    def partitions(self, stage: int) -> list[int]:
        return sorted({p for each in self.complete[stage].values() for p in each})

    def run(self, slicer: Slicer, use: Mapping[int, int] | None = None) -> None:
        """Runs all stages; `use`: how many workers a stage takes (default: all, one for maxWorkerCount 1)."""
        for stage in self.query.stages:
            count = (use or {}).get(stage.number, min(len(self.workers), stage.max_worker_count))
            for n in range(count):
                inputs = tuple(self._slice(stage.number, i, n, count, slicer) for i in range(len(stage.input)))
                self.workers[n].post_work_order(WorkOrder("x", stage.number, n, 0, inputs))
            spec = stage.shuffle_spec
            if spec is not None and spec.gathers_statistics:
                self._wait(lambda: len(self.statistics.get(stage.number, {})) == count)  # noqa: B023
                merged = KeyStatistics.of(spec, stage.signature)
                for each in self.statistics[stage.number].values():
                    merged.merge(each)
                bounds = merged.boundaries(spec, self.max_partitions)
                self.boundaries[stage.number] = ClusterByPartitions.from_json(bounds.to_json())
                for n in range(count):
                    self.workers[n].post_result_partition_boundaries(stage.number, self.boundaries[stage.number])
            self._wait(lambda: len(self.complete.get(stage.number, {})) == count)  # noqa: B023

    def _slice(self, stage: int, number: int, worker: int, count: int, slicer: Slicer) -> InputSlice:
        spec = self.query.stages[stage].input[number]
        if not isinstance(spec, StageInputSpec):
            return slicer(stage, number, worker)
        partitions = self.partitions(spec.stage)
        if number not in self.query.stages[stage].broadcast:
            partitions = partitions[worker::count]
        if not partitions:
            return NilInputSlice()
        return StageInputSlice(spec.stage, tuple(partitions), tuple(sorted(self.complete[spec.stage])))

    def read(self, stage: int, partition: int) -> list[pa.RecordBatch]:
        """The pieces of all workers, in worker order."""
        return [
            b for n in sorted(self.complete[stage]) if partition in self.complete[stage][n]
            for b in self.workers[n].read_results(stage, partition)
        ]  # fmt: skip

    def rows(self, stage: int) -> list[dict[str, Any]]:
        """All rows of a stage, partition by partition."""
        return [row for p in self.partitions(stage) for b in self.read(stage, p) for row in b.to_pylist()]

    def counters(self, stage: int, worker: int = 0) -> Mapping[str, Any]:
        return self.workers[worker].counters().get(stage, {})

    def finish(self) -> None:
        for worker in self.workers:
            worker.finish()
