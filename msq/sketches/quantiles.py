"""DataSketches classic quantiles of doubles: sorted values while few, the library's sketch beyond.

A compact image of fewer than 2k values is `2 | 3 | 8 | flags | LE16 k | 0 0 | LE64 n | min | max | values ascending`.
Such images are written, merged and read here by numpy; larger ones go through the datasketches library, one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints, binary, flat, gather, group_ids, offsets_of, scatter, spread, words_behind
from msq.sketches.ranked import check_fractions, ranks_inclusive

_HEADER = 32
_FLAGS = 0x1A
_EMPTY_FLAGS = 0x1E


def build(values: pa.Array, offsets: Ints, k: int) -> pa.Array:
    """Sketches of groups of numbers; nulls and NaN do not count."""
    numbers = values.cast(pa.float64())
    valid = np.asarray(numbers.is_valid())
    plain = np.asarray(numbers.fill_null(0) if numbers.null_count else numbers)
    counts = valid & ~np.isnan(plain)
    return _from_values(plain[counts], group_ids(offsets)[counts], len(offsets) - 1, k)


def _from_values(values: Any, groups: Ints, count: int, k: int) -> pa.Array:
    """Sketches of values whose `groups` ascend."""
    sizes = np.bincount(groups, minlength=count).astype(np.int64)
    starts = offsets_of(sizes)
    packed = {int(g): _large(values[starts[g] : starts[g + 1]], k) for g in np.flatnonzero(sizes >= 2 * k)}
    # by bits, so that -0.0 sorts before 0.0 as in Java
    order = np.lexsort((~np.signbit(values), values, groups))
    return _pack(values[order], sizes, packed, k)


def _large(values: Any, k: int) -> bytes:
    made = datasketches.quantiles_doubles_sketch(k)
    made.update(values)
    return image_of(made)


def image_of(sketch: Any) -> bytes:
    """The image of a library sketch with the flags that Druid's library writes."""
    image = bytearray(sketch.serialize())
    if sketch.is_empty():
        return struct.pack("<4BHH", 2, 3, 8, _EMPTY_FLAGS, sketch.k, 0)
    image[3] = _FLAGS
    return bytes(image)


def _pack(values: Any, sizes: Ints, packed: dict[int, bytes], k: int) -> pa.Array:
    lengths = np.where(sizes == 0, 8, _HEADER + 8 * sizes)
    for group, image in packed.items():
        lengths[group] = len(image)
    offsets = offsets_of(lengths)
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    small = np.ones(len(sizes), dtype=np.bool_)
    small[list(packed)] = False
    head = np.zeros((len(sizes), 8), dtype=np.uint8)
    head[:, 0], head[:, 1], head[:, 2] = 2, 3, 8
    head[:, 3] = np.where(sizes == 0, _EMPTY_FLAGS, _FLAGS)
    head[:, 4], head[:, 5] = k & 255, k >> 8
    begin = offsets[:-1]
    scatter(out, begin[small], head[small])
    full = small & (sizes > 0)
    starts = offsets_of(sizes)
    scatter(out, begin[full] + 8, sizes[full].astype("<i8").view(np.uint8).reshape(-1, 8))
    least, greatest = values[starts[:-1][full]], values[starts[1:][full] - 1]
    scatter(out, begin[full] + 16, least.astype("<f8").view(np.uint8).reshape(-1, 8))
    scatter(out, begin[full] + 24, greatest.astype("<f8").view(np.uint8).reshape(-1, 8))
    body = values[np.repeat(small, sizes)].astype("<f8").view(np.uint8)
    spread(out, begin[small] + _HEADER, 8 * sizes[small], body)
    for group, image in packed.items():
        out[offsets[group] : offsets[group + 1]] = np.frombuffer(image, dtype=np.uint8)
    return binary(out, offsets)


