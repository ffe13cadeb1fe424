"""Durable storage of stage outputs and of query results: a folder that outlives the workers that wrote to it.

Layout, as Druid's: `[query-results/]controller_<controller task>/stage_<n>/worker_<w>/taskId_<worker task>/part_<p>`,
and `worker_<w>/__success`, which holds the id of the task whose parts count. A part is an Arrow IPC stream (LZ4).
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from msq.frame.frame import common_schema, decode_dictionary, to_schema

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
    """Outputs below the folder `root`, which is made when first needed. Safe to use from threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _query(self, controller: str, results: bool) -> Path:
        name = f"controller_{controller}"
        if not controller or "/" in controller or name in (".", ".."):
            raise ValueError(f"[{controller}] is no task id")
        return self.root / RESULTS / name if results else self.root / name

    def _worker(self, place: StagePlace, worker: int) -> Path:
        return self._query(place.controller, place.results) / f"stage_{place.stage}" / f"worker_{worker}"

    def put(self, place: StagePlace, worker: int, task_id: str, partition: int, batches: Sequence[Any]) -> int:
        """Writes a partition's batches, which may differ in the form of a column; answers the bytes written."""
        folder = self._worker(place, worker) / f"taskId_{task_id}"
        folder.mkdir(parents=True, exist_ok=True)
        schema = common_schema(batches)
        plain = pa.schema([
            pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema
        ])  # fmt: skip
        aside = folder / f".{uuid.uuid4().hex}"
        try:
            with (
                pa.OSFile(str(aside), "wb") as sink,
                pa.ipc.new_stream(sink, plain, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
            ):
                for batch in batches:
                    columns = [decode_dictionary(c) for c in to_schema(batch, schema).columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=plain))
            size = aside.stat().st_size
            os.replace(aside, folder / f"part_{partition}")
        finally:
            aside.unlink(missing_ok=True)
        return size

    def succeed(self, place: StagePlace, worker: int, task_id: str) -> None:
        """Declares the parts of `task_id` complete. The first attempt to succeed wins; later ones change nothing."""
        folder = self._worker(place, worker)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{uuid.uuid4().hex}"
        aside.write_text(task_id, encoding="utf-8")
        try:
            os.link(aside, folder / SUCCESS)
        except FileExistsError:
            pass
        finally:
            aside.unlink()

    def winner(self, place: StagePlace, worker: int) -> str | None:
        """The id of the task whose parts count; None while there is none."""
        try:
            return (self._worker(place, worker) / SUCCESS).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def read(self, place: StagePlace, worker: int, partition: int) -> Iterator[Any]:
        """Batches of a worker's piece of a partition; none when it wrote no rows. Raises LookupError if it failed."""
        task_id = self.winner(place, worker)
        if task_id is None:
            raise LookupError(f"There is no complete output of stage [{place.stage}] by worker [{worker}]")
        path = self._worker(place, worker) / f"taskId_{task_id}" / f"part_{partition}"
        if not path.exists():
            return
        with pa.memory_map(str(path), "r") as source, pa.ipc.open_stream(source) as reader:
            yield from reader

    def workers(self, place: StagePlace) -> tuple[int, ...]:
        """Workers that completed the stage."""
        folder = self._query(place.controller, place.results) / f"stage_{place.stage}"
        if not folder.is_dir():
            return ()
        found = (m for f in folder.iterdir() if (m := _WORKER.fullmatch(f.name)) and (f / SUCCESS).exists())
        return tuple(sorted(int(m[1]) for m in found))

    def partitions(self, place: StagePlace, worker: int) -> tuple[int, ...]:
        """Partitions of which a worker that completed the stage wrote rows."""
        task_id = self.winner(place, worker)
        folder = self._worker(place, worker) / f"taskId_{task_id}"
        if task_id is None or not folder.is_dir():
            return ()
        return tuple(sorted(int(m[1]) for f in folder.iterdir() if (m := _PART.fullmatch(f.name))))

    def delete(self, controller: str, *, results: bool = False) -> None:
        """Removes the stage outputs of a query, or its results."""
        shutil.rmtree(self._query(controller, results), ignore_errors=True)

    def controllers(self, *, results: bool = False) -> tuple[str, ...]:
        """Task ids that have outputs (or results) here, for a cleaner."""
        folder = self.root / RESULTS if results else self.root
        if not folder.is_dir():
            return ()
        prefix = "controller_"
        return tuple(sorted(f.name[len(prefix) :] for f in folder.iterdir() if f.name.startswith(prefix)))
