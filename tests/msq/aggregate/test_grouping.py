"""Partial grouping and merging against DuckDB and against a second way of cutting the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import msq.aggregate  # noqa: F401
from msq.aggregate.base import NativeAggregator, combine
from msq.aggregate.compute import Grouping, as_type, group
from msq.aggregate.counts import CountAggregator, DoubleMinAggregator, LongMaxAggregator, LongSumAggregator
from msq.aggregate.runs import find_runs, merge_sorted
from msq.codec import decode
from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, STRING, ColumnType, RowSignature
from msq.faults import MSQError
from msq.native.aggregators import Aggregator
from msq.native.query import DefaultDimensionSpec
from msq.native.virtual import ExpressionVirtualColumn
from tests.harness.processors import shared_connection

SIGNATURE = RowSignature([("k", STRING), ("n", LONG), ("d", DOUBLE), ("t", LONG)])


def key(name: str, of: ColumnType = STRING, output: str = "") -> DefaultDimensionSpec:
    return DefaultDimensionSpec(name, output or f"{name}0", of)


def connection() -> Any:
    return shared_connection()


def grouped(batches: Sequence[pa.RecordBatch], grouping: Grouping, rows: int = 100_000) -> list[dict[str, Any]]:
    """Partial, sort, merge, finalize."""
    out = list(group(iter(batches), grouping, connection(), max_batch_rows=rows))
    if not out:
        return []
    table = pa.Table.from_batches(out)
    keys = [k.output_name for k in grouping.keys]
    if keys:
        order = ", ".join(f'"{k}"' for k in keys)
        made = connection()
        made.register("partial", table)
        table = made.sql(f"SELECT * FROM partial ORDER BY {order}").to_arrow_table()
    merged = merge_sorted((table.slice(i, 3) for i in range(0, table.num_rows, 3)), keys, grouping.aggregators)
    result = []
    for piece in merged:
        for aggregator in grouping.aggregators:
            at = piece.schema.get_field_index(aggregator.name)
            final = aggregator.finalize(combine(piece.column(aggregator.name)))
            piece = piece.set_column(at, aggregator.name, final)
        result += piece.to_pylist()
    return result


def aggregator(**value: Any) -> NativeAggregator:
    made = decode(Aggregator, value)
    assert isinstance(made, NativeAggregator)
    return made


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "ä"]),
        st.one_of(st.none(), st.integers(-(2**40), 2**40)),
        st.one_of(st.none(), st.integers(-100, 100).map(float)),
        st.one_of(st.none(), st.integers(0, 10**6)),
    ),
    max_size=40,
)
SUMS = (CountAggregator("c"), LongSumAggregator("s", "n"), LongMaxAggregator("m", "n"), DoubleMinAggregator("x", "d"))


def batches_of(rows: Sequence[tuple[Any, ...]], cuts: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The rows in pieces; in some of them texts stand in dictionaries or in lists of one."""
    at = 0
    for number, size in enumerate([*cuts, len(rows)]):
        part = rows[at : at + size]
        at += size
        texts: Any = pa.array([r[0] for r in part], pa.string())
        if number % 3 == 1:
            texts = texts.dictionary_encode()
        elif number % 3 == 2:
            texts = pa.array([None if r[0] is None else [r[0]] for r in part], pa.list_(pa.string()))
        yield pa.record_batch(
            [texts, pa.array([r[1] for r in part], pa.int64()), pa.array([r[2] for r in part], pa.float64()),
             pa.array([r[3] for r in part], pa.int64())], names=list(SIGNATURE.names),
        )  # fmt: skip
        if at >= len(rows):
            return


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 8), max_size=5))
def test_sums_equal_those_of_duckdb(rows: list[tuple[Any, ...]], cuts: list[int]) -> None:
    made = grouped(list(batches_of(rows, cuts)), Grouping((key("k"),), SUMS, SIGNATURE), 2)
    table = pa.table([pa.array([r[i] for r in rows], kind) for i, kind in enumerate(
        (pa.string(), pa.int64(), pa.float64(), pa.int64()))], names=list(SIGNATURE.names))  # fmt: skip
    oracle = duckdb.connect()
    oracle.register("t", table)
    wanted = oracle.sql("SELECT k AS k0, count(*) AS c, CAST(sum(n) AS BIGINT) AS s, max(n) AS m, min(d) AS x FROM t "
                        "GROUP BY k ORDER BY k NULLS FIRST").to_arrow_table().to_pylist()  # fmt: skip
    assert made == wanted


