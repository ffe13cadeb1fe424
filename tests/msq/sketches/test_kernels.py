"""Sketch kernels against recorded images of a real Druid and against the datasketches library."""

from __future__ import annotations

import base64
import math
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msq.sketches import bloom, hll, hyper_unique, kll, pairs, quantiles, ranked, theta
from msq.sketches.binary import offsets_of

ONE = np.array([0, 1])


def group(values: Any, kind: Any = None) -> tuple[pa.Array, Any]:
    array = pa.array(values, kind)
    return array, np.array([0, len(array)])


def text(states: pa.Array) -> str:
    return base64.b64encode(states[0].as_py()).decode()


def words(image: bytes) -> list[int]:
    """32-bit words in any order: coupons of a set stand in the order of a hash table."""
    padded = image + b"\0" * (-len(image) % 4)
    return sorted(np.frombuffer(padded, "<u4").tolist())


def test_images_that_druid_recorded() -> None:
    assert text(hll.build(*group(["a", "abc"]), 12)) == "AgEHDAMIAgDhUv8P63iABQ=="
    assert text(hll.build(*group([], pa.string()), 12)) == "AgEHDAMMAAA="
    letters = group(["a", "b", "c", None, "a"])
    assert text(hyper_unique.build(*letters)) == "AQAAAwAAAABgEACqEAPHAg=="
    assert text(theta.build(*letters, 16384)) == "AgMDAAAazJMDAAAAAACAP7cMbuWor0AIhX9AtonH5TQXwR1ShQcBew=="
    assert text(quantiles.build(*group([], pa.float64()), 128)) == "AgMIHoAAAAA="
    five = text(quantiles.build(*group([84.0, 0.0, 33.0, 50.0, 67.0]), 128))
    assert five.startswith("AgMIGoAAAAAFAAAAAAAAAAAAAAAAAAAAAAAAAAAAVUAAAAAAAAAAAAAAAA")


def test_sets_stand_in_the_order_of_druid_s_table() -> None:
    numbers = [1, 2, 0, None, -1, 3, 4, 5, 6, -2, 7, 8, 9, 10, 11, 12, -3, 100, 1, 2, None, 0, -1, 5]
    assert text(hll.in_table_order(hll.build(*group(numbers), 12))) == (
        "AwEHDAUIAAERAAAA2WTnC4G8XQaGL/kNiV2yDMvXwgTNv0QKsFtGEtIWcwc0omEOdYFmB/Zx8gZGSrcE/C1CCntl5ggr8vsG/lpDB8HpFwU="
    )
    fractions = [
        0.0, -0.0, 1.005, None, 2.5, -2.5, 1e20, 1e-05, 123.456, -45.0, 1.9, 1000.0, 1.0, 1048576.5, 0.1, -0.1, 9.995,
        2.675, 3.5, 4.5, -1e300, 999.999, 7.0, -7.5,
    ]  # fmt: skip
    assert text(hll.in_table_order(hll.build(*group(fractions), 12))) == (
        "AwEHDAUIAAEWAAAAgtmyLsM7MgsltfUHg+iuEcvXwgRKqSgQi7fLDkyN+wSOHQQP784lBDAkHQcycvAGCq3aCfTf6werwHgE1youBvmTNAea"
        "G+kL1MzhBbySYgYLpZ0P35KqBA=="
    )


@pytest.mark.parametrize("count", [8, 24, 25, 48, 49, 97, 193, 384])
def test_tables_of_all_sizes_hold_every_coupon(count: int) -> None:
    made = hll.build(pa.array(np.arange(3 * count)), np.arange(4) * count, 12)
    ordered = hll.in_table_order(made)
    assert [words(s) for s in ordered.to_pylist()] == [words(s) for s in made.to_pylist()]
    assert hll.in_table_order(pa.array([None, b"", made[0].as_py()[:12]], pa.binary()))[0].as_py() is None


def test_the_running_estimate_stands_until_arrays_are_merged() -> None:
    """Sets joined in the order of their values give what one sketch of all of them gives; arrays do not."""
    numbers = pa.array(np.arange(900))
    whole = hll.build(numbers, np.array([0, 900]), 12)
    sets = hll.build(numbers, np.array([0, 300, 600, 900]), 12)
    assert hll.union(sets, np.array([0, 3]), 12)[0].as_py() == whole[0].as_py()
    assert hll.estimate(whole)[0] != hll.estimate(whole, of_registers=True)[0]
    arrays = hll.union(hll.build(numbers, np.array([0, 450, 900]), 12), np.array([0, 2]), 12)
    assert hll.estimate(arrays)[0] == hll.estimate(whole, of_registers=True)[0]


