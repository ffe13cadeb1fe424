"""What a deep storage does, and the folder of a segment in all of them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Protocol

from msq.segment.identity import DataSegment


class StorageError(RuntimeError):
    """Files that cannot be stored, fetched or deleted; the text says which segment and why."""


class DeepStorage(Protocol):
    """Keeps whole segments. Safe to use from several threads, and by several processes for different segments."""

    def push(self, folder: Path, segment: DataSegment) -> DataSegment:
        """Store the files of `folder` as `segment`; returns it with `load_spec` and `size` set.

        The files appear all at once, and replace those of an earlier attempt. `folder` may be moved away.
        """
        ...

    def locate(self, segment: DataSegment) -> DataSegment:
        """The segment with the load spec that `push` gives it, whether or not it was pushed."""

    def clean(self, process: int | None = None) -> None:
        """Removes what pushes of dead processes left half-way: those of one process of this machine, or all of them,
        half-made copies included. Without `process` only while no other process pushes or copies."""

    def open(self, segment: DataSegment) -> Path:
        """A folder with the segment's files, not to be changed: the stored one, or a copy in this machine's cache.

        Raises StorageError when it is not there or its load spec is of another kind of storage.
        """
        ...

    def kill(self, segment: DataSegment) -> None:
        """Delete the segment's files, if there are any. Refuses (StorageError) a place that is not the segment's own
        folder in this storage."""
        ...


def segment_folder(segment: DataSegment) -> str:
    """`<datasource>/<start>_<end>/<version>/<partition>`. Raises StorageError for names that are no single folder."""
    start, _, end = segment.interval.partition("/")
    parts = (segment.datasource, f"{start}_{end}", segment.version, str(segment.shard_spec.partition_num))
    for part in parts:
        if not part or part in (".", "..") or any(c in part for c in "/\\\0"):
            raise StorageError(f"Segment [{segment.id}] cannot be stored: [{part}] is no name of a folder")
    return "/".join(parts)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files of a segment's folder. Raises StorageError when it has none, or folders in it."""
    files = list(folder.iterdir())
    if not files or any(not f.is_file() for f in files):
        raise StorageError(f"[{folder}] is no segment: it is empty or has folders in it")
    return sum(f.stat().st_size for f in files)


def zip_folder(folder: Path, target: Path) -> None:
    """Druid's `index.zip`: the files at the root of an ordinary zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as out:
        for file in sorted(folder.iterdir()):
            out.write(file, file.name)


def unzip(archive: Path, target: Path) -> None:
    """Unpack an `index.zip`. Raises StorageError for entries that would leave `target`."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            name = entry.filename
            if entry.is_dir() or "/" in name or "\\" in name or name in ("", ".", ".."):
                raise StorageError(f"[{archive}] is no zip of a segment: it has the entry [{name}]")
            with packed.open(entry) as source, open(target / name, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
