"""Post-aggregators that only native queries have, over states made by the kernels."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from msq.aggregate import scratch
from msq.aggregate.histograms import APPROXIMATE, FIXED
from msq.aggregate.post import GroupedRows, post
from msq.codec import decode, encode
from msq.datatypes import LONG, ColumnType, RowSignature, complex_of
from msq.faults import MSQError
from msq.native.aggregators import PostAggregator
from msq.sketches import (
    approximate_histogram,
    fixed_buckets,
    kll,
    quantiles,
    sampling,
    spectator,
    tdigest,
    theta,
    tuples,
)

TWO = np.array([0, 4, 4])
VALUES = pa.array([1.0, 2.0, 2.0, 9.0])


def over(kind: ColumnType, states: pa.Array, spec: dict[str, Any]) -> Any:
    rows = GroupedRows(len(states), {"h": states}, {"h": kind}, {"h": states}, {"h": kind}, scratch.connection)
    field = {"type": "fieldAccess", "name": "h", "fieldName": "h"}
    made = post(decode(PostAggregator, {"field": field, "fieldName": "h", "name": "p", **spec}))
    assert made == decode(PostAggregator, encode(made))
    values = made.compute(rows)
    assert made.output_type(RowSignature([("h", kind)])) is not None
    return [json.loads(v) if isinstance(v, bytes) and v[:1] == b"{" else v for v in values.to_pylist()]


def approximate(spec: dict[str, Any]) -> Any:
    return over(APPROXIMATE, approximate_histogram.build(VALUES, TWO, 50), spec)


def fixed(spec: dict[str, Any]) -> Any:
    return over(FIXED, fixed_buckets.build(VALUES, TWO, fixed_buckets.Shape(0, 10, 5, 0)), spec)


def test_extremes_and_quantiles_of_both_histograms() -> None:
    assert (approximate({"type": "min"}), approximate({"type": "max"})) == ([1.0, math.inf], [9.0, -math.inf])
    assert fixed({"type": "max"}) == [9.0, -math.inf]
    assert fixed({"type": "quantile", "probability": 0.5}) == [3.0, 0.0]
    shown = approximate({"type": "quantiles", "probabilities": [0.1, 0.5]})
    assert shown[0] == {"probabilities": [0.1, 0.5], "quantiles": [1.0, 1.7320508], "min": 1.0, "max": 9.0}
    assert shown[1]["quantiles"] == ["NaN", "NaN"] and shown[1]["min"] == "Infinity"


def test_histograms_are_laid_out_anew() -> None:
    assert approximate({"type": "customBuckets", "breaks": [0, 1, 2, 10]})[0] == {
        "breaks": [0.0, 1.0, 2.0, 10.0], "counts": [1.0, 2.0, 1.0]
    }  # fmt: skip
    assert approximate({"type": "equalBuckets", "numBuckets": 3})[0] == {
        "breaks": [-3.0, 1.0, 5.0, 9.0], "counts": [1.0, 2.0, 1.0]
    }  # fmt: skip
    assert approximate({"type": "buckets", "bucketSize": 1, "offset": 0})[0] == {
        "breaks": [0.0, 1.0, 2.0, 8.0, 9.0], "counts": [1.0, 2.0, 0.0, 1.0]
    }  # fmt: skip


@pytest.mark.parametrize(("spec", "message"), [
    ({"type": "quantile", "probability": 1.5}, "Illegal probability"), ({"type": "quantile"}, "strictly between"),
    ({"type": "buckets"}, "bucketSize"), ({"type": "equalBuckets", "numBuckets": 1}, "number of buckets"),
    ({"type": "customBuckets", "breaks": [1]}, "two breaks"),
])  # fmt: skip
def test_what_no_histogram_can_answer_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(MSQError, match=message):
        approximate(spec)


def test_a_histogram_of_fixed_buckets_is_not_laid_out_anew() -> None:
    with pytest.raises(MSQError, match="needs an approximate histogram"):
        fixed({"type": "equalBuckets"})


def test_digests_and_spectator_histograms() -> None:
    digests = tdigest.build(VALUES, TWO, 100)
    kind = complex_of("tDigestSketch")
    found = over(kind, digests, {"type": "quantilesFromTDigestSketch", "fractions": [0, 0.5, 1]})
    assert found[0] == [1.0, 2.0, 9.0] and all(math.isnan(v) for v in found[1])
    states = spectator.build(VALUES, TWO)
    kind = complex_of("spectatorHistogram")
    assert over(kind, states, {"type": "countSpectatorHistogram"}) == [4, 0]
    assert over(kind, states, {"type": "percentilesSpectatorHistogram", "percentiles": [50, 100]}) == [
        [2.5, 10.0],
        None,
    ]


@pytest.mark.parametrize(("kind", "states"), [
    ("quantilesDoublesSketch", quantiles.build(VALUES, TWO, 128)),
    ("KllDoublesSketch", kll.DOUBLES.build(VALUES, TWO, 200)), ("KllFloatsSketch", kll.FLOATS.build(VALUES, TWO, 200)),
])  # fmt: skip
def test_sketches_of_quantiles(kind: str, states: pa.Array) -> None:
    def told(what: str, **spec: Any) -> Any:
        return over(complex_of(kind), states, {"type": f"{kind}To{what}", **spec})

    assert repr(told("Quantile", fraction=0.5)) == "[2.0, nan]"
    assert repr(told("Quantiles", fractions=[0, 1])) == "[[1.0, 9.0], [nan, nan]]"
    assert repr(told("Rank", value=2)) == "[0.75, nan]"
    assert repr(told("CDF", splitPoints=[1, 5])) == "[[0.25, 0.75, 1.0], [nan, nan, nan]]"
    assert told("Histogram", splitPoints=[1, 5])[0] == [1.0, 2.0, 1.0]
    assert told("Histogram", numBins=4)[0] == [3.0, 0.0, 0.0, 1.0]
    assert len(told("Histogram")[0]) == 10
    assert all("sketch summary" in text.lower() for text in told("String"))
    for what, spec, message in (
        ("Quantile", {"fraction": 1.5}, "A normalized rank must be"), ("CDF", {"splitPoints": [2, 1]}, "increasing"),
        ("CDF", {"splitPoints": [1, math.nan]}, "increasing"),
    ):  # fmt: skip
        with pytest.raises(MSQError, match=message):
            told(what, **spec)
    with pytest.raises(ValueError, match="at least 2 bins"):
        told("Histogram", numBins=1)
    with pytest.raises(ValueError, match="Cannot accept both"):
        told("Histogram", numBins=3, splitPoints=[1])


def test_quantiles_of_floats_are_floats() -> None:
    columns = RowSignature([("h", complex_of("KllFloatsSketch"))])
    field = {"type": "fieldAccess", "name": "h", "fieldName": "h"}
    for what, kind in (("Quantile", "FLOAT"), ("Quantiles", "ARRAY<FLOAT>"), ("Rank", "DOUBLE")):
        spec = {"type": f"KllFloatsSketchTo{what}", "name": "p", "field": field, "fractions": [0.5]}
        assert str(post(decode(PostAggregator, spec)).output_type(columns)) == kind


def test_arrays_of_doubles() -> None:
    keys = pa.array(["a", "b", "b", "c"])
    states = tuples.build(keys, [VALUES, pa.array([1.0, 1.0, 1.0, 1.0])], TWO, 64)
    kind = complex_of("arrayOfDoublesSketch")
    assert over(kind, states, {"type": "arrayOfDoublesSketchToEstimate"}) == [3.0, 0.0]
    assert over(kind, states, {"type": "arrayOfDoublesSketchToNumEntries"}) == [3, 0]
    means = over(kind, states, {"type": "arrayOfDoublesSketchToMeans"})
    assert means[0] == pytest.approx([14 / 3, 4 / 3]) and all(math.isnan(v) for v in means[1])
    variances = over(kind, states, {"type": "arrayOfDoublesSketchToVariances"})
    assert variances[0] == pytest.approx([np.var([1, 4, 9], ddof=1), 1 / 3])
    sketch = over(kind, states, {"type": "arrayOfDoublesSketchToQuantilesSketch", "column": 1})
    assert quantiles.quantiles(pa.array(sketch, pa.binary()), [0, 0.5, 1])[0].tolist() == [1.0, 4.0, 9.0]
    (text, _) = over(kind, states, {"type": "arrayOfDoublesSketchToBase64String"})
    assert text.startswith("AQEJAx")
    with pytest.raises(MSQError, match="Column"):
        over(kind, states, {"type": "arrayOfDoublesSketchToQuantilesSketch", "column": 3})


def test_bounds_and_summaries_of_arrays_of_doubles() -> None:
    numbers = [str(i) for i in range(200)]
    columns = [pa.array([float(i) for i in range(200)]), pa.array([1.0] * 200)]
    states = tuples.build(pa.array(numbers), columns, np.array([0, 200, 200]), 64)
    kind = complex_of("arrayOfDoublesSketch")
    found = over(kind, states, {"type": "arrayOfDoublesSketchToEstimateAndBounds", "numStdDevs": 2})
    estimate = tuples.estimate(states)[0]
    assert found[0][0] == estimate and found[0][1] < estimate < found[0][2] and found[1] == [0.0, 0.0, 0.0]
    (text, none) = over(kind, states, {"type": "arrayOfDoublesSketchToString"})
    assert "EstMode?                : true" in text and "Retained Entries        : 64" in text
    assert "Empty?                  : true" in none
    with pytest.raises(MSQError, match="standard deviations"):
        over(kind, states, {"type": "arrayOfDoublesSketchToEstimateAndBounds", "numStdDevs": 4})


def test_bounds_are_those_of_java() -> None:
    """Those of a sketch of 102 keys, as DataSketches for Java gives them."""
    found = [sampling.bounds(102, 5315101532754970092, d) for d in (1, 2, 3)]
    assert found == [(177.00206514616698, low, high) for low, high in ((165, 190), (154, 203), (145, 216))]


def test_the_t_test_of_two_sketches() -> None:
    keys, ends = pa.array(list("abcdefgh")), np.array([0, 4, 8])
    states = tuples.build(keys, [pa.array([1.0, 2.0, 4.0, 5.0, 3.0, 6.0, 8.0, 9.0])], ends, 64)
    field = {"type": "arrayOfDoublesSketchConstant", "value": base64.b64encode(states[1].as_py()).decode()}
    one = {"type": "fieldAccess", "name": "h", "fieldName": "h"}
    spec = {"type": "arrayOfDoublesSketchTTest", "fields": [one, field]}
    first, second = over(complex_of("arrayOfDoublesSketch"), states, spec)
    # as Apache Commons Math, which Druid asks, gives it
    assert first == pytest.approx([0.07799727294769923]) and second == [1.0]
    with pytest.raises(ValueError, match="must be 2"):
        decode(PostAggregator, {**spec, "name": "p", "fields": [one]})


def test_scores_and_p_values() -> None:
    names = ("successCount1", "sample1Size", "successCount2", "sample2Size")
    values = {"successCount1": 300, "sample1Size": 500, "successCount2": 450, "sample2Size": 600}
    score = {"type": "zscore2sample", **{n: {"type": "constant", "name": n, "value": v} for n, v in values.items()}}
    assert over(LONG, pa.array([1]), score) == [-5.32833624994041]
    assert set(names) <= set(score)
    p_value = {"type": "pvalue2tailedZtest", "zScore": {**score, "name": "z"}}
    assert over(LONG, pa.array([1]), p_value) == [pytest.approx(9.911650078464618e-8)]
    column = {"type": "fieldAccess", "name": "h", "fieldName": "h"}
    assert over(LONG, pa.array([None, 5], pa.int64()), {**score, "successCount1": column})[0] is None
    for hits, message in ((-1, "can't be negative"), (501, "can't be smaller")):
        with pytest.raises(MSQError, match=message):
            over(LONG, pa.array([hits]), {**score, "successCount1": column})


def test_constant_sketches() -> None:
    made = theta.build(pa.array(["a", "b"]), np.array([0, 2]), 64)
    value = base64.b64encode(made[0].as_py()).decode()
    constant = {"type": "thetaSketchConstant", "name": "c", "value": value}
    assert over(LONG, pa.array([1, 2]), constant) == [made[0].as_py()] * 2
    assert over(LONG, pa.array([1]), {"type": "thetaSketchEstimate", "field": constant}) == [2.0]
    (text,) = over(LONG, pa.array([1]), {"type": "thetaSketchToString", "field": constant})
    assert "num retained entries : 2" in text


@pytest.mark.parametrize("kind", ["thetaSketchConstant", "arrayOfDoublesSketchConstant"])
@pytest.mark.parametrize("value", ["", "%%%", "AAAA"])
def test_what_is_no_constant_sketch_is_refused(kind: str, value: str) -> None:
    with pytest.raises(ValueError, match="Constant value"):
        decode(PostAggregator, {"type": kind, "name": "c", "value": value})