EVERY = [
    {"type": "cardinality", "name": "a", "fields": [{"type": "default", "dimension": "n", "outputName": "n",
     "outputType": "LONG"}], "byRow": False, "round": True},
    {"type": "HLLSketchBuild", "name": "a", "fieldName": "n", "lgK": 12, "tgtHllType": "HLL_4", "round": True},
    {"type": "thetaSketch", "name": "a", "fieldName": "k", "size": 32},
    {"type": "quantilesDoublesSketch", "name": "a", "fieldName": "d", "k": 128},
    {"type": "doubleMean", "name": "a", "fieldName": "n"},
    {"type": "KllDoublesSketch", "name": "a", "fieldName": "d"},
    {"type": "KllFloatsSketch", "name": "a", "fieldName": "n", "k": 8},
    {"type": "approxHistogram", "name": "a", "fieldName": "n", "resolution": 200, "finalizeAsBase64Binary": True},
    {"type": "fixedBucketsHistogram", "name": "a", "fieldName": "n", "numBuckets": 6, "lowerLimit": -10.0,
     "upperLimit": 20.0, "outlierHandlingMode": "clip"},
    {"type": "spectatorHistogramTimer", "name": "a", "fieldName": "n"},
    {"type": "tDigestSketch", "name": "a", "fieldName": "n", "compression": 1000},
    {"type": "stringAny", "name": "a", "fieldName": "k", "maxStringBytes": 10},
    {"type": "longAny", "name": "a", "fieldName": "n"},
    {"type": "doubleSum", "name": "a", "fieldName": "d"},
    {"type": "floatMax", "name": "a", "fieldName": "d"},
    {"type": "filtered", "name": "a", "aggregator": {"type": "count", "name": "a"},
     "filter": {"type": "range", "column": "n", "matchValueType": "LONG", "lower": 0}},
    {"type": "expression", "name": "a", "fields": ["k"], "initialValue": "ARRAY<STRING>[]",
     "initialCombineValue": "ARRAY<STRING>[]", "fold": 'array_set_add("__acc", "k")',
     "combine": 'array_set_add_all("__acc", "a")', "maxSizeBytes": 4096},
    {"type": "expression", "name": "a", "fields": ["n"], "initialValue": "0", "initialCombineValue": "0",
     "fold": 'bitwiseXor("__acc", "n")', "combine": 'bitwiseXor("__acc", "a")'},
]  # fmt: skip


@pytest.mark.parametrize("value", EVERY, ids=lambda v: f"{v['type']} {v.get('fold', '')}")
@settings(max_examples=15, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 8), max_size=5))
def test_parts_merged_are_the_whole(value: dict[str, Any], rows: list[tuple[Any, ...]], cuts: list[int]) -> None:
    one = aggregator(**value)
    grouping = Grouping((key("k"),), (one,), SIGNATURE)
    whole = grouped(list(batches_of(rows, [])), grouping)
    pieces = [list(batches_of(rows[i : i + 5], cuts)) for i in range(0, len(rows), 5)]
    made = list(group(iter([b for p in pieces for b in p]), grouping, connection()))
    states = [b for p in pieces for b in group(iter(p), grouping, connection())]
    assert sum(b.num_rows for b in states) >= sum(b.num_rows for b in made)
    if not states:
        assert not rows
        return
    table = pa.Table.from_batches(states)
    order = connection()
    order.register("s", table.append_column("o", pa.array(range(table.num_rows))))
    table = order.sql("SELECT * EXCLUDE (o) FROM s ORDER BY k0, o").to_arrow_table()
    merged = pa.concat_tables(list(merge_sorted([table], ["k0"], (one,))))
    final = one.finalize(combine(merged.column("a"))).to_pylist()
    if "Any" in value["type"]:
        for k, v in zip(merged.column("k0").to_pylist(), final):
            assert v in [r[0 if value["type"] == "stringAny" else 1] for r in rows if r[0] == k]
    else:
        assert dict(zip(merged.column("k0").to_pylist(), final)) == {r["k0"]: r["a"] for r in whole}


