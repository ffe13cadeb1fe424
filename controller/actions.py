"""QueryActions: carries out what the kernel asks for while a planned query runs. Source: msq-engine 2.2, 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller import events as ev
from controller.conclusion import Conclusion
from controller.fleet import Fleet
from controller.ingest import GeneratorInput, allocate, check_bounds, shard_columns
from controller.kernel import ControllerQueryKernel
from controller.live import LiveStatus
from controller.pruning import prune
from controller.slicing import Assignment, Slicer
from controller.task import ControllerServices, ControllerTask
from msq.context import QueryContext
from msq.faults import MSQError
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.plan.terminal import last_shuffle
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.protocol import WorkerClient
from msq.report import SegmentReport
from msq.segment.identity import DataSegment
from msq.stage.destination import DataSourceDestination, DurableStorageDestination
from msq.stage.inputs import InputSlice
from msq.stage.query import QueryDefinition
from msq.stage.shuffle import keeps_arrival
from msq.stage.work_order import STREAM, WorkOrder


@dataclass(frozen=True)
class Signals:
    """How actions speak with the controller's loop. put: a later event. tell: progress, for whoever listens.
    check_cancelled and check_parse_errors raise MSQError once the query must not go on."""

    put: Callable[[ev.Event], None]
    tell: Callable[[ev.Progress], None]
    check_cancelled: Callable[[], None]
    check_parse_errors: Callable[[], None]


class QueryActions:
    """Every action but the end itself. Runs on the controller's thread; `add_statistics` and `add_results` are called
    by workers, from theirs."""

    def __init__(
        self, task: ControllerTask, services: ControllerServices, query: QueryDefinition,
        kernel: ControllerQueryKernel, live: LiveStatus, fleet: Fleet, signals: Signals,
    ) -> None:  # fmt: skip
        self.query = query
        self.conclusion = Conclusion(task, services, query, kernel, live, fleet, signals.check_cancelled)
        self._task = task
        self._services = services
        self._context = QueryContext(task.context)
        self._kernel = kernel
        self._live = live
        self._fleet = fleet
        self._signals = signals
        self._slices: dict[int, dict[int, tuple[InputSlice, ...]]] = {}
        self._statistics: dict[int, dict[int, KeyStatistics]] = {}
        self._merged: dict[int, KeyStatistics] = {}
        self._boundaries: dict[int, ClusterByPartitions] = {}
        self._results: dict[int, dict[int, list[Any]]] = {}
        self._allocated: Mapping[int, DataSegment] = {}

    def perform(self, action: ev.Action) -> ev.Event | None:
        """Does it and answers the event that its end is, if it ends at once. Raises whatever went wrong."""
        return _PERFORM[type(action)](self, action)

    def add_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None:
        self._statistics.setdefault(stage, {})[worker] = statistics

    def add_results(self, stage: int, worker: int, results: list[Any]) -> None:
        self._results.setdefault(stage, {})[worker] = results

    def _slice_inputs(self, action: ev.SliceInputs) -> ev.Event:
        self._signals.check_cancelled()
        slicer = Slicer(
            self._services.segments, self._services.access, lambda stage: self._kernel.partition_count(stage) or 1,
            self._kernel.workers, Assignment.of(self._context),
            prune if self._context.value("secondaryPartitionPruning") else None,
        )  # fmt: skip
        slices = slicer.slice_stage(self.query.stages[action.stage], action.max_workers)
        self._slices[action.stage] = slices
        return ev.InputsSliced(action.stage, tuple(sorted(slices)))

    def _allocate_segments(self, action: ev.AllocateSegments) -> ev.Event:
        assert self._services.publisher is not None
        stage = self.query.stages[action.stage]
        destination, generator = self._task.destination, stage.processor
        assert isinstance(destination, DataSourceDestination) and isinstance(generator, SegmentGeneratorProcessor)
        self._signals.check_parse_errors()
        chosen: list[SegmentReport] = []
        try:
            allocation = allocate(
                self._services.publisher, destination, generator, self._generator_input(stage.input_stages[0]),
                self._context.value("failOnEmptyInsert"), chosen,
            )  # fmt: skip
        finally:
            if chosen:
                self._live.segments(chosen[0])
        self._allocated = allocation.segments
        return ev.SegmentsAllocated(action.stage)

    def _generator_input(self, source: int) -> GeneratorInput:
        self._fleet.pull_counters()
        channel = "output" if self.query.stages[source].shuffle_spec is None else "shuffle"
        rows: dict[int, int] = {}
        for named in self._live.counters_of(source).values():
            for partition, count in enumerate(named.get(channel, {}).get("rows", ())):
                rows[partition] = rows.get(partition, 0) + count
        shuffled = last_shuffle(self.query.stages, source)
        merged = None if shuffled is None else self._merged.get(shuffled)
        return GeneratorInput(
            None if shuffled is None else self.query.stages[shuffled],
            None if shuffled is None else self._boundaries.get(shuffled),
            None if merged is None else any(merged.multi_value),
            rows,
        )

    def _launch(self, action: ev.LaunchWorkers) -> None:
        for number in action.workers:
            self._start_worker(number, 0)

    def _relaunch(self, action: ev.RelaunchWorker) -> None:
        self._start_worker(action.worker, action.attempt)

    def _start_worker(self, number: int, attempt: int) -> None:
        self._signals.tell(ev.WorkerLaunched(number, attempt, self._fleet.worker_id(number, {number: attempt})))
        self._fleet.start(number, attempt)

    def _call(self, worker: int, call: Callable[[WorkerClient], None]) -> None:
        """Calls a worker; one that cannot be reached has failed."""
        fault = self._fleet.call(worker, call)
        if fault is not None:
            self._signals.put(ev.WorkerFailed(worker, fault, self._kernel.launched[worker]))

    def _send_orders(self, action: ev.SendWorkOrders) -> None:
        launched = self._kernel.launched
        for worker in action.workers:
            order = WorkOrder(
                query_id=self._task.task_id, stage=action.stage, worker=worker, attempt=launched[worker],
                inputs=self._slices[action.stage][worker], extra=self._extra(action.stage, worker),
                output_mode=self.output_mode(action.stage),
            )  # fmt: skip
            self._call(worker, lambda client, order=order: client.post_work_order(order))  # type: ignore[misc]

    def _extra(self, stage: int, worker: int) -> dict[str, Any]:
        if not isinstance(self.query.stages[stage].processor, SegmentGeneratorProcessor):
            return {}
        mine = getattr(self._slices[stage][worker][0], "partitions", ())
        return {"segments": {str(p): self._allocated[p].to_json() for p in mine if p in self._allocated}}

    def output_mode(self, stage: int) -> str:
        """Where a stage's output goes, by the name that reports use."""
        if self._context.value("durableShuffleStorage") or self._context.value("faultTolerance"):
            mode = "durableStorage"
        elif self._context.value("maxConcurrentStages") > 1:
            mode = "memory"
        else:
            mode = "localStorage"
        if isinstance(self._task.destination, DurableStorageDestination) and stage == self.query.final.number:
            mode = "durableStorageQueryResults"
        return STREAM if self._streams(stage) and not mode.startswith("durableStorage") else mode

    def _streams(self, stage: int) -> bool:
        """Whether the rows of a stage can go to their reader as they are made."""
        definition = self.query.stages[stage]
        return (
            self._task.streams and self._services.launcher.runs_inline and definition is self.query.final
            and keeps_arrival(definition.shuffle_spec) and (self._kernel.partition_count(stage) or 1) == 1
        )  # fmt: skip

    def _compute_boundaries(self, action: ev.ComputeBoundaries) -> ev.Event:
        stage = self.query.stages[action.stage]
        assert stage.shuffle_spec is not None
        merged = KeyStatistics.of(stage.shuffle_spec, stage.signature)
        for _, statistics in sorted(self._statistics.pop(action.stage, {}).items()):
            merged.merge(statistics)
        boundaries = merged.boundaries(stage.shuffle_spec, self._context.value("maxPartitions"))
        self._merged[action.stage], self._boundaries[action.stage] = merged, boundaries
        return ev.BoundariesComputed(action.stage, len(boundaries))

    def _send_boundaries(self, action: ev.SendBoundaries) -> None:
        self._check_time_chunks(action.stage)
        stage, boundaries = action.stage, self._boundaries[action.stage]
        for worker in action.workers:
            self._call(worker, lambda client: client.post_result_partition_boundaries(stage, boundaries))

    def _check_time_chunks(self, stage: int) -> None:
        """Refuses rows outside of OVERWRITE WHERE as soon as the boundaries show them, before anything is sorted."""
        destination, final = self._task.destination, self.query.final
        if not isinstance(destination, DataSourceDestination) or not self.query.stages[stage].check_multiple_values:
            return
        assert isinstance(final.processor, SegmentGeneratorProcessor)
        try:
            check_bounds(destination, self._boundaries[stage])
        except MSQError:
            merged = self._merged[stage]
            given = GeneratorInput(
                self.query.stages[stage], self._boundaries[stage], any(merged.multi_value), {0: merged.rows}
            )
            self._live.segments(shard_columns(destination, final.processor, given)[1])
            raise

    def _cleanup(self, action: ev.CleanupStage) -> None:
        for worker in action.workers:
            self._call(worker, lambda client: client.cleanup_stage(action.stage))

    def _conclude(self, action: ev.Conclude) -> ev.Event:
        self._signals.check_cancelled()
        self._fleet.pull_counters()
        self._signals.check_parse_errors()
        results = self._results.get(self.query.final.number, {})
        streamed = self.output_mode(self.query.final.number) == STREAM
        self.conclusion.conclude([value for _, made in sorted(results.items()) for value in made], streamed)
        return ev.Concluded()


_PERFORM: dict[type[ev.Action], Callable[[QueryActions, Any], ev.Event | None]] = {
    ev.SliceInputs: QueryActions._slice_inputs,
    ev.AllocateSegments: QueryActions._allocate_segments,
    ev.LaunchWorkers: QueryActions._launch,
    ev.RelaunchWorker: QueryActions._relaunch,
    ev.SendWorkOrders: QueryActions._send_orders,
    ev.ComputeBoundaries: QueryActions._compute_boundaries,
    ev.SendBoundaries: QueryActions._send_boundaries,
    ev.CleanupStage: QueryActions._cleanup,
    ev.Conclude: QueryActions._conclude,
}
