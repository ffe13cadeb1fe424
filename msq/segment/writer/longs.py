"""Longs in fewer bits: `longEncoding` auto picks a table of values, a distance from the minimum, or plain longs."""

from __future__ import annotations

import struct

import numpy as np

from msq.segment.compression import BLOCK_BYTES, NONE, PACKED_BITS
from msq.segment.writer.generic import Array, Codecs, Parts, be32, block_list

_DELTA, _TABLE = 0, 1
_TABLE_MAX = 256


def packed_longs(values: Array, codecs: Codecs) -> Parts | None:
    """The column in table or delta form; None when plain longs are the choice."""
    distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    if len(distinct) <= _TABLE_MAX:
        by_appearance = np.argsort(first, kind="stable")
        place = np.empty(len(distinct), np.uint64)
        place[by_appearance] = np.arange(len(distinct), dtype=np.uint64)
        table = distinct[by_appearance].astype(">i8").tobytes()
        encoding = bytes([_TABLE, 1]) + be32(len(distinct)) + table
        return _blocks(place[inverse], _bits(len(distinct)), encoding, codecs)
    low, high = int(distinct[0]), int(distinct[-1])
    if high - low >= 2**63 - 1:
        return None
    bits = _bits(high - low + 1)
    encoding = bytes([_DELTA, 1]) + struct.pack(">qi", low, bits)
    return _blocks(values.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF), bits, encoding, codecs)


def _bits(bound: int) -> int:
    return next(b for b in PACKED_BITS if bound <= 1 << b)


def _blocks(values: Array, bits: int, encoding: bytes, codecs: Codecs) -> Parts:
    count = len(values)
    per_block = 1 << 18
    while (bits * per_block + 7) // 8 + 4 > BLOCK_BYTES:
        per_block >>= 1
    flagged = bytes([(codecs.codec - 126) & 0xFF])
    if codecs.codec == NONE:
        return [b"\x02" + be32(count) + be32(0) + flagged + encoding, pack(values, bits)]
    chunks = [pack(values[i : i + per_block], bits) for i in range(0, count, per_block)]
    head = b"\x02" + be32(count) + be32(per_block) + flagged + encoding
    # all blocks but the last are of one size
    size = len(chunks[0]) if chunks else BLOCK_BYTES
    return [head, *block_list(np.concatenate(chunks) if chunks else np.zeros(0, np.uint8), size, codecs)]


def pack(values: Array, bits: int) -> Array:
    """Big-endian bit-packed values and four zero bytes."""
    wide = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    if bits % 8 == 0:
        body = np.ascontiguousarray(wide[:, 8 - bits // 8 :]).reshape(-1)
    else:
        body = np.packbits(np.unpackbits(wide[:, 6:], axis=1)[:, 16 - bits :] if bits <= 16 else _twenty(wide, bits))
    return np.concatenate([body, np.zeros(4, np.uint8)])


def _twenty(wide: Array, bits: int) -> Array:
    return np.unpackbits(wide[:, 4:], axis=1)[:, 32 - bits :]
