"""DataSketches theta: the `size` smallest distinct hashes of a group, and the next one as theta.

Images are compact and ordered: `longs | 3 | 3 | 0 | 0 | flags | seed hash`, then (beyond one value) count and 1.0 as
float, then (when values were dropped) theta, then the hashes ascending. Written and read here by numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa

from msq.sketches.binary import Bytes, Ints, binary, bodies, flat, gather, group_ids, offsets_of, words_behind
from msq.sketches.hash_rows import HashSets, common, distinct, without
from msq.sketches.murmur import sketch_hash

MAX_THETA = 2**63 - 1
_SEED_HASH = (0xCC, 0x93)
_EMPTY, _ORDERED, _SINGLE = 4, 16, 32
_COMPACT = 2 | 8
_ONE = 0x3F800000
"""1.0 as a float: the sampling probability."""


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
    sets = HashSets(hashes[there], np.bincount(groups[there], minlength=count).astype(np.int64))
    return _write([sets], np.full(count, MAX_THETA), size)


def union(states: pa.Array, offsets: Ints, size: int) -> pa.Array:
    """One sketch for each group of sketches."""
    sets, thetas = read_sets(states)
    starts = offsets_of(sets.counts)[offsets]
    return _write([HashSets(sets.hashes, np.diff(starts))], least_thetas(thetas, offsets), size, sorted_runs=True)


def least_thetas(thetas: Ints, offsets: Ints) -> Ints:
    """The least theta of each group."""
    least = np.full(len(offsets) - 1, MAX_THETA)
    if (thetas < MAX_THETA).any():
        np.minimum.at(least, group_ids(offsets), thetas)
    return least


def _below(sets: HashSets, thetas: Ints) -> HashSets:
    if not (thetas < MAX_THETA).any():
        return sets
    return sets.kept(sets.hashes < np.repeat(thetas, sets.counts))


def _write(columns: Sequence[HashSets], thetas: Ints, size: int, *, sorted_runs: bool = False) -> pa.Array:
    """Images of at most `size` hashes a row of sets; `thetas` bound what they may hold."""
    made, beyond = distinct([_below(c, thetas) for c in columns], size, sorted_runs=sorted_runs)
    return _images(made, np.where(beyond > 0, beyond, thetas), ordered=True)


def _images(sets: HashSets, thetas: Ints, ordered: bool) -> pa.Array:
    counts = sets.counts
    estimating = thetas < MAX_THETA
    empty = (counts == 0) & ~estimating
    single = (counts == 1) & ~estimating
    longs = np.where(estimating, 3, np.where(empty | single, 1, 2))
    words = offsets_of(longs + counts)
    begin = words[:-1]
    out = np.zeros(int(words[-1]), dtype="<i8")
    head = np.zeros((len(counts), 8), dtype=np.uint8)
    head[:, 0], head[:, 1], head[:, 2] = longs, 3, 3
    head[:, 5] = _COMPACT | (_ORDERED if ordered else 0)
    head[empty, 5] = _COMPACT | _ORDERED | _EMPTY
    head[single, 5] = _COMPACT | _ORDERED | _SINGLE
    head[:, 6], head[:, 7] = _SEED_HASH
    head[empty, 6:] = 0
    out[begin] = head.view("<i8")[:, 0]
    long = longs > 1
    out[begin[long] + 1] = counts[long] | _ONE << 32
    out[begin[estimating] + 2] = thetas[estimating]
    out[bodies(begin, longs, len(out))] = sets.hashes
    return binary(out.view(np.uint8), 8 * words)


@dataclass(frozen=True)
class _Layout:
    """Where the parts of images lie: words before the hashes, numbers of hashes; `plain`: no cell is to be left out."""

    data: Bytes
    begin: Ints
    longs: Ints
    counts: Ints
    thetas: Ints
    plain: bool


def _layout(states: pa.Array) -> _Layout | None:
    """None where an image has an older or packed form."""
    data, offsets = flat(states)
    lengths = np.diff(offsets)
    begin = offsets[:-1]
    there = lengths >= 8
    head = np.zeros((len(lengths), 8), dtype=np.uint8)
    head[there] = gather(data, begin[there], 8)
    longs = np.where(there, head[:, 0] & 63, 0).astype(np.int64)
    if (there & (head[:, 0] > 0) & (head[:, 1] != 3)).any():
        return None
    thetas = np.full(len(lengths), MAX_THETA)
    with_theta = there & (longs >= 3)
    thetas[with_theta] = gather(data, begin[with_theta] + 16, 8).view("<i8").reshape(-1)
    counts = np.where(there & ((head[:, 5] & _EMPTY) == 0), np.maximum(lengths // 8 - longs, 0), 0)
    # an updatable image holds empty and stale cells
    return _Layout(data, begin, longs, counts, thetas, bool(((head[:, 5] & 8) != 0)[counts > 0].all()))


def read_sets(states: pa.Array) -> tuple[HashSets, Ints]:
    """The hashes of all sketches, and the theta of each; nulls and values of no bytes are empty."""
    layout = _layout(states)
    if layout is None:
        return _read_foreign(states)
    counts = layout.counts
    hashes = words_behind(layout.data, layout.begin, layout.longs, counts).astype(np.int64, copy=False)
    sets = HashSets(hashes, counts)
    if layout.plain:
        return sets, layout.thetas
    return sets.kept((hashes > 0) & (hashes < np.repeat(layout.thetas, counts))), layout.thetas


def _read_foreign(states: pa.Array) -> tuple[HashSets, Ints]:
    """Older and packed forms, one by one through the library."""
    counts, hashes, thetas = [], [], []
    for state in states.to_pylist():
        made = datasketches.compact_theta_sketch.deserialize(state) if state else None
        held = list(made) if made is not None else []
        counts.append(len(held))
        hashes += held
        thetas.append(MAX_THETA if made is None else min(made.theta64, MAX_THETA))
    return HashSets(np.array(hashes, dtype=np.int64), np.array(counts, dtype=np.int64)), np.array(
        thetas, dtype=np.int64
    )


def sizes(states: pa.Array) -> tuple[Ints, Ints]:
    """How many hashes each sketch holds, and its theta."""
    layout = _layout(states)
    if layout is not None and layout.plain:
        return layout.counts, layout.thetas
    sets, thetas = read_sets(states)
    return sets.counts, thetas


def estimate(states: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct values of each sketch; 0 for nulls."""
    counts, thetas = sizes(states)
    return np.where(thetas < MAX_THETA, counts / (thetas / float(1 << 63)), counts.astype(np.float64))


