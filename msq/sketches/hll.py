"""DataSketches HLL: sketches of many groups at once as sets of coupons, the few large ones as registers.

A coupon is `value << 26 | low 26 bits of the hash`. Below 8 coupons a sketch is a list, then a hash set, and beyond the
set's limit (3/32 of the registers) an array of registers. Lists and sets are written here by numpy; arrays are made
here as registers with their running estimate and packed by the datasketches library. All are HLL_4 in compact form.

The running estimate stands as long as coupons alone were joined, in the order in which they arrive; a union with an
array is marked by the library, and its estimate comes from the registers.
"""

from __future__ import annotations

import struct
from functools import cached_property, lru_cache
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa

from msq.sketches.binary import Bytes, Ints, binary, flat, gather, group_ids, offsets_of, scatter, spread
from msq.sketches.coupon_set import table_order
from msq.sketches.hash_rows import HashSets, counted, first_of_equals
from msq.sketches.murmur import sketch_hash

_KEY_BITS = 26
_KEY_MASK = np.uint64((1 << _KEY_BITS) - 1)
_LIST_LIMIT = 8
_LIST, _SET, _HLL = 0, 1, 2
_LIST_HEADER, _SET_HEADER, _ARRAY_HEADER = 8, 12, 40
_OUT_OF_ORDER = 16
_MOST_ORDERED = 384
Coupons = np.ndarray[Any, np.dtype[np.uint32]]


def set_limit(lg_k: int) -> int:
    """Most coupons of a sketch that is not yet an array."""
    return _LIST_LIMIT - 1 if lg_k < 8 else 3 << (lg_k - 5)


def coupons(values: pa.Array, utf16: bool) -> tuple[Coupons, Any]:
    """The coupon of each value that counts, and which do (nulls and empty texts do not)."""
    h1, h2, counts = sketch_hash(values, utf16=utf16)
    zeros = np.minimum(_leading_zeros(h2), 62) + 1
    return ((h1 & _KEY_MASK) | (zeros.astype(np.uint64) << np.uint64(_KEY_BITS))).astype(np.uint32), counts


def _leading_zeros(h: np.ndarray[Any, np.dtype[np.uint64]]) -> Ints:
    high = (h >> np.uint64(32)).astype(np.float64)
    low = (h & np.uint64(0xFFFFFFFF)).astype(np.float64)
    # frexp of a number below 2^53 is exact: its exponent is the number of bits
    bits = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1])
    return (64 - bits).astype(np.int64)


def build(values: pa.Array, offsets: Ints, lg_k: int, utf16: bool = True) -> pa.Array:
    """Sketches of groups of values; an empty group gives an empty sketch."""
    if not pa.types.is_dictionary(values.type) and not pa.types.is_primitive(values.type):
        values = values.dictionary_encode()
    if pa.types.is_dictionary(values.type):
        made, counts = coupons(values.dictionary, utf16)
        table = np.zeros(len(values.dictionary), dtype=np.uint32)
        table[counts] = made
        index = np.asarray(values.indices.fill_null(0) if values.indices.null_count else values.indices)
        made = table[index] if len(table) else np.zeros(len(index), dtype=np.uint32)
        counts = (made != 0) & np.asarray(values.indices.is_valid())
        made = made[counts]
    else:
        made, counts = coupons(values, utf16)
    return from_coupons(made, group_ids(offsets)[counts], len(offsets) - 1, lg_k)


def from_coupons(made: Coupons, groups: Ints, count: int, lg_k: int) -> pa.Array:
    """Sketches from coupons in order of arrival; `groups` ascend."""
    sizes = np.bincount(groups, minlength=count).astype(np.int64)
    keep = first_of_equals(HashSets(made.astype(np.int64), sizes))
    made, sizes = made[keep], counted(keep, sizes)
    starts = offsets_of(sizes)
    large = np.flatnonzero(sizes > set_limit(lg_k))
    packed = {int(g): _array(made[starts[g] : starts[g + 1]], lg_k) for g in large}
    return _pack(made, sizes, packed, lg_k)


