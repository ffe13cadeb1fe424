"""All roaring bitmaps of a column at once, by numpy: no Python per value but for the few bitmap containers.

The bytes equal those of Druid's own writer (portable serialisation, run-optimised, ties to array and bitmap).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msq.segment.writer.generic import Array, Parts, be32, list_head

_RUNS_COOKIE, _PLAIN_COOKIE = 12347, 12346
_ARRAY_MAX = 4096


def bitmap_list(ids: Array, count: int) -> Parts:
    """The bitmaps of a column with one id a row: a list of `count` bitmaps, empty ones of no bytes."""
    return _listed(np.bincount(ids, minlength=count), rows_by_id(ids, count))


def rows_by_id(ids: Array, count: int) -> Array:
    """Row numbers ordered by (id, row): stable radix sorts of sixteen bits at a time."""
    rows = np.argsort(ids.astype(np.uint16), kind="stable")
    if count > 1 << 16:
        rows = rows[np.argsort((ids >> 16).astype(np.uint16)[rows], kind="stable")]
    return rows


def pair_bitmap_list(ids: Array, rows: Array, count: int) -> Parts:
    """The bitmaps of (id, row) pairs, which must be sorted and unique."""
    return _listed(np.bincount(ids, minlength=count), rows)


def _listed(counts: Array, rows: Array) -> Parts:
    single = counts == 1
    if 2 * np.count_nonzero(single) > len(counts):
        return _listed_singles(counts, rows, single)
    # four zero bytes before each say that it is not null
    data, lengths = roaring_bitmaps(counts, rows, 4)
    return [list_head(False, np.cumsum(lengths + 4), len(data)), data]


_SINGLE_BYTES = 18


def _listed_singles(counts: Array, rows: Array, single: Array) -> Parts:
    """The list where most bitmaps hold a single row: these differ in two words only."""
    starts = np.cumsum(counts) - counts
    several = np.flatnonzero(~single)
    data, several_lengths = roaring_bitmaps(counts[several], rows[~np.repeat(single, counts)])
    lengths = np.full(len(counts), _SINGLE_BYTES, np.int64)
    lengths[several] = several_lengths
    ends = np.cumsum(lengths + 4)  # four zero bytes say that what follows is not null
    at = ends - lengths
    even = not (several_lengths & 1).any()
    out = _Words(int(ends[-1]), even)
    unit = np.dtype(np.uint16 if even else np.uint8)
    units = several_lengths // unit.itemsize
    of_several = np.repeat(at[several] // unit.itemsize - (np.cumsum(units) - units), units)
    out.data.view(unit)[of_several + np.arange(len(of_several))] = data.view(unit)
    at, row = at[single], rows[starts[single]]
    out.put(at, _PLAIN_COOKIE)
    out.put(at + 4, 1)
    out.put(at + 8, row >> 16)
    out.put(at + 12, 16)
    out.put(at + 16, row & 0xFFFF)
    return [list_head(False, ends, len(out.data)), out.data]


def single_bitmap(rows: Array) -> Parts:
    """A stand-alone bitmap: its length, then its bytes. `rows` ascend and are not empty."""
    data, _ = roaring_bitmaps(np.asarray([len(rows)]), rows)
    return [be32(len(data)), data]


_HEAD_BYTES = 16


def _single_arrays(held_ids: Array, id_starts: Array, counts: Array, rows: Array, gap: int) -> Array | None:
    """The bitmaps of a column of few rows: a single container each, at the key 0. None when not all are arrays."""
    card = counts[held_ids]
    broken = np.ones(len(rows), bool)
    np.not_equal(rows[1:] - rows[:-1], 1, out=broken[1:])
    broken[id_starts] = True
    runs = np.add.reduceat(broken.view(np.int8), id_starts, dtype=np.int32)
    if card.max() > _ARRAY_MAX or (1 + 2 * runs < card).any():
        return None
    head = _HEAD_BYTES // 2
    words = np.zeros(head * len(card) + len(rows) + gap // 2 * len(counts), np.dtype("<u2"))
    at = gap // 2 * (held_ids + 1) + head * np.arange(len(card)) + id_starts
    words[at] = _PLAIN_COOKIE
    words[at + 2] = 1
    words[at + 5] = card - 1
    words[at + 6] = _HEAD_BYTES
    words[np.repeat(at + head - id_starts, card) + np.arange(len(rows))] = rows
    return words.view(np.uint8)


class _Words:
    """Writes 16-bit words into bytes: whole ones where every place is even, else byte by byte."""

    def __init__(self, size: int, aligned: bool) -> None:
        self.data = np.zeros(size, np.uint8)
        self._words = self.data.view("<u2") if aligned else None

    def put(self, at: Array, values: Any) -> None:
        made = np.asarray(values).astype(np.uint16)
        if self._words is not None:
            self._words[at >> 1] = made
        else:
            self.data[at] = made.astype(np.uint8)
            self.data[at + 1] = (made >> 8).astype(np.uint8)


def roaring_bitmaps(counts: Array, rows: Array, gap: int = 0) -> tuple[Array, Array]:
    """(bytes of all bitmaps one after another, length of each) of bitmaps with `counts` rows each; `rows` ascend in
    each. Before each bitmap stand `gap` zero bytes, an even number, which its length leaves out."""
    n = len(rows)
    lengths = np.zeros(len(counts), np.int64)
    if n == 0:
        return np.zeros(gap * len(counts), np.uint8), lengths
    held_ids = np.flatnonzero(counts)
    id_starts = (np.cumsum(counts) - counts)[held_ids]
    rows = rows.astype(np.int32)
    if rows.max() <= 0xFFFF:
        made = _single_arrays(held_ids, id_starts, counts, rows, gap)
        if made is not None:
            lengths[held_ids] = _HEAD_BYTES + 2 * counts[held_ids]
            return made, lengths
    high, low = (rows >> 16).astype(np.uint16), rows.astype(np.uint16)

    # containers: a new one starts where the id or the upper half of the row changes
    new = np.ones(n, bool)
    np.not_equal(high[1:], high[:-1], out=new[1:])
    new[id_starts] = True
    first_pair = np.flatnonzero(new)
    card = np.diff(first_pair, append=n)
    containers = len(first_pair)
    broken = np.ones(n, bool)
    np.not_equal(rows[1:] - rows[:-1], 1, out=broken[1:])
    broken[first_pair] = True
    runs = np.add.reduceat(broken.view(np.int8), first_pair, dtype=np.int32).astype(np.int64)
    flat = np.where(card <= _ARRAY_MAX, 2 * card, 8192)
    is_run = 2 + 4 * runs < flat
    size = np.where(is_run, 2 + 4 * runs, flat)

    # bitmaps: consecutive containers of one id
    first_container = np.searchsorted(first_pair, id_starts)
    held = np.diff(first_container, append=containers)
    owner = np.repeat(np.arange(len(held)), held)
    any_run = np.logical_or.reduceat(is_run, first_container)
    flag_bytes = (held + 7) // 8
    head = np.where(any_run, 4 + flag_bytes + 4 * held + np.where(held >= 4, 4 * held, 0), 8 + 8 * held)
    total = head + np.add.reduceat(size, first_container)
    lengths[held_ids] = total
    base = np.cumsum(total) - total + gap * (held_ids + 1)
    before = np.cumsum(size) - size
    relative = before + (head - before[first_container])[owner]
    at = base[owner] + relative
    index = np.arange(containers) - first_container[owner]

    # headers: cookie, container count, (key, cardinality - 1) pairs, offsets
    out = _Words(int(total.sum()) + gap * len(counts), not is_run.any())
    out.put(base, np.where(any_run, _RUNS_COOKIE, _PLAIN_COOKIE))
    out.put(base + np.where(any_run, 2, 4), np.where(any_run, held - 1, held))
    keys = base + np.where(any_run, 4 + flag_bytes, 8)
    place = keys[owner] + 4 * index
    out.put(place, high[first_pair])
    out.put(place + 2, card - 1)
    with_offsets = (~any_run | (held >= 4))[owner]
    place, offset = place + 4 * held[owner], relative
    if not with_offsets.all():
        place, offset = place[with_offsets], relative[with_offsets]
    out.put(place, offset & 0xFFFF)
    out.put(place + 2, offset >> 16)

    if is_run.any():
        _put_runs(out, base, owner, index, at, runs, is_run, broken, new, low)
    arrays = ~is_run & (card <= _ARRAY_MAX)
    if arrays.all():
        out.put(np.repeat(at - 2 * first_pair, card) + 2 * np.arange(n), low)
    else:
        element = np.flatnonzero(np.repeat(arrays, card))
        out.put(np.repeat((at - 2 * first_pair)[arrays], card[arrays]) + 2 * element, low[element])
        for c in np.flatnonzero(~is_run & ~arrays):
            bits = np.zeros(65536, np.uint8)
            bits[low[first_pair[c] : first_pair[c] + card[c]]] = 1
            out.data[at[c] : at[c] + 8192] = np.packbits(bits, bitorder="little")
    return out.data, lengths


def _put_runs(
    out: _Words, base: Array, owner: Array, index: Array, at: Array, runs: Array, is_run: Array, broken: Array,
    new: Array, low: Array,
) -> None:  # fmt: skip
    """The run flags of the headers and the payloads of run containers."""
    chosen = np.flatnonzero(is_run)
    flags = base[owner[chosen]] + 4 + index[chosen] // 8
    np.bitwise_or.at(out.data, flags, (1 << (index[chosen] % 8)).astype(np.uint8))
    out.put(at[chosen], runs[chosen])
    starts = np.flatnonzero(broken)
    length = np.diff(starts, append=len(low))
    container = np.cumsum(new)[starts] - 1
    rank = np.arange(len(starts)) - (np.cumsum(runs) - runs)[container]
    mine = is_run[container]
    place = at[container[mine]] + 2 + 4 * rank[mine]
    out.put(place, low[starts[mine]])
    out.put(place + 2, length[mine] - 1)
