"""DataSketches arrays of doubles: distinct keys by theta sketch, each with a row of sums.

Compact image: `1 | 1 | 9 | 3 | flags | values a key | LE16 seed hash | LE64 theta | LE32 keys | 0000 | keys | rows`.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, group_ids, offsets_of, pair_keys
from msq.sketches.murmur import sketch_hash
from msq.sketches.theta import MAX_THETA

_HEADER = 24
_EMPTY, _HAS_ENTRIES, _ORDERED = 4, 8, 16
_SEED_HASH = 0x93CC


class Tuples:
    """Sketches taken apart: the owner, hash and row of sums of every key, the theta of each sketch."""

    def __init__(self, owner: Ints, hashes: Ints, rows: Any, thetas: Ints) -> None:
        self.owner, self.hashes, self.rows, self.thetas = owner, hashes, rows, thetas

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])


def build(keys: pa.Array, metrics: list[pa.Array], offsets: Ints, size: int) -> pa.Array:
    """Sketches of groups of (key, numbers); rows with a null anywhere must be left out before."""
    h1, _, counts = sketch_hash(keys)
    hashes = (h1 >> np.uint64(1)).astype(np.int64)
    rows = np.stack([np.asarray(m.cast(pa.float64()))[counts] for m in metrics], axis=1)
    thetas = np.full(len(offsets) - 1, MAX_THETA)
    return write(summed(Tuples(group_ids(offsets)[counts], hashes, rows, thetas), size))


def summed(of: Tuples, size: int) -> Tuples:
    """Equal keys of a group made one, their rows added; at most `size` keys, the smallest, are kept."""
    order = np.lexsort((of.hashes, of.owner))
    owner, hashes, rows = of.owner[order], of.hashes[order], of.rows[order]
    if len(owner):
        first = np.ones(len(owner), dtype=np.bool_)
        first[1:] = (owner[1:] != owner[:-1]) | (hashes[1:] != hashes[:-1])
        starts = np.flatnonzero(first)
        owner, hashes, rows = owner[starts], hashes[starts], np.add.reduceat(rows, starts, axis=0)
    counts = np.bincount(owner, minlength=len(of.thetas)).astype(np.int64)
    begin = offsets_of(counts)[:-1]
    over = counts > size
    thetas = of.thetas
    if over.any():
        thetas = thetas.copy()
        thetas[over] = hashes[begin[over] + size]
        keep = np.arange(len(hashes)) - begin[owner] < size
        owner, hashes, rows = owner[keep], hashes[keep], rows[keep]
    return Tuples(owner, hashes, rows, thetas)


def write(of: Tuples) -> pa.Array:
    """Compact images."""
    counts = np.bincount(of.owner, minlength=len(of.thetas)).astype(np.int64)
    starts = offsets_of(counts)
    made = []
    for group, count in enumerate(counts):
        part = slice(starts[group], starts[group + 1])
        flags = _ORDERED | (_HAS_ENTRIES if count else _EMPTY if of.thetas[group] == MAX_THETA else 0)
        head = struct.pack("<6BHqII", 1, 1, 9, 3, flags, of.width, _SEED_HASH, of.thetas[group], count, 0)
        body = of.hashes[part].astype("<i8").tobytes() + of.rows[part].astype("<f8").tobytes()
        made.append(head[: _HEADER if count else 16] + body)
    return pa.array(made, type=pa.binary())


def read(states: pa.Array, width: int | None = None) -> Tuples:
    """The sketches of a column; nulls and values of no bytes are empty. `width`: of the rows where all are empty."""
    owner, hashes, rows, thetas = [], [], [], []
    for number, state in enumerate(states.to_pylist()):
        theta = MAX_THETA
        if state and len(state) >= 16:
            width = state[5]
            theta = struct.unpack_from("<q", state, 8)[0]
            if len(state) >= _HEADER and state[4] & _HAS_ENTRIES:
                count = struct.unpack_from("<I", state, 16)[0]
                owner.append(np.full(count, number))
                hashes.append(np.frombuffer(state, "<i8", count, _HEADER))
                rows.append(np.frombuffer(state, "<f8", count * width, _HEADER + 8 * count).reshape(count, width))
        thetas.append(theta)
    empty = np.zeros((0, width or 1))
    return Tuples(
        np.concatenate(owner) if owner else np.zeros(0, dtype=np.int64),
        np.concatenate(hashes).astype(np.int64) if hashes else np.zeros(0, dtype=np.int64),
        np.concatenate(rows) if rows else empty,
        np.array(thetas, dtype=np.int64),
    )


def union(states: pa.Array, offsets: Ints, size: int, width: int | None = None) -> pa.Array:
    """One sketch for each group of sketches; rows of equal keys are added."""
    parts = read(states, width)
    groups = group_ids(offsets)
    thetas = np.full(len(offsets) - 1, MAX_THETA)
    np.minimum.at(thetas, groups, parts.thetas)
    owner = groups[parts.owner]
    keep = parts.hashes < thetas[owner]
    return write(summed(Tuples(owner[keep], parts.hashes[keep], parts.rows[keep], thetas), size))


def estimate(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct keys of each sketch."""
    parts = read(states)
    counts = np.bincount(parts.owner, minlength=len(states)).astype(np.float64)
    return counts / _share(parts.thetas)


def sums(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated sums over all keys, one row a sketch."""
    parts = read(states)
    out = np.zeros((len(states), parts.width))
    np.add.at(out, parts.owner, parts.rows)
    made: np.ndarray[Any, np.dtype[np.float64]] = out / _share(parts.thetas)[:, None]
    return made


def _share(thetas: Ints) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.where(thetas < MAX_THETA, thetas / float(1 << 63), 1.0)


def combine(function: str, columns: list[pa.Array], size: int) -> pa.Array:
    """UNION, INTERSECT (rows of common keys added) or NOT of sketches row by row; a null is an empty sketch."""
    count = len(columns[0])
    if function == "UNION":
        states = pa.concat_arrays([c.cast(pa.binary()) for c in columns])
        order = np.arange(count * len(columns)).reshape(len(columns), count).T.reshape(-1)
        return union(states.take(pa.array(order)), np.arange(count + 1) * len(columns), size)
    kept = read(columns[0])
    for column in columns[1:]:
        other = read(column, kept.width)
        thetas = np.minimum(kept.thetas, other.thetas)
        mine, theirs = pair_keys(kept.owner, kept.hashes, other.owner, other.hashes)
        if function == "NOT":
            keep = ~np.isin(mine, theirs) & (kept.hashes < thetas[kept.owner])
            kept = Tuples(kept.owner[keep], kept.hashes[keep], kept.rows[keep], thetas)
            continue
        both = np.concatenate([np.isin(mine, theirs), np.isin(theirs, mine)])
        owner = np.concatenate([kept.owner, other.owner])[both]
        hashes = np.concatenate([kept.hashes, other.hashes])[both]
        rows = np.concatenate([kept.rows, other.rows])[both]
        kept = summed(Tuples(owner, hashes, rows, thetas), size)
    return write(kept)
