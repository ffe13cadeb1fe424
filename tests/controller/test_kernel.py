"""ControllerQueryKernel: lists of events and the exact actions that follow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from controller import events as ev
from controller.kernel import MAX_RELAUNCHES_PER_WORKER, ControllerQueryKernel
from controller.phases import ALLOWED_BEFORE, StagePhase
from msq.datatypes import LONG, RowSignature
from msq.faults import (
    CanceledFault,
    CannotParseExternalDataFault,
    Fault,
    InsertTimeNullFault,
    TooManyAttemptsForWorkerFault,
    UnknownFault,
    WorkerFailedFault,
)
from msq.frame.keys import ClusterBy, KeyColumn
from msq.native.datasource import InlineDataSource
from msq.processors.limit import LimitProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.stage.inputs import InlineInputSpec, InputSpec, StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition, StageProcessor
from msq.stage.shuffle import (
    HashShuffleSpec,
    MaxCountShuffleSpec,
    MixShuffleSpec,
    ShuffleSpec,
    TargetSizeShuffleSpec,
)

KEY = ClusterBy((KeyColumn("k"),))
SIGNATURE = RowSignature([("k", LONG)])
LEAF = InlineInputSpec(InlineDataSource(("k",), (LONG,), ((1,),)))
TARGET, ONE, MIX = TargetSizeShuffleSpec(KEY, 10), MaxCountShuffleSpec(KEY, 1), MixShuffleSpec()


def stage(
    number: int, inputs: Sequence[int | InputSpec], shuffle: ShuffleSpec | None, *, workers: int = 2,
    broadcast: tuple[int, ...] = (), processor: StageProcessor | None = None,
) -> StageDefinition:  # fmt: skip
    specs = tuple(StageInputSpec(i) if isinstance(i, int) else i for i in inputs)
    return StageDefinition(number, specs, processor or LimitProcessor(), SIGNATURE, shuffle, workers, broadcast)


def kernel(*stages: StageDefinition, **options: object) -> ControllerQueryKernel:
    return ControllerQueryKernel(QueryDefinition("q", tuple(stages)), task_id="q", **options)  # type: ignore[arg-type]


def feed(k: ControllerQueryKernel, *events: ev.Event) -> list[ev.Action]:
    """The actions of the last event; the kernel is checked after each."""
    actions: list[ev.Action] = []
    for event in events:
        actions = k.on(event)
        k.check()
    return actions


def run_stage(k: ControllerQueryKernel, number: int, workers: Sequence[int]) -> list[ev.Action]:
    """Feeds what a stage without statistics, whose workers are launched, goes through."""
    feed(k, ev.InputsSliced(number, tuple(workers)))
    for worker in workers:
        if worker in k.launched and k.phase(number) is StagePhase.NEW:
            feed(k, ev.WorkerReady(worker))
    actions: list[ev.Action] = []
    for worker in workers:
        feed(k, ev.DoneReading(number, worker))
        actions = feed(k, ev.ResultsComplete(number, worker))
    return actions


def phases(k: ControllerQueryKernel) -> list[str | None]:
    return [None if (p := k.phase(s.number)) is None else p.value for s in k.query.stages]


def test_one_stage_without_statistics() -> None:
    k = kernel(stage(0, [LEAF], MIX))
    assert feed(k, ev.Started()) == [ev.SliceInputs(0, 2)]
    assert feed(k, ev.InputsSliced(0, (0,))) == [ev.LaunchWorkers((0,))]
    assert phases(k) == ["NEW"]
    assert feed(k, ev.WorkerReady(0)) == [ev.SendWorkOrders(0, (0,))]
    assert phases(k) == ["READING_INPUT"]
    assert feed(k, ev.DoneReading(0, 0)) == []
    assert phases(k) == ["POST_READING"]
    assert feed(k, ev.ResultsComplete(0, 0)) == [ev.Conclude()]
    assert phases(k) == ["RESULTS_READY"]
    assert k.partition_count(0) == 1
    assert feed(k, ev.Concluded()) == [ev.Finish()]
    assert phases(k) == ["FINISHED"]
    assert k.ended


def test_statistics_are_merged_once_all_workers_have_sent_them() -> None:
    k = kernel(stage(0, [LEAF], TARGET))
    feed(k, ev.Started(), ev.InputsSliced(0, (0, 1)), ev.WorkerReady(0))
    assert phases(k) == ["NEW"]
    assert feed(k, ev.WorkerReady(1)) == [ev.SendWorkOrders(0, (0, 1))]
    assert feed(k, ev.PartialKeyStatistics(0, 1)) == []
    assert phases(k) == ["READING_INPUT"]
    assert feed(k, ev.PartialKeyStatistics(0, 0)) == [ev.ComputeBoundaries(0)]
    assert phases(k) == ["MERGING_STATISTICS"]
    assert k.partition_count(0) is None
    assert feed(k, ev.BoundariesComputed(0, 7)) == [ev.SendBoundaries(0, (0, 1))]
    assert phases(k) == ["POST_READING"]
    assert k.partition_count(0) == 7
    assert feed(k, ev.ResultsComplete(0, 0)) == []
    assert feed(k, ev.ResultsComplete(0, 1)) == [ev.Conclude()]


def test_a_stage_starts_when_its_input_is_complete_and_frees_it_when_read() -> None:
    k = kernel(stage(0, [LEAF], ONE), stage(1, [0], ONE))
    feed(k, ev.Started(), ev.InputsSliced(0, (0, 1)), ev.WorkerReady(0), ev.WorkerReady(1))
    feed(k, ev.DoneReading(0, 0), ev.DoneReading(0, 1), ev.ResultsComplete(0, 0))
    assert feed(k, ev.ResultsComplete(0, 1)) == [ev.SliceInputs(1, 2)]
    assert phases(k) == ["RESULTS_READY", "NEW"]
    assert feed(k, ev.InputsSliced(1, (0,))) == [ev.SendWorkOrders(1, (0,))]
    assert feed(k, ev.DoneReading(1, 0)) == [ev.CleanupStage(0, (0, 1))]
    assert phases(k) == ["FINISHED", "POST_READING"]
    assert feed(k, ev.ResultsComplete(1, 0)) == [ev.Conclude()]


def test_results_may_come_without_word_of_reading() -> None:
    k = kernel(stage(0, [LEAF], MIX), stage(1, [0], None))
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0))
    assert feed(k, ev.ResultsComplete(0, 0)) == [ev.SliceInputs(1, 2)]
    feed(k, ev.InputsSliced(1, (0,)))
    assert feed(k, ev.ResultsComplete(1, 0)) == [ev.CleanupStage(0, (0,)), ev.Conclude()]


def test_only_new_workers_are_launched() -> None:
    k = kernel(stage(0, [LEAF], ONE), stage(1, [0], ONE))
    feed(k, ev.Started())
    run_stage(k, 0, [0])
    assert feed(k, ev.InputsSliced(1, (0, 1))) == [ev.LaunchWorkers((1,))]
    assert feed(k, ev.WorkerReady(1)) == [ev.SendWorkOrders(1, (0, 1))]


def test_an_output_that_two_stages_read_is_kept_until_both_have() -> None:
    k = kernel(stage(0, [LEAF], ONE), stage(1, [0], ONE), stage(2, [0, 1], MIX, broadcast=(1,)))
    feed(k, ev.Started())
    assert run_stage(k, 0, [0]) == [ev.SliceInputs(1, 2)]
    assert run_stage(k, 1, [0]) == [ev.SliceInputs(2, 2)]
    assert phases(k) == ["RESULTS_READY", "RESULTS_READY", "NEW"]
    feed(k, ev.InputsSliced(2, (0,)))
    assert feed(k, ev.DoneReading(2, 0)) == [ev.CleanupStage(0, (0,)), ev.CleanupStage(1, (0,))]


def test_partitions_without_shuffle_are_those_of_the_divided_input() -> None:
    hashed = HashShuffleSpec(KEY, 5)
    k = kernel(stage(0, [LEAF], hashed), stage(1, [LEAF], ONE), stage(2, [0, 1], None, broadcast=(1,)))
    feed(k, ev.Started())
    run_stage(k, 0, [0])
    run_stage(k, 1, [0])
    run_stage(k, 2, [0, 1])
    assert [k.partition_count(n) for n in range(3)] == [5, 1, 5]


def test_segments_are_allocated_before_the_generator_gets_its_orders() -> None:
    generator = SegmentGeneratorProcessor({}, ())
    k = kernel(stage(0, [LEAF], TARGET), stage(1, [0], None, processor=generator), needs_segments=1)
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0), ev.PartialKeyStatistics(0, 0))
    feed(k, ev.BoundariesComputed(0, 3))
    assert feed(k, ev.ResultsComplete(0, 0)) == [ev.SliceInputs(1, 2), ev.AllocateSegments(1)]
    assert feed(k, ev.InputsSliced(1, (0,))) == []
    assert feed(k, ev.SegmentsAllocated(1)) == [ev.SendWorkOrders(1, (0,))]
    assert k.partition_count(1) == 3


def test_independent_stages_run_at_once_when_they_may() -> None:
    stages = (stage(0, [LEAF], ONE), stage(1, [LEAF], ONE), stage(2, [0, 1], MIX))
    assert feed(kernel(*stages), ev.Started()) == [ev.SliceInputs(0, 2)]
    k = kernel(*stages, max_concurrent_stages=2)
    assert feed(k, ev.Started()) == [ev.SliceInputs(0, 2), ev.SliceInputs(1, 2)]
    run_stage(k, 1, [0])
    assert phases(k) == ["NEW", "RESULTS_READY", None]
    assert run_stage(k, 0, [0]) == [ev.SliceInputs(2, 2)]


def test_a_cancel_ends_everything_and_later_events_are_ignored() -> None:
    k = kernel(stage(0, [LEAF], MIX))
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)))
    fault = CanceledFault("USER_REQUEST")
    assert feed(k, ev.CancelRequested(fault)) == [ev.Fail(fault)]
    assert phases(k) == ["FAILED"]
    assert feed(k, ev.WorkerReady(0), ev.ResultsComplete(0, 0)) == []
    assert k.fault == fault


def test_the_controllers_own_failure_ends_the_query() -> None:
    k = kernel(stage(0, [LEAF], TARGET))
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0), ev.PartialKeyStatistics(0, 0))
    assert feed(k, ev.ControllerFailed(InsertTimeNullFault())) == [ev.Fail(InsertTimeNullFault())]
    assert phases(k) == ["FAILED"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (CannotParseExternalDataFault("bad"), CannotParseExternalDataFault("bad")),
        (None, WorkerFailedFault("q-worker0_0", "gone")),
    ],
)
def test_a_lost_worker_fails_the_query_without_fault_tolerance(fault: Fault | None, expected: Fault) -> None:
    k = kernel(stage(0, [LEAF], MIX))
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0))
    assert feed(k, ev.WorkerFailed(0, fault, message="gone")) == [ev.Fail(expected)]


def test_a_relaunched_worker_gets_its_order_again() -> None:
    k = kernel(stage(0, [LEAF], TARGET), fault_tolerance=True)
    feed(k, ev.Started(), ev.InputsSliced(0, (0, 1)), ev.WorkerReady(0), ev.WorkerReady(1))
    feed(k, ev.PartialKeyStatistics(0, 0), ev.PartialKeyStatistics(0, 1), ev.BoundariesComputed(0, 4))
    feed(k, ev.ResultsComplete(0, 0))
    assert feed(k, ev.WorkerFailed(1, UnknownFault("boom"))) == [ev.RelaunchWorker(1, 1)]
    assert phases(k) == ["RETRYING"]
    # words of the dead attempt count for nothing
    assert feed(k, ev.ResultsComplete(0, 1), ev.WorkerFailed(1, None, attempt=0)) == []
    assert feed(k, ev.WorkerReady(1, attempt=0)) == []
    assert feed(k, ev.WorkerReady(1, attempt=1)) == [ev.SendWorkOrders(0, (1,))]
    assert phases(k) == ["READING_INPUT"]
    # the boundaries are those that the other worker has used
    assert feed(k, ev.PartialKeyStatistics(0, 1)) == [ev.SendBoundaries(0, (1,))]
    assert phases(k) == ["POST_READING"]
    assert feed(k, ev.ResultsComplete(0, 1)) == [ev.Conclude()]


def test_boundaries_that_were_asked_for_twice_are_sent_once() -> None:
    k = kernel(stage(0, [LEAF], TARGET), fault_tolerance=True)
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0))
    assert feed(k, ev.PartialKeyStatistics(0, 0)) == [ev.ComputeBoundaries(0)]
    feed(k, ev.WorkerFailed(0, None), ev.WorkerReady(0, attempt=1))
    assert feed(k, ev.PartialKeyStatistics(0, 0)) == [ev.ComputeBoundaries(0)]
    assert feed(k, ev.BoundariesComputed(0, 3)) == [ev.SendBoundaries(0, (0,))]
    assert feed(k, ev.BoundariesComputed(0, 3)) == []
    assert k.partition_count(0) == 3


def test_completed_stages_keep_their_results_when_a_worker_is_lost() -> None:
    k = kernel(stage(0, [LEAF], ONE), stage(1, [0], ONE), fault_tolerance=True)
    feed(k, ev.Started())
    run_stage(k, 0, [0, 1])
    feed(k, ev.InputsSliced(1, (0,)))
    # with fault tolerance an output lives until its readers are complete
    assert feed(k, ev.DoneReading(1, 0)) == []
    assert feed(k, ev.WorkerFailed(0, None)) == [ev.RelaunchWorker(0, 1)]
    assert phases(k) == ["RESULTS_READY", "RETRYING"]
    assert feed(k, ev.WorkerReady(0, attempt=1)) == [ev.SendWorkOrders(1, (0,))]
    assert feed(k, ev.DoneReading(1, 0)) == []
    assert feed(k, ev.ResultsComplete(1, 0)) == [ev.CleanupStage(0, (0, 1)), ev.Conclude()]


def test_rows_of_the_final_stage_are_made_again_when_their_worker_is_lost() -> None:
    k = kernel(stage(0, [LEAF], MIX), fault_tolerance=True)
    feed(k, ev.Started(), ev.InputsSliced(0, (0, 1)), ev.WorkerReady(0), ev.WorkerReady(1), ev.ResultsComplete(0, 0))
    assert feed(k, ev.WorkerFailed(0, None)) == [ev.RelaunchWorker(0, 1)]
    assert feed(k, ev.ResultsComplete(0, 1)) == []
    assert feed(k, ev.WorkerReady(0, attempt=1)) == [ev.SendWorkOrders(0, (0,))]
    assert feed(k, ev.ResultsComplete(0, 0)) == [ev.Conclude()]


def test_segments_that_are_written_are_kept_when_their_worker_is_lost() -> None:
    generator = stage(0, [LEAF], None, processor=SegmentGeneratorProcessor({}, ()))
    k = kernel(generator, fault_tolerance=True, needs_segments=0)
    feed(k, ev.Started(), ev.InputsSliced(0, (0, 1)), ev.SegmentsAllocated(0), ev.WorkerReady(0), ev.WorkerReady(1))
    feed(k, ev.ResultsComplete(0, 0))
    assert feed(k, ev.WorkerFailed(0, None)) == [ev.RelaunchWorker(0, 1)]
    assert feed(k, ev.ResultsComplete(0, 1)) == [ev.Conclude()]


def test_a_fault_that_would_come_again_is_not_retried() -> None:
    k = kernel(stage(0, [LEAF], MIX), fault_tolerance=True)
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0))
    fault = CannotParseExternalDataFault("bad")
    assert feed(k, ev.WorkerFailed(0, fault)) == [ev.Fail(fault)]


def test_relaunches_are_limited() -> None:
    k = kernel(stage(0, [LEAF], MIX), fault_tolerance=True)
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)), ev.WorkerReady(0))
    for attempt in range(MAX_RELAUNCHES_PER_WORKER + 1):
        assert feed(k, ev.WorkerFailed(0, None, attempt, "gone")) == [ev.RelaunchWorker(0, attempt + 1)]
        assert feed(k, ev.WorkerReady(0, attempt + 1)) == [ev.SendWorkOrders(0, (0,))]
    last = MAX_RELAUNCHES_PER_WORKER + 1
    assert feed(k, ev.WorkerFailed(0, None, last, "gone")) == [
        ev.Fail(TooManyAttemptsForWorkerFault(MAX_RELAUNCHES_PER_WORKER, f"q-worker0_{last}", 0, "gone"))
    ]


def test_every_move_of_a_phase_is_in_the_table() -> None:
    k = kernel(stage(0, [LEAF], MIX))
    feed(k, ev.Started())
    with pytest.raises(AssertionError, match=r"stage \[0\] cannot go from \[NEW\] to \[POST_READING\]"):
        k._move(0, StagePhase.POST_READING)
    assert set(ALLOWED_BEFORE) == set(StagePhase)
    assert all(p.may_follow(q) == (q in ALLOWED_BEFORE[p]) for p in StagePhase for q in StagePhase)


def test_the_log_keeps_events_and_actions_in_order() -> None:
    k = kernel(stage(0, [LEAF], MIX))
    feed(k, ev.Started(), ev.InputsSliced(0, (0,)))
    assert list(k.log) == [ev.Started(), ev.SliceInputs(0, 2), ev.InputsSliced(0, (0,)), ev.LaunchWorkers((0,))]
