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
_BLOCK = 1 << 22


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
    rows = np.arange(len(members))
    table = np.zeros((len(members), 1 << _LEAST_LG), dtype=np.uint32)
    lg = _LEAST_LG
    for number in range(int(sizes.max())):
        some = rows[sizes > number] if number >= int(sizes.min()) else rows
        _insert(table, some, coupons[begin[some] + number], lg)
        if 4 * (number + 1) > 3 << lg and lg < last_lg:
            lg += 1
            table = _grown(table, lg)
    row, place = np.nonzero(table)
    target = np.repeat(begin, sizes) + np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    out[target] = table[row, place]


def _grown(table: Coupons, lg: int) -> Coupons:
    made = np.zeros((len(table), 1 << lg), dtype=np.uint32)
    for place in range(table.shape[1]):
        column = table[:, place]
        rows = np.flatnonzero(column)
        _insert(made, rows, column[rows], lg)
    return made


def _insert(table: Coupons, rows: Ints, coupons: Coupons, lg: int) -> None:
    mask = (1 << lg) - 1
    place = coupons & np.uint32(mask)
    while True:
        taken = table[rows, place] != 0
        if not taken.any():
            table[rows, place] = coupons
            return
        free = ~taken
        table[rows[free], place[free]] = coupons[free]
        rows, coupons, place = rows[taken], coupons[taken], place[taken]
        place = (place + ((coupons & np.uint32(_KEY_MASK)) >> np.uint32(lg) | np.uint32(1))) & np.uint32(mask)
