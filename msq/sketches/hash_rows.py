"""Sets of hashes of many sketches at once, sorted, joined and compared as rows of a matrix.

A hash is a positive number below 2^63 - 1. The sets of a column stand one after another: `hashes` and how many of them
each set has. Rows are filled up at their end with a number above all hashes; sets of about one size share a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msq.sketches.binary import Ints, offsets_of, places_within

Keys = np.ndarray[Any, np.dtype[np.uint64]]
_FILL = np.uint64(2**64 - 1)
_CELLS = 1 << 20
_MOST_PLACE_BITS = 16


@dataclass(frozen=True)
class HashSets:
    """`hashes` of all sets one after another, and `counts` of each."""

    hashes: Ints
    counts: Ints

    @property
    def owner(self) -> Ints:
        """For each hash the number of its set."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def rows(self, members: Ints) -> Keys:
        """The sets of `members` (ascending) as rows of a matrix, filled up."""
        counts = self.counts[members]
        width = int(counts.max(initial=0))
        if len(members) == len(self.counts):
            values = self.hashes
        else:
            starts = offsets_of(self.counts)[:-1][members]
            values = self.hashes[np.repeat(starts, counts) + places_within(counts)]
        if len(values) == len(members) * width:
            return values.astype(np.uint64).reshape(len(members), width)
        made = np.full((len(members), width), _FILL)
        made[np.arange(width) < counts[:, None]] = values.view(np.uint64)
        return made

    def kept(self, keep: Any) -> HashSets:
        """The sets with those of their hashes that `keep` marks."""
        return HashSets(self.hashes[keep], counted(keep, self.counts))


def counted(marks: Any, counts: Ints) -> Ints:
    """How many of its items are marked, for each set of these sizes."""
    return np.diff(offsets_of(marks)[offsets_of(counts)])


def distinct(columns: Sequence[HashSets], most: int, *, sorted_runs: bool = False) -> tuple[HashSets, Ints]:
    """The sets of each row as one, sorted: its `most` smallest hashes, and the next one (0 where there is none).

    Sets may hold a hash several times. `sorted_runs`: the hashes of a set are a few ascending pieces.
    """
    total = np.asarray(sum(c.counts for c in columns))
    beyond = np.zeros(len(total), dtype=np.int64)
    parts = []
    for members in _alike(total):
        table = _sorted([c.rows(members) for c in columns], "stable" if sorted_runs else "quicksort")
        first = table != _FILL
        first[:, 1:] &= table[:, 1:] != table[:, :-1]
        counts = first.sum(axis=1)
        over = np.flatnonzero(counts > most)
        if len(over):
            places = np.cumsum(first[over], axis=1)
            beyond[members[over]] = table[over, np.argmax(places > most, axis=1)]
            first[over] &= places <= most
            counts[over] = most
        parts.append((members, table[first].view(np.int64), counts))
    return _in_order(parts, len(total)), beyond


def common(one: HashSets, other: HashSets) -> HashSets:
    """What both sets of each row hold, sorted. A set holds a hash once."""
    parts = []
    for members in _alike(one.counts + other.counts):
        table = _sorted([one.rows(members), other.rows(members)])
        both = (table[:, 1:] == table[:, :-1]) & (table[:, 1:] != _FILL)
        parts.append((members, table[:, 1:][both].view(np.int64), both.sum(axis=1)))
    return _in_order(parts, len(one.counts))


def without(one: HashSets, other: HashSets) -> HashSets:
    """What the first set of each row holds and the other does not, sorted. A set holds a hash once."""
    parts = []
    bit = np.uint64(1)
    for members in _alike(one.counts + other.counts):
        # the last bit tells the sides apart
        left, right = (np.where(t == _FILL, _FILL, t << bit) for t in (one.rows(members), other.rows(members)))
        right[right != _FILL] |= bit
        table = _sorted([left, right])
        keep = (table & bit) == 0
        keep[:, :-1] &= table[:, 1:] != table[:, :-1] + bit
        parts.append((members, (table[keep] >> bit).view(np.int64), keep.sum(axis=1)))
    return _in_order(parts, len(one.counts))


