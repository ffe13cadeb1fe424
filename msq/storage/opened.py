"""Segments that stay open between queries, and the columns of theirs that queries read, decoded, in bounded memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msq.segment.identity import DataSegment
from msq.segment.reader.segment import Segment
from msq.storage.base import DeepStorage

_SHARE = 8
"""No column takes more than this part of the memory, so that one does not drive out all others."""
_BYTES_A_VALUE = 4
"""At least, of a decoded column: what is longer by this measure is not even tried."""

_Key = tuple["_KeptSegment", str, bool]


class OpenSegments:
    """Opens segments of `storage` by their JSON and keeps the `max_segments` used last, with at most `max_bytes` of
    decoded columns (Arrow bytes, dictionaries included). Several threads may use it at once.

    A segment whose files were replaced is opened anew; one whose files are gone raises as `storage` does.
    """

    def __init__(self, storage: DeepStorage, max_bytes: int, max_segments: int = 4_096) -> None:
        self._storage = storage
        self._max_segments = max_segments
        self._columns = _Columns(max_bytes)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Entry] = OrderedDict()

    def __call__(self, described: Mapping[str, Any]) -> Segment:
        """Raises StorageError and SegmentFormatError."""
        name = str(described["identifier"])
        with self._lock:
            found = self._open.get(name)
            if found is not None:
                self._open.move_to_end(name)
        if found is not None and found.is_of(described):
            return found.segment
        folder = self._storage.open(DataSegment.from_json(described))
        made = _Entry(described["loadSpec"], f"{folder}/meta.smoosh", _KeptSegment(folder, self._columns))
        dropped = [] if found is None else [found]
        with self._lock:
            self._open[name] = made
            while len(self._open) > self._max_segments:
                dropped.append(self._open.popitem(last=False)[1])
        for old in dropped:
            self._columns.forget(old.segment)
        return made.segment

    @property
    def bytes(self) -> int:
        """Of the decoded columns that are kept now."""
        return self._columns.bytes


class _Entry:
    """An open segment, where it came from, and what tells whether its files are still the same ones."""

    def __init__(self, load_spec: Any, index: str, segment: _KeptSegment) -> None:
        self.segment = segment
        self._load_spec = load_spec
        self._index = index
        self._stamp = self._look()

    def is_of(self, described: Mapping[str, Any]) -> bool:
        return bool(self._load_spec == described["loadSpec"]) and self._stamp == self._look() is not None

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._index)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


class _KeptSegment(Segment):
    """A segment whose columns are decoded as a whole and kept, as long as there is room."""

    def __init__(self, folder: Path, kept: _Columns) -> None:
        super().__init__(folder)
        self._kept = kept

    def _read(self, name: str, start: int, stop: int, as_json: bool) -> Any:
        whole = self._kept.get((self, name, as_json))
        if whole is None:
            if self.num_rows * _BYTES_A_VALUE > self._kept.most:
                return super()._read(name, start, stop, as_json)
            whole = super()._read(name, 0, self.num_rows, as_json)
            self._kept.put((self, name, as_json), whole)
        return whole.slice(start, stop - start)

    def let_go(self, name: str) -> None:
        """Drops the reader of a column with what it holds; it is made again when it is needed."""
        with self._lock:
            self._readers.pop(name, None)


class _Columns:
    """Decoded columns, those used last."""

    def __init__(self, max_bytes: int) -> None:
        self.most = max_bytes // _SHARE
        self.bytes = 0
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._arrays: OrderedDict[_Key, tuple[int, Any]] = OrderedDict()

    def get(self, key: _Key) -> Any | None:
        with self._lock:
            found = self._arrays.get(key)
            if found is None:
                return None
            self._arrays.move_to_end(key)
            return found[1]

    def put(self, key: _Key, array: Any) -> None:
        size = int(array.nbytes)
        if size > self.most:
            return
        dropped: list[_Key] = []
        with self._lock:
            if key in self._arrays:
                return
            self._arrays[key] = size, array
            self.bytes += size
            while self.bytes > self._max_bytes:
                old, (freed, _) = self._arrays.popitem(last=False)
                self.bytes -= freed
                dropped.append(old)
        for segment, name, _ in dropped:
            segment.let_go(name)

    def forget(self, segment: _KeptSegment) -> None:
        with self._lock:
            for key in [k for k in self._arrays if k[0] is segment]:
                self.bytes -= self._arrays.pop(key)[0]
