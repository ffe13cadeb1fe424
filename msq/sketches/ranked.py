"""What follows from the ranks of values in sketches of quantiles of any kind: distributions and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from msq.sketches.binary import Ints

Rows = np.ndarray[Any, np.dtype[np.float64]]
"""Doubles, one row for each sketch."""


class Ranked(Protocol):
    """Kernels of one kind of sketch. Columns of states are binary; nulls and values of no bytes are empty sketches."""

    def counts(self, states: pa.Array) -> Ints:
        """How many values each sketch has seen."""
        ...

    def quantiles(self, states: pa.Array, fractions: Sequence[float]) -> Rows:
        """The value at each fraction (inclusive ranks); NaN for empty sketches. Raises ValueError outside 0..1."""
        ...

    def ranks(self, states: pa.Array, points: Sequence[float]) -> Rows:
        """The share of values up to and including each point; NaN for empty sketches."""
        ...

    def describe(self, state: bytes) -> str:
        """A summary for people."""
        ...


def check_fractions(fractions: Sequence[float]) -> None:
    """Raises ValueError for a fraction outside 0..1."""
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ValueError(f"A normalized rank must be >= 0 and <= 1.0: {fraction}")


def ranks_inclusive(fraction: float, sizes: Any) -> Any:
    """The places, from 0, of a fraction's values among so many sorted ones."""
    return np.clip(np.ceil(fraction * sizes).astype(np.int64) - 1, 0, sizes - 1)


def cdf(of: Ranked, states: pa.Array, points: Sequence[float]) -> Rows:
    """Ranks of the points and 1 at the end; NaN for empty sketches. Raises ValueError for points that do not rise."""
    if any(p != p for p in points) or any(a >= b for a, b in pairwise(points)):
        raise ValueError("Values must be unique, monotonically increasing and not NaN.")
    return _shares(of, states, points)


def _shares(of: Ranked, states: pa.Array, points: Sequence[float]) -> Rows:
    last = np.where(of.counts(states) > 0, 1.0, np.nan)
    return np.concatenate([of.ranks(states, points), last[:, None]], axis=1)


def split_counts(of: Ranked, states: pa.Array, points: Sequence[float]) -> Rows:
    """Numbers of values up to the first point, between the points, and beyond the last; NaN for empty sketches."""
    return _differences(cdf(of, states, points), of.counts(states))


def _differences(shares: Rows, counts: Ints) -> Rows:
    made: Rows = np.diff(shares, axis=1, prepend=0.0) * counts[:, None]
    return made


def equal_counts(of: Ranked, states: pa.Array, bins: int) -> Rows:
    """Numbers of values in `bins` equal ranges between the least and the greatest value; NaN for empty sketches.

    Values that are all the same are in the first range. Raises ValueError for fewer than two bins.
    """
    if bins < 2:
        raise ValueError("at least 2 bins expected")
    ends = of.quantiles(states, [0.0, 1.0])
    out = np.full((len(states), bins), np.nan)
    counts = of.counts(states)
    for row in np.flatnonzero(counts > 0):
        least, greatest = ends[row]
        step = (greatest - least) / bins
        points = [float(least + step * i) for i in range(1, bins)]
        own = slice(row, row + 1)
        out[row] = _differences(_shares(of, states[own], points), counts[own])[0]
    return out
