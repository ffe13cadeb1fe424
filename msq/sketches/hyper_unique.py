"""Druid's own HyperLogLog of 2,048 registers: states of COUNT(DISTINCT ..) and `hyperUnique` columns.

A state: `u8 1 | u8 registerOffset | BE16 nonZeroRegisters | u8 maxOverflowValue | BE16 maxOverflowRegister`, then 1,024
bytes of two registers each (the even one in the high half), or, below 128 non-zero registers, triples
`BE16 7 + byte, u8 value` of the bytes that are not zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, offsets_of, places_within, scatter
from msq.sketches.murmur import double_bits, hash_bytes, hash_ints, hash_words, text_bytes

REGISTERS = 2048
HEADER = 7
DENSE_BYTES = HEADER + REGISTERS // 2
_SPARSE_LIMIT = 128
RANKS = 65
"""A rank is 0 to 64: the hash of the empty text is 0, without a set bit."""
_ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)
EMPTY = bytes([1, 0, 0, 0, 0, 0, 0])


def codes(values: pa.Array, utf16: bool = True) -> tuple[Ints, Any]:
    """`register * RANKS + rank` of each value that counts, and which values do (all but nulls).

    Texts are hashed by their UTF-16 units in cardinality aggregators (`utf16`) and as UTF-8 in hyperUnique ingestion.
    """
    counts = np.asarray(values.is_valid())
    if not counts.all():
        values = values.drop_null()
    if pa.types.is_dictionary(values.type):
        if not values.dictionary.null_count:
            made, _ = codes(values.dictionary, utf16)
            return made[np.asarray(values.indices)], counts
        values = values.cast(values.type.value_type)
        counts[np.flatnonzero(counts)] = np.asarray(values.is_valid())
        values = values.drop_null()
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        h1, h2 = hash_words(np.asarray(values.cast(pa.int64())).view(np.uint64), 0)
    elif values.type == pa.float32():
        floats = np.asarray(values)
        h1, h2 = hash_ints(np.where(np.isnan(floats), np.float32(np.nan), floats).view(np.uint32), 0)
    elif pa.types.is_floating(values.type):
        h1, h2 = hash_words(double_bits(np.asarray(values), False), 0)
    else:
        data, offsets = text_bytes(values, utf16)
        h1, h2 = hash_bytes(data, offsets, 0)
    # the last two bytes of the 16, big-endian
    register = ((h2 >> np.uint64(56)) | ((h2 >> np.uint64(40)) & np.uint64(0xFF00))).astype(np.int64) & 0x7FF
    return register * RANKS + _rank(h1), counts


def _rank(h1: Any) -> Ints:
    """Each leading zero byte counts 8, the first other one the place of its lowest set bit."""
    raw = np.ascontiguousarray(h1).view(np.uint8).reshape(-1, 8)
    first = (raw != 0).argmax(axis=1)
    byte = raw[np.arange(len(raw)), first].astype(np.int64)
    lowest = np.log2(np.maximum(byte & -byte, 1)).astype(np.int64) + 1
    return np.where(byte == 0, 64, first * 8 + lowest)


def build(values: pa.Array, offsets: Ints, utf16: bool = True) -> pa.Array:
    """States of groups of values."""
    made, counts = codes(values, utf16)
    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[counts]
    return _encode(groups, made // RANKS, made % RANKS, len(offsets) - 1)


def union(states: pa.Array, offsets: Ints) -> pa.Array:
    """One state for each group of states."""
    rows, registers, ranks = decode(states)
    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return _encode(groups[rows], registers, ranks, len(offsets) - 1)


def decode(states: pa.Array, seen: bool = False) -> tuple[Ints, Ints, Ints]:
    """(state, register, rank) of every register that is not zero.

    `seen`: as Druid's estimate of a sparse state does, leaves out a register beyond 15 whose byte is not listed.
    """
    data, offsets = flat(states)
    lengths = np.diff(offsets)
    present = np.flatnonzero(lengths >= HEADER)
    dense = present[lengths[present] == DENSE_BYTES]
    sparse = present[(lengths[present] != DENSE_BYTES) & (lengths[present] > HEADER)]
    rows, places, cells = [], [], []
    if len(dense):
        body = data[(offsets[dense] + HEADER)[:, None] + np.arange(REGISTERS // 2)]
        at, place = np.nonzero(body)
        rows.append(dense[at])
        places.append(place)
        cells.append(body[at, place])
    if len(sparse):
        triples = (lengths[sparse] - HEADER) // 3
        owner = np.repeat(sparse, triples)
        within = np.arange(int(triples.sum())) - np.repeat(offsets_of(triples)[:-1], triples)
        start = offsets[owner] + HEADER + 3 * within
        rows.append(owner)
        places.append(data[start].astype(np.int64) * 256 + data[start + 1] - HEADER)
        cells.append(data[start + 2])
    row = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    place = np.concatenate(places).astype(np.int64) if places else np.zeros(0, dtype=np.int64)
    cell = np.concatenate(cells).astype(np.int64) if cells else np.zeros(0, dtype=np.int64)
    bytes_listed = row * (REGISTERS // 2) + place
    row, register, rank = (
        np.tile(row, 2),
        np.concatenate([place * 2, place * 2 + 1]),
        np.concatenate([cell >> 4, cell & 15]),
    )
    header = offsets[present]
    shift = np.zeros(len(lengths), dtype=np.int64)
    shift[present] = data[header + 1]
    keep = rank > 0
    if shift.any():
        # with an offset a zero half stands for the offset itself, of every register
        row, register, rank = _with_offsets(row[keep], register[keep], rank[keep], shift, present)
        keep = slice(None)  # type: ignore[assignment]
    row, register, rank = row[keep], register[keep], rank[keep]
    overflow = data[header + 4].astype(np.int64)
    over = np.flatnonzero(overflow)
    at = data[header[over] + 5].astype(np.int64) * 256 + data[header[over] + 6]
    if seen and len(over):
        listed = np.isin(present[over] * (REGISTERS // 2) + (at >> 1), bytes_listed)
        listed |= lengths[present[over]] == DENSE_BYTES
        over, at = over[listed], at[listed]
    if len(over):
        row, register = np.concatenate([row, present[over]]), np.concatenate([register, at])
        rank = np.concatenate([rank, overflow[over]])
    return row, register, rank


def _with_offsets(row: Ints, register: Ints, rank: Ints, shift: Ints, present: Ints) -> tuple[Ints, Ints, Ints]:
    shifted = present[shift[present] > 0]
    base_row = np.repeat(shifted, REGISTERS)
    base_register = np.tile(np.arange(REGISTERS), len(shifted))
    return (
        np.concatenate([row, base_row]),
        np.concatenate([register, base_register]),
        np.concatenate([rank + shift[row], shift[base_row]]),
    )


def _encode(groups: Ints, registers: Ints, ranks: Ints, count: int) -> pa.Array:
    """States from (group, register, rank) in any order; the greatest rank of a register counts."""
    key = groups * REGISTERS + registers
    order = np.argsort(key, kind="stable")
    key, ranks = key[order], ranks[order]
    if len(key):
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key, ranks = key[starts], np.maximum.reduceat(ranks, starts)
    groups, registers = key >> 11, key & (REGISTERS - 1)
    filled = np.bincount(groups, minlength=count).astype(np.int64)
    shift = np.zeros(count, dtype=np.int64)
    full = filled == REGISTERS
    if full.any():
        starts = offsets_of(filled)[:-1][full]
        shift[full] = np.minimum.reduceat(ranks, starts) if len(starts) else 0
    ranks = ranks - shift[groups]
    over = ranks > 15
    halves = np.where(over, 0, ranks)
    keep = halves > 0
    groups_kept, registers_kept, halves = groups[keep], registers[keep], halves[keep]
    nonzero = np.bincount(groups_kept, minlength=count).astype(np.int64)
    # two registers share a byte
    byte_key = groups_kept * (REGISTERS // 2) + (registers_kept >> 1)
    value = np.where(registers_kept & 1, halves, halves << 4)
    if len(byte_key):
        starts = np.flatnonzero(np.concatenate([[True], byte_key[1:] != byte_key[:-1]]))
        byte_key, value = byte_key[starts], np.add.reduceat(value, starts)
    owner, place = byte_key >> 10, byte_key & (REGISTERS // 2 - 1)
    sparse = nonzero < _SPARSE_LIMIT
    cells = np.bincount(owner, minlength=count).astype(np.int64)
    offsets = offsets_of(np.where(sparse, HEADER + 3 * cells, DENSE_BYTES))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    head = np.zeros((count, HEADER), dtype=np.uint8)
    head[:, 0], head[:, 1] = 1, shift
    head[:, 2], head[:, 3] = nonzero >> 8, nonzero & 255
    for at in np.flatnonzero(over):
        group = groups[at]
        if ranks[at] + shift[group] > head[group, 4]:
            head[group, 4] = ranks[at] + shift[group]
            head[group, 5], head[group, 6] = registers[at] >> 8, registers[at] & 255
    scatter(out, offsets[:-1], head)
    in_sparse = sparse[owner]
    within = places_within(cells)
    at = offsets[owner[in_sparse]] + HEADER + 3 * within[in_sparse]
    position = HEADER + place[in_sparse]
    triples = np.stack([position >> 8, position & 255, value[in_sparse]], axis=1).astype(np.uint8)
    scatter(out, at, triples)
    out[offsets[owner[~in_sparse]] + HEADER + place[~in_sparse]] = value[~in_sparse]
    return binary(out, offsets)


def estimate(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct values of each state; 0 for null and empty ones."""
    rows, registers, ranks = decode(states, seen=True)
    key = rows * REGISTERS + registers
    order = np.argsort(key, kind="stable")
    key, ranks = key[order], ranks[order]
    if len(key):
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key, ranks = key[starts], np.maximum.reduceat(ranks, starts)
    rows = key >> 11
    filled = np.bincount(rows, minlength=len(states))
    zeros = REGISTERS - filled
    total = np.bincount(rows, weights=np.exp2(-ranks.astype(np.float64)), minlength=len(states)) + zeros
    with np.errstate(divide="ignore", over="ignore"):
        raw = _ALPHA * REGISTERS * REGISTERS / total
        linear = REGISTERS * np.log(REGISTERS / np.maximum(zeros, 1))
    low = raw <= 5 * REGISTERS / 2.0
    out = np.where(low & (zeros > 0), linear, raw)
    huge = raw > 2.0**64 / 30.0
    if huge.any():
        ratio = np.minimum(raw / 2.0**64, 1.0)
        with np.errstate(divide="ignore"):
            corrected = np.where(ratio >= 1, np.finfo(np.float64).max, -(2.0**64) * np.log1p(-ratio))
        out = np.where(huge, corrected, out)
    return np.where(filled == 0, 0.0, out)
