"""SQL aggregates: native forms, result types, and refusals in Druid's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from msq.aggregate.registry import (
    aggregate_type,
    bind_aggregate,
    is_aggregate,
    needs_exact_distinct,
    sql_aggregates,
    with_shared,
)
from msq.codec import decode, encode
from msq.datatypes import DOUBLE, FLOAT, JSON, LONG, LONG_ARRAY, STRING, ColumnType, complex_of
from msq.expr.binding import Typed, literal, native_column
from msq.expr.nodes import Identifier, Node
from msq.faults import DruidException
from msq.native.aggregators import Aggregator
from msq.native.filters import EqualsFilter

PLACE = (1, 8, 1, 9)
S, N, D, F, T = (native_column(n, t) for n, t in (
    ("s", STRING), ("n", LONG), ("d", DOUBLE), ("f", FLOAT), ("__time", LONG)))  # fmt: skip
A, J = native_column("a", LONG_ARRAY), native_column("j", JSON)


def sketch(name: str) -> Typed:
    return native_column("k", complex_of(name))


def column(node: Node, kind: ColumnType) -> str:
    return node.name if isinstance(node, Identifier) else f"v:{kind}"


def bind(name: str, *args: Typed, **more: Any) -> tuple[list[Any], list[Any], str]:
    made = bind_aggregate(name, args, output="a0", column=column, **more)
    assert made.output == "a0"
    return encode(made.aggregators), encode(made.posts), str(made.sql_type)


def test_every_function_has_a_doc_line_and_forms_of_its_own() -> None:
    for name, function in sql_aggregates().items():
        assert function.name == name and len(function.doc) > 10 and function.doc.endswith(".")
        assert is_aggregate(name.lower())
    assert not is_aggregate("LOWER")


NOT_NULL = {"type": "not", "field": {"type": "null", "column": "s"}}


@pytest.mark.parametrize(("name", "args", "types"), [
    ("SUM", (N,), ["longSum"]), ("SUM", (D,), ["doubleSum"]), ("SUM", (F,), ["doubleSum"]), ("MIN", (F,), ["floatMin"]),
    ("MAX", (T,), ["longMax"]), ("COUNT", (), ["count"]), ("COUNT", (literal(1),), ["count"]),
    ("COUNT", (S,), ["filtered"]), ("AVG", (N,), ["doubleSum", "filtered"]), ("EARLIEST", (S,), ["stringFirst"]),
    ("LATEST_BY", (D, T), ["doubleLast"]), ("ANY_VALUE", (N,), ["longAny"]), ("DS_HLL", (S,), ["HLLSketchBuild"]),
    ("DS_HLL", (sketch("HLLSketch"),), ["HLLSketchMerge"]), ("DS_THETA", (S,), ["thetaSketch"]),
    ("APPROX_COUNT_DISTINCT", (S,), ["cardinality"]), ("STDDEV", (N,), ["variance"]), ("BIT_OR", (N,), ["filtered"]),
    ("APPROX_COUNT_DISTINCT", (sketch("hyperUnique"),), ["hyperUnique"]), ("ARRAY_AGG", (N,), ["expression"]),
    ("LATEST", (sketch("serializablePairLongLong"),), ["longLast"]), ("BLOOM_FILTER", (S, literal(10)), ["bloom"]),
    ("APPROX_QUANTILE", (N, literal(0.5)), ["approxHistogram"]),
    ("APPROX_QUANTILE", (sketch("approximateHistogram"), literal(0.5)), ["approxHistogramFold"]),
    ("APPROX_QUANTILE_FIXED_BUCKETS", (F, literal(0.5), literal(5), literal(0), literal(9)), ["fixedBucketsHistogram"]),
    ("TDIGEST_QUANTILE", (D, literal(0.5)), ["tDigestSketch"]), ("SPECTATOR_COUNT", (T,), ["spectatorHistogram"]),
    ("SPECTATOR_PERCENTILE", (sketch("spectatorHistogramTimer"), literal(9)), ["spectatorHistogram"]),
])  # fmt: skip
def test_native_forms(name: str, args: tuple[Typed, ...], types: list[str]) -> None:
    aggregators, posts, _ = bind(name, *args)
    assert [a["type"] for a in aggregators] == types
    last = posts[-1] if posts else aggregators[0]
    assert last["name"] == "a0"


def test_filters_wrap_every_aggregator_and_join_their_own() -> None:
    condition = EqualsFilter("n", LONG, 3)
    aggregators, posts, kind = bind("AVG", N, filter=condition)
    shown = encode(condition)
    assert aggregators[0]["filter"] == shown
    own = {"type": "not", "field": {"type": "null", "column": "n"}}
    assert aggregators[1]["filter"] == {"type": "and", "fields": [own, shown]}
    assert aggregators[1]["aggregator"] == {"type": "count", "name": "a0:count"}
    assert posts[0]["fn"] == "quotient" and kind == "DOUBLE"


def test_histograms_print_like_druid() -> None:
    aggregators, posts, _ = bind("APPROX_QUANTILE", N, literal(0.9))
    assert aggregators == [{
        "type": "approxHistogram", "name": "a0:agg", "fieldName": "n", "resolution": 50, "numBuckets": 7,
        "lowerLimit": "-Infinity", "upperLimit": "Infinity", "finalizeAsBase64Binary": False,
    }]  # fmt: skip
    assert posts == [{"type": "quantile", "name": "a0", "fieldName": "a0:agg", "probability": 0.9}]
    assert encode(decode(Aggregator, aggregators[0])) == aggregators[0]
    made = bind_aggregate("TDIGEST_GENERATE_SKETCH", (S,), output="a0", column=column)
    assert made.output == "a0:agg" and str(made.sql_type) == "COMPLEX<tDigestSketch>"
    assert encode(made.aggregators) == [
        {"type": "tDigestSketch", "name": "a0:agg", "fieldName": "v:FLOAT", "compression": 100}
    ]
    _, posts, _ = bind("TDIGEST_QUANTILE", N, literal(0.9))
    assert posts[0]["fraction"] == 0.8999999761581421, "the planner reads the fraction as a float"


def test_quantiles_of_one_column_share_a_sketch() -> None:
    def made(name: str, output: str, *more: Any, **options: Any) -> Any:
        return bind_aggregate(name, (N, *map(literal, more)), output=output, column=column, **options)

    for name in ("APPROX_QUANTILE", "APPROX_QUANTILE_DS", "TDIGEST_QUANTILE"):
        first = made(name, "a0", 0.5)
        second = with_shared(made(name, "a1", 0.25), first.aggregators)
        assert (second.aggregators, second.output) == ((), "a1")
        assert "a0:agg" in json.dumps(encode(second.posts)) and "a1:agg" not in json.dumps(encode(second.posts))
        other = made(name, "a1", 0.25, 64)
        assert with_shared(other, first.aggregators) == other, "another size"
        condition = EqualsFilter("n", LONG, 3)
        filtered = made(name, "a1", 0.25, filter=condition)
        assert with_shared(filtered, first.aggregators) == filtered, "other rows"
        assert with_shared(made(name, "a2", 0.75, filter=condition), filtered.aggregators).aggregators == ()
    sums = made("SUM", "a0")
    assert with_shared(made("SUM", "a1"), sums.aggregators).aggregators != ()


def test_texts_are_summed_as_doubles() -> None:
    aggregators, _, kind = bind("SUM", S)
    assert (aggregators, kind) == ([{"type": "doubleSum", "name": "a0", "fieldName": "v:DOUBLE"}], "DOUBLE")


def test_string_agg_prints_like_druid() -> None:
    (made,), _, _ = bind("STRING_AGG", S, literal("|"))
    assert made["filter"] == NOT_NULL
    inner = made["aggregator"]
    assert inner["fold"] == 'array_append("__acc", "s")' and inner["combine"] == 'array_concat("__acc", "a0")'
    assert inner["finalize"] == "if(array_length(o) == 0, null, array_to_string(o, '|'))"
    assert (inner["initialValue"], inner["maxSizeBytes"]) == ("[]", 1024)
    (unique,), _, _ = bind("ARRAY_AGG", N, distinct=True)
    assert (unique["fold"], unique["initialValue"]) == ('array_set_add("__acc", "n")', "ARRAY<LONG>[]")


@pytest.mark.parametrize(("name", "args", "wanted"), [
    ("SUM", (N,), "BIGINT"), ("SUM", (D,), "DOUBLE"), ("MIN", (T,), "TIMESTAMP(3)"), ("AVG", (N,), "DOUBLE"),
    ("EARLIEST", (S,), "VARCHAR"), ("ARRAY_AGG", (N,), "BIGINT ARRAY"), ("ARRAY_AGG", (A,), "BIGINT ARRAY ARRAY"),
    ("DS_THETA", (S,), "COMPLEX<thetaSketch>"), ("APPROX_QUANTILE_DS", (N, literal(0.5)), "DOUBLE"),
    ("COUNT", (S,), "BIGINT"), ("MAX", (F,), "FLOAT"), ("ANY_VALUE", (literal("x"),), "VARCHAR"),
])  # fmt: skip
def test_result_types(name: str, args: tuple[Typed, ...], wanted: str) -> None:
    assert str(aggregate_type(name, args)) == wanted


EXACT = {"useApproximateCountDistinct": False}


@pytest.mark.parametrize(("name", "args", "more", "message"), [
    ("MEDIAN", (N,), {}, "No match found for function signature MEDIAN(<NUMERIC>)"),
    ("SUM", (), {}, "Invalid number of arguments to function 'SUM'. Was expecting 1 arguments"),
    ("SUM", (A,), {}, "Cannot apply 'SUM' to arguments of type 'SUM(<BIGINT ARRAY>)'"),
    ("MIN", (S,), {}, "Aggregation [MIN] does not support type [STRING], column [v0]"),
    ("MAX", (A,), {}, "Aggregation [MAX] does not support type [ARRAY<LONG>], column [a]"),
    ("SUM", (N,), {"distinct": True}, "Aggregation [SUM] with DISTINCT is not supported when"),
    ("LATEST_BY", (S, N), {}, "Supported form(s): 'LATEST_BY(<expr>, <timeColumn>, [<maxBytesPerString>])'"),
    ("EARLIEST", (S, N), {}, "Argument to function 'EARLIEST_BY' must be a literal"),
    ("EARLIEST", (S,), {"has_time": False}, "LATEST and EARLIEST aggregators implicitly depend on the __time column"),
    ("COUNT", (J,), {"distinct": True}, "is not supported for column type [COMPLEX<json>]"),
    ("ARRAY_CONCAT_AGG", (N,), {}, "Supported form(s): 'ARRAY_CONCAT_AGG(<ARRAY>)'"),
    ("DS_HLL", (S, literal(30)), {}, "lgK between 4 and 21"),
    ("DS_HLL", (S, literal(12), literal("BAD")), {}, "HLL_4, HLL_6, HLL_8"),
    ("DS_HLL", (sketch("thetaSketch"),), {}, "Cannot apply 'DS_HLL'"),
    ("DS_THETA", (S, literal(100)), {},
     'The value of the int argument "size" must be a positive integer-power of 2 and greater than 0: 100'),
    ("DS_THETA", (S, literal(1 << 27)), {}, '"size" must be at most 67108864: 134217728'),
    ("DS_QUANTILES_SKETCH", (N, literal(1)), {}, "K must be >= 2 and <= 32768 and a power of 2: 1"),
    ("APPROX_QUANTILE_DS", (N, literal(0.5), literal(0)), {}, '"k" must be a positive integer-power of 2'),
    ("DS_TUPLE_DOUBLES", (S, N, literal(100)), {}, '"nominalEntries" must be a positive integer-power of 2'),
    ("APPROX_QUANTILE_DS", (N, literal(1.5)), {}, "A normalized rank must be >= 0 and <= 1.0: 1.5"),
    ("STRING_AGG", (S, N), {}, "Argument to function 'STRING_AGG' must be a literal"),
])  # fmt: skip
def test_refusals(name: str, args: tuple[Typed, ...], more: dict[str, Any], message: str) -> None:
    with pytest.raises(DruidException) as caught:
        aggregate_type(name, args, position=PLACE, **more)
    assert message in caught.value.message
    assert caught.value.status == 400


def test_distinct_by_context() -> None:
    assert needs_exact_distinct("count", True, EXACT) and needs_exact_distinct("SUM", True, EXACT)
    assert not needs_exact_distinct("MIN", True, EXACT), "MIN(DISTINCT x) is MIN(x)"
    assert not needs_exact_distinct("COUNT", True, {}) and not needs_exact_distinct("COUNT", False, EXACT)
    by_theta = {"sqlApproxCountDistinctFunction": "APPROX_COUNT_DISTINCT_DS_THETA"}
    assert bind("COUNT", S, distinct=True, context=by_theta)[0][0]["type"] == "thetaSketch"
    assert bind("COUNT", S, distinct=True)[0][0]["type"] == "cardinality"
    with pytest.raises(DruidException, match="nosuch"):
        aggregate_type("COUNT", (S,), distinct=True, context={"sqlApproxCountDistinctFunction": "nosuch"})