def test_hyper_unique_hashes_utf8_when_asked() -> None:
    made, _ = hyper_unique.codes(pa.array(["q", "\U0001f600"]), utf16=False)
    assert [divmod(int(c), hyper_unique.RANKS) for c in made] == [(380, 1), (1577, 3)]


def test_hyper_unique_holds_the_empty_text_and_estimates_do_not_see_it_in_sparse_states() -> None:
    """Its rank is 64, kept beside the registers; Druid's estimate of few registers looks at those alone."""
    made = hyper_unique.build(*group(["", None]))
    assert text(made) == "AQAAAEAAAA=="
    assert hyper_unique.estimate(made)[0] == 0
    both = hyper_unique.union(hyper_unique.build(pa.array(["", "a"]), np.array([0, 1, 2])), np.array([0, 2]))
    assert round(hyper_unique.estimate(both)[0]) == 1
    many = pa.array(["", *map(str, range(300))])
    whole, less = (hyper_unique.build(v, np.array([0, len(v)])) for v in (many, many[1:]))
    assert hyper_unique.estimate(whole)[0] == pytest.approx(hyper_unique.estimate(less)[0] + 1, abs=0.3)


@pytest.mark.parametrize("lg_k", [4, 7, 8, 12])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 24, 25, 384, 385, 386, 5000])
def test_hll_equals_the_library(lg_k: int, count: int) -> None:
    wanted = datasketches.hll_sketch(lg_k, datasketches.HLL_4)
    for number in range(count):
        wanted.update(number)
    made = hll.build(*group(np.arange(count)), lg_k)
    image = made[0].as_py()
    if image[7] & 3 == 2:  # an array: the running estimate is a sum of doubles
        head, library = image[:8] + image[16:], wanted.serialize_compact()
        assert words(head) == words(library[:8] + library[16:])
        assert datasketches.hll_sketch.deserialize(image).get_estimate() == pytest.approx(wanted.get_estimate(), 1e-12)
    else:
        assert words(image) == words(wanted.serialize_compact())
        assert hll.estimate(made)[0] == wanted.get_estimate()


def test_hll_reads_updatable_images_and_other_types() -> None:
    for kind in (datasketches.HLL_4, datasketches.HLL_6, datasketches.HLL_8):
        for count in (3, 100, 3000):
            sketch = datasketches.hll_sketch(12, kind)
            for number in range(count):
                sketch.update(number)
            states = pa.array([sketch.serialize_updatable(), sketch.serialize_compact(), None, b""], pa.binary())
            merged = hll.union(states, np.array([0, 4]), 12)
            assert hll.estimate(merged)[0] == pytest.approx(count, rel=0.05)
            assert hll.estimate(states)[2:].tolist() == [0, 0]


def test_theta_equals_the_library() -> None:
    for count in (0, 1, 2, 32, 33, 5000):
        sketch = datasketches.update_theta_sketch(lg_k=5)
        for number in range(count):
            sketch.update(number)
        sketch.trim()
        image = theta.build(*group(np.arange(count)), 32)[0].as_py()
        wanted = bytearray(sketch.compact().serialize())
        if count > 1:
            wanted[12:16] = bytes([0, 0, 0x80, 0x3F])  # the Java library writes the sampling probability
        if count == 0:
            wanted[6:8] = b"\0\0"
        if count == 1:
            wanted[5] |= 0x20
        assert image == bytes(wanted)
        read = datasketches.compact_theta_sketch.deserialize(image)
        assert theta.estimate(pa.array([image], pa.binary()))[0] == pytest.approx(read.get_estimate())


def test_theta_set_operations_by_row() -> None:
    left, offsets = pa.array([1, 2, 3, 4, 7, 8]), np.array([0, 4, 6])
    right = pa.array([3, 4, 5, 9])
    a = theta.build(left, offsets, 16)
    b = theta.build(right, np.array([0, 3, 4]), 16)
    assert theta.estimate(theta.combine("UNION", [a, b], 16)).tolist() == [5, 3]
    assert theta.estimate(theta.combine("INTERSECT", [a, b], 16)).tolist() == [2, 0]
    assert theta.estimate(theta.combine("NOT", [a, b], 16)).tolist() == [2, 2]


