"""Spectator histograms: counts of whole numbers in 276 buckets whose borders grow with the values.

An image is a row of entries, big-endian: a key of 16 bits, whose low 9 bits name the bucket. With bit 9 set the upper 6
bits are the count; else the upper 2 bits tell the bytes of the count that follows: 10 one, 01 two, 11 four, 00 eight.
A histogram without values has no image: it is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, group_ids, offsets_of, plain_values, scatter

BUCKETS = 276
_LOW_COUNT, _KEY = 0x200, 0x1FF
_WIDTH_BITS = {1: 0x8000, 2: 0x4000, 4: 0xC000, 8: 0}
_LONG_MAX = 2**63 - 1
Doubles = np.ndarray[Any, np.dtype[np.float64]]


@lru_cache(maxsize=1)
def borders() -> Ints:
    """The upper border of each bucket: between powers of four in steps of a third of the power."""
    out = [1, 2, 3]
    for exponent in range(2, 62, 2):
        power = 1 << exponent
        step = power // 3
        out += range(power, (power << 2) - step, step)
    return np.array([*out, _LONG_MAX], dtype=np.int64)


@lru_cache(maxsize=1)
def _power_places() -> Ints:
    """For each power of four the place of its border."""
    return np.append(np.searchsorted(borders(), 4 ** np.arange(31, dtype=np.int64)), BUCKETS - 1)


def bucket_of(values: Ints) -> Ints:
    """The bucket of each whole number; numbers below 1 stand in the first."""
    small = np.clip(values, 0, 4)
    known = np.maximum(values, 5)
    high = (known >> 32) > 0
    # frexp of a number below 2^53 is exact
    length = np.where(high, np.frexp((known >> 32).astype(np.float64))[1] + 32, np.frexp(known.astype(np.float64))[1])
    shift = (length - 1) // 2 * 2
    shift = np.where(high, shift, (np.frexp((known & 0xFFFFFFFF).astype(np.float64))[1] - 1) // 2 * 2).astype(np.int64)
    base = np.int64(1) << shift
    place = (known - base) // (base // 3) + _power_places()[shift // 2]
    return np.where(values <= 4, small, np.minimum(place + 1, BUCKETS - 1))


def build(values: pa.Array, offsets: Ints) -> pa.Array:
    """Histograms of groups of numbers, cut to whole numbers as Java cuts; nulls do not count."""
    if pa.types.is_integer(values.type):
        valid = np.asarray(values.is_valid())
        numbers = np.asarray(values.fill_null(0) if values.null_count else values).astype(np.int64)
    else:
        doubles, valid = plain_values(values)
        bounded = np.where(np.isnan(doubles), 0.0, doubles)
        large = bounded >= 2.0**63
        numbers = np.where(large, 0.0, np.maximum(bounded, -1.0)).astype(np.int64)
        numbers[large] = _LONG_MAX
    buckets = bucket_of(numbers[valid])
    return _written(group_ids(offsets)[valid], buckets, np.ones(len(buckets), dtype=np.int64), len(offsets) - 1)


def union(states: pa.Array, offsets: Ints) -> pa.Array:
    """One histogram for each group of histograms."""
    owner, bucket, count = read(states)
    return _written(group_ids(offsets)[owner], bucket, count, len(offsets) - 1)


def _written(owner: Ints, bucket: Ints, count: Ints, states: int) -> pa.Array:
    key = owner * BUCKETS + bucket
    order = np.argsort(key, kind="stable")
    key, count = key[order], count[order]
    if len(key):
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key, count = key[starts], np.add.reduceat(count, starts)
    owner, bucket = key // BUCKETS, key % BUCKETS
    width = np.select([count <= 0x3F, count <= 0xFF, count <= 0xFFFF, count <= 0xFFFFFFFF], [0, 1, 2, 4], 8)
    width[count < 0] = 8
    ends = np.cumsum(2 + width)
    at = ends - 2 - width
    head = bucket | np.select([width == 0, width == 1, width == 2, width == 4], [
        _LOW_COUNT | (count << 10), _WIDTH_BITS[1], _WIDTH_BITS[2], _WIDTH_BITS[4]], 0)  # fmt: skip
    out = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    scatter(out, at, (head & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2))
    whole = count.astype(">i8").view(np.uint8).reshape(-1, 8)
    for size in (1, 2, 4, 8):
        mine = width == size
        scatter(out, at[mine] + 2, whole[mine, 8 - size :])
    lengths = np.bincount(owner, 2 + width, minlength=states).astype(np.int64)
    return binary(out, offsets_of(lengths), lengths > 0)


def read(states: pa.Array) -> tuple[Ints, Ints, Ints]:
    """(owner, bucket, count) of all entries of a column. Raises ValueError for bytes that are no histogram.

    All images are read together, one entry a step: at most 276 steps.
    """
    data, offsets = flat(states)
    data = np.concatenate([data, np.zeros(10, dtype=np.uint8)])
    at, stop, owner = offsets[:-1].copy(), offsets[1:], np.arange(len(offsets) - 1)
    out: list[tuple[Ints, Ints, Ints]] = []
    while True:
        going = at < stop
        at, stop, owner = at[going], stop[going], owner[going]
        if not len(at):
            break
        key = data[at].astype(np.int64) << 8 | data[at + 1]
        low = (key & _LOW_COUNT) != 0
        width = np.where(low, 0, np.array([8, 2, 1, 4])[key >> 14])
        count = key >> 10
        for size in (1, 2, 4, 8):
            mine = np.flatnonzero(width == size)
            number = np.zeros(len(mine), dtype=np.int64)
            for byte in range(size):
                number = number << 8 | data[at[mine] + 2 + byte]
            count[mine] = number
        bucket = key & _KEY
        at = at + 2 + width
        if (at > stop).any() or (bucket >= BUCKETS).any():
            raise ValueError("Not a spectator histogram: bucket index out of range (0, 276) or an early end")
        out.append((owner, bucket, count))
    if not out:
        return (np.zeros(0, dtype=np.int64),) * 3
    owners, buckets, counts = (np.concatenate([part[i] for part in out]) for i in range(3))
    order = np.argsort(owners, kind="stable")
    return owners[order], buckets[order], counts[order]


def counts(states: pa.Array) -> Ints:
    """Number of values of each histogram; 0 for nulls."""
    owner, _, count = read(states)
    out = np.zeros(len(states), dtype=np.int64)
    np.add.at(out, owner, count)
    return out


def percentiles(states: pa.Array, percents: Sequence[float]) -> Doubles:
    """The value at each percentage, one row a histogram, linear inside a bucket; NaN for empty ones.

    As in the library they are looked for one after the other: one that is less than its predecessor is reckoned from
    the predecessor's bucket.
    """
    owner, bucket, count = read(states)
    order = np.lexsort((bucket, owner))
    owner, bucket, count = owner[order], bucket[order], count[order]
    out = np.full((len(states), len(percents)), np.nan)
    if not len(owner):
        return out
    bins = np.bincount(owner, minlength=len(states))
    start = offsets_of(bins)[:-1]
    running = np.concatenate([[0], np.cumsum(count)])
    upto = running[1:] - running[start][owner]
    total = running[start + bins] - running[start]
    with np.errstate(all="ignore"):
        share = 100.0 * upto / total[owner]
        full = np.flatnonzero(bins)
        least = np.zeros(len(full), dtype=np.int64)
        first = np.ones(len(full), dtype=np.bool_)
        limits = borders().astype(np.float64)
        for column, percent in enumerate(percents):
            places = np.bincount(owner[share < percent], minlength=len(states))[full]
            least = np.maximum(least, places)
            # 0 % and less is reached in the first bucket of all, filled or not, unless a later one was reached before
            first &= (percent <= 0) & (bucket[start[full]] > 0)
            behind = least >= bins[full]
            at = start[full] + np.minimum(least, bins[full] - 1)
            before = np.where(first, 0.0, 100.0 * (upto[at] - count[at]) / total[full])
            reached = np.where(first, 0.0, share[at])
            here = np.where(first, 0, bucket[at])
            low = np.where(here == 0, 0.0, limits[here - 1])
            inside = (percent - before) / (reached - before)
            made = inside * (limits[here] - low) + low
            # more than all: reckoned beyond the last bucket that is filled
            out[full, column] = np.where(behind, np.nan, made)
    return out
