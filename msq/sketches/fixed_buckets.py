"""Druid's histogram of fixed buckets: counts of values in equal ranges between two limits, and what lies outside.

Images, big-endian: `1 | encoding | lower, upper (f64) | i32 buckets | u8 mode | i64 count, below, above, missing | max,
min (f64)`, then for encoding 1 a count for each bucket, for encoding 2 (fewer than half of the buckets are filled)
`i32 filled` and pairs `i32 bucket | i64 count`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.sketches.binary import (
    Bytes,
    Ints,
    binary,
    flat,
    gather,
    group_ids,
    offsets_of,
    places_within,
    plain_values,
    scatter,
    spread,
)

MODES = ("ignore", "overflow", "clip")
_HEADER = 71
_FULL, _SPARSE = 1, 2
Doubles = np.ndarray[Any, np.dtype[np.float64]]
_FIELDS = np.dtype([
    ("lower", ">f8"), ("upper", ">f8"), ("buckets", ">i4"), ("mode", "u1"), ("count", ">i8"), ("below", ">i8"),
    ("above", ">i8"), ("missing", ">i8"), ("max", ">f8"), ("min", ">f8"),
])  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Limits, number of buckets, and what becomes of values outside: 0 ignored, 1 counted apart, 2 in end buckets."""

    lower: float
    upper: float
    buckets: int
    mode: int

    @property
    def width(self) -> float:
        return (self.upper - self.lower) / self.buckets


@dataclass
class Histograms:
    """Histograms taken apart: the fields of each, and its filled buckets by owner, ascending."""

    fields: Any
    owner: Ints
    bucket: Ints
    filled: Ints

    @property
    def width(self) -> Doubles:
        """Width of a bucket of each."""
        made: Doubles = (self.fields["upper"] - self.fields["lower"]).astype(np.float64) / self.fields["buckets"]
        return made


def _empty(states: int, shape: Shape) -> Any:
    fields = np.zeros(states, dtype=_FIELDS)
    fields["lower"], fields["upper"], fields["buckets"] = shape.lower, shape.upper, shape.buckets
    fields["mode"], fields["max"], fields["min"] = shape.mode, -np.inf, np.inf
    return fields


def build(values: pa.Array, offsets: Ints, shape: Shape) -> pa.Array:
    """Histograms of groups of numbers; nulls are counted as missing. A NaN falls in the first bucket."""
    numbers, valid = plain_values(values)
    states = len(offsets) - 1
    owners = group_ids(offsets)
    fields = _empty(states, shape)
    fields["missing"] = np.bincount(owners[~valid], minlength=states)
    kept, owner = numbers[valid], owners[valid]
    below, above = kept < shape.lower, kept >= shape.upper
    inside = ~below & ~above
    with np.errstate(invalid="ignore"):
        place = (np.where(np.isnan(kept), shape.lower, kept) - shape.lower) / shape.width
    bucket = np.minimum(np.where(inside, place, 0).astype(np.int64), shape.buckets - 1)
    if shape.mode == 1:
        fields["below"] = np.bincount(owner[below], minlength=states)
        fields["above"] = np.bincount(owner[above], minlength=states)
    elif shape.mode == 2:
        bucket[above] = shape.buckets - 1
        kept = np.where(above, shape.upper, np.where(below, shape.lower, kept))
        inside = np.ones(len(kept), dtype=np.bool_)
    least, greatest = np.full(states, np.inf), np.full(states, -np.inf)
    np.fmin.at(least, owner[inside], kept[inside])
    np.fmax.at(greatest, owner[inside], kept[inside])
    fields["min"], fields["max"] = least, greatest
    fields["count"] = np.bincount(owner[inside], minlength=states)
    return write(_added(fields, owner[inside], bucket[inside], np.ones(int(inside.sum()), dtype=np.int64)))


def _added(fields: Any, owner: Ints, bucket: Ints, counts: Ints) -> Histograms:
    """The histograms with counts of equal buckets added up; buckets without values are left out."""
    order = np.lexsort((bucket, owner))
    owner, bucket, counts = owner[order], bucket[order], counts[order]
    if len(owner):
        first = np.ones(len(owner), dtype=np.bool_)
        first[1:] = (owner[1:] != owner[:-1]) | (bucket[1:] != bucket[:-1])
        starts = np.flatnonzero(first)
        owner, bucket, counts = owner[starts], bucket[starts], np.add.reduceat(counts, starts)
    full = counts != 0
    return Histograms(fields, owner[full], bucket[full], counts[full])


