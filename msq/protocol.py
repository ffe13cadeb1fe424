"""Borders between rooms, as protocols: what a processor sees, and how controller and worker talk.

Control goes down once (work orders, boundaries, cleanup), results and counters come up. Implementations live in
`worker/` (ExecutionContext, ReadableInput, WorkerClient's other end) and `controller/` (ControllerClient's other end).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msq.datatypes import RowSignature

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from msq.counters import CounterTracker
    from msq.faults import Fault
    from msq.frame.partitions import ClusterByPartitions
    from msq.frame.statistics import KeyStatistics
    from msq.stage.query import QueryDefinition, StageDefinition
    from msq.stage.work_order import WorkOrder


@dataclass(frozen=True, slots=True)
class OutputBatch:
    """A batch of a stage's signature. `partition`: the input partition it came from, 0 for leaf inputs.

    `piece`: which of a leaf's files or segments it came from; each is counted in frames of its own.
    """

    partition: int
    batch: pa.RecordBatch
    piece: int = 0


class InputPiece(Protocol):
    """A part of an input that is read by itself, possibly beside others: a file, a segment, a stage's partition."""

    partition: int

    def read(self, columns: Sequence[str] | None = None, max_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """As ReadableInput.read, of this piece alone, at most `max_rows` rows. Close the iterator to stop early."""
        ...


class ReadableInput(Protocol):
    """One worker's share of one input. `partitions` are the numbers it holds, ascending; (0,) for leaf inputs."""

    signature: RowSignature
    partitions: tuple[int, ...]

    def read(self, partition: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of one partition in frame layout (msq.datatypes): `columns`, in that order, or all of `signature`.

        A partition of a sorted stage arrives in key order, merged from all workers that wrote pieces of it. A STRING
        column may be `string` (dictionary-encoded or not) in one batch and `list<string>` in the next. May be
        called again for the same partition. Counts rows, bytes and frames in the input's channel counter.
        """
        ...

    def pieces(self) -> Sequence[InputPiece]:
        """What `read` of all partitions would deliver, in order, as parts that threads may read side by side."""
        ...


class ExecutionContext(Protocol):
    """What a processor may use. `inputs` by input number; those in `stage.broadcast` are whole on every worker."""

    query: QueryDefinition
    stage: StageDefinition
    worker_number: int
    inputs: Sequence[ReadableInput]
    counters: CounterTracker
    memory_bytes: int
    """How much this work order may hold in memory; beyond it, spill to `temp_dir`."""
    threads: int

    @property
    def temp_dir(self) -> Path: ...

    """Exists, empty at start, removed by the worker at the end whatever happens."""
    extra: Mapping[str, Any]
    max_batch_rows: int
    """Rows of a batch that is yielded or kept at once; tests set it to 3."""
    services: Mapping[str, Any]
    """What the process offers: `deep_storage` (msq.storage), `lookups`, ..."""

    def connection(self, without_optimizers: str = "") -> duckdb.DuckDBPyConnection:
        """A fresh in-memory DuckDB connection with this order's memory, threads and temp folder, prepared by
        msq.expr.lower.prepare; closed by the worker at the end of the order. `without_optimizers`: names of those that
        are off from now on for all connections of the order, comma-separated."""
        ...

    def check_cancelled(self) -> None:
        """Raises MSQError(CanceledFault) once the order is cancelled."""
        ...

    def warn(self, fault: Fault) -> None:
        """Reports a warning (a row that does not parse); raises in strict mode."""
        ...

    def add_result(self, value: Any) -> None:
        """Adds to the order's result list (JSON), which the controller gathers at results-complete."""
        ...


class ControllerClient(Protocol):
    """Calls a worker makes. All are quick and may be called from any worker thread."""

    def post_partial_key_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None: ...

    def post_done_reading(self, stage: int, worker: int) -> None: ...

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        """`partitions`: output partitions that this worker has a (possibly empty) piece of."""
        ...

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        """Raises MSQError when the warning is one too many."""
        ...

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None: ...

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        """`snapshot`: stage -> counter name -> counter JSON."""
        ...


class WorkerClient(Protocol):
    """Calls a controller makes on one worker; they return at once unless said otherwise."""

    number: int
    task_id: str

    def start_query(self, query: QueryDefinition) -> None: ...

    def post_work_order(self, order: WorkOrder) -> None: ...

    def post_result_partition_boundaries(self, stage: int, boundaries: ClusterByPartitions) -> None: ...

    def cleanup_stage(self, stage: int) -> None: ...

    def read_results(self, stage: int, partition: int) -> Iterator[pa.RecordBatch]:
        """Rows of the final stage's partition on this worker."""
        ...

    def counters(self) -> Mapping[int, Mapping[str, Any]]: ...

    def finish(self) -> None:
        """Ends the worker and removes all it holds; waits until that is done."""
        ...

    def cancel(self, fault: Fault) -> None:
        """Stops what runs and refuses more; `finish` must still be called."""
        ...
