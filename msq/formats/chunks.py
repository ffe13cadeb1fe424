"""Text of a stream, cut at line ends into chunks that a parser can open as a file without copying.

A chunk lies in an anonymous memory file (`memfd`; a temporary file where the system has none), mapped for filling and
for numpy, and readable by path for DuckDB. Buffers are reused: fresh pages cost as much as unpacking does.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from msq.faults import MSQError, UnknownFault
from msq.formats.streams import ByteStream

READ_SIZE = 1 << 20
_NEWLINE = 10
_TILE = 1 << 17


class ChunkBuffer:
    """A file in memory of at most `capacity` bytes; `path` can be opened until `close`."""

    def __init__(self, capacity: int, temp_dir: str | None) -> None:
        self.capacity = capacity
        if hasattr(os, "memfd_create"):
            self._file = None
            self._fd = os.memfd_create("text-chunk")
            self.path = f"/proc/self/fd/{self._fd}"
        else:
            self._file = tempfile.NamedTemporaryFile(dir=temp_dir, prefix="text-chunk")  # noqa: SIM115
            self._fd = self._file.fileno()
            self.path = self._file.name
        os.ftruncate(self._fd, capacity)
        self.map = mmap.mmap(self._fd, capacity)

    def open_for_writing(self) -> None:
        """Must precede writing: `seal` gave the space behind the text back."""
        os.ftruncate(self._fd, self.capacity)

    def seal(self, size: int) -> None:
        """The file ends after `size` bytes; nothing behind may be touched until the next `open_for_writing`."""
        os.ftruncate(self._fd, size)

    def grow(self, capacity: int) -> None:
        os.ftruncate(self._fd, capacity)
        self.map.resize(capacity)
        self.capacity = capacity

    def close(self) -> None:
        try:
            self.map.close()
        except BufferError:  # an array over the map is still alive: its memory goes with it
            pass
        if self._file is not None:
            self._file.close()
        else:
            os.close(self._fd)


class Chunk:
    """Whole lines of one file. The text is `buffer[start:end]`; all but the last chunk of a file end with a newline."""

    __slots__ = ("buffer", "end", "last", "start")

    def __init__(self, buffer: ChunkBuffer, start: int, end: int, last: bool) -> None:
        self.buffer = buffer
        self.start = start
        self.end = end
        self.last = last

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def path(self) -> str:
        return self.buffer.path

    def array(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The text as bytes, without a copy; drop it before the buffer is reused."""
        return np.frombuffer(self.buffer.map, dtype=np.uint8, count=self.size, offset=self.start)

    def text(self) -> bytes:
        return bytes(self.buffer.map[self.start : self.end])

    def count_lines(self) -> int:
        if self.size == 0:
            return 0
        text = self.array()
        lines = sum(int(np.count_nonzero(text[at : at + _TILE] == _NEWLINE)) for at in range(0, len(text), _TILE))
        return lines + (0 if text[-1] == _NEWLINE else 1)

    def drop_head(self) -> None:
        """Moves the text to the front of its file, over the lines in front of it."""
        size = self.size
        self.buffer.map.move(0, self.start, size)
        self.start, self.end = 0, size
        self.buffer.seal(size)

    def replace(self, text: bytes) -> None:
        """Puts other text in the place of this one, no longer than the buffer can grow."""
        if len(text) > self.buffer.capacity:
            self.buffer.grow(len(text))
        else:
            self.buffer.open_for_writing()
        self.buffer.map[: len(text)] = text
        self.start, self.end = 0, len(text)
        self.buffer.seal(self.end)


class BufferSource(ABC):
    """Hands out buffers; `take` may block until one is given back. None ends the reading."""

    @abstractmethod
    def take(self) -> ChunkBuffer | None: ...

    @abstractmethod
    def give_back(self, buffer: ChunkBuffer) -> None: ...


def cut(stream: ByteStream, buffers: BufferSource, max_line_bytes: int, where: str) -> Iterator[Chunk]:
    """Chunks of `stream` in order, each sealed; at least one, maybe empty. Who gets a chunk gives its buffer back."""
    buffer = buffers.take()
    at = 0
    while buffer is not None:
        buffer_map = buffer.map
        view = memoryview(buffer_map)
        ended = False
        try:
            while at < buffer.capacity:
                n = stream.readinto(view[at : min(at + READ_SIZE, buffer.capacity)])
                if not n:
                    ended = True
                    break
                at += n
        except BaseException:
            view.release()
            buffers.give_back(buffer)
            raise
        view.release()
        if ended:
            buffer.seal(at)
            yield Chunk(buffer, 0, at, True)
            return
        end = buffer_map.rfind(b"\n", 0, at) + 1
        if end == 0:
            if at >= max_line_bytes:
                buffers.give_back(buffer)
                raise MSQError(UnknownFault(f"A line of [{where}] is longer than [{max_line_bytes:,}] bytes"))
            buffer.grow(min(buffer.capacity * 2, max_line_bytes))
            continue
        following = buffers.take()
        if following is None:
            buffers.give_back(buffer)
            return
        rest = at - end
        if rest > following.capacity:
            following.grow(buffer.capacity)
        following.map[:rest] = buffer_map[end:at]
        buffer.seal(end)
        yield Chunk(buffer, 0, end, False)
        buffer, at = following, rest
