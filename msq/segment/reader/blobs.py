"""Blob columns: values of any length in a stream of compressed blocks, beside a stream of their ends (2.11)."""

from __future__ import annotations

import numpy as np

from msq.segment.compression import BLOCK_BYTES, LZ4, decompress_into
from msq.segment.reader.generic import Array, Cursor
from msq.segment.reader.smoosh import SegmentFormatError, SmooshReader


class BlobColumn:
    """The three internal files `name`, `<name>_offsets` and `<name>_compressed`."""

    def __init__(self, files: SmooshReader, name: str) -> None:
        head = Cursor(files[name])
        if head.u8() != 1:
            raise SegmentFormatError("A blob column of unknown version")
        self.rows = head.be32()
        self._ends = BlockFile(Cursor(files[f"{name}_offsets"]))
        self._data = BlockFile(Cursor(files[f"{name}_compressed"]))

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """(offsets from 0, bytes) of the values [start, stop)."""
        if start >= stop:
            return np.zeros(1, np.int64), np.zeros(0, np.uint8)
        ends = self._ends.read(8 * max(start - 1, 0), 8 * stop).view("<i8")
        if start == 0:
            ends = np.concatenate([[0], ends])
        return ends - ends[0], self._data.read(int(ends[0]), int(ends[-1]))


class BlockFile:
    """A stream of bytes cut into compressed blocks of 64 KiB (2.11)."""

    def __init__(self, cursor: Cursor) -> None:
        version = cursor.u8()
        if version != 1:
            raise SegmentFormatError(f"A file of blocks of unknown version [{version}]")
        self._codec = cursor.u8()
        if cursor.be32() != BLOCK_BYTES:
            raise SegmentFormatError("A file of blocks has blocks of another size than 65536")
        count = cursor.be32()
        ends = cursor.array("<i4", count).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        base = cursor.at
        self._blocks = [cursor.data[base + a : base + b] for a, b in zip(starts.tolist(), ends.tolist())]

    def read(self, start: int, stop: int) -> Array:
        """Bytes [start, stop), which must exist."""
        if start >= stop:
            return np.zeros(0, np.uint8)
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        base = first * BLOCK_BYTES
        out = np.empty(stop - base, np.uint8)
        for i in range(first, last + 1):
            part = out[i * BLOCK_BYTES - base : (i + 1) * BLOCK_BYTES - base]
            if len(part) == BLOCK_BYTES or i < len(self._blocks) - 1:
                whole = part if len(part) == BLOCK_BYTES else np.empty(BLOCK_BYTES, np.uint8)
                decompress_into(self._codec, self._blocks[i], whole)
                if whole is not part:
                    part[:] = whole[: len(part)]
            else:
                _last_block(self._codec, self._blocks[i], part)
        return out[start - base :]


def _last_block(codec: int, block: memoryview, out: Array) -> None:
    """Fill `out` with the start of a block whose full size is not known."""
    if codec == LZ4:
        whole = np.empty(lz4_size(block), np.uint8)
        decompress_into(codec, block, whole)
        out[:] = whole[: len(out)]
    else:
        decompress_into(codec, block, out)


def lz4_size(block: memoryview) -> int:
    """Bytes that a raw LZ4 block unpacks to, found by walking its tokens."""
    data = bytes(block)
    at = size = 0
    while at < len(data):
        token = data[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            while True:
                byte = data[at]
                at += 1
                literals += byte
                if byte != 255:
                    break
        at += literals
        size += literals
        if at >= len(data):
            break
        at += 2
        match = token & 15
        if match == 15:
            while True:
                byte = data[at]
                at += 1
                match += byte
                if byte != 255:
                    break
        size += match + 4
    return size