def union(states: pa.Array, offsets: Ints, shape: Shape) -> pa.Array:
    """One histogram of that shape for each group; nulls and values of no bytes are empty.

    Histograms of another shape are spread over the buckets as if the values of a bucket lay evenly in it.
    """
    parts = read(states)
    groups = group_ids(offsets)
    count = len(offsets) - 1
    there = parts.fields["buckets"] > 0
    fields = _empty(count, shape)
    fields["missing"] = _sums(groups[there], parts.fields["missing"][there], count)
    same = there & (parts.width == shape.width)
    same &= (parts.fields["lower"] == shape.lower) & (parts.fields["upper"] == shape.upper)
    if not same[there].all():
        from msq.sketches.rebucket import rebucketed

        parts, same = rebucketed(parts, there & ~same, shape), there
    mine = same[parts.owner]
    owner, bucket, counts = groups[parts.owner[mine]], parts.bucket[mine], parts.filled[mine]
    got = {name: parts.fields[name][same].astype(np.int64) for name in ("count", "below", "above")}
    of = groups[same]
    least, greatest = np.full(count, np.inf), np.full(count, -np.inf)
    np.fmin.at(least, of, parts.fields["min"][same])
    np.fmax.at(greatest, of, parts.fields["max"][same])
    total = _sums(of, got["count"], count)
    if shape.mode == 1:
        fields["below"], fields["above"] = _sums(of, got["below"], count), _sums(of, got["above"], count)
    elif shape.mode == 2:
        owner = np.concatenate([owner, of, of])
        bucket = np.concatenate([bucket, np.zeros(len(of), np.int64), np.full(len(of), shape.buckets - 1)])
        counts = np.concatenate([counts, got["below"], got["above"]])
        total += _sums(of, got["below"] + got["above"], count)
        np.fmin.at(least, of[got["below"] > 0], shape.lower)
        np.fmax.at(greatest, of[got["above"] > 0], shape.upper)
    fields["count"], fields["min"], fields["max"] = total, least, greatest
    return write(_added(fields, owner, bucket, counts))


def _sums(owner: Ints, values: Any, states: int) -> Ints:
    out = np.zeros(states, dtype=np.int64)
    np.add.at(out, owner, np.asarray(values).astype(np.int64))
    return out


def write(of: Histograms) -> pa.Array:
    """Images: sparse ones where fewer than half of the buckets are filled."""
    filled = np.bincount(of.owner, minlength=len(of.fields)).astype(np.int64)
    buckets = of.fields["buckets"].astype(np.int64)
    sparse = filled < buckets // 2
    offsets = offsets_of(np.where(sparse, _HEADER + 4 + 12 * filled, _HEADER + 8 * buckets))
    out = np.zeros(int(offsets[-1]), dtype=np.uint8)
    begin = offsets[:-1]
    out[begin] = 1
    out[begin + 1] = np.where(sparse, _SPARSE, _FULL)
    scatter(out, begin + 2, of.fields.view(np.uint8).reshape(len(of.fields), _FIELDS.itemsize))
    scatter(out, begin[sparse] + _HEADER, filled[sparse].astype(">i4").view(np.uint8).reshape(-1, 4))
    pairs = np.zeros(len(of.owner), dtype=[("bucket", ">i4"), ("count", ">i8")])
    pairs["bucket"], pairs["count"] = of.bucket, of.filled
    mine = sparse[of.owner]
    spread(out, begin[sparse] + _HEADER + 4, 12 * filled[sparse], pairs[mine].view(np.uint8))
    at = begin[of.owner[~mine]] + _HEADER + 8 * of.bucket[~mine]
    scatter(out, at, of.filled[~mine].astype(">i8").view(np.uint8).reshape(-1, 8))
    return binary(out, offsets)