@pytest.mark.parametrize("value", EVERY, ids=lambda v: f"{v['type']} {v.get('fold', '')}")
def test_a_state_of_no_rows_changes_nothing(value: dict[str, Any]) -> None:
    one = aggregator(**value)
    rows = [("a", 3, 0.5, 1), ("b", -2, 7.0, 2)]
    grouping = Grouping((), (one,), SIGNATURE)
    (state,) = [combine(b.column("a")) for b in group(batches_of(rows, []), grouping, connection())]
    empty = as_type(one.empty(), one.intermediate_type)
    tables = [pa.table({"a": part}) for part in (empty, as_type(state, one.intermediate_type), empty)]
    (merged,) = merge_sorted(tables, [], (one,))
    assert one.finalize(combine(merged.column("a"))).to_pylist() == one.finalize(state).to_pylist()


@settings(max_examples=15, deadline=None)
@given(rows=ROWS, last=st.booleans(), text=st.booleans())
def test_first_and_last_by_time(rows: list[tuple[Any, ...]], last: bool, text: bool) -> None:
    kind = f"{'string' if text else 'long'}{'Last' if last else 'First'}"
    one = aggregator(type=kind, name="a", fieldName="k" if text else "n", timeColumn="t")
    made = grouped(list(batches_of(rows, [3, 3, 3])), Grouping((), (one,), SIGNATURE))
    if not rows:
        assert made == []
        return
    timed = [r for r in rows if r[3] is not None]
    best = None if not timed else (max if last else min)(r[3] for r in timed)
    wanted = [r[0 if text else 1] for r in timed if r[3] == best] or [None]
    assert made[0]["a"] in wanted


def test_long_sums_wrap() -> None:
    batch = pa.record_batch({"k": pa.array(["a", "a"]), "n": pa.array([2**63 - 1, 2])})
    made = grouped([batch], Grouping((key("k"),), (LongSumAggregator("s", "n"),), SIGNATURE))
    assert made == [{"k0": "a", "s": -(2**63) + 1}]


def test_doubles_keep_both_zeros_and_one_nan() -> None:
    values = [0.0, -0.0, float("nan"), -0.0, None, float("nan"), 0.0]
    batch = pa.record_batch({"d": pa.array(values)})
    made = grouped([batch], Grouping((key("d", DOUBLE),), (CountAggregator("c"),), SIGNATURE))
    shown = [("-0.0" if r["d0"] == 0 and math.copysign(1, r["d0"]) < 0 else str(r["d0"]), r["c"]) for r in made]
    assert sorted(shown) == [("-0.0", 2), ("0.0", 2), ("None", 1), ("nan", 2)]
    least = grouped([batch], Grouping((), (DoubleMinAggregator("m", "d"),), SIGNATURE))
    assert math.isnan(least[0]["m"]), "NaN wins, as in Java"


def test_several_values_make_several_groups_or_are_refused() -> None:
    rows = [["x", "y"], [], None, ["x"], ["x", "x"]]
    batch = pa.record_batch({"k": pa.array(rows, pa.list_(pa.string()))})
    grouping = Grouping((key("k"),), (CountAggregator("c"),), SIGNATURE)
    assert grouped([batch], grouping) == [{"k0": None, "c": 2}, {"k0": "x", "c": 4}, {"k0": "y", "c": 1}]
    strict = Grouping((key("k"),), (CountAggregator("c"),), SIGNATURE, unnest=False)
    with pytest.raises(MSQError) as caught:
        grouped([batch], strict)
    assert caught.value.fault.to_json()["errorMessage"] == (
        "Column [k] is a multi-value string. Please wrap the column using MV_TO_ARRAY() to proceed further."
    )
    assert grouped([batch.slice(1, 3)], strict) == [{"k0": None, "c": 2}, {"k0": "x", "c": 1}]


