"""What the controller kernel is told (events) and what it asks for (actions): small values, nothing else.

Events come from workers, from the shell's own work and from outside; actions are performed by controller.actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.phases import StagePhase
from msq.faults import Fault


class Event:
    """Something that happened."""


class Action:
    """Something to do, in the order given."""


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The query may begin: its locks are held."""


@dataclass(frozen=True, slots=True)
class InputsSliced(Event):
    """The stage's inputs are divided over these worker numbers (ascending, not necessarily contiguous)."""

    stage: int
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SegmentsAllocated(Event):
    """Every partition with rows that the segment generator will read has its segment."""

    stage: int


@dataclass(frozen=True, slots=True)
class WorkerReady(Event):
    """A worker that was launched takes work orders."""

    worker: int
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class PartialKeyStatistics(Event):
    """The worker has read its input; its key statistics are in."""

    stage: int
    worker: int


@dataclass(frozen=True, slots=True)
class BoundariesComputed(Event):
    """Statistics of all workers are merged and cut into this many partitions."""

    stage: int
    partitions: int


@dataclass(frozen=True, slots=True)
class DoneReading(Event):
    stage: int
    worker: int


@dataclass(frozen=True, slots=True)
class ResultsComplete(Event):
    stage: int
    worker: int


@dataclass(frozen=True, slots=True)
class Concluded(Event):
    """The results are read, or the segments published."""


@dataclass(frozen=True, slots=True)
class WorkerFailed(Event):
    """A worker died or gave up. `fault` is its own, or None when it vanished without a word."""

    worker: int
    fault: Fault | None
    attempt: int = 0
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ControllerFailed(Event):
    """The controller's own work failed."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    fault: Fault


@dataclass(frozen=True, slots=True)
class SliceInputs(Action):
    """List what the stage reads and divide it over at most `max_workers` workers; answer with InputsSliced."""

    stage: int
    max_workers: int


@dataclass(frozen=True, slots=True)
class AllocateSegments(Action):
    """Give every partition the segment generator will read a segment; answer with SegmentsAllocated."""

    stage: int


@dataclass(frozen=True, slots=True)
class LaunchWorkers(Action):
    """Start workers, each of which answers with WorkerReady or WorkerFailed."""

    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RelaunchWorker(Action):
    worker: int
    attempt: int


@dataclass(frozen=True, slots=True)
class SendWorkOrders(Action):
    stage: int
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ComputeBoundaries(Action):
    """Merge the key statistics of the stage's workers; answer with BoundariesComputed."""

    stage: int


@dataclass(frozen=True, slots=True)
class SendBoundaries(Action):
    stage: int
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CleanupStage(Action):
    """Nobody reads the stage's output any more: these workers may delete it."""

    stage: int
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conclude(Action):
    """The final stage is complete: read the rows, or publish the segments; answer with Concluded."""


@dataclass(frozen=True, slots=True)
class Finish(Action):
    """The query succeeded."""


@dataclass(frozen=True, slots=True)
class Fail(Action):
    """The query failed of `fault`; cancel the workers."""

    fault: Fault


class Progress:
    """What a listener hears."""


@dataclass(frozen=True, slots=True)
class StageChanged(Progress):
    """`workers` is 0 and `partitions` None while they are not known."""

    stage: int
    phase: StagePhase
    workers: int
    partitions: int | None


@dataclass(frozen=True, slots=True)
class WorkerLaunched(Progress):
    """A worker was asked for; `task_id` is its own."""

    number: int
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True)
class QueryEnded(Progress):
    """`status` is SUCCESS or FAILED; the final report is complete."""

    status: str
