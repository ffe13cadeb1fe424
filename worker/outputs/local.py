"""A stage's output on its worker: batches in memory while they fit in the worker's account, else in local files.

Other processes read files alone: `share` writes what is still in memory.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msq.mapped import open_arrow_file
from worker.memory import MemoryAccount
from worker.outputs.ipc import by_schema, plain_batch, write_file

_FILE_BYTES = 64 << 20


class LocalOutput:
    """Batches by partition, in the order they were added. Thread-safe for adding; read after `finish`.

    `folder` is made when first needed and removed by `close`.
    """

    def __init__(self, folder: Path, account: MemoryAccount) -> None:
        self._folder = folder
        self._account = account
        self._lock = threading.Lock()
        self._held: dict[int, list[Any]] = {}
        self._places: dict[tuple[int, int], tuple[str, int]] = {}
        self._memory: dict[int, int] = {}
        self._waiting: list[tuple[tuple[int, int], Any]] = []
        self._waiting_bytes = 0
        self._files = 0
        self._partitions: set[int] = set()
        self._closed = False
        self.bytes_written = 0

    def add(self, partition: int, batch: Any) -> None:
        """Keeps `batch`; may write what does not fit in memory to a file."""
        size = batch.nbytes
        with self._lock:
            self._partitions.add(partition)
            held = self._held.setdefault(partition, [])
            slot = len(held)
            if self._account.reserve(size):
                held.append(batch)
                self._memory[partition] = self._memory.get(partition, 0) + size
                return
            held.append(None)
            self._waiting.append(((partition, slot), plain_batch(batch)))
            self._waiting_bytes += size
            if self._waiting_bytes >= _FILE_BYTES:
                self._write()

    def touch(self, partition: int) -> None:
        """Makes the partition exist, possibly without rows."""
        with self._lock:
            self._partitions.add(partition)

    def _write(self) -> None:
        places = [place for place, _ in self._waiting]
        numbered = [(i, batch) for i, (_, batch) in enumerate(self._waiting)]
        self._folder.mkdir(parents=True, exist_ok=True)
        for schema, members in by_schema(numbered):
            path = self._folder / f"out_{self._files}.arrow"
            self._files += 1
            self.bytes_written += write_file(path, schema, (batch for _, batch in members))
            reader = open_arrow_file(path)
            for index, (number, _) in enumerate(members):
                partition, slot = places[number]
                self._held[partition][slot] = reader.get_batch(index)
                self._places[partition, slot] = (path.name, index)
        self._waiting = []
        self._waiting_bytes = 0

    def finish(self) -> None:
        """Nothing more is added; everything can be read."""
        with self._lock:
            if self._waiting:
                self._write()

    @property
    def partitions(self) -> tuple[int, ...]:
        return tuple(sorted(self._partitions))

    def rows(self, partition: int) -> int:
        return sum(b.num_rows for b in self._held.get(partition, ()))

    def read(self, partition: int) -> Iterator[Any]:
        """The batches of the partition; none for one that this worker has no piece of."""
        with self._lock:
            if self._closed:
                raise LookupError(f"The output in [{self._folder.name}] was removed")
            batches = list(self._held.get(partition, ()))
        return iter(batches)

    def share(self) -> dict[str, Any]:
        """Where the batches are for other processes: `{"folder", "partitions": {"<partition>": [[file, batch], ..]}}`.

        Each file is an Arrow IPC file. The output leaves memory for good. Call it after `finish`.
        """
        with self._lock:
            if self._closed:
                raise LookupError(f"The output in [{self._folder.name}] was removed")
            for partition, held in self._held.items():
                for slot, batch in enumerate(held):
                    if (partition, slot) not in self._places:
                        self._waiting.append(((partition, slot), plain_batch(batch)))
            if self._waiting:
                self._write()
            for size in self._memory.values():
                self._account.release(size)
            self._memory = {}
            return {
                "folder": str(self._folder),
                "partitions": {
                    str(partition): [self._places[partition, slot] for slot in range(len(held))]
                    for partition, held in self._held.items()
                },
            }

    def release(self, partition: int) -> None:
        """Drops a partition that nobody will read again."""
        with self._lock:
            self._held.pop(partition, None)
            self._account.release(self._memory.pop(partition, 0))

    def close(self) -> None:
        """Gives back the memory and removes the files; batches already handed out stay valid."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for size in self._memory.values():
                self._account.release(size)
            self._held, self._memory, self._waiting, self._places = {}, {}, [], {}
        if self._files:
            shutil.rmtree(self._folder, ignore_errors=True)
