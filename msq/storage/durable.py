"""Durable storage of stage outputs and of query results: a folder that outlives the workers that wrote to it.

Layout, as Druid's: `[query-results/]controller_<controller task>/stage_<n>/worker_<w>/taskId_<worker task>/part_<p>`,
and `worker_<w>/__success`, which holds the id of the task whose parts count. A part is an Arrow IPC stream (LZ4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from msq.frame.frame import common_schema, decode_dictionary, to_schema
from msq.storage.folders import Folder

RESULTS = "query-results"
SUCCESS = "__success"
_PART = re.compile(r"part_(\d+)")
_WORKER = re.compile(r"worker_(\d+)")


@dataclass(frozen=True, slots=True)
class StagePlace:
    """Where a stage of the query of task `controller` keeps its output; `results`: it is what the user asked for."""

    controller: str
    stage: int
    results: bool = False


class DurableStorage:
    """Outputs below `folder`. Safe to use from threads and processes."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def _query(self, controller: str, results: bool) -> str:
        name = f"controller_{controller}"
        if not controller or "/" in controller:
            raise ValueError(f"[{controller}] is no task id")
        return f"{RESULTS}/{name}" if results else name

    def _stage(self, place: StagePlace) -> str:
        return f"{self._query(place.controller, place.results)}/stage_{place.stage}"

    def _worker(self, place: StagePlace, worker: int) -> str:
        return f"{self._stage(place)}/worker_{worker}"

    def put(self, place: StagePlace, worker: int, task_id: str, partition: int, batches: Sequence[Any]) -> int:
        """Writes a partition's batches, which may differ in the form of a column; answers the bytes written."""
        schema = common_schema(batches)
        plain = pa.schema([
            pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema
        ])  # fmt: skip
        with self._folder.writer(f"{self._worker(place, worker)}/taskId_{task_id}/part_{partition}") as sink:
            with pa.ipc.new_stream(sink, plain, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
                for batch in batches:
                    columns = [decode_dictionary(c) for c in to_schema(batch, schema).columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=plain))
            return sink.tell()

    def succeed(self, place: StagePlace, worker: int, task_id: str) -> None:
        """Declares the parts of `task_id` complete. The first attempt to succeed wins; later ones change nothing."""
        self._folder.claim(f"{self._worker(place, worker)}/{SUCCESS}", task_id)

    def winner(self, place: StagePlace, worker: int) -> str | None:
        """The id of the task whose parts count; None while there is none."""
        return self._folder.text(f"{self._worker(place, worker)}/{SUCCESS}")

    def read(self, place: StagePlace, worker: int, partition: int) -> Iterator[Any]:
        """Batches of a worker's piece of a partition; none when it wrote no rows. Raises LookupError if it failed."""
        task_id = self.winner(place, worker)
        if task_id is None:
            raise LookupError(f"There is no complete output of stage [{place.stage}] by worker [{worker}]")
        try:
            source = self._folder.reader(f"{self._worker(place, worker)}/taskId_{task_id}/part_{partition}")
        except FileNotFoundError:
            return
        with source, pa.ipc.open_stream(source) as reader:
            yield from reader

    def workers(self, place: StagePlace) -> tuple[int, ...]:
        """Workers that completed the stage."""
        named = (int(m[1]) for name in self._folder.names(self._stage(place)) if (m := _WORKER.fullmatch(name)))
        return tuple(sorted(worker for worker in named if self.winner(place, worker) is not None))

    def partitions(self, place: StagePlace, worker: int) -> tuple[int, ...]:
        """Partitions of which a worker that completed the stage wrote rows."""
        task_id = self.winner(place, worker)
        if task_id is None:
            return ()
        names = self._folder.names(f"{self._worker(place, worker)}/taskId_{task_id}")
        return tuple(sorted(int(m[1]) for name in names if (m := _PART.fullmatch(name))))

    def delete(self, controller: str, *, results: bool = False) -> None:
        """Removes the stage outputs of a query, or its results."""
        self._folder.delete(self._query(controller, results))

    def controllers(self, *, results: bool = False) -> tuple[str, ...]:
        """Task ids that have outputs (or results) here, for a cleaner."""
        prefix = "controller_"
        names = self._folder.names(RESULTS if results else "")
        return tuple(sorted(name[len(prefix) :] for name in names if name.startswith(prefix)))
