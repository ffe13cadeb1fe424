"""Partitions of another stage: their pieces fetched from every worker that wrote one, merged where they are sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from msq.counters import ChannelCounter, CounterTracker
from msq.frame.frame import FrameTally
from msq.frame.keys import ClusterBy
from msq.mapped import let_go
from msq.stage.inputs import StageInputSlice
from msq.stage.query import StageDefinition
from worker.inputs.base import Piece, PieceInput, limited
from worker.shuffle.merge import merge

Fetch = Callable[[int, int, int], Iterator[Any]]
"""(worker, stage, partition) -> the batches of that worker's piece, in order."""


def merge_key(stage: StageDefinition) -> ClusterBy | None:
    """The key by which pieces of the stage's partitions must be merged; None when any order will do.

    A key that is only __boost inside its bucket orders nothing that anyone looks at.
    """
    spec = stage.shuffle_spec
    if spec is None or spec.kind not in ("globalSort", "hashLocalSort"):
        return None
    key = spec.cluster_by
    return None if key.names[key.bucket_by_count :] == ("__boost",) else key


def open_stage(
    spec: StageInputSlice, stage: StageDefinition, fetch: Fetch, counter: ChannelCounter, counters: CounterTracker,
    block_rows: int, check_cancelled: Callable[[], None], cpu_label: str | None = None,
) -> PieceInput:  # fmt: skip
    """`cpu_label`: where the time of merging pieces is counted (None: nowhere of its own)."""
    key = merge_key(stage)
    names = stage.signature.names

    def piece(partition: int) -> Piece:
        def read(columns: Sequence[str] | None, max_rows: int | None) -> Iterator[Any]:
            # whole rows are counted, whatever columns are wanted: their bytes were read
            for batch in _counted(limited(batches(), max_rows), counter, partition, check_cancelled):
                yield _select(batch, columns, names)

        def batches() -> Iterator[Any]:
            streams = [fetch(worker, spec.stage, partition) for worker in spec.workers]
            if key is None or len(streams) == 1:
                for stream in streams:
                    yield from stream
                return
            merged = merge(streams, key, block_rows)
            while True:
                with counters.cpu().measure(cpu_label) if cpu_label else nullcontext():
                    batch = next(merged, None)
                if batch is None:
                    return
                yield batch

        return Piece(partition, read)

    return PieceInput(stage.signature, spec.partitions, [piece(p) for p in spec.partitions])


def _select(batch: Any, columns: Sequence[str] | None, names: Sequence[str]) -> Any:
    return batch if columns is None or tuple(columns) == tuple(names) else batch.select(list(columns))


def _counted(
    batches: Iterator[Any], counter: ChannelCounter, partition: int, check_cancelled: Callable[[], None]
) -> Iterator[Any]:
    tally = FrameTally()
    try:
        for batch in batches:
            check_cancelled()
            let_go()
            counter.add(partition, **tally.add(batch))
            yield batch
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