def test_quantiles_small_and_large() -> None:
    few = quantiles.build(*group([3.0, 1.0, None, float("nan"), 2.0, -0.0], pa.float64()), 128)
    assert quantiles.counts(few).tolist() == [4]
    assert quantiles.quantiles(few, [0.0, 0.25, 0.5, 1.0]).tolist() == [[0.0, 0.0, 1.0, 3.0]]
    assert np.signbit(quantiles.quantiles(few, [0.0])[0, 0])
    assert quantiles.ranks(few, [1.0, 9.0]).tolist() == [[0.5, 1.0]]
    assert ranked.split_counts(quantiles, few, [1.0]).tolist() == [[2.0, 2.0]]
    many = quantiles.build(*group(np.arange(100_000.0)), 128)
    assert quantiles.quantiles(many, [0.5])[0, 0] == pytest.approx(50_000, rel=0.05)
    both = quantiles.union(pa.concat_arrays([few, many]), np.array([0, 2]), 128)
    assert quantiles.counts(both).tolist() == [100_004]
    with pytest.raises(ValueError, match="normalized rank"):
        quantiles.quantiles(few, [1.5])


def test_hyper_unique_counts_millions() -> None:
    made = hyper_unique.build(*group(np.arange(3_000_000)))
    image = made[0].as_py()
    assert len(image) == hyper_unique.DENSE_BYTES and image[1] > 0, "all registers are taken: an offset is kept apart"
    assert hyper_unique.estimate(made)[0] == pytest.approx(3_000_000, rel=0.05)


def counted(states: pa.Array) -> Any:
    return hll.estimate(states, of_registers=True)


KLL_IMAGES = {
    (): "02010f01c8000800", (1.0,): "02020f04c8000800000000000000f03f",
    (1.0, 2.0): (
        "05010f00c80008000200000000000000c8000100c6000000"
        "000000000000f03f00000000000000400000000000000040000000000000f03f"
    ),
    (1.0, 2.0, 5.0, 3.0, math.nan): (
        "05010f00c80008000400000000000000c8000100c4000000000000000000f03f0000000000001440"
        "000000000000084000000000000014400000000000000040000000000000f03f"
    ),
}  # fmt: skip
"""What DataSketches for Java writes of doubles, k = 200."""


def test_kll_sketches_have_the_images_of_java() -> None:
    for values, image in KLL_IMAGES.items():
        assert kll.DOUBLES.build(*group(values, pa.float64()), 200)[0].as_py().hex() == image
    floats = kll.FLOATS.build(*group([1.0, None, 2.0], pa.float64()), 200)[0].as_py().hex()
    assert floats == "05010f00c80008000200000000000000c8000100c60000000000803f00000040000000400000803f"


@pytest.mark.parametrize(("of", "library"), [
    (kll.DOUBLES, datasketches.kll_doubles_sketch), (kll.FLOATS, datasketches.kll_floats_sketch),
])  # fmt: skip
def test_kll_sketches_of_any_size_agree_with_the_library(of: kll.Kll, library: Any) -> None:
    for count in (1, 7, 8, 9, 5000):
        values = np.random.default_rng(count).permutation(count).astype(np.float64)
        states = of.build(*group(values), 8)
        assert of.counts(states).tolist() == [count]
        same = library.deserialize(states[0].as_py())
        fractions = [0.0, 0.3, 1.0]
        assert of.quantiles(states, fractions)[0].tolist() == [same.get_quantile(f, True) for f in fractions]
        assert of.ranks(states, [count / 3])[0, 0] == same.get_rank(count / 3, True)
        both = of.union(pa.concat_arrays([states, states]), np.array([0, 2]), 8)
        assert of.counts(both).tolist() == [2 * count]
        assert ranked.split_counts(of, both, [count / 2]).sum() == pytest.approx(2 * count)
        assert "KLL sketch" in of.describe(states[0].as_py())


