"""DataSketches theta: the `size` smallest distinct hashes of a group, and the next one as theta.

Images are compact and ordered: `longs | 3 | 3 | 0 | 0 | flags | seed hash`, then (beyond one value) count and 1.0 as
float, then (when values were dropped) theta, then the hashes ascending. Written and read here by numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, gather, group_ids, offsets_of, pair_keys, scatter, spread
from msq.sketches.murmur import sketch_hash

MAX_THETA = 2**63 - 1
_SEED_HASH = (0xCC, 0x93)
_EMPTY, _ORDERED, _SINGLE = 4, 16, 32
_COMPACT = 2 | 8


def build(values: pa.Array, offsets: Ints, size: int) -> pa.Array:
    """Sketches of groups of values; nulls and empty texts do not count."""
    groups = group_ids(offsets)
    if not pa.types.is_dictionary(values.type) and not pa.types.is_primitive(values.type):
        values = values.dictionary_encode()
    if pa.types.is_dictionary(values.type):
        h1, _, counts = sketch_hash(values.dictionary)
        table = np.zeros(len(values.dictionary), dtype=np.int64)
        table[counts] = (h1 >> np.uint64(1)).astype(np.int64)
        index = np.asarray(values.indices.fill_null(0) if values.indices.null_count else values.indices)
        hashes = table[index] if len(table) else np.zeros(len(index), dtype=np.int64)
        hashes[~np.asarray(values.indices.is_valid())] = 0
    else:
        h1, _, counts = sketch_hash(values)
        hashes = (h1 >> np.uint64(1)).astype(np.int64)
        groups = groups[counts]
    there = hashes != 0
    count = len(offsets) - 1
    return _write(groups[there], hashes[there], np.full(count, MAX_THETA), size)


def union(states: pa.Array, offsets: Ints, size: int) -> pa.Array:
    """One sketch for each group of sketches."""
    owner, hashes, thetas = read(states)
    count = len(offsets) - 1
    least = np.full(count, MAX_THETA)
    groups = group_ids(offsets)
    np.minimum.at(least, groups, thetas)
    belongs = groups[owner]
    below = hashes < least[belongs]
    return _write(belongs[below], hashes[below], least, size)


def _write(groups: Ints, hashes: Ints, thetas: Ints, size: int, *, ordered: bool = True) -> pa.Array:
    """Images of at most `size` hashes a group; `thetas` bound what they may hold."""
    order = np.lexsort((hashes, groups))
    groups, hashes = groups[order], hashes[order]
    if len(groups):
        first = np.ones(len(groups), dtype=np.bool_)
        first[1:] = (groups[1:] != groups[:-1]) | (hashes[1:] != hashes[:-1])
        groups, hashes = groups[first], hashes[first]
    counts = np.bincount(groups, minlength=len(thetas)).astype(np.int64)
    starts = offsets_of(counts)
    over = counts > size
    if over.any():
        thetas = thetas.copy()
        thetas[over] = hashes[starts[:-1][over] + size]
        keep = np.arange(len(hashes)) - starts[:-1][groups] < size
        groups, hashes = groups[keep], hashes[keep]
        counts = np.minimum(counts, size)
    return _images(hashes, counts, thetas, ordered)


def _images(hashes: Ints, counts: Ints, thetas: Ints, ordered: bool) -> pa.Array:
    estimating = thetas < MAX_THETA
    empty = (counts == 0) & ~estimating
    single = (counts == 1) & ~estimating
    longs = np.where(estimating, 3, np.where(empty | single, 1, 2))
    offsets = offsets_of(8 * (longs + counts))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    head = np.zeros((len(counts), 8), dtype=np.uint8)
    head[:, 0], head[:, 1], head[:, 2] = longs, 3, 3
    head[:, 5] = _COMPACT | (_ORDERED if ordered else 0)
    head[empty, 5] = _COMPACT | _ORDERED | _EMPTY
    head[single, 5] = _COMPACT | _ORDERED | _SINGLE
    head[:, 6], head[:, 7] = _SEED_HASH
    head[empty, 6:] = 0
    begin = offsets[:-1]
    scatter(out, begin, head)
    long = longs > 1
    second = np.zeros((int(long.sum()), 8), dtype=np.uint8)
    second[:, :4] = counts[long].astype("<i4").view(np.uint8).reshape(-1, 4)
    second[:, 6], second[:, 7] = 0x80, 0x3F
    scatter(out, begin[long] + 8, second)
    scatter(out, begin[estimating] + 16, thetas[estimating].astype("<i8").view(np.uint8).reshape(-1, 8))
    spread(out, begin + 8 * longs, 8 * counts, hashes.astype("<i8").view(np.uint8))
    return binary(out, offsets)


def read(states: pa.Array) -> tuple[Ints, Ints, Ints]:
    """(state, hash) pairs of all sketches, and the theta of each; nulls and values of no bytes are empty."""
    data, offsets = flat(states)
    lengths = np.diff(offsets)
    begin = offsets[:-1]
    longs = np.ones(len(lengths), dtype=np.int64)
    there = lengths >= 8
    preamble = np.zeros(len(lengths), dtype=np.uint8)
    preamble[there] = data[begin[there]]
    longs[there] = preamble[there] & 63
    thetas = np.full(len(lengths), MAX_THETA)
    flags = np.zeros(len(lengths), dtype=np.int64)
    flags[there] = data[begin[there] + 5]
    with_theta = there & (longs >= 3)
    thetas[with_theta] = gather(data, begin[with_theta] + 16, 8).view("<i8").reshape(-1)
    counts = np.where(there, np.maximum(lengths // 8 - longs, 0), 0)
    counts[(flags & _EMPTY) != 0] = 0
    foreign = (preamble > 0) & (_version(data, begin, there) != 3)
    if foreign.any():
        return _read_foreign(states)
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(int(counts.sum())) - np.repeat(offsets_of(counts)[:-1], counts)
    hashes = gather(data, begin[owner] + 8 * (longs[owner] + within), 8).view("<i8").reshape(-1).astype(np.int64)
    kept = (hashes > 0) & (hashes < thetas[owner])  # an updatable image holds empty and stale cells
    return owner[kept], hashes[kept], thetas


def _version(data: Any, begin: Ints, there: Any) -> Ints:
    out = np.full(len(begin), 3, dtype=np.int64)
    out[there] = data[begin[there] + 1]
    return out


def _read_foreign(states: pa.Array) -> tuple[Ints, Ints, Ints]:
    """Older and packed forms, one by one through the library."""
    owners, hashes, thetas = [], [], []
    for number, state in enumerate(states.to_pylist()):
        made = datasketches.compact_theta_sketch.deserialize(state) if state else None
        held = list(made) if made is not None else []
        owners += [number] * len(held)
        hashes += held
        thetas.append(MAX_THETA if made is None else min(made.theta64, MAX_THETA))
    return np.array(owners, dtype=np.int64), np.array(hashes, dtype=np.int64), np.array(thetas, dtype=np.int64)


def estimate(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct values of each sketch; 0 for nulls."""
    owner, _, thetas = read(states)
    counts = np.bincount(owner, minlength=len(states)).astype(np.float64)
    return np.where(thetas < MAX_THETA, counts / (thetas / float(1 << 63)), counts)


