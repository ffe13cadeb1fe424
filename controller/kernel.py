"""ControllerQueryKernel: what happens next in a query, decided from events alone.

No clock, thread, file or network: `on(event)` answers the actions that the shell must perform, in order. After each
event `check()` holds. A stage lives in `_stages` from the moment it starts; stages without an entry have not begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from controller.events import (
    Action,
    AllocateSegments,
    BoundariesComputed,
    CancelRequested,
    CleanupStage,
    ComputeBoundaries,
    Conclude,
    Concluded,
    ControllerFailed,
    DoneReading,
    Event,
    Fail,
    Finish,
    InputsSliced,
    LaunchWorkers,
    PartialKeyStatistics,
    RelaunchWorker,
    ResultsComplete,
    SegmentsAllocated,
    SendBoundaries,
    SendWorkOrders,
    SliceInputs,
    Started,
    WorkerFailed,
    WorkerReady,
)
from controller.phases import RETRYABLE, StagePhase
from msq.faults import (
    Fault,
    TooManyAttemptsForJobFault,
    TooManyAttemptsForWorkerFault,
    WorkerFailedFault,
)
from msq.stage.inputs import StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import HashShuffleSpec

MAX_RELAUNCHES_PER_WORKER = 2
MAX_RELAUNCHES_PER_JOB = 100
LOG_EVENTS = 1_000


@dataclass
class StageState:
    """One started stage. Worker sets are subsets of `workers`."""

    phase: StagePhase
    workers: tuple[int, ...] = ()
    #: workers that took the order they were last sent
    ordered: set[int] = field(default_factory=set)
    statistics: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)
    complete: set[int] = field(default_factory=set)
    #: boundaries are known, whether or not they had to be computed
    bounded: bool = False
    #: number of output partitions, None while unknown
    partitions: int | None = None
    #: segment generator: whether its segments are allocated
    allocated: bool = False
    cleaned: bool = False


class ControllerQueryKernel:
    """Drives one QueryDefinition from `Started` to `Finish` or `Fail`.

    `needs_segments`: number of the segment generator's stage, None for other queries. With `fault_tolerance` workers
    that die of a retryable fault are started again and outputs are kept until their readers are complete.
    """

    def __init__(
        self, query: QueryDefinition, *, task_id: str, needs_segments: int | None = None,
        max_concurrent_stages: int = 1, fault_tolerance: bool = False,
    ) -> None:  # fmt: skip
        self.query = query
        self.task_id = task_id
        self.fault: Fault | None = None
        self.finished = False
        self.log: deque[Event | Action] = deque(maxlen=LOG_EVENTS)
        self._needs_segments = needs_segments
        self._max_running = max_concurrent_stages
        self._fault_tolerant = fault_tolerance
        self._stages: dict[int, StageState] = {}
        self._begun = False
        self._concluding = False
        self._launched: dict[int, int] = {}
        self._ready: set[int] = set()
        self._relaunches: dict[int, int] = {}

    # -- what the shell may ask ------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.finished or self.fault is not None

    def state(self, stage: int) -> StageState | None:
        """The stage's state, None before it starts."""
        return self._stages.get(stage)

    def phase(self, stage: int) -> StagePhase | None:
        found = self._stages.get(stage)
        return None if found is None else found.phase

    def partition_count(self, stage: int) -> int | None:
        found = self._stages.get(stage)
        return None if found is None else found.partitions

    def workers(self, stage: int) -> tuple[int, ...]:
        found = self._stages.get(stage)
        return () if found is None else found.workers

    @property
    def launched(self) -> dict[int, int]:
        """Worker number -> attempt of every worker that was started."""
        return dict(self._launched)

    # -- events ----------------------------------------------------------------------------------------------------

    def on(self, event: Event) -> list[Action]:
        """The actions that follow from `event`. After the end every event is ignored."""
        if self.ended:
            return []
        self.log.append(event)
        actions = list(_HANDLERS[type(event)](self, event))
        self.log.extend(actions)
        return actions

    def _started(self, event: Started) -> Iterable[Action]:
        self._begun = True
        return self._start_stages()

    def _sliced(self, event: InputsSliced) -> Iterable[Action]:
        state = self._stages[event.stage]
        state.workers = event.workers
        state.partitions = self._known_partitions(self.query.stages[event.stage])
        state.bounded = state.partitions is not None
        fresh = tuple(w for w in event.workers if w not in self._launched)
        if fresh:
            self._launched.update(dict.fromkeys(fresh, 0))
            yield LaunchWorkers(fresh)
        yield from self._dispatch(event.stage)

    def _allocated(self, event: SegmentsAllocated) -> Iterable[Action]:
        self._stages[event.stage].allocated = True
        return self._dispatch(event.stage)

    def _worker_ready(self, event: WorkerReady) -> Iterable[Action]:
        if self._launched.get(event.worker) != event.attempt:
            return
        self._ready.add(event.worker)
        for number, state in sorted(self._stages.items()):
            if event.worker in state.workers and not state.phase.is_terminal:
                yield from self._dispatch(number)

    def _statistics(self, event: PartialKeyStatistics) -> Iterable[Action]:
        state = self._stages[event.stage]
        if event.worker not in state.ordered:
            return
        state.statistics.add(event.worker)
        state.read.add(event.worker)
        if state.bounded:
            # the worker was started again after the boundaries had been found
            yield SendBoundaries(event.stage, (event.worker,))
            if len(state.statistics) == len(state.workers) and state.phase is StagePhase.READING_INPUT:
                self._move(event.stage, StagePhase.POST_READING)
        elif len(state.statistics) == len(state.workers):
            self._move(event.stage, StagePhase.MERGING_STATISTICS)
            yield ComputeBoundaries(event.stage)
        yield from self._clean_inputs(event.stage)

    def _boundaries(self, event: BoundariesComputed) -> Iterable[Action]:
        state = self._stages[event.stage]
        if state.bounded:
            # asked for twice, because a worker was started again meanwhile: the first answer counts
            return
        state.partitions, state.bounded = event.partitions, True
        if state.phase is StagePhase.MERGING_STATISTICS:
            self._move(event.stage, StagePhase.POST_READING)
        yield SendBoundaries(event.stage, tuple(w for w in state.workers if w in state.statistics))

    def _done_reading(self, event: DoneReading) -> Iterable[Action]:
        state = self._stages[event.stage]
        if event.worker not in state.ordered:
            return
        state.read.add(event.worker)
        gathers = self._gathers(event.stage)
        if len(state.read) == len(state.workers) and state.phase is StagePhase.READING_INPUT and not gathers:
            self._move(event.stage, StagePhase.POST_READING)
        yield from self._clean_inputs(event.stage)

    def _results(self, event: ResultsComplete) -> Iterable[Action]:
        state = self._stages[event.stage]
        if event.worker not in state.ordered:
            return
        state.read.add(event.worker)
        state.complete.add(event.worker)
        if len(state.complete) == len(state.workers) and state.phase in (
            StagePhase.READING_INPUT, StagePhase.POST_READING,
        ):  # fmt: skip
            self._move(event.stage, StagePhase.RESULTS_READY)
            yield from self._clean_inputs(event.stage)
            if event.stage == self.query.final.number:
                self._concluding = True
                yield Conclude()
            else:
                yield from self._start_stages()

    def _concluded(self, event: Concluded) -> Iterable[Action]:
        self.finished = True
        for number, state in self._stages.items():
            if not state.phase.is_terminal:
                self._move(number, StagePhase.FINISHED)
        yield Finish()

    def _failed(self, event: ControllerFailed) -> Iterable[Action]:
        return self._fail(event.fault)

    def _cancel(self, event: CancelRequested) -> Iterable[Action]:
        return self._fail(event.fault)

    def _worker_failed(self, event: WorkerFailed) -> Iterable[Action]:
        attempt = self._launched.get(event.worker)
        if attempt is None or attempt != event.attempt:
            return
        worker_id = f"{self.task_id}-worker{event.worker}_{attempt}"
        text = event.message or (event.fault.message if event.fault is not None else None)
        if not self._fault_tolerant or (event.fault is not None and not event.fault.retry):
            yield from self._fail(event.fault or WorkerFailedFault(worker_id, text))
            return
        # as Druid counts: the limit is compared with what has been started, after the failure
        total = sum(self._relaunches.values())
        if self._relaunches.get(event.worker, 0) > MAX_RELAUNCHES_PER_WORKER:
            yield from self._fail(
                TooManyAttemptsForWorkerFault(MAX_RELAUNCHES_PER_WORKER, worker_id, event.worker, text or "unknown")
            )
            return
        if total > MAX_RELAUNCHES_PER_JOB:
            yield from self._fail(
                TooManyAttemptsForJobFault(MAX_RELAUNCHES_PER_JOB, total, worker_id, text or "unknown")
            )
            return
        self._relaunches[event.worker] = self._relaunches.get(event.worker, 0) + 1
        self._launched[event.worker] = attempt + 1
        self._ready.discard(event.worker)
        for number, state in self._stages.items():
            if event.worker not in state.workers or state.phase not in RETRYABLE:
                continue
            # what is complete is in durable storage; rows of the final stage are read from the worker itself
            if event.worker in state.complete and not self._read_from_workers(number):
                continue
            for held in (state.ordered, state.statistics, state.read, state.complete):
                held.discard(event.worker)
            self._move(number, StagePhase.RETRYING)
        yield RelaunchWorker(event.worker, attempt + 1)

    # -- decisions -------------------------------------------------------------------------------------------------

    def _start_stages(self) -> Iterable[Action]:
        """Starts stages whose inputs are complete, lowest number first, as many as may run at once."""
        for stage in self.query.stages:
            if sum(not s.phase.is_terminal and not s.phase.has_results for s in self._stages.values()) >= (
                self._max_running
            ):
                return
            if stage.number in self._stages or not all(self._complete(i) for i in stage.input_stages):
                continue
            self._stages[stage.number] = StageState(StagePhase.NEW)
            yield SliceInputs(stage.number, stage.max_worker_count)
            if stage.number == self._needs_segments:
                yield AllocateSegments(stage.number)

    def _read_from_workers(self, stage: int) -> bool:
        """Whether the controller reads the stage's rows: the final one, unless its results are segments."""
        return stage == self.query.final.number and stage != self._needs_segments

    def _complete(self, stage: int) -> bool:
        phase = self.phase(stage)
        return phase is not None and phase.has_results

    def _dispatch(self, number: int) -> Iterable[Action]:
        """Orders for the workers of a stage that are ready and have none yet, once the stage can be worked on."""
        state = self._stages[number]
        if not state.workers or (number == self._needs_segments and not state.allocated):
            return
        if state.phase is StagePhase.NEW and not all(w in self._ready for w in state.workers):
            return
        due = tuple(w for w in state.workers if w in self._ready and w not in state.ordered and w not in state.complete)
        if not due or state.phase not in (StagePhase.NEW, StagePhase.RETRYING):
            return
        state.ordered.update(due)
        if all(w in state.ordered or w in state.complete for w in state.workers):
            self._move(number, StagePhase.READING_INPUT)
        yield SendWorkOrders(number, due)

    def _known_partitions(self, stage: StageDefinition) -> int | None:
        """The number of output partitions where it does not depend on the data."""
        shuffle = stage.shuffle_spec
        if shuffle is None:
            return max((self._stages[i].partitions or 1 for i in self._split_inputs(stage)), default=1)
        if shuffle.gathers_statistics:
            return None
        return shuffle.partitions if isinstance(shuffle, HashShuffleSpec) else 1

    def _split_inputs(self, stage: StageDefinition) -> tuple[int, ...]:
        """Stages whose partitions are divided over this one's workers."""
        return tuple(
            spec.stage
            for number, spec in enumerate(stage.input)
            if number not in stage.broadcast and isinstance(spec, StageInputSpec)
        )

    def _gathers(self, number: int) -> bool:
        shuffle = self.query.stages[number].shuffle_spec
        return shuffle is not None and shuffle.gathers_statistics

    def _clean_inputs(self, number: int) -> Iterable[Action]:
        """Frees outputs that every reader is done with: has read, or with fault tolerance has finished."""
        for source in dict.fromkeys(self.query.stages[number].input_stages):
            state = self._stages[source]
            readers = self.query.readers(source)
            if state.phase is StagePhase.RESULTS_READY and all(self._done_with(r) for r in readers):
                self._move(source, StagePhase.FINISHED)
                state.cleaned = True
                yield CleanupStage(source, state.workers)

    def _done_with(self, reader: int) -> bool:
        state = self._stages.get(reader)
        if state is None or not state.workers:
            return False
        if state.phase.has_results:
            return True
        return not self._fault_tolerant and len(state.read) == len(state.workers)

    def _fail(self, fault: Fault) -> Iterable[Action]:
        self.fault = fault
        for number, state in self._stages.items():
            if not state.phase.is_terminal:
                self._move(number, StagePhase.FAILED)
        yield Fail(fault)

    def _move(self, number: int, phase: StagePhase) -> None:
        state = self._stages[number]
        if not phase.may_follow(state.phase):
            raise AssertionError(f"stage [{number}] cannot go from [{state.phase.value}] to [{phase.value}]")
        state.phase = phase

    def check(self) -> None:
        """Raises AssertionError when the state contradicts itself."""
        running = 0
        for number, state in self._stages.items():
            workers = set(state.workers)
            assert len(workers) == len(state.workers), f"stage [{number}] has a worker twice"
            for held in (state.ordered, state.statistics, state.read, state.complete):
                assert held <= workers, f"stage [{number}] knows workers that are not its own: {held - workers}"
            assert state.bounded or state.phase is not StagePhase.POST_READING, f"stage [{number}] has no boundaries"
            if state.phase.has_results and not self.finished:
                assert state.complete == workers, f"stage [{number}] has results without all its workers"
            assert workers <= set(self._launched), f"stage [{number}] has workers that were never launched"
            for source in self.query.stages[number].input_stages:
                assert self._complete(source) or self.fault is not None, f"stage [{number}] reads [{source}] too early"
            running += not state.phase.is_terminal and not state.phase.has_results
        assert running <= self._max_running, f"[{running}] stages run at once, [{self._max_running}] may"
        assert self._ready <= set(self._launched)
        assert not (self.finished and self.fault is not None)


_HANDLERS: dict[type[Event], Callable[[ControllerQueryKernel, Any], Iterable[Action]]] = {
    Started: ControllerQueryKernel._started,
    InputsSliced: ControllerQueryKernel._sliced,
    SegmentsAllocated: ControllerQueryKernel._allocated,
    WorkerReady: ControllerQueryKernel._worker_ready,
    PartialKeyStatistics: ControllerQueryKernel._statistics,
    BoundariesComputed: ControllerQueryKernel._boundaries,
    DoneReading: ControllerQueryKernel._done_reading,
    ResultsComplete: ControllerQueryKernel._results,
    Concluded: ControllerQueryKernel._concluded,
    WorkerFailed: ControllerQueryKernel._worker_failed,
    ControllerFailed: ControllerQueryKernel._failed,
    CancelRequested: ControllerQueryKernel._cancel,
}