def _pack(made: Coupons, sizes: Ints, packed: dict[int, bytes], lg_k: int) -> pa.Array:
    """Compact images: lists and sets from coupons, arrays as given by group."""
    is_set = sizes >= _LIST_LIMIT
    lengths = np.where(is_set, _SET_HEADER, _LIST_HEADER) + 4 * sizes
    for group, image in packed.items():
        lengths[group] = len(image)
    offsets = offsets_of(lengths)
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    head = np.zeros((len(sizes), _LIST_HEADER), dtype=np.uint8)
    head[:, 0] = np.where(is_set, 3, 2)
    head[:, 1], head[:, 2], head[:, 3] = 1, 7, lg_k
    # the table doubles when it is more than three quarters full
    table = np.maximum(np.ceil(np.log2(np.maximum(sizes, 1) * 4 / 3)), 5)
    head[:, 4] = np.where(is_set, table, 3)
    head[:, 5] = np.where(sizes == 0, 12, 8)
    head[:, 6] = np.where(is_set, 0, np.minimum(sizes, 255))
    head[:, 7] = np.where(is_set, _SET, _LIST)
    small = np.ones(len(sizes), dtype=np.bool_)
    small[list(packed)] = False
    scatter(out, offsets[:-1][small], head[small])
    sets = small & is_set
    scatter(out, offsets[:-1][sets] + 8, sizes[sets].astype("<i4").view(np.uint8).reshape(-1, 4))
    raw = made[np.repeat(small, sizes)].astype("<u4").view(np.uint8)
    body = offsets[:-1] + np.where(is_set, _SET_HEADER, _LIST_HEADER)
    spread(out, body[small], 4 * sizes[small], raw)
    for group, image in packed.items():
        out[offsets[group] : offsets[group + 1]] = np.frombuffer(image, dtype=np.uint8)
    return binary(out, offsets)


def _array(made: Coupons, lg_k: int) -> bytes:
    """The image of one sketch of distinct coupons in order of arrival, more of them than a set holds.

    The running (HIP) estimate starts from the set's and grows by registers/kxq at each register that changes.
    """
    registers = 1 << lg_k
    slots = (made & np.uint32(registers - 1)).astype(np.int64)
    ranks = (made >> np.uint32(_KEY_BITS)).astype(np.int64)
    limit = set_limit(lg_k) + 1
    order = np.argsort(slots, kind="stable")
    top = np.maximum.accumulate(slots[order] * 64 + ranks[order]) - slots[order] * 64
    before = np.concatenate([[0], top[:-1]])
    before[np.concatenate([[True], slots[order][1:] != slots[order][:-1]])] = 0
    changed = ranks[order] > before
    position, old, new = order[changed], before[changed], ranks[order][changed]
    arrival = np.argsort(position)
    position, old, new = position[arrival], old[arrival], new[arrival]
    delta = np.exp2(-new.astype(np.float64)) - np.exp2(-old.astype(np.float64))
    after = registers + np.cumsum(delta)
    late = position >= limit
    kxq = np.concatenate([[float(registers)], after[:-1]])[late]
    # added up one after the other, as the library does
    hip = float(np.cumsum(np.concatenate([[_coupon_estimate(limit)], registers / kxq]))[-1])
    final = np.zeros(registers, dtype=np.int64)
    np.maximum.at(final, slots, ranks)
    return _from_registers(final, lg_k, hip)


def _from_registers(final: Ints, lg_k: int, hip: float) -> bytes:
    weights = np.exp2(-final.astype(np.float64))
    low = float(weights[final < 32].sum())
    high = float(weights[final >= 32].sum())
    head = struct.pack("<8BdddII", 10, 1, 7, lg_k, 0, 8, 0, _HLL | 2 << 2, hip, low, high, int((final == 0).sum()), 0)
    made = datasketches.hll_union(lg_k)
    made.update(datasketches.hll_sketch.deserialize(head + final.astype(np.uint8).tobytes()))
    image: bytes = made.get_result(datasketches.HLL_4).serialize_compact()
    return image


@lru_cache(maxsize=65536)
def _coupon_estimate(count: int) -> float:
    """What a list or set of `count` coupons estimates, whatever its size."""
    return float(datasketches.hll_sketch.deserialize(_coupon_image(count)).get_estimate())