def read(states: pa.Array) -> Histograms:
    """The histograms of a column; nulls and values of no bytes have no buckets. Raises ValueError for other bytes."""
    data, offsets = flat(states)
    begin, lengths = offsets[:-1], np.diff(offsets)
    there = np.flatnonzero(lengths > 0)
    if (lengths[there] < _HEADER).any():
        raise ValueError("Not a histogram of fixed buckets: it ends early")
    if (data[begin[there]] != 1).any():
        raise ValueError("Only serialization version 1 is supported.")
    fields = np.zeros(len(lengths), dtype=_FIELDS)
    fields["max"], fields["min"] = -np.inf, np.inf
    fields[there] = gather(data, begin[there] + 2, _FIELDS.itemsize).view(_FIELDS).reshape(-1)
    encoding = np.zeros(len(lengths), dtype=np.uint8)
    encoding[there] = data[begin[there] + 1]
    if not np.isin(encoding[there], (_FULL, _SPARSE)).all():
        raise ValueError(f"Invalid histogram serde mode: {encoding[there].max()}")
    full, sparse = np.flatnonzero(encoding == _FULL), np.flatnonzero(encoding == _SPARSE)
    buckets = fields["buckets"].astype(np.int64)
    _long_enough(lengths[full], _HEADER + 8 * buckets[full])
    owner = np.repeat(full, buckets[full])
    bucket = places_within(buckets[full])
    counts = _longs(data, begin[owner] + _HEADER + 8 * bucket)
    _long_enough(lengths[sparse], np.full(len(sparse), _HEADER + 4))
    filled = gather(data, begin[sparse] + _HEADER, 4).view(">i4").reshape(-1).astype(np.int64)
    _long_enough(lengths[sparse], _HEADER + 4 + 12 * filled)
    of = np.repeat(sparse, filled)
    within = places_within(filled)
    at = begin[of] + _HEADER + 4 + 12 * within
    some = gather(data, at, 4).view(">i4").reshape(-1).astype(np.int64)
    return _added(
        fields,
        np.concatenate([owner, of]),
        np.concatenate([bucket, some]),
        np.concatenate([counts, _longs(data, at + 4)]),
    )


def _longs(data: Bytes, at: Ints) -> Ints:
    return gather(data, at, 8).view(">i8").reshape(-1).astype(np.int64)


def _long_enough(lengths: Ints, wanted: Ints) -> None:
    if (lengths < wanted).any():
        raise ValueError("Not a histogram of fixed buckets: it ends early")


def percentiles(states: pa.Array, percents: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The value at each percentage, one row a histogram, linear inside a bucket; 0 for empty ones.

    As in Druid the percentages are looked for one after the other: one that is less than its predecessor is reckoned
    from the predecessor's bucket.
    """
    of = read(states)
    lower, width = of.fields["lower"].astype(np.float64), of.width
    total = of.fields["count"].astype(np.int64)
    out = np.zeros((len(total), len(percents)), dtype=np.float32)
    if not len(of.owner):
        return out
    upto = np.cumsum(of.filled)
    bins = np.bincount(of.owner, minlength=len(total))
    start = offsets_of(bins)[:-1]
    upto = upto - np.repeat(np.concatenate([[0], upto])[start], bins)
    share = 100.0 * upto / total[of.owner]
    full = np.flatnonzero((total > 0) & (bins > 0))
    least = np.zeros(len(full), dtype=np.int64)
    for column, percent in enumerate(percents):
        places = np.bincount(of.owner[share < percent], minlength=len(total))[full]
        least = np.maximum(least, places)
        at = np.minimum(start[full] + least, start[full] + bins[full] - 1)
        bucket = of.bucket[at]
        before = 100.0 * (upto[at] - of.filled[at]) / total[full]
        # nothing is at most 0 %: the first bucket answers, whether it is filled or not
        first = (percent <= 0) & (least == 0) & (bucket > 0)
        bucket = np.where(first, 0, bucket)
        with np.errstate(all="ignore"):
            inside = np.where(first, np.nan, (percent - before) / (share[at] - before))
            low = np.where(bucket == 0, lower[full], bucket * width[full] + lower[full])
            made = inside * ((bucket + 1) * width[full] + lower[full] - low) + low
            out[full, column] = np.where(least < bins[full], made, 0.0)
    return out


def describe(states: pa.Array, number: Callable[[float], str]) -> list[str | None]:
    """The texts that Druid shows of histograms, None for nulls; `number` prints a double."""
    of = read(states)
    ends = offsets_of(np.bincount(of.owner, minlength=len(states)))
    out: list[str | None] = []
    for state, there in enumerate(states.is_valid().to_pylist()):
        part = slice(ends[state], ends[state + 1])
        out.append(_text(of.fields[state], of.bucket[part], of.filled[part], number) if there else None)
    return out


def _text(field: Any, bucket: Ints, filled: Ints, number: Callable[[float], str]) -> str:
    counts = np.zeros(int(field["buckets"]), dtype=np.int64)
    counts[bucket] = filled
    return (
        f"{{lowerLimit={number(field['lower'])}, upperLimit={number(field['upper'])}, numBuckets={field['buckets']}, "
        f"upperOutlierCount={field['above']}, lowerOutlierCount={field['below']}, "
        f"missingValueCount={field['missing']}, histogram=[{', '.join(map(str, counts.tolist()))}], "
        f"outlierHandlingMode={MODES[field['mode']]}, count={field['count']}, max={number(field['max'])}, "
        f"min={number(field['min'])}}}"
    )
