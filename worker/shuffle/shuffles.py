"""The kinds of shuffle as one interface, chosen by a stage's shuffle spec (see msq.stage.shuffle)."""

from __future__ import annotations

from typing import Protocol

from msq.counters import CounterTracker
from msq.frame.frame import FrameTally
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.protocol import OutputBatch
from msq.stage.query import StageDefinition
from worker.outputs.local import LocalOutput
from worker.shuffle.sorter import Sorter, SortSettings


class Shuffle(Protocol):
    """Takes what the processor yields, then puts partitions into the stage's output."""

    statistics: KeyStatistics | None
    """Complete after `finish_reading`; None when the shuffle gathers none."""
    waits: bool
    """Whether `write` needs boundaries from the controller."""

    def add(self, batch: OutputBatch) -> None: ...

    def finish_reading(self) -> None: ...

    def write(self, boundaries: ClusterByPartitions | None) -> None: ...


class PassThrough:
    """No shuffle: partition p of the output is what came of partition p of the input."""

    statistics: KeyStatistics | None = None
    waits = False

    def __init__(self, output: LocalOutput) -> None:
        self._output = output

    def add(self, batch: OutputBatch) -> None:
        self._output.add(batch.partition, batch.batch)

    def finish_reading(self) -> None:
        pass

    def write(self, boundaries: ClusterByPartitions | None) -> None:
        pass


class Mix:
    """Everything in partition 0, in arrival order."""

    statistics: KeyStatistics | None = None
    waits = False

    def __init__(self, output: LocalOutput, counters: CounterTracker) -> None:
        self._output = output
        self._counters = counters
        self._tallies: dict[tuple[int, int], FrameTally] = {}
        output.touch(0)

    def add(self, batch: OutputBatch) -> None:
        with self._counters.cpu().measure("mixOutput"):
            self._output.add(0, batch.batch)
        tally = self._tallies.setdefault((batch.partition, batch.piece), FrameTally())
        self._counters.channel("shuffle").add(0, **tally.add(batch.batch))

    def finish_reading(self) -> None:
        pass

    def write(self, boundaries: ClusterByPartitions | None) -> None:
        pass


class Sorted:
    """hash, hashLocalSort and globalSort: a sorter, with boundaries where the controller makes them."""

    def __init__(self, sorter: Sorter, output: LocalOutput, universal: ClusterByPartitions | None, waits: bool) -> None:
        self._sorter = sorter
        self._output = output
        self._universal = universal
        self.waits = waits
        self.statistics: KeyStatistics | None = None

    def add(self, batch: OutputBatch) -> None:
        self._sorter.add(batch.batch)

    def finish_reading(self) -> None:
        self._sorter.finish_reading()

    def write(self, boundaries: ClusterByPartitions | None) -> None:
        self._sorter.write(boundaries if self.waits else self._universal, self._output)


def make_shuffle(stage: StageDefinition, output: LocalOutput, settings: SortSettings | None) -> Shuffle:
    """The shuffle of `stage`; `settings` are needed wherever there is a spec (their limit and kind are filled in)."""
    spec = stage.shuffle_spec
    if spec is None:
        return PassThrough(output)
    assert settings is not None
    if spec.kind == "mix":
        return Mix(output, settings.counters)
    universal = None
    if spec.kind == "globalSort":
        settings.limit = spec.limit_hint
        # as in Druid the sorter is counted from the start, whether or not rows come
        progress = settings.counters.sort_progress()
        cpu = settings.counters.cpu()
        cpu.add("sortOutput", 0, 0)
        if spec.gathers_statistics:
            with cpu.measure("collectKeyStatistics"):
                settings.statistics = KeyStatistics.of(spec, stage.signature, settings.memory.statistics_keys)
            settings.check_multiple_values = stage.check_multiple_values
        else:
            universal = ClusterByPartitions.universal(spec.cluster_by, stage.signature)
            progress.set_ultimate(1)
    else:
        settings.hash_partitions = getattr(spec, "partitions")  # noqa: B009 - only hash specs come here
    made = Sorted(Sorter(settings), output, universal, spec.gathers_statistics)
    made.statistics = settings.statistics
    return made
