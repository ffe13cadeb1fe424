"""run_work_order: open the inputs, run the processor, count and shuffle what it yields, write the partitions.

One `OrderRun` for each work order. `read` and `write` are called once, in this order, from one thread at a time;
`close` at the end whatever happened.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msq.context import QueryContext
from msq.counters import CounterTracker
from msq.faults import DurableStorageConfigurationFault, Fault, MSQError
from msq.frame.frame import FrameTally, check_row_size
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.protocol import OutputBatch, ReadableInput
from msq.stage.inputs import (
    ExternalInputSlice,
    InlineInputSlice,
    InputSlice,
    LookupInputSlice,
    NilInputSlice,
    SegmentsInputSlice,
    StageInputSlice,
)
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.work_order import WorkOrder
from msq.storage.durable import StagePlace
from worker.chaos import Chaos
from worker.context import CancelToken, WorkContext
from worker.inputs.base import PieceInput
from worker.inputs.external import describe_source, open_external, read_options
from worker.inputs.inline import LOOKUP_SIGNATURE, inline_batch, lookup_batch, open_table
from worker.inputs.nulls import NullByteCheck
from worker.inputs.segments import open_segments, opener_of
from worker.inputs.stage import Fetch, open_stage
from worker.memory import OrderMemory
from worker.outputs.local import LocalOutput
from worker.settings import WorkerSettings
from worker.shuffle.shuffles import make_shuffle
from worker.shuffle.sorter import SortSettings


def durable_place(order: WorkOrder) -> StagePlace | None:
    """Where the output of an order is kept durably; None when it stays on the worker."""
    if not order.output_mode.startswith("durableStorage"):
        return None
    return StagePlace(order.query_id, order.stage, order.output_mode == "durableStorageQueryResults")


@dataclass(frozen=True)
class Environment:
    """What a worker lends its work orders. `warn` may raise; `fetch` reads pieces of stages, other workers' too."""

    query: QueryDefinition
    settings: WorkerSettings
    services: Mapping[str, Any]
    token: CancelToken
    fetch: Fetch
    warn: Callable[[int, CounterTracker, Fault], None]
    rows_of: Callable[[int], int | None] = lambda stage: None
    """Rows that a stage has left on this worker; None when it has none here."""
    concurrent_orders: int = 1
    task_id: str = ""
    """Of the worker, as durable storage names it."""


