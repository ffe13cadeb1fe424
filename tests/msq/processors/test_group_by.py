"""The group-by processors on batches: states out, merged and finished rows in key order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import msq.aggregate  # noqa: F401
from msq.codec import decode
from msq.datatypes import LONG, STRING, RowSignature
from msq.native.query import NativeQuery
from msq.plan.group_by import final_signature, partial_signature
from msq.processors.group_by import GroupByPostShuffleProcessor, GroupByPreShuffleProcessor
from tests.harness.processors import BatchesInput, rows_of, run_processor

SIGNATURE = RowSignature([("__time", LONG), ("k", STRING), ("n", LONG)])
DAY = 86_400_000
BATCHES = [
    pa.record_batch({"__time": pa.array([0, DAY, 2 * DAY]), "k": pa.array(["b", None, "a"]), "n": pa.array([1, 2, 3])}),
    pa.record_batch({"__time": pa.array([5, DAY + 5]), "k": pa.array(["b", "a"]), "n": pa.array([10, None])}),
]


def query(**parts: Any) -> Any:
    base = {
        "queryType": "groupBy", "dataSource": {"type": "inputNumber", "inputNumber": 0}, "granularity": {"type": "all"},
        "dimensions": [{"type": "default", "dimension": "k", "outputName": "d0", "outputType": "STRING"}],
    }  # fmt: skip
    return decode(NativeQuery, {**base, **parts})  # type: ignore[type-abstract]


def run(native: Any, batches: list[pa.RecordBatch], *, signature: RowSignature | None = None, rows: int = 2) -> Any:
    """Both processors, with the shuffle's sort by key in between; (partition, batch) pairs of the second one."""
    partial = partial_signature(native)
    made = run_processor(GroupByPreShuffleProcessor(native), BatchesInput(SIGNATURE, {0: batches}), partial)
    keys = [d.output_name for d in native.dimensions]
    table = pa.Table.from_batches([b for _, b in made]) if made else partial.arrow_schema().empty_table()
    if keys:
        table = table.sort_by([(k, "ascending") for k in keys])
        nulls = table.filter(pa.compute.is_null(table.column(keys[0])))
        table = pa.concat_tables([nulls, table.filter(pa.compute.is_valid(table.column(keys[0])))])
    source = BatchesInput(partial, {3: table.to_batches(max_chunksize=2)} if keys else {0: table.to_batches()})
    return run_processor(
        GroupByPostShuffleProcessor(native), source, signature or final_signature(native), batch_rows=rows
    )


SUM = {"type": "longSum", "name": "a0", "fieldName": "n"}
HLL = {"type": "HLLSketchBuild", "name": "a1", "fieldName": "n", "lgK": 12, "tgtHllType": "HLL_4", "round": True}


def test_groups_come_out_finished_in_key_order_of_their_partition() -> None:
    out = run(query(aggregations=[SUM, HLL]), BATCHES)
    assert {partition for partition, _ in out} == {3}
    assert rows_of(out) == [
        {"d0": None, "a0": 2, "a1": 1}, {"d0": "a", "a0": 3, "a1": 1}, {"d0": "b", "a0": 11, "a1": 2},
    ]  # fmt: skip


def test_states_stay_states_when_the_context_says_so() -> None:
    out = run(query(aggregations=[SUM, HLL], context={"finalize": False}), BATCHES)
    batch = out[0][1]
    assert batch.schema.field("a1").type == pa.binary()
    assert str(final_signature(query(aggregations=[HLL], context={"finalize": False})).type_of("a1")) == (
        "COMPLEX<HLLSketchBuild>"
    )


def test_having_and_post_aggregators_see_final_values() -> None:
    having = {"type": "filter", "filter": {"type": "range", "column": "a1", "matchValueType": "LONG", "lower": 2}}
    posts = [
        {"type": "arithmetic", "name": "p0", "fn": "quotient", "fields": [
            {"type": "fieldAccess", "fieldName": "a0"}, {"type": "finalizingFieldAccess", "fieldName": "a1"}]},
        {"type": "expression", "name": "p1", "expression": '(("a0" + "a1") * 2)', "outputType": "LONG"},
        {"type": "HLLSketchEstimate", "name": "p2", "field": {"type": "fieldAccess", "fieldName": "a1"}, "round": True},
    ]  # fmt: skip
    for finalize in (True, False):
        native = query(aggregations=[SUM, HLL], having=having, postAggregations=posts, context={"finalize": finalize})
        (row,) = rows_of(run(native, BATCHES))
        assert (row["d0"], row["p0"], row["p1"], row["p2"]) == ("b", 5.5, 26, 2.0)


def test_bucket_and_boost_are_added_where_the_signature_has_them() -> None:
    native = query(
        dimensions=[{"type": "default", "dimension": "__time", "outputName": "d0", "outputType": "LONG"}],
        aggregations=[{"type": "count", "name": "a0"}],
        context={"__timeColumn": "d0", "sqlInsertSegmentGranularity": '"DAY"'},
    )
    signature = RowSignature([("__bucket", LONG), ("d0", LONG), ("__boost", LONG), ("a0", LONG)])
    rows = rows_of(run(native, BATCHES, signature=signature))
    assert [(r["__bucket"], r["d0"], r["__boost"]) for r in rows] == [
        (0, 0, 0), (0, 5, 1), (DAY, DAY, 2), (DAY, DAY + 5, 3), (2 * DAY, 2 * DAY, 4),
    ]  # fmt: skip


EMPTY_FILTER = {"type": "equals", "column": "k", "matchValueType": "STRING", "matchValue": "none"}


@pytest.mark.parametrize("condition", [None, EMPTY_FILTER])
def test_global_aggregate_of_no_rows_is_one_row(condition: Any) -> None:
    count = {"type": "count", "name": "a0"}
    native = query(dimensions=[], aggregations=[count, {**SUM, "name": "a1"}], filter=condition)
    assert rows_of(run(native, [] if condition is None else BATCHES)) == [{"a0": 0, "a1": None}]


def test_global_row_comes_from_one_worker_alone() -> None:
    native = query(dimensions=[], aggregations=[{"type": "count", "name": "a0"}])
    partial, final = partial_signature(native), final_signature(native)
    processor = GroupByPostShuffleProcessor(native)
    nothing = BatchesInput(partial, {})
    assert rows_of(run_processor(processor, nothing, final, worker=0)) == [{"a0": 0}]
    assert run_processor(processor, nothing, final, worker=1) == []
    assert run_processor(processor, BatchesInput(partial, {1: []}), final, worker=1) == []
    assert run_processor(processor, BatchesInput(partial, {0: []}), final, worker=1) == [
        (0, pa.record_batch({"a0": pa.array([0])}))
    ]


def test_groups_of_no_rows_are_no_rows() -> None:
    assert run(query(aggregations=[SUM]), []) == []
    assert run(query(aggregations=[SUM], filter=EMPTY_FILTER), BATCHES) == []
