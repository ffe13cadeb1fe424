"""The container: internal files one after another in chunks below 2 GiB, and the index of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from msq.segment.writer.generic import Parts, SegmentTooLargeError, be32, size_of

MAX_CHUNK_BYTES = 2**31 - 1
FACTORY = b'{"type":"mMapSegmentFactory"}'


CONSTANT = {"version.bin": be32(9), "factory.json": FACTORY}
"""Files that every segment has, and their bytes."""


def constant_files(folder: Path) -> Path:
    """The new folder, with the files that every segment has."""
    folder.mkdir(parents=True)
    for name, data in CONSTANT.items():
        (folder / name).write_bytes(data)
    return folder


def _linked(source: Path, target: Path) -> bool:
    """Whether `target` could be made another name of `source`."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or one file with too many
        return False
    return True


class SmooshWriter:
    """Writes `version.bin`, `factory.json`, `NNNNN.smoosh` and `meta.smoosh` into an empty folder.

    Chunks are streamed: nothing but the parts of one internal file is held. `close` writes the index; without it the
    folder is not a segment.

    `shared`: a folder of `constant_files`, to which the files that are the same in all segments become hard links: many
    small segments take half the new files then, each of which would have to be synchronized with the disk.
    """

    def __init__(self, folder: Path, max_chunk_bytes: int = MAX_CHUNK_BYTES, shared: Path | None = None) -> None:
        self.folder = folder
        self.max_chunk_bytes = max_chunk_bytes
        self.size = 0
        self._entries: dict[str, tuple[int, int, int]] = {}
        self._chunk = -1
        self._at = 0
        self._file: BinaryIO | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in CONSTANT.items():
            if shared is None or not _linked(shared / name, folder / name):
                self._write(name, data)
            else:
                self.size += len(data)

    def add(self, name: str, parts: Parts) -> int:
        """Append the internal file `name`; returns its bytes. Raises SegmentTooLargeError naming it."""
        size = size_of(parts)
        if size > self.max_chunk_bytes:
            raise SegmentTooLargeError(f"Column [{name}] takes [{size}] bytes, more than [{self.max_chunk_bytes}]")
        if name in self._entries or any(c in name for c in ",\n\r"):
            raise ValueError(f"Internal file [{name}] appears twice or has a comma or line break in its name")
        if self._file is None or self._at + size > self.max_chunk_bytes:
            self._open_chunk()
        assert self._file is not None
        self._file.writelines(parts)
        self._entries[name] = (self._chunk, self._at, self._at + size)
        self._at += size
        self.size += size
        return size

    def close(self) -> int:
        """Write the index; returns the bytes of the whole folder."""
        if self._file is None:
            self._open_chunk()
        self._close_chunk()
        lines = [f"v1,{self.max_chunk_bytes},{self._chunk + 1}"]
        for name in sorted(self._entries, key=lambda n: n.encode("utf-16-be", "surrogatepass")):
            lines.append(",".join([name, *map(str, self._entries[name])]))
        self._write("meta.smoosh", ("\n".join(lines) + "\n").encode())
        return self.size

    def _write(self, name: str, data: bytes) -> None:
        with open(self.folder / name, "wb", buffering=0) as out:
            out.write(data)
        self.size += len(data)

    def _open_chunk(self) -> None:
        self._close_chunk()
        self._chunk += 1
        self._at = 0
        self._file = open(self.folder / f"{self._chunk:05d}.smoosh", "wb", buffering=1 << 20)  # noqa: SIM115

    def _close_chunk(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> SmooshWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_chunk()
