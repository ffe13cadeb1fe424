"""Blob columns: variable-length values in three files, cut into compressed blocks without regard to values."""

from __future__ import annotations

import numpy as np

from msq.segment.compression import BLOCK_BYTES, compressor
from msq.segment.writer.generic import Array, Codecs, Parts, be32


def blob_files(base: str, values: list[bytes], codecs: Codecs) -> dict[str, Parts]:
    """`<base>_offsets`, `<base>_compressed` and `<base>` of the values, one a row."""
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), dtype="<i8")
    data = np.frombuffer(b"".join(values), np.uint8)
    return {
        f"{base}_offsets": _block_file(ends.view(np.uint8), codecs),
        f"{base}_compressed": _block_file(data, codecs),
        base: [b"\x01" + be32(len(values))],
    }


def _block_file(data: Array, codecs: Codecs) -> Parts:
    """`01 | codec | BE32 65536 | BE32 blocks | LE32 end of each block | blocks`; at least one block."""
    compress = compressor(codecs.codec, codecs.lz4_level)
    view = memoryview(data)  # type: ignore[arg-type]
    blocks = [bytes(compress(view[i : i + BLOCK_BYTES])) for i in range(0, max(len(data), 1), BLOCK_BYTES)]
    ends = np.cumsum([len(b) for b in blocks], dtype="<i4")
    head = b"\x01" + bytes([codecs.codec]) + be32(BLOCK_BYTES) + be32(len(blocks))
    return [head, ends.view(np.uint8), *blocks]
