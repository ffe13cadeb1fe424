"""WorkerStageKernel: what a worker does next for one stage, decided from events alone.

    NEW -> READING_INPUT -> PRESHUFFLE_WAITING_FOR_RESULT_PARTITION_BOUNDARIES -> PRESHUFFLE_WRITING_OUTPUT
                        \\-------------------- no statistics ------------------/            |
    FINISHED <- RESULTS_COMPLETE <----------------------------------------------------------'
    any phase but FINISHED -> FAILED

No clock, thread, file or network here: `on` takes an event and answers the actions to perform, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from msq.faults import Fault
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics


class WorkerStagePhase(Enum):
    NEW = "NEW"
    READING_INPUT = "READING_INPUT"
    WAITING_FOR_BOUNDARIES = "PRESHUFFLE_WAITING_FOR_RESULT_PARTITION_BOUNDARIES"
    WRITING_OUTPUT = "PRESHUFFLE_WRITING_OUTPUT"
    RESULTS_COMPLETE = "RESULTS_COMPLETE"
    FINISHED = "FINISHED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Start:
    """The order is here and may run."""


@dataclass(frozen=True, slots=True)
class InputRead:
    """The processor has ended. `statistics`: None when the shuffle gathers none."""

    statistics: KeyStatistics | None


@dataclass(frozen=True, slots=True)
class BoundariesArrived:
    boundaries: ClusterByPartitions


@dataclass(frozen=True, slots=True)
class OutputWritten:
    results: tuple[Any, ...]
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    fault: Fault
    trace: str


@dataclass(frozen=True, slots=True)
class CleanupRequested:
    """Nobody will read the output again."""


Event = Start | InputRead | BoundariesArrived | OutputWritten | Failed | CleanupRequested


@dataclass(frozen=True, slots=True)
class ReadInput:
    """Open the inputs and run the processor into the shuffle."""


@dataclass(frozen=True, slots=True)
class PostStatistics:
    statistics: KeyStatistics


@dataclass(frozen=True, slots=True)
class PostDoneReading:
    pass


@dataclass(frozen=True, slots=True)
class WriteOutput:
    """Write the partitions; boundaries are None when the shuffle knows them itself."""

    boundaries: ClusterByPartitions | None


@dataclass(frozen=True, slots=True)
class PostResults:
    results: tuple[Any, ...]
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PostError:
    fault: Fault
    trace: str


@dataclass(frozen=True, slots=True)
class Release:
    """Close and remove all that the order opened or made, its output included."""


Action = ReadInput | PostStatistics | PostDoneReading | WriteOutput | PostResults | PostError | Release


class UnexpectedEvent(RuntimeError):
    """An event that the phase does not allow: a message repeated, or out of order."""


class WorkerStageKernel:
    """One stage on one worker. `boundaries` and `fault` are kept for whoever asks later."""

    def __init__(self) -> None:
        self.phase = WorkerStagePhase.NEW
        self.boundaries: ClusterByPartitions | None = None
        self.fault: Fault | None = None

    def on(self, event: Event) -> list[Action]:
        """Raises UnexpectedEvent. Events of a failed or finished stage are dropped: they may have been under way."""
        if self.phase in (WorkerStagePhase.FAILED, WorkerStagePhase.FINISHED):
            return []
        return _RULES[type(event)](self, event)

    def _expect(self, event: Event, *phases: WorkerStagePhase) -> None:
        if self.phase not in phases:
            raise UnexpectedEvent(f"[{type(event).__name__}] in phase [{self.phase.value}]")

    def _start(self, event: Start) -> list[Action]:
        self._expect(event, WorkerStagePhase.NEW)
        self.phase = WorkerStagePhase.READING_INPUT
        return [ReadInput()]

    def _input_read(self, event: InputRead) -> list[Action]:
        self._expect(event, WorkerStagePhase.READING_INPUT)
        if event.statistics is not None:
            self.phase = WorkerStagePhase.WAITING_FOR_BOUNDARIES
            return [PostStatistics(event.statistics)]
        self.phase = WorkerStagePhase.WRITING_OUTPUT
        return [PostDoneReading(), WriteOutput(None)]

    def _boundaries(self, event: BoundariesArrived) -> list[Action]:
        self._expect(event, WorkerStagePhase.WAITING_FOR_BOUNDARIES)
        self.boundaries = event.boundaries
        self.phase = WorkerStagePhase.WRITING_OUTPUT
        return [WriteOutput(event.boundaries)]

    def _written(self, event: OutputWritten) -> list[Action]:
        self._expect(event, WorkerStagePhase.WRITING_OUTPUT)
        self.phase = WorkerStagePhase.RESULTS_COMPLETE
        return [PostResults(event.results, event.partitions)]

    def _failed(self, event: Failed) -> list[Action]:
        self.phase = WorkerStagePhase.FAILED
        self.fault = event.fault
        return [PostError(event.fault, event.trace), Release()]

    def _cleanup(self, event: CleanupRequested) -> list[Action]:
        self.phase = WorkerStagePhase.FINISHED
        return [Release()]


_RULES: dict[type[Any], Callable[[WorkerStageKernel, Any], list[Action]]] = {
    Start: WorkerStageKernel._start,
    InputRead: WorkerStageKernel._input_read,
    BoundariesArrived: WorkerStageKernel._boundaries,
    OutputWritten: WorkerStageKernel._written,
    Failed: WorkerStageKernel._failed,
    CleanupRequested: WorkerStageKernel._cleanup,
}