def bounds(state: bytes, deviations: int) -> tuple[float, float, float]:
    """(estimate, lower, upper) of one sketch at 1 to 3 standard deviations."""
    if not state:
        return 0.0, 0.0, 0.0
    made = datasketches.compact_theta_sketch.deserialize(state)
    return made.get_estimate(), made.get_lower_bound(deviations), made.get_upper_bound(deviations)


def describe(state: bytes) -> str:
    """The library's summary of one sketch."""
    made = datasketches.compact_theta_sketch.deserialize(state) if state else datasketches.update_theta_sketch()
    return str(made.to_string())


def bounds_texts(states: pa.Array, deviations: int, number: Callable[[float], str]) -> pa.Array:
    """Estimate and bounds of each sketch as the JSON (BINARY) that Druid prints; `number` prints a double.

    They follow from the number of hashes and theta, so that each pair of these is looked at once.
    """
    pairs, some, place = np.unique(np.stack(sizes(states)), axis=1, return_index=True, return_inverse=True)
    made = []
    for (count, least), at in zip(pairs.T.tolist(), some.tolist()):
        known = bounds(states[at].as_py(), deviations) if least < MAX_THETA else [float(count)] * 3
        estimate, low, high = map(number, known)
        made.append(f'{{"estimate":{estimate},"highBound":{high},"lowBound":{low},"numStdDev":{deviations}}}'.encode())
    valid = np.asarray(states.is_valid())
    return pa.array(made, pa.binary()).take(pa.array(place.reshape(-1), mask=None if valid.all() else ~valid))


def combine(function: str, columns: list[pa.Array], size: int) -> pa.Array:
    """UNION, INTERSECT or NOT of sketches row by row; a null is an empty sketch."""
    parts = [read_sets(c) for c in columns]
    if function == "UNION":
        thetas = np.minimum.reduce([t for _, t in parts])
        return _write([s for s, _ in parts], thetas, size, sorted_runs=True)
    made, thetas = parts[0]
    if len(parts) == 1:
        made, _ = distinct([made], MAX_THETA, sorted_runs=True)
    for other, other_thetas in parts[1:]:
        thetas = np.minimum(thetas, other_thetas)
        made = _below(common(made, other) if function == "INTERSECT" else without(made, other), thetas)
    return _images(made, thetas, ordered=False)


def nominal(size: int) -> int:
    """The size a sketch really has: the power of two at or above `size`, at least 16."""
    return max(16, 1 << math.ceil(math.log2(max(size, 1))))
