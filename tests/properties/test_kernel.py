"""The controller kernel against a simulated cluster: random plans, random order of messages, workers that die."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller import events as ev
from controller.kernel import ControllerQueryKernel
from controller.phases import StagePhase
from msq.datatypes import LONG, RowSignature
from msq.faults import UnknownFault
from msq.frame.keys import ClusterBy, KeyColumn
from msq.native.datasource import InlineDataSource
from msq.processors.limit import LimitProcessor
from msq.stage.inputs import InlineInputSpec, InputSpec, StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import HashShuffleSpec, MaxCountShuffleSpec, MixShuffleSpec, TargetSizeShuffleSpec

KEY = ClusterBy((KeyColumn("k"),))
SHUFFLES = (MixShuffleSpec(), HashShuffleSpec(KEY, 3), MaxCountShuffleSpec(KEY, 1), TargetSizeShuffleSpec(KEY, 9), None)


def random_query(dice: Random) -> QueryDefinition:
    """Up to six stages; every one but the last has a reader, as plans have."""
    count = dice.randint(1, 6)
    inputs: dict[int, list[InputSpec]] = {n: [] for n in range(count)}
    for number in range(count - 1):
        for reader in {dice.randint(number + 1, count - 1) for _ in range(dice.randint(1, 2))}:
            inputs[reader].append(StageInputSpec(number))
    leaf = InlineInputSpec(InlineDataSource(("k",), (LONG,), ()))
    stages = []
    for number in range(count):
        specs = tuple(inputs[number]) or (leaf,)
        broadcast = tuple(n for n in range(1, len(specs)) if dice.random() < 0.5)
        shuffle = dice.choice(SHUFFLES)
        signature = RowSignature([("k", LONG)])
        stages.append(StageDefinition(number, specs, LimitProcessor(), signature, shuffle, 3, broadcast))
    return QueryDefinition("q", tuple(stages))


class Cluster:
    """Answers actions as workers and the shell do, each answer after a random time."""

    def __init__(self, dice: Random, kernel: ControllerQueryKernel, death: float) -> None:
        self.dice, self.kernel, self.death = dice, kernel, death
        self.inbox: list[ev.Event] = [ev.Started()]
        self.attempt: dict[int, int] = {}
        self.cleaned: list[int] = []
        self.bounded: dict[int, set[int]] = defaultdict(set)
        self.finished = 0

    def run(self) -> None:
        for _ in range(5_000):
            if not self.inbox:
                break
            event = self.inbox.pop(self.dice.randrange(len(self.inbox)))
            actions = self.kernel.on(event)
            self.kernel.check()
            for action in actions:
                self.perform(action)
        assert self.kernel.ended, "nothing is under way and the query has not ended"

    def perform(self, action: ev.Action) -> None:
        match action:
            case ev.SliceInputs(stage, most):
                workers = tuple(range(self.dice.randint(1, most)))
                self.inbox.append(ev.InputsSliced(stage, workers))
            case ev.LaunchWorkers(workers):
                for worker in workers:
                    self.launch(worker, 0)
            case ev.RelaunchWorker(worker, attempt):
                self.launch(worker, attempt)
            case ev.SendWorkOrders(stage, workers):
                for worker in workers:
                    self.begin(stage, worker)
            case ev.ComputeBoundaries(stage):
                self.inbox.append(ev.BoundariesComputed(stage, self.dice.randint(1, 5)))
            case ev.SendBoundaries(stage, workers):
                for worker in workers:
                    assert worker not in self.bounded[stage], "boundaries sent twice"
                    self.bounded[stage].add(worker)
                    self.later(stage, worker, ev.ResultsComplete(stage, worker))
            case ev.CleanupStage(stage, _):
                assert stage not in self.cleaned, "an output was cleaned up twice"
                self.cleaned.append(stage)
            case ev.Conclude():
                self.inbox.append(ev.Concluded())
            case ev.Finish():
                self.finished += 1

    def launch(self, worker: int, attempt: int) -> None:
        assert self.attempt.get(worker, -1) < attempt
        self.attempt[worker] = attempt
        # messages of the attempt that died are lost with it
        self.inbox = [e for e in self.inbox if getattr(e, "worker", None) != worker]
        for stage in self.bounded:
            if worker not in self.kernel.state(stage).complete:  # type: ignore[union-attr]
                self.bounded[stage].discard(worker)
        self.inbox.append(ev.WorkerReady(worker, attempt))

    def begin(self, stage: int, worker: int) -> None:
        definition = self.kernel.query.stages[stage]
        for source in definition.input_stages:
            phase = self.kernel.phase(source)
            assert phase is not None
            assert phase.has_results
            assert source not in self.cleaned, "a stage reads an output that is gone"
        if definition.shuffle_spec is not None and definition.shuffle_spec.gathers_statistics:
            self.later(stage, worker, ev.PartialKeyStatistics(stage, worker))
        else:
            if self.dice.random() < 0.7:
                self.inbox.append(ev.DoneReading(stage, worker))
            self.later(stage, worker, ev.ResultsComplete(stage, worker))

    def later(self, stage: int, worker: int, event: ev.Event) -> None:
        if self.dice.random() < self.death:
            self.inbox.append(ev.WorkerFailed(worker, UnknownFault("died"), self.attempt[worker]))
        else:
            self.inbox.append(event)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_every_calm_query_finishes(seed: int, at_once: int) -> None:
    dice = Random(seed)
    kernel = ControllerQueryKernel(random_query(dice), task_id="q", max_concurrent_stages=at_once)
    cluster = Cluster(dice, kernel, 0)
    cluster.run()
    assert cluster.finished == 1
    assert {kernel.phase(s.number) for s in kernel.query.stages} == {StagePhase.FINISHED}
    read = {i for s in kernel.query.stages for i in s.input_stages}
    assert sorted(cluster.cleaned) == sorted(read)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_with_fault_tolerance_deaths_end_in_success_or_in_the_limit(seed: int, at_once: int) -> None:
    dice = Random(seed)
    kernel = ControllerQueryKernel(random_query(dice), task_id="q", max_concurrent_stages=at_once, fault_tolerance=True)
    cluster = Cluster(dice, kernel, 0.15)
    cluster.run()
    if kernel.fault is None:
        assert cluster.finished == 1
    else:
        assert kernel.fault.code.startswith("TooManyAttempts")


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_without_it_the_first_death_is_the_end(seed: int) -> None:
    dice = Random(seed)
    kernel = ControllerQueryKernel(random_query(dice), task_id="q")
    cluster = Cluster(dice, kernel, 0.3)
    cluster.run()
    assert (kernel.fault is None) == (cluster.finished == 1)
    if kernel.fault is not None:
        assert kernel.fault == UnknownFault("died")
        assert StagePhase.READING_INPUT not in {kernel.phase(s.number) for s in kernel.query.stages}
