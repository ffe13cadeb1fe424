"""DataSketches arrays of doubles: distinct keys by theta sketch, each with a row of sums.

Compact image: `1 | 1 | 9 | 3 | flags | values a key | LE16 seed hash | LE64 theta | LE32 keys | 0000 | keys | rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import (
    Bytes,
    Ints,
    binary,
    bodies,
    flat,
    gather,
    group_ids,
    offsets_of,
    places_within,
    words_behind,
)
from msq.sketches.hash_rows import HashSets, interleaved, order
from msq.sketches.murmur import sketch_hash
from msq.sketches.theta import MAX_THETA, least_thetas

_HEADER = 24
_EMPTY, _HAS_ENTRIES, _ORDERED = 4, 8, 16
_SEED_HASH = 0x93CC
_HEAD = np.dtype([("start", "u1", 4), ("flags", "u1"), ("width", "u1"), ("seed", "<u2"), ("theta", "<i8")])


class Tuples:
    """Sketches taken apart: the hashes of their keys and each key's row of sums, one after another; their thetas."""

    def __init__(self, sets: HashSets, rows: Any, thetas: Ints) -> None:
        self.sets, self.rows, self.thetas = sets, rows, thetas

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])

    @property
    def owner(self) -> Ints:
        """For each key the number of its sketch."""
        return self.sets.owner

    def kept(self, keep: Any, thetas: Ints | None = None) -> Tuples:
        """Those of the keys that `keep` marks."""
        return Tuples(self.sets.kept(keep), self.rows[keep], self.thetas if thetas is None else thetas)


def build(keys: pa.Array, metrics: list[pa.Array], offsets: Ints, size: int) -> pa.Array:
    """Sketches of groups of (key, numbers); rows with a null anywhere must be left out before."""
    h1, _, counts = sketch_hash(keys)
    hashes = (h1 >> np.uint64(1)).astype(np.int64)
    rows = np.stack([np.asarray(m.cast(pa.float64()))[counts] for m in metrics], axis=1)
    sizes = np.bincount(group_ids(offsets)[counts], minlength=len(offsets) - 1).astype(np.int64)
    return write(summed(Tuples(HashSets(hashes, sizes), rows, np.full(len(sizes), MAX_THETA)), size))


def _in_order(of: Tuples) -> tuple[Tuples, Ints, Any]:
    """The keys of each sketch in their order, the places where they stood, and which of them equal the one before."""
    places = order(of.sets)
    hashes = of.sets.hashes[places]
    again = np.zeros(len(hashes), dtype=np.bool_)
    again[1:] = hashes[1:] == hashes[:-1]
    again[offsets_of(of.sets.counts)[:-1][of.sets.counts > 0]] = False
    return Tuples(HashSets(hashes, of.sets.counts), of.rows[places], of.thetas), places, again


def summed(of: Tuples, size: int) -> Tuples:
    """Equal keys of a group made one, their rows added; at most `size` keys, the smallest, are kept."""
    made, _, again = _in_order(of)
    if again.any():
        rows = np.add.reduceat(made.rows, np.flatnonzero(~again), axis=0)
        made = Tuples(made.sets.kept(~again), rows, of.thetas)
    return _cut(made, size)


def _cut(of: Tuples, size: int) -> Tuples:
    """The `size` smallest of keys in their order."""
    counts = of.sets.counts
    over = counts > size
    if not over.any():
        return of
    thetas = of.thetas.copy()
    thetas[over] = of.sets.hashes[offsets_of(counts)[:-1][over] + size]
    return of.kept(places_within(counts) < size, thetas)


def write(of: Tuples) -> pa.Array:
    """Compact images."""
    counts = of.sets.counts
    there = counts > 0
    heads = np.where(there, _HEADER, 16) // 8
    words = offsets_of(heads + counts * (1 + of.width))
    begin = words[:-1]
    head = np.zeros(len(counts), dtype=_HEAD)
    head["start"] = (1, 1, 9, 3)
    empty = ~there & (of.thetas == MAX_THETA)
    head["flags"] = _ORDERED | np.where(there, _HAS_ENTRIES, np.where(empty, _EMPTY, 0))
    head["width"], head["seed"], head["theta"] = of.width, _SEED_HASH, of.thetas
    out = np.zeros(int(words[-1]), dtype="<i8")
    pair = head.view("<i8").reshape(-1, 2)
    out[begin], out[begin + 1] = pair[:, 0], pair[:, 1]
    out[begin[there] + 2] = counts[there]
    body = np.empty(int(counts.sum()) * (1 + of.width), dtype="<i8")
    is_key = _keys(counts, of.width)
    body[is_key] = of.sets.hashes
    body[~is_key] = np.ascontiguousarray(of.rows, dtype="<f8").view("<i8").reshape(-1)
    out[bodies(begin, heads, len(out))] = body
    return binary(out.view(np.uint8), 8 * words)


def _keys(counts: Ints, width: int) -> Any:
    """Which of the words of bodies are keys: each body has its keys first, then their rows."""
    lengths = np.stack([counts, counts * width], axis=1).reshape(-1)
    return np.repeat(np.tile([True, False], len(counts)), lengths)


