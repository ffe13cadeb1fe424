"""The container of a segment: which internal file stands where, as views of memory-mapped chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from msq.mapped import map_file


class SegmentFormatError(ValueError):
    """The files are not a V9 segment that can be read; the text says what was found."""


class SmooshReader:
    """Views of the internal files of the segment in `folder`. Chunks are mapped when first needed.

    The maps live as long as any view of them: nothing has to be closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "version.bin").is_file():
            if (folder / "druid.segment").is_file():
                raise SegmentFormatError(f"Segment [{folder}] is of format V10, which is not supported")
            raise SegmentFormatError(f"Folder [{folder}] holds no segment: it has no version.bin")
        version = int.from_bytes((folder / "version.bin").read_bytes(), "big")
        if version != 9:
            raise SegmentFormatError(f"Segment [{folder}] is of version [{version}]: only version 9 can be read")
        factory = folder / "factory.json"
        if factory.is_file():
            kind = json.loads(factory.read_bytes()).get("type")
            if kind not in ("mMapSegmentFactory", "broadcastJoinableMMapSegmentFactory"):
                raise SegmentFormatError(f"Segment [{folder}] wants the factory [{kind}], which is not supported")
        self._places: dict[str, tuple[int, int, int]] = {}
        self._chunks: dict[int, memoryview] = {}
        lines = (folder / "meta.smoosh").read_text("utf-8").splitlines()
        if not lines or not lines[0].startswith("v1,"):
            raise SegmentFormatError(f"Segment [{folder}] has an index of unknown version")
        for line in lines[1:]:
            fields = line.split(",")
            if len(fields) != 4:
                raise SegmentFormatError(f"Segment [{folder}] has a broken line in its index: [{line}]")
            self._places[fields[0]] = (int(fields[1]), int(fields[2]), int(fields[3]))

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, name: str) -> memoryview:
        """The bytes of the internal file `name`. Raises SegmentFormatError when there is none."""
        if name not in self._places:
            raise SegmentFormatError(f"Segment [{self.folder}] lacks the internal file [{name}]")
        chunk, start, end = self._places[name]
        if chunk not in self._chunks:
            self._chunks[chunk] = memoryview(map_file(self.folder / f"{chunk:05d}.smoosh"))
        view = self._chunks[chunk]
        if end > len(view):
            raise SegmentFormatError(f"Segment [{self.folder}] is cut short: [{name}] ends at [{end}] of [{len(view)}]")
        return view[start:end]

    def size_of(self, name: str) -> int:
        _, start, end = self._places[name]
        return end - start

    def column_bytes(self, name: str) -> int:
        """Bytes of a column's file and its side files."""
        return sum(self.size_of(n) for n in self._places if n == name or n.startswith(f"{name}.__"))
