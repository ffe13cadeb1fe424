"""Histograms and t-digests: values worked out by hand, images the libraries of Druid's extensions made, properties."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.expr.printer import double_text
from msq.sketches import approximate_histogram, fixed_buckets, spectator, tdigest
from msq.sketches.binary import offsets_of
from msq.sketches.fixed_buckets import Shape

NUMBERS = st.lists(st.none() | st.integers(-50, 50).map(float), max_size=40)


def group(values: Any) -> tuple[pa.Array, Any]:
    return pa.array(values, pa.float64()), np.array([0, len(values)])


def groups(lists: list[list[Any]]) -> tuple[pa.Array, Any]:
    flat = [v for values in lists for v in values]
    return pa.array(flat, pa.float64()), offsets_of(np.array([len(values) for values in lists], dtype=np.int64))


def states(lists: list[list[Any]], build: Any) -> pa.Array:
    return build(*groups(lists))


# ----------------------------------------------------------------------------------------- approximate histograms


def approximate(values: Any, size: int = 50) -> pa.Array:
    return approximate_histogram.build(*group(values), size)


def test_an_empty_approximate_histogram_is_compact_and_has_no_quantile() -> None:
    made = approximate([])
    assert made[0].as_py() == b"\xff\xce\x00"
    assert math.isnan(approximate_histogram.quantiles(made, [0.5])[0, 0])


def test_few_values_are_written_as_they_are_and_many_equal_ones_as_bins() -> None:
    floats = np.array([1, 2, 2], ">f4").tobytes()
    assert approximate([2, None, 1, 2])[0].as_py() == b"\xff\xce\x03" + floats
    sparse = approximate([7.0] * 200)[0].as_py()
    assert sparse == (
        np.array([50, -1], ">i4").tobytes() + np.array([7], ">f4").tobytes() + np.array([200], ">i8").tobytes()
        + np.array([7, 7], ">f4").tobytes()
    )  # fmt: skip


def test_the_closest_bins_are_merged_by_weight_and_marked() -> None:
    bins = approximate_histogram.read(approximate([0, 10, 11, 11, 30], 3))
    assert bins.position.tolist() == [0.0, np.float32(32 / 3), 30.0]
    assert (bins.count.tolist(), bins.approximate.tolist()) == ([1, 3, 1], [False, True, False])
    assert (bins.least.tolist(), bins.greatest.tolist()) == ([0.0], [30.0])


@pytest.mark.parametrize(("fraction", "wanted"), [(0.1, 1.0), (0.5, 2.5), (0.75, 3.75), (0.9, 4.5)])
def test_quantiles_follow_the_counts_of_neighbours(fraction: float, wanted: float) -> None:
    """Of five single values: the share of five that is passed, between the value before it and the one behind."""
    made = approximate_histogram.quantiles(approximate([1, 2, 3, 4, 5]), [fraction])
    assert made[0, 0] == pytest.approx(wanted)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 2.0, math.nan])
def test_quantiles_outside_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        approximate_histogram.quantiles(approximate([1]), [fraction])


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.integers(1, 8))
def test_approximate_histograms_keep_counts_and_extremes(lists: list[list[Any]], size: int) -> None:
    made = states(lists, lambda v, o: approximate_histogram.build(v, o, size))
    bins = approximate_histogram.read(made)
    kept = [[v for v in values if v is not None] for values in lists]
    assert bins.totals().tolist() == [len(k) for k in kept]
    assert (bins.sizes() <= size).all()
    assert [float(v) for v in bins.least] == [min(k, default=math.inf) for k in kept]
    assert [float(v) for v in bins.greatest] == [max(k, default=-math.inf) for k in kept]
    together = approximate_histogram.read(approximate_histogram.union(made, np.array([0, len(made)]), size))
    assert together.totals().tolist() == [sum(map(len, kept))]


@given(NUMBERS, NUMBERS)
def test_approximate_histograms_of_few_values_merge_as_if_built_at_once(left: list[Any], right: list[Any]) -> None:
    parts = states([left, right], lambda v, o: approximate_histogram.build(v, o, 200))
    merged = approximate_histogram.union(parts, np.array([0, 2]), 200)
    assert merged[0].as_py() == approximate(left + right, 200)[0].as_py()


def test_images_of_all_forms_are_read_alike() -> None:
    floats, counts = np.array([1, 2], ">f4"), np.array([3, 1], ">i8")
    ends = np.array([1, 2], ">f4").tobytes()
    sparse = np.array([2, -2], ">i4").tobytes() + floats.tobytes() + counts.tobytes() + ends
    dense = np.array([2, 2], ">i4").tobytes() + floats.tobytes() + counts.tobytes() + ends
    compact = b"\xff\xfe\x04" + np.array([1, 1, 1, 2], ">f4").tobytes()
    bins = approximate_histogram.read(pa.array([sparse, dense, compact, None, b""], pa.binary()))
    assert bins.owner.tolist() == [0, 0, 1, 1, 2, 2]
    assert bins.count.tolist() == [3, 1] * 3 and bins.position.tolist() == [1.0, 2.0] * 3


def test_merged_bins_survive_the_compact_form() -> None:
    made = approximate([0, 1, 1.5, 100], 3)
    image = made[0].as_py()
    assert image[:3] == b"\xff\xfd\xfe"
    again = approximate_histogram.read(made)
    assert again.approximate.tolist() == [False, True, False] and again.count.tolist() == [1, 2, 1]
    assert (again.least[0], again.greatest[0]) == (0.0, 100.0)
    assert approximate_histogram.union(made, np.array([0, 1]), 3)[0].as_py() == image


@pytest.mark.parametrize("image", [b"\x00", b"\xff\xce\x05", b"\0\0\0\x05\0\0\0\x05", b"\0\0\0\x05" + b"\xff" * 20])
def test_bytes_that_are_no_approximate_histogram_are_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match="Not an approximate histogram"):
        approximate_histogram.read(pa.array([image], pa.binary()))


def test_counts_between_breaks_are_linear_in_merged_bins_and_exact_in_others() -> None:
    bins = approximate_histogram.read(approximate([1, 2, 2, 3]))
    breaks = np.array([[0, 1, 2, 3]], dtype=np.float32)
    assert approximate_histogram.counts_between(bins, breaks).tolist() == [[1.0, 2.0, 1.0]]
    assert approximate_histogram.equal_breaks(bins, 3).tolist() == [[0.0, 1.0, 2.0, 3.0]]
    assert approximate_histogram.stepped_breaks(bins, 1.0, 0.0).tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="more than"):
        approximate_histogram.stepped_breaks(bins, 1e-9, 0.0)


def test_a_million_values_are_spread_over_the_bins() -> None:
    values = np.random.default_rng(1).random(200_000)
    made = approximate_histogram.build(pa.array(values), np.array([0, len(values)]), 50)
    found = approximate_histogram.quantiles(made, [0.1, 0.5, 0.9])[0]
    assert np.abs(found - [0.1, 0.5, 0.9]).max() < 0.03


# --------------------------------------------------------------------------------------------------- fixed buckets

TEN = Shape(0.0, 100.0, 10, 0)


def test_values_outside_are_left_out_counted_apart_or_clipped() -> None:
    values = [-5, 0, 5, 99.9, 100, 1e9, None, math.nan]
    shown = {}
    for mode, name in enumerate(fixed_buckets.MODES):
        made = fixed_buckets.build(*group(values), Shape(0.0, 100.0, 4, mode))
        shown[name] = fixed_buckets.describe(made, double_text)[0]
    assert shown["ignore"] == (
        "{lowerLimit=0.0, upperLimit=100.0, numBuckets=4, upperOutlierCount=0, lowerOutlierCount=0, "
        "missingValueCount=1, histogram=[3, 0, 0, 1], outlierHandlingMode=ignore, count=4, max=99.9, min=0.0}"
    )
    assert "upperOutlierCount=2, lowerOutlierCount=1," in shown["overflow"] and "count=4" in shown["overflow"]
    assert "histogram=[4, 0, 0, 3]" in shown["clip"] and "count=7, max=100.0, min=0.0" in shown["clip"]


def test_images_are_sparse_while_few_buckets_are_filled() -> None:
    few = fixed_buckets.build(*group([5, 15, 15]), TEN)[0].as_py()
    assert few[:2] == b"\x01\x02" and len(few) == 71 + 4 + 2 * 12
    many = fixed_buckets.build(*group(range(0, 100, 10)), TEN)[0].as_py()
    assert many[:2] == b"\x01\x01" and len(many) == 71 + 80


def test_percentiles_are_linear_inside_a_bucket() -> None:
    counts = [0, 1, 2, 4, 0]
    values = [2 * i + 0.5 for i, n in enumerate(counts) for _ in range(n)]
    made = fixed_buckets.build(*group(values), Shape(0.0, 10.0, 5, 0))
    assert fixed_buckets.percentiles(made, [75.0])[0, 0] == pytest.approx(6 + (5.25 - 3) / 4 * 2)
    assert fixed_buckets.percentiles(made, [100.0])[0, 0] == 8.0
    assert math.isnan(fixed_buckets.percentiles(made, [0.0])[0, 0])
    assert fixed_buckets.percentiles(fixed_buckets.build(*group([]), TEN), [50.0]).tolist() == [[0.0]]


@given(NUMBERS, NUMBERS, st.integers(0, 2))
def test_histograms_of_one_shape_merge_as_if_built_at_once(left: list[Any], right: list[Any], mode: int) -> None:
    shape = Shape(-20.0, 30.0, 7, mode)
    parts = states([left, right], lambda v, o: fixed_buckets.build(v, o, shape))
    merged = fixed_buckets.union(parts, np.array([0, 2]), shape)
    assert merged[0].as_py() == fixed_buckets.build(*group(left + right), shape)[0].as_py()


def test_a_histogram_of_another_shape_is_spread_evenly() -> None:
    theirs = fixed_buckets.build(*group([0] * 6 + [3] * 6), Shape(0.0, 12.0, 4, 0))
    mine = fixed_buckets.union(theirs, np.array([0, 1]), Shape(0.0, 6.0, 6, 1))
    found = fixed_buckets.read(mine)
    assert (found.bucket.tolist(), found.filled.tolist()) == ([0, 1, 2, 3, 4, 5], [2, 2, 2, 2, 2, 2])
    assert found.fields["count"].tolist() == [12] and found.fields["above"].tolist() == [0]
    below = fixed_buckets.union(theirs, np.array([0, 1]), Shape(100.0, 200.0, 2, 1))
    assert fixed_buckets.read(below).fields["below"].tolist() == [12]
    above = fixed_buckets.union(theirs, np.array([0, 1]), Shape(-9.0, -1.0, 2, 2))
    assert fixed_buckets.read(above).filled.tolist() == [12]


@pytest.mark.parametrize("image", [b"\x01", b"\x02" + b"\0" * 80, b"\x01\x09" + b"\0" * 80])
def test_bytes_that_are_no_histogram_are_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match=r"histogram|version"):
        fixed_buckets.read(pa.array([image], pa.binary()))


# ------------------------------------------------------------------------------------------------------- t-digests


def digest(values: Any, compression: int = 100) -> pa.Array:
    return tdigest.build(*group(values), compression)


def test_images_that_the_library_made() -> None:
    assert base64.b64encode(digest([])[0].as_py()) == b"AAAAAX/wAAAAAAAA//AAAAAAAABAWQAAAAAAAAAAAAA="
    three = (
        "AAAAAcAQAAAAAAAAQCIAAAAAAABAWQAAAAAAAAAAAAY/8AAAAAAAAMAQAAAAAAAAP/AAAAAAAAA/8AAAAAAAAD/wAAAAAAAAQAAAAAAAAAA/8AAA"
        "AAAAAEAAAAAAAAAAP/AAAAAAAABACAAAAAAAAD/wAAAAAAAAQCIAAAAAAAA="
    )
    assert base64.b64encode(digest([3, 1, 2, 2, 9, -4])[0].as_py()).decode() == three


def test_centroids_and_quantiles_of_many_values_are_those_of_the_library() -> None:
    """0..449 in any order at compression 100: weights and quantiles as t-digest 3.2 gives them."""
    made = digest([(i * 37) % 450 for i in range(450)])
    _, weight, mean, least, greatest = tdigest.read(made)
    assert len(weight) == LIBRARY_CENTROIDS and weight[:3].tolist() == [1.0, 1.0, 1.0] and weight.sum() == 450
    assert (least[0], greatest[0], mean[0]) == (0.0, 449.0, 0.0)
    assert tdigest.quantiles(made, list(LIBRARY_QUANTILES))[0].tolist() == list(LIBRARY_QUANTILES.values())


LIBRARY_CENTROIDS = 112
LIBRARY_QUANTILES = {
    0: 0.0,
    0.01: 4.0,
    0.1: 44.5,
    0.25: 112.0,
    0.5: 224.5,
    0.75: 337.0,
    0.9: 404.5,
    0.99: 445.0,
    1: 449.0,
}


def test_a_small_image_is_read() -> None:
    small = b"\0\0\0\x02" + np.array([1, 2], ">f8").tobytes() + np.array([100], ">f4").tobytes()
    small += np.array([210, 500, 2], ">i2").tobytes() + np.array([1, 1, 1, 2], ">f4").tobytes()
    owner, weight, mean, least, greatest = tdigest.read(pa.array([None, small], pa.binary()))
    assert (owner.tolist(), weight.tolist(), mean.tolist()) == ([1, 1], [1.0, 1.0], [1.0, 2.0])
    assert (least[1], greatest[1]) == (1.0, 2.0)


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.integers(5, 40))
def test_digests_of_groups_are_those_of_each_alone_and_merge(lists: list[list[Any]], compression: int) -> None:
    made = states(lists, lambda v, o: tdigest.build(v, o, compression))
    assert [m.as_py() for m in made] == [digest(values, compression)[0].as_py() for values in lists]
    together = tdigest.union(made, np.array([0, len(made)]), compression)
    _, weight, mean, least, greatest = tdigest.read(together)
    every = [v for values in lists for v in values if v is not None]
    assert weight.sum() == len(every) and (np.diff(mean) >= 0).all()
    assert (least[0], greatest[0]) == (min(every, default=math.inf), max(every, default=-math.inf))


def test_a_digest_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ValueError, match="Cannot add NaN to t-digest"):
        digest([1.0, math.nan])
    with pytest.raises(ValueError, match="Invalid format"):
        tdigest.read(pa.array([b"\0\0\0\x07" + b"\0" * 40], pa.binary()))
    with pytest.raises(ValueError, match=r"q should be in \[0,1\], got 1.5"):
        tdigest.quantiles(digest([1]), [1.5])


def test_a_digest_of_many_values_is_near_the_truth() -> None:
    values = np.random.default_rng(1).random(200_000)
    made = tdigest.build(pa.array(values), np.array([0, len(values)]), 100)
    found = tdigest.quantiles(made, [0.001, 0.5, 0.999])[0]
    assert np.abs(found - [0.001, 0.5, 0.999]).max() < 0.01
    assert len(tdigest.read(made)[1]) < 200


# --------------------------------------------------------------------------------------------- spectator histograms


def test_borders_and_buckets_are_those_of_the_library() -> None:
    borders = spectator.borders()
    assert len(borders) == 276 and borders[-2] == 4227378850225105576 and borders[-1] == 2**63 - 1
    known = {-5: 0, 0: 0, 1: 1, 4: 4, 10: 10, 15: 15, 16: 15, 20: 15, 21: 16, 100: 25, 1000: 41, 123456789: 116,
             2**53: 234, 2**60: 267, 2**63 - 1: 275, -(2**63): 0}  # fmt: skip
    assert spectator.bucket_of(np.array(list(known))).tolist() == list(known.values())


def test_entries_are_packed_by_size_and_read_back() -> None:
    values = [10, 30, 40, 40, 40, 50, 50] + [100] * 256
    made = spectator.build(pa.array(values), np.array([0, len(values)]))
    assert list(made[0].as_py()) == [6, 10, 6, 17, 14, 19, 10, 21, 64, 25, 1, 0]
    assert spectator.counts(made).tolist() == [263]
    one = [b"\x80\x05\xff", b"\xc0\x05\x00\x01\x00\x00", b"\x00\x05" + (2**40).to_bytes(8, "big")]
    _, buckets, counts = spectator.read(pa.array(one, pa.binary()))
    assert (buckets.tolist(), counts.tolist()) == ([5, 5, 5], [255, 65536, 2**40])
    merged = spectator.union(pa.array(one, pa.binary()), np.array([0, 3]))
    assert spectator.counts(merged).tolist() == [255 + 65536 + 2**40]


def test_percentiles_are_those_of_the_library() -> None:
    made = spectator.build(pa.array([1, 10, 10, 10, 1000, 1000, None]), np.array([0, 7, 7]))
    asked = [0, 10, 25, 50, 75, 90, 95, 99, 100]
    wanted = [math.nan, 1.6, 10.166666666666666, 10.666666666666666, 958.0, 997.6, 1010.8, 1021.36, 1024.0]
    np.testing.assert_array_equal(spectator.percentiles(made, asked)[0], wanted)
    backwards = spectator.percentiles(made, [50, 10, 95, 20])[0].tolist()
    assert backwards == [10.666666666666666, 9.866666666666667, 1010.8, 812.8]
    assert made[1].as_py() is None and np.isnan(spectator.percentiles(made, [50])[1, 0])


def test_doubles_are_cut_as_java_cuts_them() -> None:
    values = [3.9, -7.5, math.nan, math.inf, -math.inf, 1e30]
    made = spectator.build(*group(values))
    _, buckets, counts = spectator.read(made)
    assert dict(zip(buckets.tolist(), counts.tolist())) == {0: 3, 3: 1, 275: 2}


@pytest.mark.parametrize("image", [b"\x02", b"\x40\x05\x01", b"\x03\xff"])
def test_bytes_that_are_no_spectator_histogram_are_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match="Not a spectator histogram"):
        spectator.read(pa.array([image], pa.binary()))


def test_limits_keep_bins_for_what_lies_between_them() -> None:
    values = [*range(100), 1000.0, 1002.0, -50.0]
    array, ends = pa.array(values, pa.float64()), np.array([0, len(values)])
    of = approximate_histogram.read(approximate_histogram.build(array, ends, 12, (0.0, 99.0)))
    assert (of.position[0], of.count[0], of.position[-1], of.count[-1]) == (-50.0, 1, 1001.0, 2)
    assert of.sizes().tolist() == [12] and of.approximate[[0, -1]].all()
    assert of.count[1:-1].sum() == 100 and of.count[1:-1].max() <= 16
    assert (of.least[0], of.greatest[0]) == (-50.0, 1002.0)
    # limits matter only where there are more values than bins
    few = approximate_histogram.build(array[:5], np.array([0, 5]), 12, (2.0, 3.0))
    assert approximate_histogram.read(few).position.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    parts = approximate_histogram.build(array, np.array([0, 50, 103]), 50, (0.0, 99.0))
    merged = approximate_histogram.read(approximate_histogram.union(parts, np.array([0, 2]), 12, (0.0, 99.0)))
    assert (merged.position[0], merged.position[-1]) == (-50.0, 1001.0) and merged.totals().tolist() == [103]
