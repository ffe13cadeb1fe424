"""The order in which coupons stand in the hash table of an HLL sketch in set mode, which its image keeps.

Open addressing: the low bits of a coupon are its place, the bits above them, made odd, its stride. A table of 32 places
doubles when more than three quarters are taken; its coupons then move over in the order of their places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msq.sketches.binary import Ints

Coupons = np.ndarray[Any, np.dtype[np.uint32]]
_LEAST_LG = 5
_KEY_MASK = (1 << 26) - 1
_BLOCK = 1 << 20


def table_order(coupons: Coupons, starts: Ints, which: Any) -> Coupons:
    """The coupons with those of the groups of `which`, in order of arrival, put in the order of their hash tables.

    `starts`: offsets of the groups, with the end.
    """
    groups = np.flatnonzero(which)
    if not len(groups):
        return coupons
    out = coupons.copy()
    sizes = np.diff(starts)[groups]
    lgs = np.maximum(np.ceil(np.log2(np.maximum(sizes, 1) * 4 / 3)).astype(np.int64), _LEAST_LG)
    for lg in np.unique(lgs):
        members = groups[lgs == lg]
        step = max(_BLOCK >> int(lg), 1)
        for first in range(0, len(members), step):
            _order(out, coupons, starts, members[first : first + step], int(lg))
    return out


def _order(out: Coupons, coupons: Coupons, starts: Ints, members: Ints, last_lg: int) -> None:
    """All tables of one final size are filled together, one coupon of each at a time."""
    begin, sizes = starts[members], np.diff(starts)[members]
    lg, least = _LEAST_LG, int(sizes.min())
    table = np.zeros(len(members) << lg, dtype=np.uint32)
    base = np.arange(len(members), dtype=np.int64) << lg
    for number in range(int(sizes.max())):
        some = slice(None) if number < least else np.flatnonzero(sizes > number)
        _insert(table, base[some], coupons[begin[some] + number], lg)
        if 4 * (number + 1) > 3 << lg and lg < last_lg:
            table = _grown(table, lg)
            base <<= 1
            lg += 1
    held = np.flatnonzero(table)
    target = np.repeat(begin, sizes) + np.arange(len(held)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    out[target] = table[held]


def _grown(table: Coupons, lg: int) -> Coupons:
    """Tables of twice the size, the coupons moved over place by place."""
    made = np.zeros(2 * len(table), dtype=np.uint32)
    by_place = np.ascontiguousarray(table.reshape(-1, 1 << lg).T)
    for column in by_place:
        rows = np.flatnonzero(column)
        _insert(made, rows << (lg + 1), column[rows], lg + 1)
    return made


def _insert(table: Coupons, base: Ints, coupons: Coupons, lg: int) -> None:
    """Puts one coupon in each of the tables that begin at `base`."""
    mask = np.int64((1 << lg) - 1)
    wide = coupons.astype(np.int64)
    at = base + (wide & mask)
    taken = np.flatnonzero(table[at])
    while len(taken):
        stride = (wide[taken] & _KEY_MASK) >> lg | 1
        first = base[taken]
        at[taken] = first + ((at[taken] - first + stride) & mask)
        taken = taken[table[at[taken]] != 0]
    table[at] = coupons