def interleaved(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """For sets of these sizes the places, in all columns one after another, of each row's hashes; the rows' sizes."""
    counts = np.stack(columns, axis=1)
    starts = offsets_of(counts.reshape(-1))[:-1].reshape(counts.shape)
    out = np.empty(int(counts.sum()), dtype=np.int64)
    base = 0
    for at, sizes in enumerate(columns):
        places = places_within(sizes)
        out[np.repeat(starts[:, at], sizes) + places] = base + np.arange(len(places))
        base += len(places)
    return out, counts.sum(axis=1)


def order(of: HashSets) -> Ints:
    """The places of all hashes, set by set, in the order of their hashes; equal ones in the order they stand in."""
    starts = offsets_of(of.counts)[:-1]
    parts = []
    for members in _alike(of.counts):
        table = of.rows(members)
        places = _row_order(table)
        held = np.arange(table.shape[1]) < of.counts[members][:, None]
        parts.append((members, (places + starts[members][:, None])[held], of.counts[members]))
    return _in_order(parts, len(of.counts)).hashes


def first_of_equals(of: HashSets) -> Any:
    """Which of the hashes, set by set, do not stand before in their set. For hashes below 2^32."""
    keep = np.zeros(len(of.hashes), dtype=np.bool_)
    starts = offsets_of(of.counts)[:-1]
    for members in _alike(of.counts):
        table = of.rows(members)
        bits = np.uint64(32)
        places = np.arange(table.shape[1], dtype=np.uint64)
        keys = np.where(table == _FILL, _FILL, table << bits | places)
        keys.sort(axis=1)
        first = keys != _FILL
        first[:, 1:] &= (keys[:, 1:] >> bits) != (keys[:, :-1] >> bits)
        found = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64) + starts[members][:, None]
        keep[found[first]] = True
    return keep


def _row_order(table: Keys) -> Ints:
    """For each row the places of its hashes in their order, stable."""
    bits = max(int(table.shape[1] - 1).bit_length(), 1)
    if bits > _MOST_PLACE_BITS:
        return np.argsort(table, axis=1, kind="stable")
    # A hash's place stands in its last bits. Rows with hashes that differ there alone are sorted again.
    mask = np.uint64((1 << bits) - 1)
    wide = np.where(table == _FILL, _FILL, table << np.uint64(1))
    keys = wide & ~mask | np.arange(table.shape[1], dtype=np.uint64)
    keys.sort(axis=1, kind="stable")
    places = (keys & mask).astype(np.int64)
    made = np.take_along_axis(table, places, axis=1)
    wrong = np.flatnonzero((made[:, 1:] < made[:, :-1]).any(axis=1))
    if len(wrong):
        places[wrong] = np.argsort(table[wrong], axis=1, kind="stable")
    return places


def _sorted(tables: Sequence[Keys], kind: Any = "stable") -> Keys:
    """The rows of all tables joined and sorted; `stable` is quick where they hold ascending pieces."""
    table = np.concatenate(tables, axis=1) if len(tables) > 1 else tables[0]
    table.sort(axis=1, kind=kind)
    return table


def _alike(counts: Ints) -> Iterator[Ints]:
    """Numbers of sets of about one size, at most a matrix full."""
    if not len(counts):
        return
    widest = int(counts.max())
    if widest * len(counts) <= max(2 * int(counts.sum()), 4096):
        step = max(_CELLS // max(widest, 1), 1)
        for first in range(0, len(counts), step):
            yield np.arange(first, min(first + step, len(counts)))
        return
    sizes = np.frexp(counts.astype(np.float64))[1]
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        step = max(_CELLS >> int(size), 1)
        for first in range(0, len(members), step):
            yield members[first : first + step]


def _in_order(parts: Sequence[tuple[Ints, Ints, Ints]], count: int) -> HashSets:
    """The sets of all parts by their numbers."""
    if len(parts) == 1:
        return HashSets(parts[0][1], parts[0][2].astype(np.int64))
    counts = np.zeros(count, dtype=np.int64)
    for members, _, found in parts:
        counts[members] = found
    starts = offsets_of(counts)[:-1]
    out = np.empty(int(counts.sum()), dtype=np.int64)
    for members, hashes, found in parts:
        out[np.repeat(starts[members], found) + places_within(found.astype(np.int64))] = hashes
    return HashSets(out, counts)
