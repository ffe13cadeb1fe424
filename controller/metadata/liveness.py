"""Which processes are alive: each holds an exclusive lock on a file of its own, which the kernel drops at its death.

So a killed process is noticed at once and for certain, whatever its pid is reused for.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path


class ProcessLease:
    """This process' proof of life in a data folder. `name` is unique; `close` ends it."""

    def __init__(self, data_dir: Path) -> None:
        folder = _folder(data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._path = folder / f"{self.name}.lease"
        # others take a lease that nobody holds for a dead one: it gets its name when it is held
        unnamed = folder / f"{self.name}.new"
        self._file = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._path)

    def close(self) -> None:
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def is_alive(data_dir: Path, name: str) -> bool:
    """Whether the process of that lease still runs."""
    path = _folder(data_dir) / f"{name}.lease"
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # shared: several may ask at once, and only the process itself stands in their way
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(file)


def others_alive(data_dir: Path, mine: str) -> bool:
    """Whether any other process uses the data folder."""
    names = [p.stem for p in _folder(data_dir).glob("*.lease")]
    return any(name != mine and is_alive(data_dir, name) for name in names)


def _folder(data_dir: Path) -> Path:
    return data_dir / "run"
