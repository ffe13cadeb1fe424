"""Partitions of other workers of this machine: their owner writes them to files, and readers map these into memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msq.mapped import open_arrow_file
from worker.worker import PartitionReader

Share = Callable[[int], Mapping[str, Any]]
"""Stage -> where its worker keeps its output, as `Worker.share` answers. Raises when the worker cannot."""


class SharedPartitions(PartitionReader):
    """The outputs of one worker, read from its files. `share` is asked once for each stage. Thread-safe."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._lock = threading.Lock()
        self._known: dict[int, Mapping[str, Any]] = {}

    def read_partition(self, stage: int, partition: int) -> Iterator[Any]:
        """Raises LookupError when the worker does not have the output any more."""
        try:
            places, readers = self._open(stage, partition)
        except FileNotFoundError:
            # the worker was replaced since it told where its files are
            with self._lock:
                self._known.pop(stage, None)
            try:
                places, readers = self._open(stage, partition)
            except FileNotFoundError as error:
                raise LookupError(f"The output of stage [{stage}] was removed") from error
        for name, index in places:
            yield readers[name].get_batch(index)

    def _open(self, stage: int, partition: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
        """Where the partition's batches are, and a reader for each of the files: open before anything is yielded."""
        with self._lock:
            found = self._known.get(stage)
        if found is None:
            found = self._share(stage)
            with self._lock:
                self._known[stage] = found
        places = [(str(name), int(index)) for name, index in found["partitions"].get(str(partition), ())]
        folder = Path(found["folder"])
        return places, {name: open_arrow_file(folder / name) for name in {name for name, _ in places}}