def _layout(states: pa.Array) -> tuple[Bytes, Ints, Any, Ints]:
    """All bytes, the begin of each image in them, its head (zeros where there is none), and its number of keys."""
    data, offsets = flat(states)
    lengths, begin = np.diff(offsets), offsets[:-1]
    there = lengths >= 16
    head = np.zeros(len(lengths), dtype=_HEAD)
    head["theta"] = MAX_THETA
    head[there] = gather(data, begin[there], 16).view(_HEAD)[:, 0]
    full = (lengths >= _HEADER) & ((head["flags"] & _HAS_ENTRIES) != 0)
    counts = np.zeros(len(lengths), dtype=np.int64)
    counts[full] = gather(data, begin[full] + 16, 4).view("<u4")[:, 0]
    return data, begin, head, counts


def sizes(states: pa.Array) -> tuple[Ints, Ints]:
    """How many keys each sketch holds, and its theta."""
    _, _, head, counts = _layout(states)
    return counts, head["theta"].astype(np.int64)


def read(states: pa.Array, width: int | None = None) -> Tuples:
    """The sketches of a column; nulls and values of no bytes are empty. `width`: of the rows where all are empty.

    Raises ValueError for sketches of different widths.
    """
    data, begin, head, counts = _layout(states)
    widths = head["width"][head["width"] > 0]
    width = int(widths[-1]) if len(widths) else width or 1
    if (head["width"][counts > 0] != width).any():
        raise ValueError("Array-of-doubles sketches must have the same number of values")
    heads = np.where(counts > 0, _HEADER, np.where(head["width"] > 0, 16, 0)) // 8
    body = words_behind(data, begin, heads, counts * (1 + width))
    is_key = _keys(counts, width)
    rows = body[~is_key].view("<f8").astype(np.float64, copy=False).reshape(-1, width)
    sets = HashSets(body[is_key].astype(np.int64, copy=False), counts)
    return Tuples(sets, rows, head["theta"].astype(np.int64))


def union(states: pa.Array, offsets: Ints, size: int, width: int | None = None) -> pa.Array:
    """One sketch for each group of sketches; rows of equal keys are added."""
    parts = read(states, width)
    counts = np.diff(offsets_of(parts.sets.counts)[offsets])
    thetas = least_thetas(parts.thetas, offsets)
    return write(summed(_below(Tuples(HashSets(parts.sets.hashes, counts), parts.rows, thetas)), size))


def _below(of: Tuples) -> Tuples:
    """What lies below the thetas."""
    if not (of.thetas < MAX_THETA).any():
        return of
    return of.kept(of.sets.hashes < np.repeat(of.thetas, of.sets.counts))


def estimate(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct keys of each sketch."""
    counts, thetas = sizes(states)
    return counts / _share(thetas)


def sums(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated sums over all keys, one row a sketch."""
    parts = read(states)
    owner = parts.owner
    totals = [np.bincount(owner, parts.rows[:, i], len(states)) for i in range(parts.width)]
    made: np.ndarray[Any, np.dtype[np.float64]] = np.stack(totals, axis=1) / _share(parts.thetas)[:, None]
    return made


def _share(thetas: Ints) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.where(thetas < MAX_THETA, thetas / float(1 << 63), 1.0)


def combine(function: str, columns: list[pa.Array], size: int) -> pa.Array:
    """UNION, INTERSECT (rows of common keys added) or NOT of sketches row by row; a null is an empty sketch."""
    kept = read(columns[0])
    others = [read(column, kept.width) for column in columns[1:]]
    if function == "UNION":
        widths = [p.width for p in (kept, *others) if len(p.rows)]
        return write(summed(_below(_joined([kept, *others], widths[0] if widths else kept.width)[0]), size))
    for other in others:
        both, mine = _joined([kept, other], kept.width)
        kept = _common(both, size) if function == "INTERSECT" else _alone(both, mine)
    return write(kept)


def _joined(parts: Sequence[Tuples], width: int) -> tuple[Tuples, Any]:
    """The sketches of each row one behind the other, and which of the keys are the first one's."""
    source, counts = interleaved([p.sets.counts for p in parts])
    hashes = np.concatenate([p.sets.hashes for p in parts])[source]
    rows = np.concatenate([p.rows if len(p.rows) else np.zeros((0, width)) for p in parts])[source]
    thetas = np.minimum.reduce([p.thetas for p in parts])
    return Tuples(HashSets(hashes, counts), rows, thetas), source < len(parts[0].sets.hashes)


def _common(both: Tuples, size: int) -> Tuples:
    """The keys that stand twice, their rows added."""
    made, _, again = _in_order(both)
    second = np.flatnonzero(again)
    rows = made.rows[second - 1] + made.rows[second]
    return _cut(Tuples(made.sets.kept(again), rows, both.thetas), size)


def _alone(both: Tuples, mine: Any) -> Tuples:
    """The first one's keys that stand once, below the thetas."""
    made, places, again = _in_order(both)
    keep = mine[places] & ~again
    keep[:-1] &= ~again[1:]
    return _below(made.kept(keep))
