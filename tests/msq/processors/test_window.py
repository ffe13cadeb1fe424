"""Window functions on batches against DuckDB's, and the limit on a window partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msq.datatypes import DOUBLE, LONG, STRING, RowSignature
from msq.faults import MSQError
from msq.native.datasource import InputNumberDataSource
from msq.native.query import WindowOperatorQuery
from msq.processors.window import WindowProcessor
from tests.harness.processors import BatchesInput, rows_of, run_processor

SIGNATURE = RowSignature([("__boost", LONG), ("k", STRING), ("n", LONG), ("id", LONG)])


def processor(windows: Sequence[dict[str, Any]], outputs: Sequence[tuple[str, Any]], *, limit: int = 1000,
              partition: Sequence[str] = ("k",), order: Sequence[tuple[str, str]] = (("n", "ASC"), ("id", "ASC")),
              ) -> WindowProcessor:  # fmt: skip
    columns = [{"column": p, "direction": "ASC"} for p in partition]
    columns += [{"column": c, "direction": d} for c, d in order]
    operators = (
        {"type": "glueingPartition", "partitionColumns": list(partition), "maxRowsMaterialized": limit},
        {"type": "partitionSort", "columns": columns},
        *({"type": "window", "processor": w} for w in windows),
    )
    signature = RowSignature([("__boost", LONG), ("id", LONG), *outputs])
    query = WindowOperatorQuery(InputNumberDataSource(0))
    return WindowProcessor(query, operators, signature, limit, tuple(partition))


def source(rows: Sequence[tuple[Any, Any]], size: int) -> BatchesInput:
    """Rows of each `k` together, as a hash shuffle delivers them."""
    ordered = sorted(enumerate(rows), key=lambda r: (r[1][0] is not None, r[1][0] or ""))
    table = pa.table({
        "__boost": pa.array(range(len(rows)), pa.int64()), "k": pa.array([r[0] for _, r in ordered], pa.string()),
        "n": pa.array([r[1] for _, r in ordered], pa.int64()), "id": pa.array([i for i, _ in ordered], pa.int64()),
    })  # fmt: skip
    return BatchesInput(SIGNATURE, {0: table.to_batches(max_chunksize=size)})


RANKS = [
    ("row_number()", {"type": "rowNumber", "outputColumn": "w0"}, LONG),
    ("rank()", {"type": "rank", "group": ["n"], "outputColumn": "w0", "asPercent": False}, LONG),
    ("percent_rank()", {"type": "rank", "group": ["n"], "outputColumn": "w0", "asPercent": True}, DOUBLE),
    ("dense_rank()", {"type": "denseRank", "group": ["n"], "outputColumn": "w0"}, LONG),
    ("cume_dist()", {"type": "cumeDist", "group": ["n"], "outputColumn": "w0"}, DOUBLE),
]
NTILE = ("ntile(3)", {"type": "percentile", "numBuckets": 3, "outputColumn": "w0"}, LONG)
OFFSETS = [
    ("lag(n, 2)", {"type": "offset", "inputColumn": "n", "outputColumn": "w0", "offset": -2}, LONG),
    ("lead(k)", {"type": "offset", "inputColumn": "k", "outputColumn": "w0", "offset": 1}, STRING),
    ("first_value(n) over (partition by k order by n, id rows between unbounded preceding and unbounded following)",
     {"type": "first", "inputColumn": "n", "outputColumn": "w0"}, LONG),
    ("last_value(n) over (partition by k order by n, id rows between unbounded preceding and unbounded following)",
     {"type": "last", "inputColumn": "n", "outputColumn": "w0"}, LONG),
]  # fmt: skip
FRAMES = [
    ("rows between unbounded preceding and unbounded following",
     {"type": "rows", "lowerOffset": None, "upperOffset": None}),
    ("rows between 1 preceding and 2 following", {"type": "rows", "lowerOffset": -1, "upperOffset": 2}),
    ("rows between 2 following and 3 following", {"type": "rows", "lowerOffset": 2, "upperOffset": 3}),
    ("range between unbounded preceding and current row",
     {"type": "groups", "lowerOffset": None, "upperOffset": 0, "orderByColumns": ["n"]}),
    ("range between current row and unbounded following",
     {"type": "groups", "lowerOffset": 0, "upperOffset": None, "orderByColumns": ["n"]}),
]  # fmt: skip
ROWS = st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.one_of(st.none(), st.integers(0, 4))), max_size=25)


def oracle(rows: Sequence[tuple[Any, Any]], sql: str, order: str) -> dict[int, Any]:
    con = duckdb.connect()
    con.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
    table = pa.table({"k": pa.array([r[0] for r in rows], pa.string()), "n": pa.array([r[1] for r in rows], pa.int64()),
                      "id": pa.array(range(len(rows)), pa.int64())})  # fmt: skip
    con.register("t", table)
    over = "" if " over " in sql else f" over (partition by k order by {order})"
    return dict(con.sql(f"select id, {sql}{over} from t").fetchall())


@pytest.mark.parametrize(("sql", "window", "kind"), [*RANKS, NTILE, *OFFSETS], ids=lambda v: str(v)[:20])
@settings(max_examples=20, deadline=None)
@given(rows=ROWS, size=st.integers(1, 9))
def test_ranks_and_offsets(sql: str, window: dict[str, Any], kind: Any, rows: list[Any], size: int) -> None:
    made = rows_of(run_processor(processor([window], [("w0", kind)]), source(rows, size), RowSignature(
        [("__boost", LONG), ("id", LONG), ("w0", kind)]), batch_rows=4))  # fmt: skip
    wanted = oracle(rows, sql, "n" if "group" in window else "n, id")
    assert {r["id"]: r["w0"] for r in made} == wanted
    assert [r["__boost"] for r in made] == list(range(len(rows)))


@pytest.mark.parametrize(("words", "frame"), FRAMES, ids=lambda v: str(v)[:30])
@settings(max_examples=20, deadline=None)
@given(rows=ROWS, size=st.integers(1, 9))
def test_aggregates_over_frames(words: str, frame: dict[str, Any], rows: list[Any], size: int) -> None:
    positive = {"type": "range", "column": "n", "matchValueType": "LONG", "lower": 1}
    window = {"type": "framedAgg", "frame": frame, "aggregations": [
        {"type": "longSum", "name": "w0", "fieldName": "n"},
        {"type": "filtered", "aggregator": {"type": "count", "name": "w1"}, "filter": positive, "name": "w1"},
        {"type": "longMax", "name": "w2", "fieldName": "n"},
    ]}  # fmt: skip
    outputs = [("w0", LONG), ("w1", LONG), ("w2", LONG)]
    signature = RowSignature([("__boost", LONG), ("id", LONG), *outputs])
    made = rows_of(run_processor(processor([window], outputs), source(rows, size), signature))
    order = "n" if frame["type"] == "groups" else "n, id"
    over = f" over (partition by k order by {order} {words})"
    for name, sql in (("w0", "sum(n)"), ("w1", "count(*) filter (where n >= 1)"), ("w2", "max(n)")):
        assert {r["id"]: r[name] for r in made} == oracle(rows, sql + over, order)


def test_rows_come_out_in_window_order_descending_too() -> None:
    rows = [("b", 1), ("a", None), ("a", 2), (None, 5), ("b", 3)]
    made = run_processor(
        processor([RANKS[0][1]], [("w0", LONG)], order=(("n", "DESC"),)), source(rows, 2),
        RowSignature([("__boost", LONG), ("id", LONG), ("w0", LONG)]),
    )  # fmt: skip
    assert [(r["id"], r["w0"]) for r in rows_of(made)] == [(3, 1), (2, 1), (1, 2), (4, 1), (0, 2)]


def test_too_many_rows_in_one_partition() -> None:
    signature = RowSignature([("__boost", LONG), ("id", LONG), ("w0", LONG)])
    rows = [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]
    fits = processor([RANKS[0][1]], [("w0", LONG)], limit=3)
    assert len(rows_of(run_processor(fits, source(rows, 2), signature))) == 5
    small = processor([RANKS[0][1]], [("w0", LONG)], limit=2)
    with pytest.raises(MSQError) as caught:
        run_processor(small, source(rows, 10), signature)
    fault = caught.value.fault.to_json()
    assert (fault["errorCode"], fault["numRows"], fault["maxRows"]) == ("TooManyRowsInAWindow", 5, 2)
    whole = processor([RANKS[0][1]], [("w0", LONG)], limit=4, partition=())
    with pytest.raises(MSQError, match="TooManyRowsInAWindow"):
        run_processor(whole, source(rows, 1), signature)
