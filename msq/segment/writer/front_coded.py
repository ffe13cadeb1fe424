"""Front-coded dictionaries: in buckets, each value as the bytes that follow what it shares with another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from msq.segment.writer.generic import Parts, vbyte

_KIND = b"\x7f\x01"


def front_coded(values: Any, has_null: bool, spec: Mapping[str, Any]) -> Parts:
    """The dictionary of ascending large_binary `values`. `spec`: `bucketSize` (4; a power of two up to 128) and
    `formatVersion` (1; 0 shares with the bucket's first value, 1 with the value before)."""
    size, version = int(spec.get("bucketSize", 4)), int(spec.get("formatVersion", 1))
    buckets: list[bytes] = []
    found = values.to_pylist()
    for start in range(0, len(found), size):
        first = other = found[start]
        out = [vbyte(len(first)), first]
        for value in found[start + 1 : start + size]:
            shared = _shared(other, value)
            out += [vbyte(shared), vbyte(len(value) - shared), value[shared:]]
            other = first if version == 0 else value
        buckets.append(b"".join(out))
    ends = np.cumsum([len(b) for b in buckets], dtype=np.int64)[:-1].astype("<i4").tobytes()
    body = ends + b"".join(buckets)
    head = _KIND + bytes([version, size, int(has_null)]) + vbyte(len(found)) + vbyte(len(body))
    return [head, body]


def _shared(a: bytes, b: bytes) -> int:
    count = min(len(a), len(b))
    if a[:count] == b[:count]:
        return count
    low = 0
    while count - low > 1:
        middle = (low + count) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            count = middle
    return low
