"""Unpacked copies of segments that cannot be read where they are stored."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from msq.segment.identity import DataSegment


class SegmentCache:
    """A folder of copies by segment id. A copy is made once, aside, and renamed into place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def sweep(self) -> None:
        """Removes copies that dead processes left half-made. Only while no other process makes one."""
        for folder in self.root.glob(".*-*") if self.root.is_dir() else ():
            shutil.rmtree(folder, ignore_errors=True)

    def get(self, segment: DataSegment, fill: Callable[[Path], None]) -> Path:
        """The copy of `segment`; `fill` puts its files into the empty folder it is given."""
        # the id alone may be too long for a file name, and a load spec can change
        name = sha256(f"{segment.id}\0{sorted(segment.load_spec.items(), key=str)}".encode()).hexdigest()
        target = self.root / name
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            if target.is_dir():
                return target
            aside = self.root / f".{name}-{uuid.uuid4().hex}"
            aside.mkdir(parents=True)
            try:
                fill(aside)
                try:
                    os.rename(aside, target)
                except OSError:
                    # another process was first
                    if not target.is_dir():
                        raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            return target
