"""WorkerStageKernel: events in, the exact actions out."""

from __future__ import annotations

import pytest

from msq.datatypes import LONG, RowSignature
from msq.faults import CanceledFault, UnknownFault
from msq.frame.keys import ClusterBy, KeyColumn
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from worker.kernel import (
    BoundariesArrived,
    CleanupRequested,
    Failed,
    InputRead,
    OutputWritten,
    PostDoneReading,
    PostError,
    PostResults,
    PostStatistics,
    ReadInput,
    Release,
    Start,
    UnexpectedEvent,
    WorkerStageKernel,
    WorkerStagePhase,
    WriteOutput,
)

KEY = ClusterBy((KeyColumn("k"),))
SIGNATURE = RowSignature([("k", LONG)])
BOUNDS = ClusterByPartitions.universal(KEY, SIGNATURE)


def test_a_stage_with_statistics_waits_for_boundaries() -> None:
    kernel = WorkerStageKernel()
    statistics = KeyStatistics(KEY, SIGNATURE)
    assert kernel.on(Start()) == [ReadInput()]
    assert kernel.on(InputRead(statistics)) == [PostStatistics(statistics)]
    assert kernel.phase is WorkerStagePhase.WAITING_FOR_BOUNDARIES
    assert kernel.on(BoundariesArrived(BOUNDS)) == [WriteOutput(BOUNDS)]
    assert kernel.on(OutputWritten(("s",), (0,))) == [PostResults(("s",), (0,))]
    assert kernel.phase is WorkerStagePhase.RESULTS_COMPLETE
    assert kernel.on(CleanupRequested()) == [Release()]
    assert kernel.phase is WorkerStagePhase.FINISHED


def test_a_stage_without_statistics_goes_on_by_itself() -> None:
    kernel = WorkerStageKernel()
    kernel.on(Start())
    assert kernel.on(InputRead(None)) == [PostDoneReading(), WriteOutput(None)]
    assert kernel.phase is WorkerStagePhase.WRITING_OUTPUT


@pytest.mark.parametrize("events", [(), (Start(),), (Start(), InputRead(KeyStatistics(KEY, SIGNATURE)))])
def test_failure_releases_everything_in_any_phase(events: tuple[object, ...]) -> None:
    kernel = WorkerStageKernel()
    for event in events:
        kernel.on(event)  # type: ignore[arg-type]
    fault = UnknownFault("x")
    assert kernel.on(Failed(fault, "trace")) == [PostError(fault, "trace"), Release()]
    assert kernel.fault == fault
    # what was under way arrives late and is dropped
    assert kernel.on(BoundariesArrived(BOUNDS)) == []
    assert kernel.on(Failed(CanceledFault(), "")) == []


def test_messages_out_of_order_are_refused() -> None:
    kernel = WorkerStageKernel()
    with pytest.raises(UnexpectedEvent, match="BoundariesArrived"):
        kernel.on(BoundariesArrived(BOUNDS))
    kernel.on(Start())
    with pytest.raises(UnexpectedEvent, match="Start"):
        kernel.on(Start())
    with pytest.raises(UnexpectedEvent, match="OutputWritten"):
        kernel.on(OutputWritten((), ()))