class OrderRun:
    """One work order under way. `output` holds its partitions until the worker drops it."""

    def __init__(self, order: WorkOrder, env: Environment, output: LocalOutput, folder: Path) -> None:
        self.order = order
        self.stage: StageDefinition = env.query.stages[order.stage]
        self.counters = CounterTracker()
        self.output = output
        self._env = env
        self._folder = folder
        context = QueryContext(env.query.context)
        self._max_frame_bytes = int(context.value("maxFrameSize"))
        threads = self._threads(min(env.settings.threads, int(context.value("maxThreads") or env.settings.threads)))
        memory = OrderMemory(env.settings.memory_bytes // max(env.concurrent_orders, 1))
        self.context = WorkContext(
            query=env.query, stage=self.stage, worker_number=order.worker, counters=self.counters, memory=memory,
            threads=threads, temp_dir=folder / "work", extra=order.extra, max_batch_rows=env.settings.max_batch_rows,
            services=env.services, token=env.token, warn=self._warn,
        )  # fmt: skip
        self._remove_null_bytes = bool(context.value("removeNullBytes"))
        self._nulls: NullByteCheck | None = None
        settings = None
        spec = self.stage.shuffle_spec
        if spec is not None:
            settings = SortSettings(
                signature=self.stage.signature, cluster_by=spec.cluster_by, memory=memory, temp_dir=folder / "sort",
                counters=self.counters, threads=threads, block_rows=env.settings.max_batch_rows,
                check_cancelled=env.token.check,
            )  # fmt: skip
        self._shuffle = make_shuffle(self.stage, output, settings)

    def _threads(self, most: int) -> int:
        """Processing threads: `most`, or what those who share the processors agree on (the service `thread_share`)."""
        share: Callable[[int, int | None], int] | None = self._env.services.get("thread_share")
        if share is None:
            return most
        rows = 0
        for spec in self.order.inputs:
            known = self._rows_of(spec)
            if known is None:
                return share(most, None)
            rows += known
        return share(most, rows)

    def _rows_of(self, spec: InputSlice) -> int | None:
        """Rows of an input, where that is known before it is read."""
        if isinstance(spec, SegmentsInputSlice):
            counts = [int(s["totalRows"]) for s in spec.segments if s.get("totalRows") is not None]
            return sum(counts) if len(counts) == len(spec.segments) else None
        if isinstance(spec, StageInputSlice):
            return self._env.rows_of(spec.stage) if len(spec.workers) == 1 else None
        return 0

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self) -> KeyStatistics | None:
        """Runs the processor over its inputs into the shuffle; answers the key statistics if any are gathered."""
        for batch in self._rows():
            self._shuffle.add(batch)
        self._shuffle.finish_reading()
        return self._shuffle.statistics

    def stream(self) -> Iterator[Any]:
        """Instead of `read` and `write`: the rows of an order whose shuffle only passes them on, as they are made."""
        for batch in self._rows():
            yield batch.batch

    def _rows(self) -> Iterator[OutputBatch]:
        self._strike("start")
        self.context.inputs = [self._open(n, s) for n, s in enumerate(self.order.inputs)]
        for readable in self._own_inputs():
            for partition in readable.partitions:
                if self.stage.shuffle_spec is None and len(self.stage.signature):
                    self.output.touch(partition)
        rows = self.stage.processor.run(self.context)
        spec = self.stage.shuffle_spec
        overhead = 12 if spec is not None and spec.kind == "globalSort" else 8
        tallies: dict[tuple[int, int], FrameTally] = {}
        cpu = self.counters.cpu()
        step = 0
        try:
            while True:
                with cpu.measure("main"):
                    batch: OutputBatch | None = next(rows, None)
                if batch is None:
                    break
                self._env.token.check()
                step += 1
                self._strike("output", step)
                self._count(batch, tallies, overhead)
                yield batch
        finally:
            close = getattr(rows, "close", None)
            if close is not None:
                close()
        with cpu.measure("main"):
            self.context.close()

    def _count(self, batch: OutputBatch, tallies: dict[tuple[int, int], FrameTally], overhead: int) -> None:
        check_row_size(batch.batch, self._max_frame_bytes)
        if self._nulls is not None:
            self._nulls.check(batch.batch, batch.piece)
        tally = tallies.get((batch.partition, batch.piece))
        if tally is None:
            tally = tallies[batch.partition, batch.piece] = FrameTally(overhead)
        self.counters.channel("output").add(batch.partition, **tally.add(batch.batch))

    def _own_inputs(self) -> Iterator[ReadableInput]:
        for number, readable in enumerate(self.context.inputs):
            if number not in self.stage.broadcast:
                yield readable

    def _open(self, number: int, spec: InputSlice) -> ReadableInput:
        counter = self.counters.channel(f"input{number}")
        env, stage = self._env, self.stage
        if isinstance(spec, StageInputSlice):
            merging = len(spec.workers) > 1 and not len(stage.signature)
            return open_stage(
                spec, env.query.stages[spec.stage], self._fetch, counter, self.counters, env.settings.max_batch_rows,
                env.token.check, "mergeInput" if merging else None,
            )  # fmt: skip
        signature = stage.input_signatures[number] if number < len(stage.input_signatures) else None
        if isinstance(spec, ExternalInputSlice):
            self._nulls = NullByteCheck(stage, describe_source(spec), self._remove_null_bytes)
            options = read_options(
                env.services, self.context.memory.merge, self.context.threads, str(self.context.temp_dir),
                max_batch_rows=env.settings.max_batch_rows, remove_null_bytes=self._remove_null_bytes,
                null_byte_columns=self._nulls.passed,
            )  # fmt: skip
            return open_external(spec, signature or spec.signature, counter, options, self._warn, env.token.check)
        if isinstance(spec, SegmentsInputSlice):
            if signature is None:
                raise ValueError(f"Stage [{stage.number}] has no signature for its table input [{number}]")
            return open_segments(
                spec, signature, counter, opener_of(env.services), env.settings.max_batch_rows, env.token.check
            )
        if isinstance(spec, InlineInputSlice):
            broadcast = number in stage.broadcast
            table = inline_batch(spec.data_source)
            return open_table(table, spec.data_source.signature, None if broadcast else counter)
        if isinstance(spec, LookupInputSlice):
            table = lookup_batch(spec.lookup_name, env.services.get("lookups") or {})
            return open_table(table, LOOKUP_SIGNATURE, None)
        if isinstance(spec, NilInputSlice):
            return PieceInput(self._nil_signature(number), (), ())
        raise TypeError(f"Input slices of kind [{spec.TAG}] are not supported")

    def _fetch(self, worker: int, stage: int, partition: int) -> Iterator[Any]:
        """A piece of another stage: from durable storage where outputs are kept there, else from its worker."""
        if self.order.output_mode.startswith("durableStorage"):
            storage = self._env.services.get("durable_storage")
            place = StagePlace(self.order.query_id, stage)
            if storage is not None and storage.winner(place, worker) is not None:
                found: Iterator[Any] = storage.read(place, worker, partition)
                return found
        return self._env.fetch(worker, stage, partition)

    def _nil_signature(self, number: int) -> Any:
        known = self.stage.input_signatures
        return known[number] if number < len(known) else self.stage.signature

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, boundaries: ClusterByPartitions | None) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """Writes the output partitions. Answers the processor's results and the partitions this worker holds."""
        self._strike("write")
        self._shuffle.write(boundaries)
        self.output.finish()
        self._store()
        self._strike("results")
        return tuple(self.context.results), self._partitions(boundaries)

    def _store(self) -> None:
        """Copies the output to durable storage when the order asks for it, and declares it complete there."""
        place = durable_place(self.order)
        if place is None:
            return
        storage = self._env.services.get("durable_storage")
        if storage is None:
            raise MSQError(DurableStorageConfigurationFault("This server has no durable storage."))
        for partition in self.output.partitions:
            self._env.token.check()
            batches = list(self.output.read(partition))
            if batches:
                storage.put(place, self.order.worker, self._env.task_id, partition, batches)
        storage.succeed(place, self.order.worker, self._env.task_id)

    def _partitions(self, boundaries: ClusterByPartitions | None) -> tuple[int, ...]:
        spec = self.stage.shuffle_spec
        if spec is None:
            return self.output.partitions
        if spec.kind == "globalSort":
            return tuple(range(1 if boundaries is None else boundaries.count))
        if spec.kind == "mix":
            return (0,)
        return tuple(range(int(getattr(spec, "partitions"))))  # noqa: B009 - only hash specs come here

    # -- ends ---------------------------------------------------------------------------------------------------

    def _warn(self, fault: Fault) -> None:
        self._env.warn(self.stage.number, self.counters, fault)

    def _strike(self, place: str, step: int = 0) -> None:
        chaos: Chaos | None = self._env.settings.chaos
        if chaos is not None:
            chaos.strike(place, self.stage.number, self.order.worker, self.order.attempt, step)

    def interrupt(self) -> None:
        self.context.interrupt()

    def close(self) -> None:
        """Closes what was opened and removes the order's temporary files; the output stays."""
        self.context.close()
        self.context.inputs = ()
        if self._folder.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
