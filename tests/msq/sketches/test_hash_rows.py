"""Set operations over rows of hashes against Python's sets, and sketches of keys joined row by row."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.sketches import hash_rows, theta, tuples
from msq.sketches.binary import offsets_of
from msq.sketches.hash_rows import HashSets

HASHES = st.one_of(st.integers(1, 12), st.integers(2**63 - 5, 2**63 - 2), st.integers(2**40, 2**40 + 3))
ROWS = st.lists(st.tuples(*[st.lists(HASHES, max_size=9)] * 3), max_size=7)


def sets(rows: list[list[int]]) -> HashSets:
    return HashSets(
        np.array([h for r in rows for h in r], dtype=np.int64), np.array([len(r) for r in rows], dtype=np.int64)
    )


def lists(of: HashSets) -> list[list[int]]:
    return [part.tolist() for part in np.split(of.hashes, np.cumsum(of.counts)[:-1])] if len(of.counts) else []


def columns(rows: list[tuple[list[int], ...]]) -> list[list[list[int]]]:
    return [[sorted(set(row[i])) for row in rows] for i in range(3)]


@given(ROWS, st.integers(1, 9))
def test_unions(rows: list[tuple[list[int], ...]], most: int) -> None:
    wanted = [sorted({h for column in row for h in column}) for row in rows]
    for given_columns, runs in ((columns(rows), True), ([[list(r[i]) for r in rows] for i in range(3)], False)):
        made, beyond = hash_rows.distinct([sets(c) for c in given_columns], most, sorted_runs=runs)
        assert lists(made) == [w[:most] for w in wanted]
        assert beyond.tolist() == [w[most] if len(w) > most else 0 for w in wanted]


@given(ROWS)
def test_what_is_common_and_what_is_alone(rows: list[tuple[list[int], ...]]) -> None:
    one, other, _ = columns(rows)
    assert lists(hash_rows.common(sets(one), sets(other))) == [sorted(set(a) & set(b)) for a, b in zip(one, other)]
    assert lists(hash_rows.without(sets(one), sets(other))) == [sorted(set(a) - set(b)) for a, b in zip(one, other)]


@given(st.lists(st.lists(HASHES, max_size=300), max_size=5))
def test_order_is_stable_also_where_hashes_differ_in_their_last_bits_alone(rows: list[list[int]]) -> None:
    starts = offsets_of([len(r) for r in rows])
    wanted = [int(starts[n]) + i for n, r in enumerate(rows) for i in sorted(range(len(r)), key=r.__getitem__)]
    assert hash_rows.order(sets(rows)).tolist() == wanted


def test_sets_of_very_different_sizes_stay_in_their_rows() -> None:
    rows = [list(range(1, n + 1)) for n in (0, 3, 40_000, 1, 0, 700, 2)]
    made, beyond = hash_rows.distinct([sets(rows), sets([r[:1] for r in rows])], 1000)
    assert lists(made) == [r[:1000] for r in rows]
    assert beyond.tolist() == [0, 0, 1001, 0, 0, 0, 0]
    turned = rows[::-1]
    assert lists(hash_rows.common(sets(rows), sets(turned))) == [sorted(set(a) & set(b)) for a, b in zip(rows, turned)]


KEYED = st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(-5, 5)), max_size=25), min_size=1, max_size=4)


def keyed(groups: list[list[tuple[int, int]]], size: int) -> pa.Array:
    keys = pa.array([k for g in groups for k, _ in g], pa.int64())
    values = [pa.array([float(v * sign) for g in groups for _, v in g], pa.float64()) for sign in (1, -1)]
    return tuples.build(keys, values, offsets_of([len(g) for g in groups]), size)


@given(KEYED, st.sampled_from([16, 4096]))
def test_tuples_are_unions_of_their_parts(groups: list[list[tuple[int, int]]], size: int) -> None:
    parts = [g[i::2] for g in groups for i in range(2)]
    whole = keyed(groups, size)
    assert tuples.union(keyed(parts, size), np.arange(len(groups) + 1) * 2, size).equals(whole)
    halves = [keyed(parts[i::2], size) for i in range(2)]
    assert tuples.combine("UNION", halves, size).equals(whole)
    exact = [dict.fromkeys(k for k, _ in g) for g in groups]
    if size == 4096:
        assert tuples.estimate(whole).tolist() == [float(len(k)) for k in exact]
        totals = [float(sum(v for _, v in g)) for g in groups]
        assert tuples.sums(whole)[:, 0].tolist() == pytest.approx(totals)
        one, other = ([{k for k, _ in p} for p in parts[i::2]] for i in range(2))
        assert tuples.estimate(tuples.combine("INTERSECT", halves, size)).tolist() == [
            float(len(a & b)) for a, b in zip(one, other)
        ]
        assert tuples.estimate(tuples.combine("NOT", halves, size)).tolist() == [
            float(len(a - b)) for a, b in zip(one, other)
        ]


def test_tuples_of_different_widths_are_refused() -> None:
    one = tuples.build(pa.array([1]), [pa.array([1.0])], np.array([0, 1]), 16)
    two = tuples.build(pa.array([1]), [pa.array([1.0]), pa.array([2.0])], np.array([0, 1]), 16)
    with pytest.raises(ValueError, match="same number of values"):
        tuples.read(pa.concat_arrays([one, two]))


def test_updatable_and_empty_theta_images_beside_compact_ones() -> None:
    """Cells of an updatable image that are empty or not below theta do not count."""
    compact = theta.build(pa.array([1, 2, 3]), np.array([0, 3]), 16)[0].as_py()
    hashes = theta.read_sets(pa.array([compact]))[0].hashes.tolist()
    table = [0, hashes[0], 0, 2**62, hashes[2], 0, 0, 0]
    head = struct.pack("<8BifQ", 3, 3, 2, 4, 3, 0, 0xCC, 0x93, 2, 1.0, 2**62)
    updatable = head + struct.pack("<8q", *table)
    states = pa.array([updatable, compact, None, b""], pa.binary())
    found, thetas = theta.read_sets(states)
    below = [h for h in (hashes[0], hashes[2]) if h < 2**62]
    assert lists(found) == [below, hashes, [], []]
    assert thetas.tolist() == [2**62, *[theta.MAX_THETA] * 3]
    assert theta.estimate(states).tolist() == [len(below) / 0.5, 3.0, 0.0, 0.0]