def bounds(state: bytes, deviations: int) -> tuple[float, float, float]:
    """(estimate, lower, upper) of one sketch at 1 to 3 standard deviations."""
    if not state:
        return 0.0, 0.0, 0.0
    made = datasketches.compact_theta_sketch.deserialize(state)
    return made.get_estimate(), made.get_lower_bound(deviations), made.get_upper_bound(deviations)


def bounds_text(state: bytes, deviations: int, number: Callable[[float], str]) -> str:
    """Estimate and bounds of one sketch as the JSON that Druid prints; `number` prints a double."""
    estimate, low, high = (number(float(v)) for v in bounds(state, deviations))
    return f'{{"estimate":{estimate},"highBound":{high},"lowBound":{low},"numStdDev":{deviations}}}'


def combine(function: str, columns: list[pa.Array], size: int) -> pa.Array:
    """UNION, INTERSECT or NOT of sketches row by row; a null is an empty sketch."""
    rows = len(columns[0])
    if function == "UNION":
        states = pa.concat_arrays([c.cast(pa.large_binary()) for c in columns])
        order = np.arange(rows * len(columns)).reshape(len(columns), rows).T.reshape(-1)
        return union(states.take(pa.array(order)), np.arange(rows + 1) * len(columns), size)
    owner, hashes, thetas = read(columns[0])
    for column in columns[1:]:
        other_owner, other, other_thetas = read(column)
        thetas = np.minimum(thetas, other_thetas)
        member = np.isin(*pair_keys(owner, hashes, other_owner, other))
        keep = (member if function == "INTERSECT" else ~member) & (hashes < thetas[owner])
        owner, hashes = owner[keep], hashes[keep]
    order = np.lexsort((hashes, owner))
    counts = np.bincount(owner, minlength=rows).astype(np.int64)
    return _images(hashes[order], counts, thetas, ordered=False)


def nominal(size: int) -> int:
    """The size a sketch really has: the power of two at or above `size`, at least 16."""
    return max(16, 1 << math.ceil(math.log2(max(size, 1))))
