"""DataSketches KLL sketches of doubles and of floats: every value while few, the library's sketch beyond.

Images of a sketch with `n` values, of which a value takes `w` bytes (8 or 4):

    none       `2 | 1 | 15 | 1 | LE16 k | 8 | 0`
    one        `2 | 2 | 15 | 4 | LE16 k | 8 | 0 | value`
    up to k    `5 | 1 | 15 | 0 | LE16 k | 8 | 0 | LE64 n | LE16 k | 1 | 0 | LE32 k - n | min | max | values, last first`

Those are written, merged and read here by numpy; larger ones go through the datasketches library, one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa

from msq.sketches.binary import Bytes, Ints, binary, flat, gather, group_ids, offsets_of, places_within, scatter, spread
from msq.sketches.ranked import Ranked, Rows, check_fractions, ranks_inclusive

LEAST_K, GREATEST_K = 8, 65535
_FAMILY, _M = 15, 8
_EMPTY, _SINGLE = 1, 4
_SHORT, _LONG = 8, 24
"""Bytes before the values: of sketches of none or one, and of more (there the extremes come first)."""


class Kll(Ranked):
    """Kernels of the sketches of one number type. Merging sketches of several k keeps what the least accurate gives."""

    def __init__(self, kind: str, arrow: Any, library: Any) -> None:
        self._kind = np.dtype(kind)
        self._width = self._kind.itemsize
        self._arrow = arrow
        self._library = library

    def build(self, values: pa.Array, offsets: Ints, k: int) -> pa.Array:
        """Sketches of groups of numbers; nulls and NaN do not count."""
        numbers = values.cast(self._arrow, safe=False)
        valid = np.asarray(numbers.is_valid())
        plain = np.asarray(numbers.fill_null(0) if numbers.null_count else numbers)
        counts = valid & ~np.isnan(plain)
        return self._from_values(plain[counts], group_ids(offsets)[counts], len(offsets) - 1, k)

    def union(self, states: pa.Array, offsets: Ints, k: int) -> pa.Array:
        """One sketch for each group of sketches. Raises ValueError for bytes that are no such sketch."""
        images = _Images(states, self._kind)
        groups = group_ids(offsets)
        count = len(offsets) - 1
        values, owner = images.values()
        large = np.unique(groups[~images.small])
        plain = ~np.isin(groups[owner], large)
        made = self._from_values(values[plain], groups[owner][plain], count, k)
        if not len(large):
            return made
        out = made.to_pylist()
        for group in large:
            joined = self._library(k)
            for state in range(offsets[group], offsets[group + 1]):
                if images.n[state]:
                    joined.merge(self._sketch(images, state))
            out[group] = joined.serialize()
        return pa.array(out, type=pa.binary())

    def counts(self, states: pa.Array) -> Ints:
        return _Images(states, self._kind).n

    def quantiles(self, states: pa.Array, fractions: Sequence[float]) -> Rows:
        check_fractions(fractions)
        images = _Images(states, self._kind)
        values, owner = images.values()
        order = np.lexsort((~np.signbit(values), values, owner))
        sizes = np.bincount(owner, minlength=len(images.n)).astype(np.int64)
        starts = offsets_of(sizes)[:-1]
        full = sizes > 0
        out = np.full((len(sizes), len(fractions)), np.nan)
        for column, fraction in enumerate(fractions):
            out[full, column] = values[order][starts[full] + ranks_inclusive(fraction, sizes[full])]
        for state in np.flatnonzero(~images.small):
            made = self._sketch(images, int(state))
            out[state] = [made.get_quantile(f, True) for f in fractions]
        return out

    def ranks(self, states: pa.Array, points: Sequence[float]) -> Rows:
        images = _Images(states, self._kind)
        values, owner = images.values()
        narrow = np.array(points, dtype=self._kind)
        small = images.small & (images.n > 0)
        out = np.full((len(images.n), len(points)), np.nan)
        for column, point in enumerate(narrow):
            hits = np.bincount(owner[values <= point], minlength=len(images.n))
            out[small, column] = hits[small] / images.n[small]
        for state in np.flatnonzero(~images.small):
            made = self._sketch(images, int(state))
            out[state] = [made.get_rank(float(p), True) for p in narrow]
        return out

    def describe(self, state: bytes) -> str:
        images = _Images(pa.array([state], pa.binary()), self._kind)
        return str((self._sketch(images, 0) if images.n[0] else self._library(int(images.k[0]))).to_string())

    def _sketch(self, images: _Images, state: int) -> Any:
        """The library's sketch of one image."""
        data = images.data[images.offsets[state] : images.offsets[state + 1]].tobytes()
        try:
            return self._library.deserialize(data)
        except (RuntimeError, IndexError, MemoryError) as error:
            raise ValueError(f"Bytes are no KLL sketch: {error}") from error

    def _from_values(self, values: Any, groups: Ints, count: int, k: int) -> pa.Array:
        """Sketches of values, in their order of arrival, whose `groups` ascend."""
        sizes = np.bincount(groups, minlength=count).astype(np.int64)
        starts = offsets_of(sizes)
        packed: dict[int, bytes] = {}
        for group in np.flatnonzero(sizes > k):
            made = self._library(k)
            made.update(np.ascontiguousarray(values[starts[group] : starts[group + 1]]))
            packed[int(group)] = made.serialize()
        small = np.ones(count, dtype=np.bool_)
        small[list(packed)] = False
        kept = np.where(small, sizes, 0)
        owner = np.repeat(np.arange(count), kept)
        backward = values[starts[owner] + kept[owner] - 1 - places_within(kept)]
        return self._pack(backward.astype(self._kind), kept, packed, k)

    def _pack(self, backward: Any, sizes: Ints, packed: dict[int, bytes], k: int) -> pa.Array:
        width = self._width
        lengths = np.where(sizes < 2, _SHORT + width * sizes, _LONG + width * (2 + sizes))
        for group, image in packed.items():
            lengths[group] = len(image)
        offsets = offsets_of(lengths)
        out = np.zeros(int(offsets[-1]), dtype=np.uint8)
        begin, several = offsets[:-1], sizes > 1
        head = np.zeros((len(sizes), _SHORT), dtype=np.uint8)
        head[:, 0] = np.where(several, 5, 2)
        head[:, 1] = np.where(sizes == 1, 2, 1)
        head[:, 2] = _FAMILY
        head[:, 3] = np.where(several, 0, np.where(sizes == 1, _SINGLE, _EMPTY))
        head[:, 4], head[:, 5], head[:, 6] = k & 255, k >> 8, _M
        small = np.ones(len(sizes), dtype=np.bool_)
        small[list(packed)] = False
        scatter(out, begin[small], head[small])
        rest = np.zeros((int(several.sum()), _LONG - _SHORT), dtype=np.uint8)
        rest[:, :8] = _bytes(sizes[several], "<i8")
        rest[:, 8:10] = head[several, 4:6]
        rest[:, 10] = 1
        rest[:, 12:] = _bytes(k - sizes[several], "<i4")
        scatter(out, begin[several] + _SHORT, rest)
        full = np.flatnonzero(sizes)
        begins = offsets_of(sizes)[:-1][full]
        for place, fold in enumerate((np.minimum, np.maximum)):
            ends = fold.reduceat(backward, begins) if len(full) else backward
            scatter(out, begin[several] + _LONG + place * width, _bytes(ends[several[full]], self._kind))
        values_at = begin + np.where(several, _LONG + 2 * width, _SHORT)
        spread(out, values_at, width * sizes, _bytes(backward, self._kind).reshape(-1))
        for group, image in packed.items():
            out[offsets[group] : offsets[group + 1]] = np.frombuffer(image, dtype=np.uint8)
        return binary(out, offsets)


