"""Files mapped into memory for reading, and keeping what of them is resident small.

Pages of a mapped file count as memory of the process for as long as they are mapped in, although the system could take
them at any time: a large input read once would seem to be held whole. Whoever reads much calls `let_go` now and then.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

RESIDENT_BYTES = 96 << 20
"""How much may come in, of all files, before `let_go` lets go of it."""


class _Maps:
    """All maps of the process that are alive, and where they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: dict[int, tuple[weakref.ref[mmap.mmap], int, int]] = {}
        self._next = _resident() + RESIDENT_BYTES

    def add(self, made: mmap.mmap) -> None:
        key = id(made)
        start = int(np.frombuffer(made, np.uint8).ctypes.data)
        with self._lock:
            self._maps[key] = (weakref.ref(made, lambda _: self._maps.pop(key, None)), start, start + len(made))

    def holds(self, address: int) -> bool:
        with self._lock:
            return any(start <= address < end for _, start, end in list(self._maps.values()))

    def let_go(self) -> None:
        if _resident() < self._next:
            return
        with self._lock:
            for found, _, _ in list(self._maps.values()):
                made = found()
                if made is not None:
                    made.madvise(mmap.MADV_DONTNEED)
            self._next = _resident() + RESIDENT_BYTES


def _resident() -> int:
    """Bytes of files, and of memory shared with others, that are mapped in; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[2]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return 0


_MAPS = _Maps()


def map_file(path: Path | str) -> Any:
    """The file's bytes as a buffer (`mmap`, empty bytes for an empty file), mapped for as long as anything refers to
    it: also when the file is deleted."""
    with open(path, "rb") as f:
        if not os.fstat(f.fileno()).st_size:
            return b""
        made = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    _MAPS.add(made)
    return made


def open_arrow_file(path: Path) -> Any:
    """A reader over the mapped Arrow IPC file; batches taken from it keep the map alive."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(map_file(path))))


def is_mapped(batch: Any) -> bool:
    """Whether the Arrow batch (or array) lies in a mapped file, and so takes no memory of its own.

    Tells by its first buffer: batches are mapped as a whole.
    """
    for column in getattr(batch, "columns", (batch,)):
        for buffer in column.buffers():
            if buffer is not None and buffer.size:
                return _MAPS.holds(buffer.address)
    return False


def let_go() -> None:
    """Lets go of what is resident of mapped files when it has become much. Safe at any time, in any thread: what is
    used afterwards comes back, mostly without a disk being asked."""
    _MAPS.let_go()
