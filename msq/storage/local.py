"""Deep storage in a folder of this machine or of a shared file system: Druid's `local` storage."""

from __future__ import annotations

import os
import re
import shutil
import socket
import uuid
from dataclasses import replace
from pathlib import Path

from msq.segment.identity import DataSegment
from msq.storage.base import StorageError, folder_bytes, segment_folder, unzip, zip_folder
from msq.storage.cache import SegmentCache

_STAGING = "intermediate_pushes"


def _staging_name(process: int, end: str) -> str:
    """Other machines may push to the same folder."""
    return f"{re.sub('[^A-Za-z0-9]', '_', socket.gethostname())}-{process}-{end}"


class LocalDeepStorage:
    """Segments under `root` as folders `.../index/`, or as `.../index.zip` when `zipped`.

    A folder of the same file system is renamed into place; else files are staged in `root/intermediate_pushes` and
    renamed from there. A folder in place is never changed, because historicals hard-link its files; a second push
    replaces it whole.
    """

    def __init__(self, root: Path, cache: Path, zipped: bool = False) -> None:
        self.root = root.absolute()
        self.zipped = zipped
        self._cache = SegmentCache(cache)

    def push(self, folder: Path, segment: DataSegment) -> DataSegment:
        size = folder_bytes(folder)
        target = self._target(segment)
        if self.zipped or not _renamed(folder, target):
            self._stage(folder, target)
        return replace(self.locate(segment), size=size)

    def _stage(self, folder: Path, target: Path) -> None:
        staged = self._staging()
        try:
            if self.zipped:
                zip_folder(folder, staged / target.name)
            else:
                _move(folder, staged / target.name)
            _sync(staged / target.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                os.rename(target, staged / "replaced")
            os.rename(staged / target.name, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def locate(self, segment: DataSegment) -> DataSegment:
        target = self._target(segment)
        return replace(segment, load_spec={"type": "local", "path": str(target) if self.zipped else f"{target}/"})

    def clean(self, process: int | None = None) -> None:
        staging = self.root / _STAGING
        if process is None:
            shutil.rmtree(staging, ignore_errors=True)
            self._cache.sweep()
            return
        for folder in staging.glob(_staging_name(process, "*")):
            shutil.rmtree(folder, ignore_errors=True)

    def _target(self, segment: DataSegment) -> Path:
        return self.root / segment_folder(segment) / ("index.zip" if self.zipped else "index")

    def open(self, segment: DataSegment) -> Path:
        path = _local_path(segment)
        if path.is_dir():
            return path
        if path.is_file():
            return self._cache.get(segment, lambda folder: unzip(path, folder))
        raise StorageError(f"Segment [{segment.id}] is not in deep storage: [{path}] does not exist")

    def kill(self, segment: DataSegment) -> None:
        if segment.is_tombstone:
            return
        path = _local_path(segment)
        home = self.root / segment_folder(segment)
        if path.parent != home or path.name not in ("index", "index.zip") or home.resolve() != _plain(home):
            raise StorageError(f"Segment [{segment.id}] is not deleted: [{path}] is not its folder under [{self.root}]")
        if path.exists():
            staged = self._staging()
            os.rename(path, staged / "killed")
            shutil.rmtree(staged)
        for parent in (home, home.parent, home.parent.parent, home.parent.parent.parent):
            if parent == self.root:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    def _staging(self) -> Path:
        staged = self.root / _STAGING / _staging_name(os.getpid(), uuid.uuid4().hex)
        staged.mkdir(parents=True)
        return staged


def _local_path(segment: DataSegment) -> Path:
    kind, path = segment.load_spec.get("type"), segment.load_spec.get("path")
    if kind != "local" or not isinstance(path, str) or not path.startswith("/"):
        raise StorageError(f"Segment [{segment.id}] has a load spec of type [{kind}], which local storage cannot open")
    return Path(path)


def _plain(home: Path) -> Path:
    """`home` with the links of the storage's own root resolved, so that a link below the root is noticed."""
    root = home.parents[3]
    return root.resolve() / home.relative_to(root)


def _renamed(folder: Path, target: Path) -> bool:
    """Moves the folder into place in one step; False where that cannot be: another file system, or files there."""
    _sync(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(folder, target)
    except OSError:
        return False
    return True


def _move(folder: Path, target: Path) -> None:
    try:
        os.rename(folder, target)
    except OSError:
        # another file system
        shutil.copytree(folder, target)


def _sync(path: Path) -> None:
    """Have the files on disk before they are announced."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with open(file, "rb") as f:
            os.fsync(f.fileno())