def test_virtual_columns_that_read_each_other_and_arrays_as_keys() -> None:
    virtual = (
        ExpressionVirtualColumn("v0", "concat(\"v1\",'!')", STRING),
        ExpressionVirtualColumn("v1", 'upper("k")', STRING),
    )
    batch = pa.record_batch({"k": pa.array(["a", "A", "b"]), "n": pa.array([1, 2, 3])})
    grouping = Grouping((key("v0"),), (LongSumAggregator("s", "n"),), SIGNATURE, virtual)
    assert grouping.reads == ("k", "n")
    assert grouped([batch], grouping) == [{"v00": "A!", "s": 3}, {"v00": "B!", "s": 3}]
    arrays = RowSignature([("l", DOUBLE_ARRAY)])
    values = pa.array([[1.0, None], None, [], [1.0, None]], pa.list_(pa.float64()))
    grouping = Grouping((key("l", DOUBLE_ARRAY),), (CountAggregator("c"),), arrays)
    made = grouped([pa.record_batch({"l": values})], grouping)
    assert sorted((str(r["l0"]), r["c"]) for r in made) == [("None", 1), ("[1.0, None]", 2), ("[]", 1)]


def test_rows_without_columns_still_count() -> None:
    batch = pa.record_batch({"n": pa.array([1, 2, 3])}).select([])
    assert grouped([batch], Grouping((), (CountAggregator("c"),), SIGNATURE)) == [{"c": 3}]


def test_error_of_the_source_comes_out_as_it_is() -> None:
    class Broken(Exception):
        pass

    def source() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"k": pa.array(["a"]), "n": pa.array([1])})
        raise Broken("row 7")

    for one in (LongSumAggregator("s", "n"), aggregator(type="thetaSketch", name="s", fieldName="n")):
        with pytest.raises(Broken, match="row 7"):
            list(group(source(), Grouping((key("k"),), (one,), SIGNATURE), connection()))


def test_runs_compare_nulls_lists_and_bits() -> None:
    lists = pa.array([[1.0], [1.0], [1.0, None], [1.0, None], None, None, [], [-0.0], [0.0]], pa.list_(pa.float64()))
    assert find_runs([lists], 9).starts.tolist() == [0, 2, 4, 6, 7, 8]
    assert find_runs([pa.array(["a", None, None, "", ""])], 5).starts.tolist() == [0, 1, 3]
    assert find_runs([], 3).starts.tolist() == [0]
    assert len(find_runs([], 0)) == 0


def test_sketches_do_not_depend_on_threads() -> None:
    """What is joined in another order has another running estimate, so that its bytes differ."""
    rows = 400_000
    signature = RowSignature([("k", LONG), ("v", LONG)])
    table = pa.table({"k": pa.array([n % 3 for n in range(rows)]), "v": pa.array(range(rows))})
    made = aggregator(type="HLLSketchBuild", name="h", fieldName="v", lgK=12, tgtHllType="HLL_4")
    grouping = Grouping((key("k", LONG),), (made,), signature)
    opened = connection()
    (usual,) = opened.execute("SELECT current_setting('threads')").fetchone()
    states = []
    try:
        for threads in (1, 4, 4):
            opened.execute(f"SET threads = {threads}")
            out = pa.Table.from_batches(list(group(iter(table.to_batches(50_000)), grouping, opened)))
            states.append(out.sort_by("k0")["h"].to_pylist())
    finally:
        opened.execute(f"SET threads = {usual}")
    assert len(states[0]) == 3 and states[0] == states[1] == states[2]
