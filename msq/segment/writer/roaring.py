"""All roaring bitmaps of a column at once, by numpy: no Python per value but for the few bitmap containers.

The bytes equal those of Druid's own writer (portable serialisation, run-optimised, ties to array and bitmap).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msq.segment.writer.generic import Array, Parts, be32, binary_array, value_list

_RUNS_COOKIE, _PLAIN_COOKIE = 12347, 12346
_ARRAY_MAX = 4096


def bitmap_list(ids: Array, count: int) -> Parts:
    """The bitmaps of a column with one id a row: a list of `count` bitmaps, empty ones of no bytes."""
    rows = rows_by_id(ids, count)
    per_id = np.bincount(ids, minlength=count)
    return pair_bitmap_list(np.repeat(np.arange(count, dtype=np.int64), per_id), rows, count)


def rows_by_id(ids: Array, count: int) -> Array:
    """Row numbers ordered by (id, row)."""
    if count <= 65536:
        return np.argsort(ids.astype(np.uint16), kind="stable")
    key = (ids.astype(np.int64) << 32) | np.arange(len(ids))
    key.sort()
    return key & 0xFFFFFFFF


def pair_bitmap_list(ids: Array, rows: Array, count: int) -> Parts:
    """The bitmaps of (id, row) pairs, which must be sorted and unique."""
    data, lengths = roaring_bitmaps(ids, rows, count)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return value_list(binary_array(offsets, data), False, False)


def single_bitmap(rows: Array) -> Parts:
    """A stand-alone bitmap: its length, then its bytes. `rows` ascend and are not empty."""
    data, _ = roaring_bitmaps(np.zeros(len(rows), np.int64), rows, 1)
    return [be32(len(data)), data]


def _put16(out: Array, at: Array, value: Any) -> None:
    value = np.asarray(value)
    out[at] = value & 0xFF
    out[at + 1] = (value >> 8) & 0xFF


def roaring_bitmaps(ids: Array, rows: Array, count: int) -> tuple[Array, Array]:
    """(bytes of all bitmaps back to back, length of each id's bitmap); the pairs are sorted and unique."""
    n = len(rows)
    lengths = np.zeros(count, np.int64)
    if n == 0:
        return np.zeros(0, np.uint8), lengths
    high, low = rows >> 16, rows & 0xFFFF

    # containers: a new one starts where the id or the upper half of the row changes
    new = np.ones(n, bool)
    new[1:] = (ids[1:] != ids[:-1]) | (high[1:] != high[:-1])
    broken = new.copy()
    broken[1:] |= rows[1:] != rows[:-1] + 1
    first_pair = np.flatnonzero(new)
    card = np.diff(np.append(first_pair, n))
    containers = len(first_pair)
    runs = np.add.reduceat(broken, first_pair, dtype=np.int64)
    flat = np.where(card <= _ARRAY_MAX, 2 * card, 8192)
    is_run = 2 + 4 * runs < flat
    size = np.where(is_run, 2 + 4 * runs, flat)

    # bitmaps: consecutive containers of one id
    first = np.ones(containers, bool)
    first[1:] = ids[first_pair[1:]] != ids[first_pair[:-1]]
    first_container = np.flatnonzero(first)
    held = np.diff(np.append(first_container, containers))
    owner = np.cumsum(first) - 1
    any_run = np.logical_or.reduceat(is_run, first_container)
    flag_bytes = (held + 7) // 8
    head = np.where(any_run, 4 + flag_bytes + 4 * held + np.where(held >= 4, 4 * held, 0), 8 + 8 * held)
    total = head + np.add.reduceat(size, first_container)
    lengths[ids[first_pair[first_container]]] = total

    base = np.cumsum(total) - total
    out = np.zeros(int(total.sum()), np.uint8)
    before = np.cumsum(size) - size
    relative = before - before[first_container][owner] + head[owner]
    at = base[owner] + relative
    index = np.arange(containers) - first_container[owner]

    # headers: cookie, container count, (key, cardinality - 1) pairs, offsets
    _put16(out, base, np.where(any_run, _RUNS_COOKIE, _PLAIN_COOKIE))
    _put16(out, base[any_run] + 2, held[any_run] - 1)
    _put16(out, base[~any_run] + 4, held[~any_run])
    keys = base + np.where(any_run, 4 + flag_bytes, 8)
    _put16(out, keys[owner] + 4 * index, high[first_pair])
    _put16(out, keys[owner] + 4 * index + 2, card - 1)
    with_offsets = (~any_run | (held >= 4))[owner]
    place = (keys + 4 * held)[owner][with_offsets] + 4 * index[with_offsets]
    _put16(out, place, relative[with_offsets])
    _put16(out, place + 2, relative[with_offsets] >> 16)

    run_containers = np.flatnonzero(is_run)
    if run_containers.size:
        flags = base[owner[run_containers]] + 4 + index[run_containers] // 8
        np.bitwise_or.at(out, flags, (1 << (index[run_containers] % 8)).astype(np.uint8))
        _put16(out, at[run_containers], runs[run_containers])
        starts = np.flatnonzero(broken)
        length = np.diff(np.append(starts, n))
        container = np.cumsum(new)[starts] - 1
        rank = np.arange(len(starts)) - (np.cumsum(runs) - runs)[container]
        mine = is_run[container]
        place = at[container[mine]] + 2 + 4 * rank[mine]
        _put16(out, place, low[starts[mine]])
        _put16(out, place + 2, length[mine] - 1)

    arrays = ~is_run & (card <= _ARRAY_MAX)
    element = np.flatnonzero(np.repeat(arrays, card))
    place = np.repeat((at - 2 * first_pair)[arrays], card[arrays]) + 2 * element
    if not any_run.any():
        # without run flags every field stands on an even byte: write whole 16-bit words
        out.view("<u2")[place >> 1] = low[element]
    else:
        _put16(out, place, low[element])
    for c in np.flatnonzero(~is_run & (card > _ARRAY_MAX)):
        bits = np.zeros(65536, np.uint8)
        bits[low[first_pair[c] : first_pair[c] + card[c]]] = 1
        out[at[c] : at[c] + 8192] = np.packbits(bits, bitorder="little")
    return out, lengths
