"""Histograms of fixed buckets laid out anew for other limits or another number of buckets, as Druid merges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from msq.sketches.binary import Ints
from msq.sketches.fixed_buckets import Doubles, Histograms, Shape

Segment = tuple[int, int, float, float]


def rebucketed(of: Histograms, which: Any, shape: Shape) -> Histograms:
    """The histograms, those of `which` spread over the buckets of `shape`.

    The values of a bucket are taken to lie evenly in it; what falls outside the limits is counted below and above.
    """
    fields = of.fields.copy()
    keep = ~which[of.owner]
    parts = [(of.owner[keep], of.bucket[keep], of.filled[keep])]
    forms = np.stack([fields[n].astype(np.float64) for n in ("lower", "upper", "buckets")], axis=1)
    for form in np.unique(forms[which], axis=0):
        members = np.flatnonzero(which & (forms == form).all(axis=1))
        parts.append(_one_form(of, fields, members, Shape(form[0], form[1], int(form[2]), 0), shape))
    owner, bucket, filled = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return Histograms(fields, owner, bucket, filled)


def _one_form(of: Histograms, fields: Any, members: Ints, theirs: Shape, mine: Shape) -> tuple[Ints, Ints, Ints]:
    counts = np.zeros((len(members), theirs.buckets), dtype=np.int64)
    row = np.full(len(fields), -1, dtype=np.int64)
    row[members] = np.arange(len(members))
    inside = row[of.owner] >= 0
    counts[row[of.owner[inside]], of.bucket[inside]] = of.filled[inside]
    total = counts.sum(axis=1)
    below, above = (fields[n][members].astype(np.int64) for n in ("below", "above"))
    made = np.zeros((len(members), mine.buckets), dtype=np.int64)
    least, greatest = np.full(len(members), np.inf), np.full(len(members), -np.inf)
    if theirs.lower >= mine.upper:
        below, above = np.zeros_like(below), above + total
    elif theirs.upper <= mine.lower:
        below, above = below + total, np.zeros_like(above)
    else:
        if theirs.lower <= mine.lower:
            below = below + _round(_beyond(counts, theirs, mine.lower, from_start=True))
        if theirs.upper >= mine.upper:
            above = above + _round(_beyond(counts, theirs, mine.upper, from_start=False))
        if theirs.lower > mine.lower and theirs.upper < mine.upper and mine.mode == 2:
            some = total > 0
            least[some] = fields["min"][members][some]
            greatest[some] = fields["max"][members][some]
        for segment in _segments(theirs, mine):
            _pour(counts, made, least, greatest, segment, theirs)
    fields["below"][members], fields["above"][members] = below, above
    fields["count"][members], fields["min"][members], fields["max"][members] = made.sum(axis=1), least, greatest
    at, bucket = np.nonzero(made)
    return members[at], bucket.astype(np.int64), made[at, bucket]


def _round(values: Doubles) -> Ints:
    made: Ints = np.floor(values + 0.5).astype(np.int64)
    return made


def _beyond(counts: Ints, of: Shape, cutoff: float, *, from_start: bool) -> Doubles:
    """About how many values lie before the cut-off, or behind it."""
    bucket = int((cutoff - of.lower) / of.width)
    if bucket >= of.buckets:
        made: Doubles = counts.sum(axis=1).astype(np.float64) if from_start else np.zeros(len(counts))
        return made
    share = (cutoff - (bucket * of.width + of.lower)) / of.width
    whole = counts[:, :bucket] if from_start else counts[:, bucket + 1 :]
    return np.asarray(whole.sum(axis=1) + counts[:, bucket] * (share if from_start else 1 - share), dtype=np.float64)


def _segments(theirs: Shape, mine: Shape) -> Iterator[Segment]:
    """(my bucket, their bucket, start, length) of each piece of the common range that crosses no border."""
    cursor, end = max(mine.lower, theirs.lower), min(mine.upper, theirs.upper)
    my, their = int((cursor - mine.lower) / mine.width), int((cursor - theirs.lower) / theirs.width)
    while cursor < end and my < mine.buckets and their < theirs.buckets:
        my_border = min((my + 1) * mine.width + mine.lower, end)
        their_border = min((their + 1) * theirs.width + theirs.lower, end)
        length = min(my_border - cursor, their_border - cursor)
        if length > 0:
            yield my, their, cursor, length
        cursor += max(length, 0.0)
        my += cursor >= my_border
        their += cursor >= their_border


def _pour(counts: Ints, made: Ints, least: Doubles, greatest: Doubles, segment: Segment, theirs: Shape) -> None:
    """Adds a segment's share of their bucket to mine, and the least and greatest value it would hold."""
    my, their, cursor, length = segment
    held = _round(counts[:, their].astype(np.float64) * (length / theirs.width))
    some = held > 0
    made[:, my] += held
    low = their * theirs.width + theirs.lower
    with np.errstate(all="ignore"):
        stride = theirs.width / counts[:, their]
        first = np.ceil((cursor - low) / stride) * stride + low
        last = np.floor((cursor + length - low) / stride) * stride + low
    for value, fits in ((first, some & (first >= cursor)), (last, some & (last < cursor + length))):
        least[fits] = np.minimum(least[fits], value[fits])
        greatest[fits] = np.maximum(greatest[fits], value[fits])