def test_kll_sketches_of_nothing_and_of_one_value() -> None:
    states = pa.array([None, b"", bytes.fromhex(KLL_IMAGES[()]), bytes.fromhex(KLL_IMAGES[(1.0,)])], pa.binary())
    assert kll.DOUBLES.counts(states).tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(kll.DOUBLES.quantiles(states, [0.5])[:, 0], [math.nan] * 3 + [1.0])
    np.testing.assert_array_equal(ranked.equal_counts(kll.DOUBLES, states, 2)[2:], [[math.nan] * 2, [1.0, 0.0]])
    assert kll.DOUBLES.union(states, np.array([0, 4]), 200)[0].as_py().hex() == KLL_IMAGES[(1.0,)]
    assert len(kll.DOUBLES.union(states[:0], np.array([0]), 200)) == 0


@pytest.mark.parametrize("image", [
    b"\2\1", b"\2\1\7\1\xc8\0\x08\0", bytes.fromhex(KLL_IMAGES[(1.0, 2.0)])[:-8], bytes.fromhex("05030f00c8000800"),
    kll.DOUBLES.build(*group(np.arange(500.0)), 8)[0].as_py()[:60],
], ids=["short", "another family", "cut", "not compact", "large and cut"])  # fmt: skip
def test_bytes_that_are_no_kll_sketch_are_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match="no KLL sketch"):
        kll.DOUBLES.quantiles(pa.array([image]), [0.5])
    with pytest.raises(ValueError, match="no KLL sketch"):
        kll.DOUBLES.union(pa.array([image, image]), np.array([0, 2]), 8)


VALUES = st.lists(st.one_of(st.none(), st.integers(-50, 1000)), max_size=60)
BUILDERS = {
    "hyperUnique": (hyper_unique.build, hyper_unique.union, hyper_unique.estimate),
    "hll": (lambda v, o: hll.build(v, o, 12), lambda s, o: hll.union(s, o, 12), counted),
    "hll of few registers": (lambda v, o: hll.build(v, o, 4), lambda s, o: hll.union(s, o, 4), counted),
    "theta": (lambda v, o: theta.build(v, o, 16), lambda s, o: theta.union(s, o, 16), theta.estimate),
    "quantiles": (
        lambda v, o: quantiles.build(v, o, 128),
        lambda s, o: quantiles.union(s, o, 128),
        lambda s: quantiles.quantiles(s, [0.1, 0.5, 0.9]),
    ),
    "kll": (
        lambda v, o: kll.FLOATS.build(v, o, 300),
        lambda s, o: kll.FLOATS.union(s, o, 300),
        lambda s: kll.FLOATS.quantiles(s, [0.1, 0.5, 0.9]),
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.lists(VALUES, max_size=4), min_size=1, max_size=4))
def test_union_of_parts_is_the_whole(name: str, groups: list[list[list[int | None]]]) -> None:
    build, union, read = BUILDERS[name]
    parts = [p for g in groups for p in g]
    flat = pa.array([v for p in parts for v in p], pa.int64())
    states = build(flat, offsets_of([len(p) for p in parts]))
    whole = build(flat, offsets_of([sum(map(len, g)) for g in groups]))
    merged = union(states, offsets_of([len(g) for g in groups]))
    assert len(merged) == len(groups)
    np.testing.assert_array_equal(read(merged), read(whole))
    again = union(merged, np.arange(len(groups) + 1))
    np.testing.assert_array_equal(read(again), read(whole))


TIMES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TIMES, st.one_of(st.none(), st.text())), max_size=20))
def test_pairs_of_texts_keep_nulls_and_empty_texts(rows: list[tuple[int | None, str | None]]) -> None:
    times = pa.array([t for t, _ in rows], pa.int64())
    values = pa.array([v for _, v in rows], pa.string())
    states = pairs.encode_texts(times, values, 1 << 20)
    assert pairs.decode_texts(states).to_pylist() == [v if t is not None else None for t, v in rows]
    read, there = pairs.times(states, True)
    assert [int(t) if ok else None for t, ok in zip(read, there)] == [t for t, _ in rows]
    stored = pairs.texts_at_rest(states).to_pylist()
    assert all(s is None or s[8:12] != b"\xff\xff\xff\xff" for s in stored)


@pytest.mark.parametrize(("kind", "values"), [
    (pa.int64(), [1, None, -(2**63)]), (pa.float64(), [1.5, None, float("inf")]), (pa.float32(), [1.5, None, -2.0]),
])  # fmt: skip
def test_pairs_of_numbers(kind: Any, values: list[Any]) -> None:
    states = pairs.encode_numbers(pa.array([5, 6, None]), pa.array(values, kind))
    assert pairs.decode_numbers(states, kind).to_pylist() == [values[0], None, None]
    assert states.is_valid().to_pylist() == [True, True, False]


