"""Merging t-digests in the verbose form of the t-digest library 3.2, which Druid's extension stores.

Image, big-endian: `i32 1 | min | max | compression (f64) | i32 centroids`, then weight and mean (f64) of each centroid.
The small form (`i32 2`, floats) is read as well. Centroids come from one pass over the sorted values of a group: values
join the centroid before them while its weight keeps below the limit of its place among all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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

_HEADER, _SMALL_HEADER = 32, 30
_VERBOSE, _SMALL = 1, 2
_EXACT_STEPS = 64
Doubles = np.ndarray[Any, np.dtype[np.float64]]


def build(values: pa.Array, offsets: Ints, compression: float) -> pa.Array:
    """Digests of groups of numbers; nulls do not count. Raises ValueError for a NaN."""
    numbers, valid = plain_values(values)
    groups, kept = group_ids(offsets)[valid], numbers[valid]
    if np.isnan(kept).any():
        raise ValueError("Cannot add NaN to t-digest")
    states = len(offsets) - 1
    least, greatest = np.full(states, np.inf), np.full(states, -np.inf)
    return _written(groups, kept, np.ones(len(kept)), least, greatest, compression)


def union(states: pa.Array, offsets: Ints, compression: float) -> pa.Array:
    """One digest for each group of digests; nulls and values of no bytes are empty."""
    owner, weight, mean, least, greatest = read(states)
    groups = group_ids(offsets)
    count = len(offsets) - 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, groups, least)
    np.maximum.at(high, groups, greatest)
    return _written(groups[owner], mean, weight, low, high, compression)


def _written(owner: Ints, mean: Doubles, weight: Doubles, least: Doubles, greatest: Doubles, compression: float) -> Any:
    order = np.lexsort((mean, owner))
    owner, mean, weight = owner[order], mean[order], weight[order]
    offsets = offsets_of(np.bincount(owner, minlength=len(least)))
    first = _centroid_starts(weight, offsets, compression)
    starts = np.flatnonzero(first)
    made = _means(mean, weight, starts)
    weights = np.add.reduceat(weight, starts) if len(starts) else weight
    owner = owner[starts]
    np.minimum.at(least, owner, made)
    np.maximum.at(greatest, owner, made)
    return write(owner, weights, made, least, greatest, compression)


def _centroid_starts(weight: Doubles, offsets: Ints, compression: float) -> Any:
    """Which of the sorted values begin a centroid. All groups advance together, one centroid a step."""
    first = np.zeros(len(weight), dtype=np.bool_)
    upto = np.concatenate([[0.0], np.cumsum(weight)])
    group = np.flatnonzero(np.diff(offsets))
    at, stop = offsets[:-1][group], offsets[1:][group]
    base = upto[at]
    total = upto[stop] - base
    while len(at):
        first[at] = True
        low, high = at + 1, stop
        fits = np.zeros(len(at), dtype=np.bool_)
        more = low < stop
        fits[more] = _fits(upto, base, total, at, low + 1, compression, more)
        low = np.where(fits, low + 1, low)
        high = np.where(fits, high, low)
        while (low < high).any():
            middle = (low + high + 1) // 2
            good = _fits(upto, base, total, at, middle, compression)
            low, high = np.where(good, middle, low), np.where(good, high, middle - 1)
        going = low < stop
        at, stop, base, total = low[going], stop[going], base[going], total[going]
    return first


def _fits(
    upto: Doubles, base: Doubles, total: Doubles, at: Ints, end: Ints, compression: float, which: Any = slice(None)
) -> Any:
    """Whether the values from `at` to before `end` may be one centroid."""
    upto_start, upto_end = upto[at[which]], upto[end[which]]
    all_of = total[which]
    z = (upto_end - upto_start) * (compression / (math.pi * all_of))
    q0, q2 = (upto_start - base[which]) / all_of, (upto_end - base[which]) / all_of
    return (z * z <= q0 * (1 - q0)) & (z * z <= q2 * (1 - q2))


def _means(mean: Doubles, weight: Doubles, starts: Ints) -> Doubles:
    """Means of the centroids: of up to `_EXACT_STEPS` values added up one after the other, as the library does."""
    if not len(starts):
        return mean
    sizes = np.diff(np.append(starts, len(mean)))
    out = mean[starts].copy()
    held = weight[starts].copy()
    some = np.flatnonzero((sizes > 1) & (sizes <= _EXACT_STEPS))
    with np.errstate(invalid="ignore"):
        for step in range(1, _EXACT_STEPS):
            some = some[sizes[some] > step]
            if not len(some):
                break
            value, by = mean[starts[some] + step], weight[starts[some] + step]
            held[some] += by
            out[some] += (value - out[some]) * by / held[some]
        large = sizes > _EXACT_STEPS
        if large.any():
            out[large] = (np.add.reduceat(mean * weight, starts) / np.add.reduceat(weight, starts))[large]
    return out


def write(
    owner: Ints, weight: Doubles, mean: Doubles, least: Doubles, greatest: Doubles, compression: float
) -> pa.Array:
    """Images of digests whose centroids ascend by owner and mean."""
    counts = np.bincount(owner, minlength=len(least)).astype(np.int64)
    offsets = offsets_of(_HEADER + 16 * counts)
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    head = np.zeros(len(counts), dtype=[("form", ">i4"), ("extremes", ">f8", 3), ("count", ">i4")])
    head["form"], head["count"] = _VERBOSE, counts
    head["extremes"] = np.stack([least, greatest, np.full(len(counts), float(compression))], axis=1)
    scatter(out, offsets[:-1], head.view(np.uint8).reshape(len(counts), _HEADER))
    body = np.stack([weight, mean], axis=1).astype(">f8").reshape(-1)
    spread(out, offsets[:-1] + _HEADER, 16 * counts, body.view(np.uint8))
    return binary(out, offsets)


def read(states: pa.Array) -> tuple[Ints, Doubles, Doubles, Doubles, Doubles]:
    """(owner, weight, mean) of all centroids, and least and greatest value of each digest.

    Nulls and values of no bytes are empty. Raises ValueError for bytes that are no digest.
    """
    data, offsets = flat(states)
    begin, lengths = offsets[:-1], np.diff(offsets)
    least, greatest = np.full(len(lengths), np.inf), np.full(len(lengths), -np.inf)
    there = np.flatnonzero(lengths > 0)
    _check((lengths[there] >= _SMALL_HEADER).all())
    form = np.zeros(len(lengths), dtype=np.int64)
    form[there] = gather(data, begin[there], 4).view(">i4").reshape(-1)
    _check(np.isin(form[there], (_VERBOSE, _SMALL)).all())
    least[there] = _double(data, begin[there] + 4)
    greatest[there] = _double(data, begin[there] + 12)
    parts = []
    for kind, header, count_at, count_kind, width in (
        (_VERBOSE, _HEADER, 28, ">i4", ">f8"), (_SMALL, _SMALL_HEADER, 28, ">i2", ">f4")
    ):  # fmt: skip
        which = np.flatnonzero(form == kind)
        size, item = np.dtype(count_kind).itemsize, np.dtype(width).itemsize
        _check((lengths[which] >= header).all())
        counts = gather(data, begin[which] + count_at, size).view(count_kind).reshape(-1).astype(np.int64)
        _check((counts >= 0).all() and (header + 2 * item * counts <= lengths[which]).all())
        owner = np.repeat(which, counts)
        within = places_within(counts)
        at = begin[owner] + header + 2 * item * within
        parts.append((
            owner, gather(data, at, item).view(width).reshape(-1).astype(np.float64),
            gather(data, at + item, item).view(width).reshape(-1).astype(np.float64),
        ))  # fmt: skip
    owner, weight, mean = (np.concatenate([p[i] for p in parts]) for i in range(3))
    order = np.argsort(owner, kind="stable")
    return owner[order], weight[order], mean[order], least, greatest


def _double(data: Bytes, at: Ints) -> Doubles:
    return gather(data, at, 8).view(">f8").reshape(-1).astype(np.float64)


def _check(good: Any) -> None:
    if not good:
        raise ValueError("Invalid format for serialized histogram")


def quantiles(states: pa.Array, fractions: Sequence[float]) -> Doubles:
    """The value at each fraction, one row a digest; NaN for empty ones. Raises ValueError outside 0..1."""
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ValueError(f"q should be in [0,1], got {fraction}")
    owner, weight, mean, least, greatest = read(states)
    count = len(least)
    sizes = np.bincount(owner, minlength=count)
    start = offsets_of(sizes)[:-1]
    upto = np.concatenate([[0.0], np.cumsum(weight)])
    centre = upto[:-1] - upto[start][owner] + weight / 2
    full = np.flatnonzero(sizes)
    begin, last = start[full], start[full] + sizes[full] - 1
    total = upto[last + 1] - upto[begin]
    out = np.full((count, len(fractions)), np.nan)
    every = np.zeros(count)
    with np.errstate(all="ignore"):
        for column, fraction in enumerate(fractions):
            index = fraction * total
            every[full] = index
            passed = np.bincount(owner[centre <= every[owner]], minlength=count)[full]
            i = begin + np.maximum(passed - 1, 0)
            after = np.minimum(i + 1, last)
            first = least[full] + 2 * index / weight[begin] * (mean[begin] - least[full])
            between = _average(mean[i], centre[after] - index, mean[after], index - centre[i])
            beyond = index - total - weight[last] / 2
            tail = _average(mean[last], beyond, greatest[full], weight[last] / 2 - beyond)
            out[full, column] = np.where(passed == 0, first, np.where(passed < sizes[full], between, tail))
    return out


def _average(x1: Doubles, w1: Doubles, x2: Doubles, w2: Doubles) -> Doubles:
    """The weighted mean, kept between the two values."""
    made: Doubles = np.clip((x1 * w1 + x2 * w2) / (w1 + w2), np.minimum(x1, x2), np.maximum(x1, x2))
    return made