def _bytes(values: Any, kind: Any) -> Bytes:
    """Numbers as rows of their bytes."""
    kind = np.dtype(kind)
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8).reshape(-1, kind.itemsize)


class _Images:
    """The images of a column: counts, k, and the values of those that hold every value (`small`).

    Raises ValueError for bytes that are no KLL sketch of that number type.
    """

    def __init__(self, states: pa.Array, kind: Any) -> None:
        self.data, self.offsets = flat(states)
        self.kind = kind
        lengths = np.diff(self.offsets)
        begin = self.offsets[:-1]
        there = lengths > 0
        if (lengths[there] < _SHORT).any():
            raise ValueError("Bytes are no KLL sketch: too few of them")
        head = np.zeros((len(lengths), _SHORT), dtype=np.uint8)
        head[there] = gather(self.data, begin[there], _SHORT)
        if (head[there, 2] != _FAMILY).any():
            raise ValueError("Bytes are no KLL sketch: they are of another family of sketches")
        empty = ~there | (head[:, 3] & _EMPTY > 0)
        single = ~empty & (head[:, 3] & _SINGLE > 0)
        several = ~empty & ~single
        if ((head[several, 1] != 1) | (lengths[several] < _LONG)).any():
            raise ValueError("Bytes are no KLL sketch: they are not in the compact form")
        self.k = np.where(there, head[:, 4].astype(np.int64) | head[:, 5].astype(np.int64) << 8, 200)
        self.n = single.astype(np.int64)
        self.n[several] = gather(self.data, begin[several] + 8, 8).view("<i8").reshape(-1)
        levels = np.ones(len(lengths), dtype=np.int64)
        levels[several] = self.data[begin[several] + 18]
        self.small = levels == 1
        width = kind.itemsize
        wanted = np.where(self.n > 1, _LONG + width * (2 + self.n), _SHORT + width * self.n)
        if (self.small & (lengths != wanted) & ~empty).any():
            raise ValueError("Bytes are no KLL sketch of that number type: their length does not fit")
        self._first = begin + np.where(several, _LONG + 2 * width, _SHORT)

    def values(self) -> tuple[Any, Ints]:
        """Values of the small images in the order of the images, and the state that each belongs to."""
        sizes = np.where(self.small, self.n, 0)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        start = self._first[owner] + self.kind.itemsize * places_within(sizes)
        read = gather(self.data, start, self.kind.itemsize).view(self.kind).reshape(-1)
        return read.astype(self.kind.newbyteorder("=")), owner


DOUBLES = Kll("<f8", pa.float64(), datasketches.kll_doubles_sketch)
FLOATS = Kll("<f4", pa.float32(), datasketches.kll_floats_sketch)