def _coupon_image(count: int) -> bytes:
    """The image of some list or set of `count` coupons."""
    if count == 0:
        return struct.pack("<8B", 2, 1, 7, 12, 3, 12, 0, _LIST)
    fake = ((1 << _KEY_BITS) | np.arange(count)).astype("<u4").tobytes()
    table = max(5, int(np.ceil(np.log2(count * 4 / 3))))
    return struct.pack("<8BI", 3, 1, 7, 21, table, 8, 0, _SET, count) + fake


def in_table_order(states: pa.Array) -> pa.Array:
    """The sketches with the coupons of sets in the order that Druid's images have.

    Druid puts them into a hash table when it builds a sketch and once more when it merges the sketch. Sets larger than
    the default lgK allows keep the order of arrival, which is as good: it takes a step a coupon to find the table's.
    """
    images = _Images(states)
    is_set = (images.lengths >= _SET_HEADER) & (images.mode == _SET)
    if not is_set.any():
        return states
    counts = np.where(is_set, (images.lengths - _SET_HEADER) // 4, 0)
    starts = offsets_of(counts)
    owner = group_ids(starts)
    at = images.offsets[:-1][owner] + _SET_HEADER + 4 * (np.arange(len(owner)) - starts[owner])
    made = gather(images.data, at, 4).view("<u4").reshape(-1).astype(np.uint32)
    is_set &= counts <= _MOST_ORDERED
    full = is_set & (np.bincount(owner, made == 0, len(counts)) == 0)  # an updatable image is a table itself
    for _ in range(2):
        made = table_order(made, starts, full)
    out = images.data.copy()
    scatter(out, at, made.astype("<u4").view(np.uint8).reshape(-1, 4))
    return binary(out, images.offsets, np.asarray(states.is_valid()))


class _Images:
    """The images of a column, taken apart: modes, and all coupons of those that are no arrays."""

    def __init__(self, states: pa.Array) -> None:
        self.data, self.offsets = flat(states)
        self.lengths = np.diff(self.offsets)
        there = self.lengths >= _LIST_HEADER
        self.mode = np.full(len(self.lengths), _LIST)
        self.mode[there] = self.data[self.offsets[:-1][there] + 7] & 3
        self.flags = np.zeros(len(self.lengths), dtype=np.int64)
        self.flags[there] = self.data[self.offsets[:-1][there] + 5]
        self.is_array = there & (self.mode == _HLL)

    @cached_property
    def counts(self) -> Ints:
        """How many coupons each list or set holds; 0 for arrays."""
        listed = (self.lengths >= _LIST_HEADER) & (self.mode == _LIST)
        made = np.zeros(len(self.lengths), dtype=np.int64)
        made[listed] = self.data[self.offsets[:-1][listed] + 6]
        sets = (self.lengths >= _SET_HEADER) & (self.mode == _SET)
        made[sets] = gather(self.data, self.offsets[:-1][sets] + 8, 4).view("<u4")[:, 0]
        return made

    def coupons(self) -> tuple[Coupons, Ints]:
        """Coupons of lists and sets, and the state that each belongs to; empty cells are left out."""
        header = np.where(self.mode == _SET, _SET_HEADER, _LIST_HEADER)
        count = np.where(self.is_array, 0, np.maximum(self.lengths - header, 0) // 4)
        owner = np.repeat(np.arange(len(count)), count)
        within = np.arange(int(count.sum())) - np.repeat(offsets_of(count)[:-1], count)
        start = self.offsets[:-1][owner] + header[owner] + 4 * within
        made = gather(self.data, start, 4).view("<u4").reshape(-1).astype(np.uint32)
        return made[made != 0], owner[made != 0]

    def image(self, state: int) -> bytes:
        return self.data[self.offsets[state] : self.offsets[state + 1]].tobytes()


def union(states: pa.Array, offsets: Ints, lg_k: int) -> pa.Array:
    """One sketch for each group of sketches; nulls and values of no bytes are empty sketches."""
    images = _Images(states)
    groups = group_ids(offsets)
    count = len(offsets) - 1
    made, owner = images.coupons()
    arrays = np.flatnonzero(images.is_array)
    if not len(arrays):
        return from_coupons(made, groups[owner], count, lg_k)
    with_array = np.unique(groups[arrays])
    plain = ~np.isin(groups[owner], with_array)
    packed = {int(g): _union([images.image(i) for i in range(offsets[g], offsets[g + 1])], lg_k) for g in with_array}
    rest = from_coupons(made[plain], groups[owner][plain], count, lg_k)
    data, ends = flat(rest)
    return _replace(data, ends, packed)


def _replace(data: Bytes, ends: Ints, packed: dict[int, bytes]) -> pa.Array:
    lengths = np.diff(ends)
    kept = np.ones(len(lengths), dtype=np.bool_)
    kept[list(packed)] = False
    raw = data[np.repeat(kept, lengths)]
    kept_lengths = lengths[kept]
    for group, image in packed.items():
        lengths[group] = len(image)
    offsets = offsets_of(lengths)
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    spread(out, offsets[:-1][kept], kept_lengths, raw)
    for group, image in packed.items():
        out[offsets[group] : offsets[group + 1]] = np.frombuffer(image, dtype=np.uint8)
    return binary(out, offsets)


def _union(images: list[bytes], lg_k: int) -> bytes:
    made = datasketches.hll_union(lg_k)
    for image in images:
        if image:
            made.update(datasketches.hll_sketch.deserialize(image))
    image = made.get_result(datasketches.HLL_4).serialize_compact()
    return bytes(image)


def estimate(states: pa.Array, *, of_registers: bool = False) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimated number of distinct values of each sketch; 0 for nulls.

    `of_registers`: from the registers alone, as after a union of arrays, whatever order the values came in.
    """
    images = _Images(states)
    known, place = np.unique(images.counts, return_inverse=True)
    out = np.array([_coupon_estimate(int(n)) for n in known], dtype=np.float64)[place]
    running = images.is_array & ((images.flags & _OUT_OF_ORDER) == 0)
    if of_registers:
        running[:] = False
    out[running] = gather(images.data, images.offsets[:-1][running] + 8, 8).view("<f8")[:, 0]
    for state in np.flatnonzero(images.is_array & ~running):
        image = images.image(int(state))
        if of_registers:
            image = image[:5] + bytes([image[5] | _OUT_OF_ORDER]) + image[6:]
        out[state] = datasketches.hll_sketch.deserialize(image).get_estimate()
    return out


def bounds(states: pa.Array, deviations: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[estimate, lower, upper] of each sketch at 1 to 3 standard deviations; of an empty one for nulls."""
    images = _Images(states)
    known, place = np.unique(images.counts, return_inverse=True)
    out = np.array([_bounds(_coupon_image(int(n)), deviations) for n in known]).reshape(-1, 3)[place]
    for state in np.flatnonzero(images.is_array):
        out[state] = _bounds(images.image(int(state)), deviations)
    return out


def _bounds(image: bytes, deviations: int) -> tuple[float, float, float]:
    made = datasketches.hll_sketch.deserialize(image)
    return made.get_estimate(), made.get_lower_bound(deviations), made.get_upper_bound(deviations)


def describe(state: bytes) -> str:
    """The library's summary of one sketch."""
    made = datasketches.hll_sketch.deserialize(state) if state else datasketches.hll_sketch(12)
    return str(made.to_string(summary=True, detail=False, aux_detail=False, all=False))


def is_empty(states: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each sketch holds nothing."""
    images = _Images(states)
    there = images.lengths >= _LIST_HEADER
    empty: np.ndarray[Any, np.dtype[np.bool_]] = ~there | ((images.flags & 4) != 0)
    return empty


def union_rows(columns: list[pa.Array], lg_k: int) -> pa.Array:
    """The union of the sketches of each row; nulls are empty sketches."""
    rows = len(columns[0])
    states = pa.concat_arrays([c.cast(pa.large_binary()) for c in columns])
    order = np.arange(rows * len(columns)).reshape(len(columns), rows).T.reshape(-1)
    return union(states.take(pa.array(order)), np.arange(rows + 1) * len(columns), lg_k)