def test_texts_are_cut_between_characters() -> None:
    cut = pairs.cut(pa.array(["abcdef", "äöü", "a😀b", None, ""]), 3)
    assert cut.to_pylist() == ["abc", "ä", "a", None, ""]


def test_bloom_filter_of_the_manual() -> None:
    made = bloom.build(*group(["Personal computer", "Smartphone"]), 10)
    assert text(made) == (
        "BAAAAAgAAACAAEAAAAAAAAAAAEIAAAAAAAAAAAAAAAAAAAAAAAIIAAAAAAAAAAAAAAAAAAIAAAAAAQAAAAAAAAAAAAAA"
    )
    asked = pa.array(["Smartphone", "Tablet", None, "Personal computer"])
    assert bloom.might_contain(made[0].as_py(), asked).tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match=r"\[5\] bytes do not fit its header"):
        bloom.might_contain(b"\4\0\0\0\x08", asked)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=6), min_size=1, max_size=4))
def test_bloom_filters_hold_all_their_values(parts: list[list[str | None]]) -> None:
    flat = pa.array([v for p in parts for v in p], pa.string())
    states = bloom.build(flat, offsets_of([len(p) for p in parts]), 50)
    whole = bloom.union(states, np.array([0, len(parts)]), 50)
    assert whole.equals(bloom.build(flat, np.array([0, len(flat)]), 50))
    assert bloom.might_contain(whole[0].as_py(), flat).all()


@pytest.mark.parametrize("states", [[], [None], [None, None]], ids=["no rows", "one null", "nulls"])
def test_theta_sketches_that_are_all_null(states: list[None]) -> None:
    column = pa.array(states, pa.binary())
    assert theta.estimate(column).tolist() == [0.0] * len(states)
    for function in ("UNION", "INTERSECT", "NOT"):
        assert theta.estimate(theta.combine(function, [column, column], 16)).tolist() == [0.0] * len(states)


def test_estimates_and_bounds_of_all_forms_are_the_library_s() -> None:
    """Lists, sets and arrays, running or joined, compact or not, are told apart by their heads."""
    numbers = np.arange(5 + 100 + 3000)
    states = hll.build(pa.array(numbers), np.array([0, 0, 5, 105, 3105]), 12).to_pylist()
    updatable = datasketches.hll_sketch(12, datasketches.HLL_8)
    for number in range(20):
        updatable.update(number)
    arrays = hll.union(pa.array([states[3], states[3]]), np.array([0, 2]), 12).to_pylist()
    column = pa.array([*states, updatable.serialize_updatable(), *arrays, None, b""], pa.binary())
    empty = datasketches.hll_sketch(12).serialize_compact()
    library = [datasketches.hll_sketch.deserialize(s or empty) for s in column.to_pylist()]
    assert hll.estimate(column).tolist() == [one.get_estimate() for one in library]
    for deviations in (1, 2, 3):
        assert hll.bounds(column, deviations).tolist() == [
            [one.get_estimate(), one.get_lower_bound(deviations), one.get_upper_bound(deviations)] for one in library
        ]


def test_bounds_of_theta_sketches_as_text() -> None:
    exact = theta.build(pa.array(np.arange(3)), np.array([0, 0, 1, 3, 3]), 16)
    cut = theta.build(pa.array(np.arange(900)), np.array([0, 400, 900]), 32)
    states = pa.array([*exact.to_pylist(), *cut.to_pylist(), None, b""], pa.binary())
    made = theta.bounds_texts(states, 2, str).to_pylist()
    assert made[1:3] == [
        b'{"estimate":1.0,"highBound":1.0,"lowBound":1.0,"numStdDev":2}',
        b'{"estimate":2.0,"highBound":2.0,"lowBound":2.0,"numStdDev":2}',
    ]
    assert made[0] == made[3] == made[7] == b'{"estimate":0.0,"highBound":0.0,"lowBound":0.0,"numStdDev":2}'
    assert made[6] is None
    for text_made, image in zip(made[4:6], cut.to_pylist()):
        estimate, low, high = theta.bounds(image, 2)
        assert text_made.decode() == f'{{"estimate":{estimate},"highBound":{high},"lowBound":{low},"numStdDev":2}}'
        assert low < estimate < high