class _Images:
    """The images of a column: counts, and the values of those that hold every value."""

    def __init__(self, states: pa.Array) -> None:
        self.data, self.offsets = flat(states)
        self.lengths = np.diff(self.offsets)
        begin = self.offsets[:-1]
        full = self.lengths >= _HEADER
        self.n = np.zeros(len(self.lengths), dtype=np.int64)
        self.n[full] = gather(self.data, begin[full] + 8, 8).view("<i8").reshape(-1)
        k = np.full(len(self.lengths), 128, dtype=np.int64)
        there = self.lengths >= 8
        k[there] = self.data[begin[there] + 4].astype(np.int64) | self.data[begin[there] + 5].astype(np.int64) << 8
        self.k = k
        self.small = self.n < 2 * k

    def values(self) -> tuple[Any, Ints]:
        """Values of the small images one after another, and how many each has."""
        sizes = np.where(self.small, self.n, 0)
        heads = np.where(sizes > 0, _HEADER, np.minimum(self.lengths, 8)) // 8
        values = words_behind(self.data, self.offsets[:-1], heads, sizes)
        return values.view("<f8").astype(np.float64, copy=False), sizes

    def at(self, which: Any, places: Ints) -> Any:
        """The value at a place of each of the small images of `which`."""
        return gather(self.data, self.offsets[:-1][which] + _HEADER + 8 * places, 8).view("<f8").reshape(-1)

    def sketch(self, state: int) -> Any:
        """The library's sketch of one image; None for an empty one."""
        if self.n[state] == 0:
            return None
        return datasketches.quantiles_doubles_sketch.deserialize(
            self.data[self.offsets[state] : self.offsets[state + 1]].tobytes()
        )


def union(states: pa.Array, offsets: Ints, k: int) -> pa.Array:
    """One sketch for each group of sketches; nulls and values of no bytes are empty."""
    images = _Images(states)
    groups = group_ids(offsets)
    count = len(offsets) - 1
    values, sizes = images.values()
    owner = np.repeat(np.arange(len(sizes)), sizes)
    big = np.unique(groups[~images.small])
    plain = ~np.isin(groups[owner], big)
    small = _from_values(values[plain], groups[owner][plain], count, k)
    if not len(big):
        return small
    merged = {}
    for group in big:
        made = datasketches.quantiles_doubles_sketch(k)
        for state in range(offsets[group], offsets[group + 1]):
            part = images.sketch(state)
            if part is not None:
                made.merge(part)
        merged[int(group)] = image_of(made)
    out = small.to_pylist()
    for group, image in merged.items():
        out[group] = image
    return pa.array(out, type=pa.binary())


def quantiles(states: pa.Array, fractions: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The value at each fraction (inclusive ranks), one row a sketch; NaN for empty ones.

    Raises ValueError for a fraction outside 0..1.
    """
    check_fractions(fractions)
    images = _Images(states)
    out = np.full((len(images.n), len(fractions)), np.nan)
    full = images.small & (images.n > 0)
    for column, fraction in enumerate(fractions):
        out[full, column] = images.at(full, ranks_inclusive(fraction, images.n[full]))
    for state in np.flatnonzero(~images.small):
        made = images.sketch(int(state))
        out[state] = [made.get_quantile(f, True) for f in fractions]
    return out


def counts(states: pa.Array) -> Ints:
    """How many values each sketch has seen; 0 for nulls."""
    return _Images(states).n


def ranks(states: pa.Array, points: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The share of values up to and including each point, one row a sketch; NaN for empty ones."""
    images = _Images(states)
    out = np.full((len(images.n), len(points)), np.nan)
    values, sizes = images.values()
    small = images.small & (images.n > 0)
    starts = offsets_of(sizes)
    for column, point in enumerate(points):
        hits = np.diff(offsets_of(values <= point)[starts])
        out[small, column] = hits[small] / images.n[small]
    for state in np.flatnonzero(~images.small):
        made = images.sketch(int(state))
        out[state] = [made.get_rank(p, True) for p in points]
    return out


def describe(state: bytes) -> str:
    """The library's summary of one sketch."""
    made = datasketches.quantiles_doubles_sketch.deserialize(state) if state else None
    return str((made or datasketches.quantiles_doubles_sketch(128)).to_string())
