"""Druid's approximate histogram: at most `size` bins (position, count), the closest ones merged when there are more.

Positions are 32-bit floats. A bin that was merged is approximate; one that was not holds equal values. Images,
big-endian: *sparse* `BE32 size | BE32 -bins | positions | counts (sign bit: approximate) | min | max`, *dense* the
same with a positive number of bins and arrays of `size`, *compact* (few values) `BE16 -size | i8 count | values`, or
with approximate ones `BE16 -size | i8 -approximate | values | min | max | i8 exact | values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import (
    Bytes,
    Ints,
    binary,
    flat,
    gather,
    group_ids,
    offsets_of,
    places_within,
    plain_values,
    scatter,
    spread,
)

_APPROXIMATE = np.uint64(1 << 63)
_COUNT = np.uint64((1 << 63) - 1)
_BYTE_MAX, _SHORT_MAX = 127, 32767
Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Bins:
    """Histograms taken apart: bins by owner and position, ascending, and the extremes of each histogram."""

    owner: Ints
    position: Floats
    count: Ints
    approximate: Any
    least: Floats
    greatest: Floats

    @property
    def states(self) -> int:
        return len(self.least)

    def sizes(self) -> Ints:
        """Number of bins of each histogram."""
        return np.bincount(self.owner, minlength=self.states).astype(np.int64)

    def totals(self) -> Ints:
        """Number of values of each histogram."""
        return sums(self.owner, self.count, self.states)


def sums(owner: Ints, values: Ints, states: int) -> Ints:
    """Exact sums of longs by owner; owners ascend."""
    running = np.concatenate([[0], np.cumsum(values)]).astype(np.int64)
    ends = np.searchsorted(owner, np.arange(states + 1))
    made: Ints = np.diff(running[ends])
    return made


Limits = tuple[float, float]
"""A histogram with more values than bins keeps its bins for values between its limits, least and greatest."""
UNLIMITED = (-np.inf, np.inf)


def build(values: pa.Array, offsets: Ints, size: int, limits: Limits = UNLIMITED) -> pa.Array:
    """Histograms of groups of numbers; nulls do not count. An empty group gives an empty histogram."""
    numbers, valid = plain_values(values)
    states = len(offsets) - 1
    groups = group_ids(offsets)[valid]
    with np.errstate(over="ignore"):
        kept = numbers[valid].astype(np.float32)
    least, greatest = np.full(states, np.inf, np.float32), np.full(states, -np.inf, np.float32)
    np.fmin.at(least, groups, kept)
    np.fmax.at(greatest, groups, kept)
    ones = np.ones(len(kept), dtype=np.int64)
    all_values = combined(Bins(groups, kept, ones, np.zeros(len(kept), np.bool_), least, greatest))
    return write(reduced(all_values, size, limits), size)


def union(states: pa.Array, offsets: Ints, size: int, limits: Limits = UNLIMITED) -> pa.Array:
    """One histogram for each group of histograms; nulls and values of no bytes are empty."""
    parts = read(states)
    groups = group_ids(offsets)
    count = len(offsets) - 1
    least, greatest = np.full(count, np.inf, np.float32), np.full(count, -np.inf, np.float32)
    np.fmin.at(least, groups, parts.least)
    np.fmax.at(greatest, groups, parts.greatest)
    joined = Bins(groups[parts.owner], parts.position, parts.count, parts.approximate, least, greatest)
    return write(reduced(combined(joined), size, limits), size)


def combined(of: Bins) -> Bins:
    """Bins of one position made one, in order."""
    order = np.lexsort((of.position, of.owner))
    owner, position = of.owner[order], of.position[order]
    if not len(owner):
        return of
    first = np.ones(len(owner), dtype=np.bool_)
    both_nan = np.isnan(position[1:]) & np.isnan(position[:-1])
    first[1:] = (owner[1:] != owner[:-1]) | ((position[1:] != position[:-1]) & ~both_nan)
    starts = np.flatnonzero(first)
    count = np.add.reduceat(of.count[order], starts)
    approximate = np.logical_or.reduceat(of.approximate[order], starts)
    return Bins(owner[starts], position[starts], count, approximate, of.least, of.greatest)


def reduced(of: Bins, size: int, limits: Limits = UNLIMITED) -> Bins:
    """At most `size` bins for each histogram: the closest neighbours are merged, again and again.

    While far too many are left, a quarter of the excess is merged at once; the last ones go one by one. What lies
    below and above the limits is one bin each before, which stays apart.
    """
    excess = of.sizes() - size
    if not (excess > 0).any():
        return of
    if limits != UNLIMITED:
        of = _outside_merged(of, excess > 0, limits)
        excess = of.sizes() - size
    done = [_where(of, excess[of.owner] <= 0)]
    rest = _where(of, excess[of.owner] > 0)
    while len(rest.owner):
        rest = _merge_closest(rest, np.maximum(excess // 4, 1), limits)
        excess = rest.sizes() - size
        done.append(_where(rest, excess[rest.owner] <= 0))
        rest = _where(rest, excess[rest.owner] > 0)
    owner, position, count, approximate = (
        np.concatenate([getattr(d, name) for d in done]) for name in ("owner", "position", "count", "approximate")
    )
    order = np.argsort(owner, kind="stable")
    return Bins(owner[order], position[order], count[order], approximate[order], of.least, of.greatest)


def _where(of: Bins, keep: Any) -> Bins:
    return Bins(of.owner[keep], of.position[keep], of.count[keep], of.approximate[keep], of.least, of.greatest)


def _side(of: Bins, limits: Limits) -> Any:
    """-1 for bins below the limits, 1 for bins above, else 0."""
    low, high = (np.float32(limit) for limit in limits)
    return (of.position > high).astype(np.int8) - (of.position < low)


def _outside_merged(of: Bins, chosen: Any, limits: Limits) -> Bins:
    """The bins of the chosen histograms that lie below the limits made one, and those above."""
    side = _side(of, limits) * chosen[of.owner]
    first = np.ones(len(side), dtype=np.bool_)
    first[1:] = (of.owner[1:] != of.owner[:-1]) | (side[1:] != side[:-1]) | (side[1:] == 0)
    starts = np.flatnonzero(first)
    count = np.add.reduceat(of.count, starts)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(of.position.astype(np.float64) * of.count, starts) / count
    several = np.diff(np.append(starts, len(side))) > 1
    position = np.where(several, mean, of.position[starts]).astype(np.float32)
    approximate = of.approximate[starts] | (side[starts] != 0)
    return Bins(of.owner[starts], position, count, approximate, of.least, of.greatest)


def _merge_closest(of: Bins, quota: Ints, limits: Limits) -> Bins:
    """Merges up to `quota` pairs of closest neighbours of each owner; no bin takes part twice."""
    with np.errstate(invalid="ignore"):
        gap = of.position[1:] - of.position[:-1]
    side = _side(of, limits)
    gap[np.isnan(gap) | (side[1:] != side[:-1])] = np.inf
    inside = np.flatnonzero(of.owner[1:] == of.owner[:-1])
    owner = of.owner[inside]
    order = np.lexsort((gap[inside], owner))
    counts = np.bincount(owner, minlength=of.states)
    rank = np.arange(len(order)) - offsets_of(counts)[:-1][owner[order]]
    chosen = np.zeros(len(gap) + 1, dtype=np.bool_)
    chosen[inside[order[rank < quota[owner[order]]]]] = True
    # of neighbours that are both chosen every second one is merged
    place = np.arange(len(chosen))
    start = chosen & ~np.concatenate([[False], chosen[:-1]])
    chosen &= (place - np.maximum.accumulate(np.where(start, place, 0))) % 2 == 0
    left = np.flatnonzero(chosen)
    k0, k1 = of.count[left], of.count[left + 1]
    total = k0 + k1
    position, count, approximate = of.position.copy(), of.count.copy(), of.approximate.copy()
    with np.errstate(invalid="ignore"):
        position[left] = (position[left].astype(np.float64) * k0 + position[left + 1].astype(np.float64) * k1) / total
    count[left], approximate[left] = total, True
    keep = np.ones(len(position), dtype=np.bool_)
    keep[left + 1] = False
    return _where(Bins(of.owner, position, count, approximate, of.least, of.greatest), keep)


# ------------------------------------------------------------------------------------------------------- images


def write(of: Bins, size: int) -> pa.Array:
    """Compact images where these are the smaller ones, else sparse ones."""
    bins = of.sizes()
    exact = sums(of.owner, np.where(of.approximate, 0, of.count), of.states)
    merged = of.totals() - exact
    sparse_bytes = 16 + 12 * bins
    compact_bytes = np.where(merged == 0, 3 + 4 * exact, 12 + 4 * exact + 4 * merged)
    compact = (exact <= _BYTE_MAX) & (merged <= _BYTE_MAX) & (compact_bytes < sparse_bytes) & (size <= _SHORT_MAX)
    offsets = offsets_of(np.where(compact, compact_bytes, sparse_bytes))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    begin = offsets[:-1]
    _write_sparse(out, begin, ~compact, of, bins, size)
    _write_compact(out, begin, compact, of, exact, merged, size)
    return binary(out, offsets)


def _bytes(values: Any, kind: str) -> Bytes:
    made = np.ascontiguousarray(np.asarray(values).astype(kind))
    return made.view(np.uint8).reshape(len(made), made.dtype.itemsize)


def _write_sparse(out: Bytes, begin: Ints, chosen: Any, of: Bins, bins: Ints, size: int) -> None:
    at, count = begin[chosen], bins[chosen]
    scatter(out, at, _bytes(np.full(len(at), size), ">i4"))
    scatter(out, at + 4, _bytes(-count, ">i4"))
    mine = chosen[of.owner]
    flags = np.where(of.approximate, _APPROXIMATE, np.uint64(0)) | of.count.astype(np.uint64)
    spread(out, at + 8, 4 * count, _bytes(of.position[mine], ">f4").reshape(-1))
    spread(out, at + 8 + 4 * count, 8 * count, _bytes(flags[mine], ">u8").reshape(-1))
    scatter(out, at + 8 + 12 * count, _bytes(of.least[chosen], ">f4"))
    scatter(out, at + 12 + 12 * count, _bytes(of.greatest[chosen], ">f4"))


def _write_compact(out: Bytes, begin: Ints, chosen: Any, of: Bins, exact: Ints, merged: Ints, size: int) -> None:
    scatter(out, begin[chosen], _bytes(np.full(int(chosen.sum()), -size), ">i2"))
    with_merged = chosen & (merged > 0)
    at, count = begin[with_merged] + 2, merged[with_merged]
    out[at] = (-count).astype(np.int8).view(np.uint8)
    spread(out, at + 1, 4 * count, _repeated(of, with_merged[of.owner] & of.approximate))
    scatter(out, at + 1 + 4 * count, _bytes(of.least[with_merged], ">f4"))
    scatter(out, at + 5 + 4 * count, _bytes(of.greatest[with_merged], ">f4"))
    at = begin[chosen] + np.where(merged[chosen] > 0, 11 + 4 * merged[chosen], 2)
    out[at] = exact[chosen].astype(np.uint8)
    spread(out, at + 1, 4 * exact[chosen], _repeated(of, chosen[of.owner] & ~of.approximate))


def _repeated(of: Bins, which: Any) -> Bytes:
    return _bytes(np.repeat(of.position[which], of.count[which]), ">f4").reshape(-1)


def read(states: pa.Array) -> Bins:
    """The histograms of a column. Raises ValueError for bytes that are none."""
    data, offsets = flat(states)
    begin, lengths = offsets[:-1], np.diff(offsets)
    count = len(lengths)
    least, greatest = np.full(count, np.inf, np.float32), np.full(count, -np.inf, np.float32)
    if ((lengths > 0) & (lengths < 3)).any():
        raise ValueError("Not an approximate histogram: it ends early")
    compact = np.zeros(count, dtype=np.bool_)
    there = np.flatnonzero(lengths > 0)
    compact[there] = (data[begin[there]] & 0x80) != 0
    wide = np.flatnonzero((lengths > 0) & ~compact)
    parts = [*_read_wide(data, begin, lengths, wide, least, greatest)]
    parts += _read_compact(data, begin, lengths, np.flatnonzero(compact), least, greatest)
    owner, position, counts, approximate = (np.concatenate([p[i] for p in parts]) for i in range(4))
    return combined(Bins(owner, position, counts, approximate, least, greatest))


def _read_wide(data: Bytes, begin: Ints, lengths: Ints, which: Ints, least: Floats, greatest: Floats) -> list[Any]:
    if (lengths[which] < 16).any():
        raise ValueError("Not an approximate histogram: it ends early")
    at = begin[which]
    size = _ints(data, at, ">i4")
    bins = _ints(data, at + 4, ">i4")
    room = np.where(bins > 0, size, -bins)  # a positive number of bins: arrays of the full size
    room[(bins == 0) & (lengths[which] > 16)] = 0
    held = np.abs(bins)
    if (16 + 12 * room > lengths[which]).any() or (held > room).any():
        raise ValueError("Not an approximate histogram: it ends early")
    owner = np.repeat(which, held)
    within = places_within(held)
    first = np.repeat(at + 8, held)
    position = gather(data, first + 4 * within, 4).view(">f4").reshape(-1).astype(np.float32)
    flags = gather(data, first + np.repeat(4 * room, held) + 8 * within, 8).view(">u8").reshape(-1).astype(np.uint64)
    least[which] = gather(data, at + 8 + 12 * room, 4).view(">f4").reshape(-1)
    greatest[which] = gather(data, at + 12 + 12 * room, 4).view(">f4").reshape(-1)
    return [(owner, position, (flags & _COUNT).astype(np.int64), (flags & _APPROXIMATE) != 0)]


def _read_compact(data: Bytes, begin: Ints, lengths: Ints, which: Ints, least: Floats, greatest: Floats) -> list[Any]:
    at = begin[which] + 2
    first = data[at].view(np.int8).astype(np.int64)
    merged = np.maximum(-first, 0)
    exact_at = np.where(merged > 0, at + 9 + 4 * merged, at)
    if (exact_at - begin[which] >= lengths[which]).any():
        raise ValueError("Not an approximate histogram: it ends early")
    exact = data[exact_at].astype(np.int64)
    if (exact_at + 1 + 4 * exact - begin[which] > lengths[which]).any():
        raise ValueError("Not an approximate histogram: it ends early")
    out = []
    for number, start, approximate in ((merged, at + 1, True), (exact, exact_at + 1, False)):
        owner = np.repeat(which, number)
        within = places_within(number)
        position = gather(data, np.repeat(start, number) + 4 * within, 4).view(">f4").reshape(-1).astype(np.float32)
        np.fmin.at(least, owner, position)
        np.fmax.at(greatest, owner, position)
        out.append((owner, position, np.ones(len(owner), np.int64), np.full(len(owner), approximate)))
    with_merged = np.flatnonzero(merged > 0)
    for place, extreme in ((1, least), (5, greatest)):
        held = gather(data, at[with_merged] + place + 4 * merged[with_merged], 4).view(">f4").reshape(-1)
        extreme[which[with_merged]] = held
    return out


def _ints(data: Bytes, at: Ints, kind: str) -> Ints:
    return gather(data, at, 4).view(kind).reshape(-1).astype(np.int64)


# ------------------------------------------------------------------------------------------------------- answers


def quantiles(states: pa.Array, fractions: Sequence[float]) -> Floats:
    """The value at each fraction, one row a histogram; NaN for empty ones.

    Raises ValueError for a fraction that is not between 0 and 1.
    """
    if any(not 0 < f < 1 for f in fractions):
        raise ValueError("quantile probabilities must be strictly between 0 and 1")
    of = read(states)
    out = np.full((of.states, len(fractions)), np.nan, dtype=np.float32)
    total, bins = of.totals(), of.sizes()
    start = offsets_of(bins)[:-1]
    upto = np.cumsum(of.count) - np.repeat(np.concatenate([[0], np.cumsum(of.count)])[start], bins)
    full = np.flatnonzero(total > 0)
    for column, fraction in enumerate(fractions):
        wanted = (np.float32(fraction) * total.astype(np.float32)).astype(np.float64)
        place = np.bincount(of.owner[upto <= wanted[of.owner]], minlength=of.states)
        i = start[full] + np.minimum(place[full], bins[full] - 1)
        before = i - 1
        distance = wanted[full] - (upto[i] - of.count[i])
        a = of.count[i] - of.count[before]
        b = 2.0 * of.count[before]
        with np.errstate(all="ignore"):
            z = np.where(a == 0, 2 * distance / b, (-b + np.sqrt(b * b + 8.0 * a * distance)) / (2.0 * a))
            value = of.position[before] + (of.position[i] - of.position[before]).astype(np.float64) * z
            single = value.astype(np.float32)
            made = np.where(single < of.greatest[full], single, of.greatest[full])
        out[full, column] = np.where(i == start[full], of.least[full], made)
    return out


def at_most(of: Bins, points: Floats) -> Doubles:
    """About how many values of each histogram are at most its point."""
    bins, total = of.sizes(), of.totals()
    start = offsets_of(bins)[:-1]
    places = np.bincount(of.owner[of.position <= points[of.owner]], minlength=of.states)
    outer_left, outer_right = places == 0, places >= bins
    here = np.where(outer_left, 0, start + places - 1)
    after = np.where(outer_right, 0, start + places)
    if not len(of.position):
        return np.zeros(of.states)
    running = np.concatenate([[0], np.cumsum(of.count)])
    m0, m1 = np.where(outer_left, 0, of.count[here]), np.where(outer_right, 0, of.count[after])
    p0 = np.where(outer_left, of.least, of.position[here]).astype(np.float64)
    p1 = np.where(outer_right, of.greatest, of.position[after]).astype(np.float64)
    exact0, exact1 = ~outer_left & ~of.approximate[here], ~outer_right & ~of.approximate[after]
    with np.errstate(all="ignore"):
        share = np.where(p1 == p0, 0.0, (points.astype(np.float64) - p0) / (p1 - p0))
        t0, t1 = np.where(exact0, 0, m0), np.where(exact1, 0, m1)
        inside = 0.5 * (t0 + (t0 + (t1 - t0) * share)) * share
    before = np.where(outer_left, 0, running[here] - running[start * (bins > 0)])
    made = inside + before + np.where(exact0, m0, 0.5 * m0)
    return np.where(points < of.least, 0.0, np.where(points >= of.greatest, total, made))


def counts_between(of: Bins, breaks: Floats) -> Doubles:
    """About how many values lie between the breaks, one row of breaks a histogram."""
    upto = np.stack([at_most(of, breaks[:, i]) for i in range(breaks.shape[1])], axis=1)
    return np.diff(upto, axis=1).astype(np.float32).astype(np.float64)


def equal_breaks(of: Bins, buckets: int) -> Floats:
    """Breaks of `buckets` ranges of equal width up to the greatest value, the first one below the least."""
    with np.errstate(all="ignore"):
        step = ((of.greatest - of.least) / np.float32(buckets - 1)).astype(np.float32)
        out = np.empty((of.states, buckets + 1), dtype=np.float32)
        out[:, 0] = of.least - step
        for i in range(1, buckets):
            out[:, i] = out[:, i - 1] + step
    out[:, buckets] = of.greatest
    return out


def each(of: Bins) -> Iterator[Bins]:
    """The histograms one by one."""
    ends = offsets_of(of.sizes())
    for state in range(of.states):
        part = slice(ends[state], ends[state + 1])
        yield Bins(
            np.zeros(ends[state + 1] - ends[state], dtype=np.int64), of.position[part], of.count[part],
            of.approximate[part], of.least[state : state + 1], of.greatest[state : state + 1],
        )  # fmt: skip


_MOST_BREAKS = 100_000


def stepped_breaks(of: Bins, width: float, offset: float) -> Floats:
    """Breaks of one histogram at whole multiples of `width` from `offset`, around its values.

    Breaks between which next to nothing lies are left out. Raises ValueError when there would be too many.
    """
    step = np.float32(width)
    if not of.totals()[0]:
        return np.zeros(2, dtype=np.float32)
    low = np.float32(np.floor((of.least[0] - np.float32(offset)) / step) * step + np.float32(offset))
    high = np.float32(np.ceil((of.greatest[0] - np.float32(offset)) / step) * step + np.float32(offset))
    number = float((high - low) / step)
    if not number < _MOST_BREAKS:
        raise ValueError(f"A histogram of bucketSize [{width}] would have more than [{_MOST_BREAKS}] buckets")
    # a step below, as values that equal the first break count as below it
    all_breaks = (low + step * np.arange(-1, round(number) + 1, dtype=np.float32)).astype(np.float32)
    filled = counts_between(of, all_breaks[None, :])[0] > 0.1
    keep = np.zeros(len(all_breaks), dtype=np.bool_)
    keep[:-1] |= filled
    keep[1:] |= filled
    return all_breaks[keep] if keep.any() else all_breaks[:2]
