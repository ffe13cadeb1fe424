"""Runs of adjacent rows with equal keys, and merging the states of each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.aggregate.base import NativeAggregator, Runs, combine

_BITS = {pa.float64(): np.int64, pa.float32(): np.int32}


def find_runs(keys: Sequence[pa.Array | pa.ChunkedArray], rows: int) -> Runs:
    """The runs of rows whose keys are all equal: nulls equal nulls, -0.0 differs from 0.0, NaN equals NaN.

    Without keys all rows are one run.
    """
    if rows == 0:
        return Runs(np.zeros(0, dtype=np.int64), 0)
    change = np.zeros(rows, dtype=np.bool_)
    change[0] = True
    for key in keys:
        change[1:] |= differs_from_previous(combine(key))
    return Runs(np.flatnonzero(change).astype(np.int64), rows)


def differs_from_previous(values: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each row but the first, whether it differs from the one before."""
    if len(values) < 2:
        return np.zeros(0, dtype=np.bool_)
    index = np.arange(len(values) - 1)
    return _differ(values, index, index + 1)


def _differ(values: pa.Array, left: Any, right: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether `values[left[i]]` and `values[right[i]]` differ."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    valid = np.asarray(values.is_valid()) if values.null_count else None
    out: np.ndarray[Any, np.dtype[np.bool_]]
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        out = _lists_differ(values, left, right)
    elif values.type in _BITS:
        bits = np.asarray(values.fill_null(0) if values.null_count else values)
        bits = np.where(np.isnan(bits), np.asarray(np.nan, dtype=bits.dtype), bits).view(_BITS[values.type])
        out = bits[left] != bits[right]
    elif pa.types.is_integer(values.type):
        plain = np.asarray(values.fill_null(0) if values.null_count else values)
        out = plain[left] != plain[right]
    else:
        near = len(left) == len(values) - 1
        a = values.slice(0, len(values) - 1) if near else values.take(pa.array(left))
        b = values.slice(1) if near else values.take(pa.array(right))
        out = np.asarray(pc.fill_null(pc.not_equal(a, b), False))
    if valid is None:
        return out
    both = valid[left] & valid[right]
    return np.where(both, out, valid[left] != valid[right])


def _lists_differ(values: pa.Array, left: Any, right: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    offsets = np.asarray(values.offsets).astype(np.int64)
    starts, lengths = offsets[:-1], np.diff(offsets)
    out: np.ndarray[Any, np.dtype[np.bool_]] = lengths[left] != lengths[right]
    same = np.flatnonzero(~out & (lengths[left] > 0))
    if len(same):
        count = lengths[left][same]
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        within = np.arange(int(count.sum())) - np.repeat(first, count)
        one = np.repeat(starts[left][same], count) + within
        other = np.repeat(starts[right][same], count) + within
        out[same] = np.logical_or.reduceat(_differ(values.values, one, other), first)
    return out


def merge_runs(batch: pa.Table, keys: Sequence[str], aggregators: Sequence[NativeAggregator], runs: Runs) -> pa.Table:
    """One row for each run: keys of its first row, states merged. Columns: `keys`, then aggregators by name."""
    names = [*keys, *(a.name for a in aggregators)]
    if runs.trivial:
        return batch.select(names)
    first = pa.array(runs.starts)
    columns = [combine(batch.column(k)).take(first) for k in keys]
    columns += [a.merge(combine(batch.column(a.name)), runs) for a in aggregators]
    return pa.table(columns, names=names)


def merge_sorted(
    tables: Iterable[pa.Table], keys: Sequence[str], aggregators: Sequence[NativeAggregator]
) -> Iterable[pa.Table]:
    """Merges a stream in which rows with equal keys are adjacent; only the last run of a table is held back."""
    held: pa.Table | None = None
    for table in tables:
        if table.num_rows == 0:
            continue
        if held is not None:
            table = pa.concat_tables([held, table.select(held.column_names)], promote_options="permissive")
        merged = merge_runs(table, keys, aggregators, find_runs([table.column(k) for k in keys], table.num_rows))
        held = merged.slice(merged.num_rows - 1)
        if merged.num_rows > 1:
            yield merged.slice(0, merged.num_rows - 1)
    if held is not None:
        yield held
