"""`/druid/v2`: every native query type over one table, against SQL over the same rows and against Druid's shapes."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.controller.api.conftest import Client, extern, poll

MONTH = "2024-01-01/2024-02-01"
COUNT = {"type": "count", "name": "c"}
SUM = {"type": "longSum", "name": "s", "fieldName": "n"}
BOTH = [COUNT, SUM]
P1 = {"type": "selector", "dimension": "page", "value": "p1"}


@pytest.fixture(scope="module")
def table(client: Client) -> str:
    """Days 1 and 3 of January 2024, four rows each, 3 hours apart from 00:07 on."""
    rows = [
        {
            "t": f"2024-01-0{day}T{3 * n:02d}:07:00Z", "n": n + 10 * (day > 1), "x": n / 2,
            "page": None if n == 3 else f"p{n}", "tags": ["a", "b"] if n % 2 else ["a"],
        }
        for day in (1, 3)
        for n in range(4)
    ]  # fmt: skip
    source = extern(rows, t="VARCHAR", n="BIGINT", x="DOUBLE", page="VARCHAR", tags="VARCHAR ARRAY")
    client.ingest(
        'REPLACE INTO "hours" OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, n, x, page, ARRAY_TO_MV(tags) AS tags '
        f"FROM {source} PARTITIONED BY DAY",
        arrayIngestMode="array",
    )
    return "hours"


def post(client: Client, kind: str, **more: Any) -> httpx.Response:
    return client.post("/druid/v2", {"queryType": kind, "dataSource": "hours", "intervals": MONTH, **more})


def ask(client: Client, kind: str, **more: Any) -> list[Any]:
    answer = post(client, kind, **more)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


# -- scan --------------------------------------------------------------------------------------------------------------


def test_scan_of_all_columns(client: Client, table: str) -> None:
    one, other = ask(client, "scan")
    used = client.get("/druid/coordinator/v1/metadata/datasources/hours/segments").json()
    assert [one["segmentId"], other["segmentId"]] == used
    assert one["columns"] == other["columns"] == ["__time", "n", "x", "page", "tags"]
    assert one["rowSignature"][2] == {"name": "x", "type": "DOUBLE"}
    assert one["events"][1] == {"__time": 1704078420000, "n": 1, "x": 0.5, "page": "p1", "tags": ["a", "b"]}
    assert one["events"][0]["tags"] == "a"
    assert one["events"][3]["page"] is None
    found = [e["n"] for e in one["events"] + other["events"]]
    assert found == [r[0] for r in client.rows("SELECT n FROM hours ORDER BY __time")]


def test_scan_order_offset_limit_and_missing_columns(client: Client, table: str) -> None:
    (one,) = ask(
        client, "scan", resultFormat="compactedList", columns=["__time", "n", "nope"], order="descending", limit=2,
        offset=1,
    )  # fmt: skip
    assert one["events"] == [[1704262020000, 12, None], [1704251220000, 11, None]]


def test_scan_of_one_segment_names_it_and_clips_rows(client: Client, table: str) -> None:
    (one,) = ask(client, "scan", columns=["n"], intervals="2024-01-03T01:00/2024-01-03T07:00")
    assert one["events"] == [{"n": 11}, {"n": 12}]
    assert one["segmentId"].startswith("hours_2024-01-03T00:00:00.000Z_")


def test_scan_in_batches(client: Client, table: str) -> None:
    """An element holds rows of one segment."""
    sizes = [len(b["events"]) for b in ask(client, "scan", columns=["n"], batchSize=3)]
    assert sizes == [3, 1, 3, 1]
    assert [len(b["events"]) for b in ask(client, "scan", columns=["n"], offset=3, limit=2)] == [1, 1]
    (counted,) = ask(client, "scan", columns=["nope"], intervals="2024-01-03/2024-01-04")
    assert counted["segmentId"] and counted["events"] == [{"nope": None}] * 4
    (sorted_rows,) = ask(client, "scan", columns=["__time", "n"], order="ascending")
    assert sorted_rows["segmentId"] is None and len(sorted_rows["events"]) == 8


@pytest.mark.parametrize(
    ("condition", "where"),
    [
        (P1, "page = 'p1'"),
        ({"type": "selector", "dimension": "page", "value": None}, "page IS NULL"),
        ({"type": "selector", "dimension": "n", "value": 11}, "n = 11"),
        ({"type": "in", "dimension": "page", "values": ["p0", None]}, "page = 'p0' OR page IS NULL"),
        ({"type": "not", "field": {"type": "in", "dimension": "n", "values": [1, 2]}}, "n NOT IN (1, 2)"),
        ({"type": "bound", "dimension": "n", "lower": 2, "upper": 11, "upperStrict": True, "ordering": "numeric"},
         "n >= 2 AND n < 11"),
        ({"type": "like", "dimension": "page", "pattern": "%2"}, "page LIKE '%2'"),
        ({"type": "bound", "dimension": "n", "lower": 3, "upper": 11, "upperStrict": True, "ordering": "strlen"},
         "n >= 3 AND n < 11"),
        ({"type": "extraction", "dimension": "page", "value": "P1", "extractionFn": {"type": "upper"}}, "page = 'p1'"),
        ({"type": "not", "field": {"type": "in", "dimension": "page", "values": ["2"],
          "extractionFn": {"type": "substring", "index": 1}}}, "page <> 'p2'"),
        ({"type": "regex", "dimension": "page", "pattern": "[01]"}, "page IN ('p0', 'p1')"),
        ({"type": "search", "dimension": "page", "query": {"type": "insensitive_contains", "value": "P2"}},
         "page = 'p2'"),
        ({"type": "search", "dimension": "page", "query": {"type": "contains", "value": "P2", "caseSensitive": True}},
         "page = 'P2'"),
        ({"type": "and", "fields": [P1, {"type": "equals", "column": "n", "matchValueType": "LONG", "matchValue": 1}]},
         "page = 'p1' AND n = 1"),
        ({"type": "expression", "expression": "n % 2 == 0"}, "MOD(n, 2) = 0"),
        ({"type": "interval", "dimension": "__time", "intervals": ["2024-01-03/2024-01-04"]},
         "__time >= TIMESTAMP '2024-01-03'"),
        ({"type": "columnComparison", "dimensions": ["page", "tags"]}, "page = 'a'"),
    ],
)  # fmt: skip
def test_filters(client: Client, table: str, condition: Any, where: str) -> None:
    found = ask(client, "scan", columns=["n"], filter=condition)
    events = [e["n"] for batch in found for e in batch["events"]]
    assert events == [r[0] for r in client.rows(f"SELECT n FROM hours WHERE {where} ORDER BY __time")]


def test_virtual_columns_have_the_type_of_their_expression(client: Client, table: str) -> None:
    twice = {"type": "expression", "name": "v", "expression": "n * 2"}
    found = ask(client, "scan", columns=["v"], virtualColumns=[twice], filter=P1)
    assert [one["events"] for one in found] == [[{"v": 2}], [{"v": 22}]]
    assert found[0]["rowSignature"] == [{"name": "v", "type": "LONG"}]


# -- groupBy -----------------------------------------------------------------------------------------------------------


def test_group_by_one_dimension(client: Client, table: str) -> None:
    found = ask(client, "groupBy", granularity="all", dimensions=["page"], aggregations=BOTH)
    assert found[0] == {
        "version": "v1", "timestamp": "2024-01-01T00:00:00.000Z", "event": {"page": None, "c": 2, "s": 16}
    }  # fmt: skip
    rows = client.rows("SELECT page, COUNT(*), SUM(n) FROM hours GROUP BY 1 ORDER BY 1 NULLS FIRST")
    assert [list(g["event"].values()) for g in found] == rows


def test_group_by_buckets_unnests_and_prints_numbers_as_text(client: Client, table: str) -> None:
    found = ask(
        client, "groupBy", granularity="day",
        dimensions=["tags", {"type": "default", "dimension": "n", "outputName": "m"}],
        aggregations=[COUNT], filter={"type": "in", "dimension": "n", "values": ["1", "12"]},
    )  # fmt: skip
    assert [(g["timestamp"][:10], g["event"]) for g in found] == [
        ("2024-01-01", {"tags": "a", "m": "1", "c": 1}),
        ("2024-01-01", {"tags": "b", "m": "1", "c": 1}),
        ("2024-01-03", {"tags": "a", "m": "12", "c": 1}),
    ]


def test_group_by_order_limit_having_and_post_aggregators(client: Client, table: str) -> None:
    average = {
        "type": "arithmetic", "name": "avg", "fn": "/",
        "fields": [{"type": "fieldAccess", "fieldName": "s"}, {"type": "fieldAccess", "fieldName": "c"}],
    }  # fmt: skip
    found = ask(
        client, "groupBy", granularity="all", dimensions=["page"], aggregations=BOTH, postAggregations=[average],
        having={"type": "greaterThan", "aggregation": "s", "value": 10},
        limitSpec={"type": "default", "limit": 2, "columns": [{"dimension": "s", "direction": "descending"}]},
    )  # fmt: skip
    assert [g["event"] for g in found] == [
        {"page": None, "c": 2, "s": 16, "avg": 8.0},
        {"page": "p2", "c": 2, "s": 14, "avg": 7.0},
    ]


def test_group_by_typed_listed_and_extracted_dimensions(client: Client, table: str) -> None:
    def groups(dimension: Any) -> list[Any]:
        found = ask(client, "groupBy", granularity="all", dimensions=[dimension], aggregations=[COUNT])
        return [tuple(g["event"].values()) for g in found]

    long = {"type": "default", "dimension": "n", "outputName": "n", "outputType": "LONG"}
    assert groups(long)[:2] == [(0, 1), (1, 1)]
    listed = {"type": "listFiltered", "delegate": "tags", "values": ["b"]}
    assert ("b", 4) in groups(listed)
    assert not any(value == "a" for value, _ in groups(listed))
    form = {"type": "timeFormat", "format": "yyyy-MM-dd"}
    day = {"type": "extraction", "dimension": "__time", "outputName": "day", "extractionFn": form}
    assert groups(day) == [("2024-01-01", 4), ("2024-01-03", 4)]


PAGES = ["p0", "p1", "p2", None]


@pytest.mark.parametrize(("fn", "values"), [
    ({"type": "identity"}, PAGES),
    ({"type": "regex", "expr": "p([01])"}, ["0", "1", "p2", None]),
    ({"type": "regex", "expr": "(p)([01])", "index": 2, "replaceMissingValue": True}, ["0", "1", None, None]),
    ({"type": "regex", "expr": "p([01])", "replaceMissingValue": True, "replaceMissingValueWith": "x"},
     ["0", "1", "x", "x"]),
    ({"type": "partial", "expr": "[01]$"}, ["p0", "p1", None, None]),
    ({"type": "searchQuery", "query": {"type": "insensitive_contains", "value": "P2"}}, [None, None, "p2", None]),
    ({"type": "searchQuery", "query": {"type": "fragment", "values": ["p", "1"]}}, [None, "p1", None, None]),
    ({"type": "stringFormat", "format": "<%s>"}, ["<p0>", "<p1>", "<p2>", "<null>"]),
    ({"type": "stringFormat", "format": "<%s>", "nullHandling": "emptyString"}, ["<p0>", "<p1>", "<p2>", "<>"]),
    ({"type": "stringFormat", "format": "<%s>", "nullHandling": "returnNull"}, ["<p0>", "<p1>", "<p2>", None]),
    ({"type": "lookup", "lookup": {"type": "map", "map": {"p0": "zero", "p'1": "x"}}}, ["zero", None, None, None]),
    ({"type": "lookup", "lookup": {"type": "map", "map": {"p0": "zero"}}, "retainMissingValue": True},
     ["zero", "p1", "p2", None]),
    ({"type": "lookup", "lookup": {"type": "map", "map": {"p0": "zero"}}, "replaceMissingValueWith": "?"},
     ["zero", "?", "?", "?"]),
    ({"type": "cascade", "extractionFns": [{"type": "upper"}, {"type": "substring", "index": 1}]},
     ["0", "1", "2", None]),
])  # fmt: skip
def test_extraction_functions(client: Client, table: str, fn: Any, values: list[Any]) -> None:
    dimension = {"type": "extraction", "dimension": "page", "outputName": "v", "extractionFn": fn}
    found = ask(client, "groupBy", granularity="all", dimensions=[dimension], intervals="2024-01-01/2024-01-02")
    assert {g["event"]["v"] for g in found} == set(values)
    for value in set(values):
        condition = {"type": "selector", "dimension": "page", "value": value, "extractionFn": fn}
        (one,) = ask(client, "timeseries", granularity="all", filter=condition, aggregations=[COUNT])
        assert one["result"]["c"] == 2 * values.count(value)


def test_extraction_functions_of_numbers_and_times(client: Client, table: str) -> None:
    def values(dimension: str, fn: dict[str, Any]) -> list[Any]:
        one = {"type": "extraction", "dimension": dimension, "outputName": "v", "extractionFn": fn}
        found = ask(client, "groupBy", granularity="all", dimensions=[one], intervals="2024-01-01/2024-01-02")
        return [g["event"]["v"] for g in found]

    assert values("n", {"type": "bucket", "size": 2, "offset": 1}) == ["-1", "1", "3"]
    assert values("x", {"type": "bucket", "size": 0.5}) == ["0", "0.5", "1", "1.5"]
    assert values("page", {"type": "bucket"}) == [None]
    time = {"type": "time", "timeFormat": "'p'D", "resultFormat": "yyyy-MM-dd", "joda": True}
    assert values("page", time) == [None, "1970-01-01", "1970-01-02", "p0"]
    millis = {"type": "timeFormat", "asMillis": True, "granularity": "day"}
    assert values("__time", millis) == ["1704067200000"]


def test_dimensions_by_lookup_and_columns_that_stand_in(client: Client, table: str) -> None:
    lookup = {"type": "map", "map": {"p0": "zero"}}
    dimension = {"type": "lookup", "dimension": "page", "outputName": "v", "lookup": lookup, "retainMissingValue": True}
    found = ask(client, "groupBy", granularity="all", dimensions=[dimension])
    assert [g["event"]["v"] for g in found] == [None, "p1", "p2", "zero"]
    instead = {"type": "fallback", "name": "v", "columns": ["gone", {"type": "default", "dimension": "n"}]}
    (one, _) = ask(client, "scan", columns=["v"], virtualColumns=[instead])
    assert [e["v"] for e in one["events"]] == [0, 1, 2, 3] and one["rowSignature"] == [{"name": "v", "type": "LONG"}]


def test_aggregators_and_posts_of_extensions(client: Client, table: str) -> None:
    held = {"type": "fieldAccess", "name": "k", "fieldName": "k"}
    counted = {"type": "fieldAccess", "name": "c", "fieldName": "c"}
    (one,) = ask(
        client, "timeseries", granularity="all",
        aggregations=[
            COUNT, {"type": "KllDoublesSketch", "name": "k", "fieldName": "x"},
            {"type": "doubleMean", "name": "m", "fieldName": "n"},
        ],
        postAggregations=[
            {"type": "KllDoublesSketchToQuantiles", "name": "q", "field": held, "fractions": [0, 1]},
            {"type": "KllDoublesSketchToCDF", "name": "cdf", "field": held, "splitPoints": [0.5]},
            {
                "type": "zscore2sample", "name": "z", "successCount1": counted, "sample1Size": counted,
                "successCount2": {"type": "constant", "name": "x", "value": 4}, "sample2Size": counted,
            },
        ],
    )  # fmt: skip
    assert one["result"] == {
        "c": 8, "k": 8, "m": 6.5, "q": [0.0, 1.5], "cdf": [0.5, 1.0], "z": pytest.approx(0.5 / (0.25 / 8) ** 0.5)
    }  # fmt: skip


def test_group_by_as_arrays_and_subtotals(client: Client, table: str) -> None:
    query: dict[str, Any] = {"granularity": "all", "dimensions": ["page"], "aggregations": [COUNT], "filter": P1}
    assert ask(client, "groupBy", **query, context={"resultAsArray": True}) == [["p1", 2]]
    found = ask(client, "groupBy", **query, subtotalsSpec=[["page"], []])
    assert sorted(str(g["event"]["page"]) for g in found) == ["None", "p1"]


def test_aggregators_filtered_and_by_expression(client: Client, table: str) -> None:
    (one,) = ask(
        client, "groupBy", granularity="all", dimensions=[],
        aggregations=[
            {"type": "filtered", "filter": P1, "aggregator": SUM},
            {"type": "doubleMax", "name": "m", "expression": "x * 10"},
            {"type": "cardinality", "name": "d", "fields": ["page"], "round": True},
            {"type": "stringLast", "name": "l", "fieldName": "page"},
        ],
    )  # fmt: skip
    assert one["event"] == {"s": 12, "m": 15.0, "d": 3, "l": None}


# -- timeseries --------------------------------------------------------------------------------------------------------


def test_timeseries_of_one_bucket_starts_with_the_first_row(client: Client, table: str) -> None:
    assert ask(client, "timeseries", granularity="all", aggregations=BOTH, filter=P1) == [
        {"timestamp": "2024-01-01T00:07:00.000Z", "result": {"c": 2, "s": 12}}
    ]


def test_timeseries_shows_empty_buckets_inside_segments(client: Client, table: str) -> None:
    found = ask(client, "timeseries", granularity="hour", aggregations=BOTH, filter=P1)
    hours = [f"2024-01-0{day}T{hour:02d}:00:00.000Z" for day in (1, 3) for hour in range(10)]
    assert [b["timestamp"] for b in found] == hours
    assert [b["result"] for b in found][2:4] == [{"c": 0, "s": None}, {"c": 1, "s": 1}]
    assert [b["timestamp"] for b in ask(
        client, "timeseries", granularity="hour", aggregations=BOTH, filter=P1, descending=True,
        context={"skipEmptyBuckets": True},
    )] == ["2024-01-03T03:00:00.000Z", "2024-01-01T03:00:00.000Z"]  # fmt: skip


def test_timeseries_by_period_in_a_zone(client: Client, table: str) -> None:
    period = {"type": "period", "period": "P1D", "timeZone": "America/Los_Angeles"}
    found = ask(client, "timeseries", granularity=period, aggregations=[COUNT], context={"skipEmptyBuckets": True})
    rows = client.rows(
        "SELECT TIME_FLOOR(__time, 'P1D', NULL, 'America/Los_Angeles'), COUNT(*) FROM hours GROUP BY 1 ORDER BY 1"
    )
    assert [[b["timestamp"], b["result"]["c"]] for b in found] == rows


def test_timeseries_grand_total_and_limit(client: Client, table: str) -> None:
    found = ask(client, "timeseries", granularity="day", aggregations=BOTH, context={"grandTotal": "true"}, limit=1)
    assert found == [
        {"timestamp": "2024-01-01T00:00:00.000Z", "result": {"c": 4, "s": 6}},
        {"timestamp": None, "result": {"c": 8, "s": 52}},
    ]


def test_nothing_to_read(client: Client, table: str) -> None:
    for more in ({"dataSource": "there is none"}, {"intervals": "1999/2000"}):
        start = "1999-01-01T00:00:00.000Z" if "intervals" in more else "2024-01-01T00:00:00.000Z"
        query: dict[str, Any] = {"granularity": "all", "aggregations": BOTH, **more}
        zero = {"c": 0, "s": None}
        assert ask(client, "timeseries", **query) == [{"timestamp": start, "result": zero}]
        assert ask(client, "timeseries", **query, context={"skipEmptyBuckets": True}) == []
        assert ask(client, "groupBy", **query, dimensions=[])[0]["event"] == zero
        assert ask(client, "groupBy", **query, dimensions=["page"]) == []
        assert ask(client, "topN", **query, dimension="page", metric="c", threshold=1) == []
        assert ask(client, "search", **query, query={"type": "all"}) == []
        for kind in ("scan", "timeBoundary", "segmentMetadata", "dataSourceMetadata"):
            assert ask(client, kind, **more) == []


# -- topN --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "pages"),
    [
        ("s", [None, "p2"]),
        ({"type": "numeric", "metric": "s"}, [None, "p2"]),
        ({"type": "inverted", "metric": "s"}, ["p0", "p1"]),
        ({"type": "dimension", "ordering": "lexicographic"}, [None, "p0"]),
        ({"type": "dimension", "previousStop": "p0"}, ["p1", "p2"]),
        ({"type": "inverted", "metric": {"type": "dimension"}}, ["p2", "p1"]),
    ],
)
def test_top_n_metrics(client: Client, table: str, metric: Any, pages: list[Any]) -> None:
    (one,) = ask(client, "topN", granularity="all", dimension="page", metric=metric, threshold=2, aggregations=BOTH)
    assert one["timestamp"] == "2024-01-01T00:07:00.000Z"
    assert [r["page"] for r in one["result"]] == pages


def test_top_n_by_bucket(client: Client, table: str) -> None:
    found = ask(client, "topN", granularity="day", dimension="page", metric="s", threshold=1, aggregations=BOTH)
    assert found == [
        {"timestamp": "2024-01-01T00:00:00.000Z", "result": [{"page": None, "c": 1, "s": 3}]},
        {"timestamp": "2024-01-03T00:00:00.000Z", "result": [{"page": None, "c": 1, "s": 13}]},
    ]


# -- metadata and search -----------------------------------------------------------------------------------------------


def test_time_boundaries(client: Client, table: str) -> None:
    first, last = "2024-01-01T00:07:00.000Z", "2024-01-03T09:07:00.000Z"
    assert ask(client, "timeBoundary") == [{"timestamp": first, "result": {"minTime": first, "maxTime": last}}]
    assert ask(client, "timeBoundary", bound="maxTime") == [{"timestamp": last, "result": {"maxTime": last}}]
    assert ask(client, "timeBoundary", filter=P1)[0]["timestamp"] == "2024-01-01T03:07:00.000Z"
    assert ask(client, "dataSourceMetadata") == [{"timestamp": last, "result": {"maxIngestedEventTime": last}}]


def test_segment_metadata(client: Client, table: str) -> None:
    each = ask(client, "segmentMetadata", toInclude={"type": "list", "columns": ["page"]}, analysisTypes=["size"])
    assert [(list(s["columns"]), s["numRows"], s["intervals"]) for s in each] == [(["page"], 4, None)] * 2
    assert all(s["size"] == s["columns"]["page"]["size"] > 0 for s in each)
    (merged,) = ask(client, "segmentMetadata", merge=True)
    assert (merged["id"], merged["numRows"], len(merged["intervals"])) == ("merged", 8, 2)
    assert merged["columns"]["page"] == {
        "typeSignature": "STRING", "type": "STRING", "hasMultipleValues": False, "hasNulls": True, "size": 0,
        "cardinality": 4, "minValue": "p0", "maxValue": "p2", "errorMessage": None,
    }  # fmt: skip
    assert merged["columns"]["tags"]["hasMultipleValues"] is True


def test_search(client: Client, table: str) -> None:
    query = {"type": "insensitive_contains", "value": "P"}
    (one,) = ask(client, "search", query=query, searchDimensions=["page", "tags"], limit=2)
    assert one["result"] == [
        {"dimension": "page", "value": "p0", "count": 2}, {"dimension": "page", "value": "p1", "count": 2}
    ]  # fmt: skip
    (all_values,) = ask(client, "search", query={"type": "contains", "value": "b"})
    assert all_values["result"] == [{"dimension": "tags", "value": "b", "count": 4}]


# -- data sources ------------------------------------------------------------------------------------------------------


def counted(client: Client, source: Any, **more: Any) -> int:
    (one,) = ask(client, "timeseries", dataSource=source, granularity="all", aggregations=[COUNT], **more)
    return int(one["result"]["c"])


def test_data_sources(client: Client, table: str) -> None:
    pages = {
        "queryType": "groupBy", "dataSource": "hours", "intervals": MONTH, "granularity": "all",
        "dimensions": ["page"],
    }  # fmt: skip
    inline = {"type": "inline", "columnNames": ["k", "v"], "columnTypes": ["STRING", "LONG"], "rows": [["p1", 1]]}
    assert counted(client, {"type": "table", "name": "hours"}) == 8
    assert counted(client, {"type": "union", "dataSources": ["hours", "hours"]}) == 16
    assert counted(client, {"type": "query", "query": pages}) == 4
    assert counted(client, inline) == 1
    join = {
        "type": "join", "left": "hours", "right": inline, "rightPrefix": "r.", "condition": "\"page\" == \"r.k\"",
        "joinType": "INNER",
    }  # fmt: skip
    assert counted(client, join) == 2
    assert counted(client, {"type": "filter", "base": "hours", "filter": P1}) == 2
    itself = {**join, "right": "hours", "condition": '"page" == "r.page"'}
    assert counted(client, itself, intervals="2024-01-03/2024-01-04") == 6
    unnest: Any = {
        "type": "unnest", "base": "hours",
        "virtualColumn": {
            "type": "expression", "name": "u", "expression": "array(n, n + 100)", "outputType": "ARRAY<LONG>"
        },
    }  # fmt: skip
    (one,) = ask(client, "scan", dataSource=unnest, columns=["u", "n"], resultFormat="compactedList", filter=P1)
    assert one["events"] == [[1, 1], [101, 1], [11, 11], [111, 11]]
    times = {"type": "inline", "columnNames": ["__time"], "columnTypes": ["LONG"], "rows": [[0], [1704067200000]]}
    assert counted(client, times) == 1


# -- the request -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"queryType": "mapReduce"}, "mapReduce"),
        ({"queryType": None}, "queryType"),
        ({"aggregations": [{"type": "javascript", "name": "j"}]}, "javascript"),
        ({"aggregations": [{"type": "longSum", "name": "s"}]}, "fieldName"),
        ({"aggregations": [{"type": "KllFloatsSketch", "name": "k"}]}, "fieldName"),
        ({"aggregations": [{"type": "KllFloatsSketch", "name": "k", "fieldName": "x", "k": 7}]}, "K must be >= 8"),
        (
            {"filter": {"type": "selector", "dimension": "page", "value": "a", "extractionFn": {"type": "magic"}}},
            "magic",
        ),
        ({"virtualColumns": [{"type": "fallback", "name": "v", "columns": []}]}, "fallback"),
        ({"postAggregations": [{"type": "thetaSketchConstant", "name": "t", "value": "?"}]}, "Constant value"),
        ({"filter": {"type": "spatial", "dimension": "x"}}, "spatial"),
        ({"granularity": "fortnight"}, "fortnight"),
        ({"granularity": {"type": "period", "period": "P1X"}}, "P1X"),
        ({"intervals": "yesterday"}, "yesterday"),
        ({"intervals": None}, "intervals"),
        ({"dataSource": None}, "dataSource"),
        ({"dataSource": {"type": "tape"}}, "tape"),
        ({"virtualColumns": [{"type": "dream", "name": "d"}]}, "dream"),
        ({"postAggregations": [{"type": "fieldAccess", "name": "p", "fieldName": "gone"}]}, "gone"),
        ({"aggregations": [COUNT, COUNT]}, "Duplicate output name[c]"),
        ({"context": {"timeout": "soon"}}, "timeout"),
        ({"context": {"timeout": -1}}, "non negative"),
        ({"postAggregations": [{"type": "arithmetic", "name": "p", "fn": "+", "fields": []}]}, "fields[0]"),
        ({"dataSource": {"type": "inline", "columnNames": ["a", "a"], "rows": []}}, "columnNames"),
        ({"virtualColumns": [{"type": "expression", "name": "v", "expression": "n +"}]}, "malformed"),
    ],
)
def test_what_is_no_query_is_named(client: Client, table: str, more: dict[str, Any], word: str) -> None:
    body = {"dataSource": "hours", "intervals": MONTH, "granularity": "all", "aggregations": [COUNT], **more}
    answer = post(client, more.get("queryType", "timeseries"), **{k: v for k, v in body.items() if k != "queryType"})
    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert word in error["errorMessage"]
    assert {"error", "errorMessage", "errorClass", "host", "errorCode", "category"} <= set(error)


def test_bodies_that_are_no_json(client: Client) -> None:
    as_json = {"content-type": "application/json"}
    answer = client.http.post("/druid/v2", content="{", headers=as_json)
    assert (answer.status_code, answer.json()["error"]) == (400, "Json parse failed")
    assert client.http.post("/druid/v2", content="[]", headers=as_json).status_code == 400
    assert client.http.post("/druid/v2", content="{}", headers={"content-type": "text/plain"}).status_code == 415


def test_what_druid_has_and_we_have_not(client: Client, table: str) -> None:
    answer = post(client, "scan", resultFormat="valueVector")
    assert (answer.status_code, answer.json()["error"]) == (501, "Unsupported operation")


def test_ids_and_indents(client: Client, table: str) -> None:
    body = {"queryType": "timeBoundary", "dataSource": "hours", "bound": "minTime", "context": {"queryId": "mine"}}
    answer = client.post("/druid/v2/?pretty", body)
    assert answer.headers["X-Druid-Query-Id"] == "mine"
    assert answer.text.startswith('[ {\n  "timestamp" : "2024-01-01T00:07:00.000Z",\n')
    assert post(client, "timeBoundary").headers["X-Druid-Query-Id"]


def slow() -> dict[str, Any]:
    """A query over three crossed inline sources that runs for many seconds unless it is cancelled."""
    rows = {"type": "inline", "columnNames": ["a"], "columnTypes": ["LONG"], "rows": [[n] for n in range(1_000)]}
    source: Any = rows
    for prefix in ("y.", "z."):
        source = {
            "type": "join", "left": source, "right": rows, "rightPrefix": prefix, "condition": "1", "joinType": "INNER"
        }  # fmt: skip
    test = {"type": "expression", "expression": '("a" * "y.a" + "z.a") % 7 == 3'}
    return {"dataSource": source, "granularity": "all", "aggregations": [COUNT], "filter": test}


def test_a_query_is_cancelled_by_its_id(client: Client) -> None:
    answers: list[httpx.Response] = []
    query = slow()
    asking = threading.Thread(
        target=lambda: answers.append(post(client, "timeseries", **query, context={"queryId": "long"}))
    )
    asking.start()
    poll(lambda: client.get("/druid/v2/sql/queries").json()["queries"], lambda q: any(i["id"] == "long" for i in q))
    assert client.delete("/druid/v2/long").status_code == 202
    asking.join(120)
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]) == (500, "Query cancelled")


def test_a_query_that_takes_too_long(client: Client) -> None:
    answer = post(client, "timeseries", **slow(), context={"timeout": 300})
    assert (answer.status_code, answer.json()["error"]) == (504, "Query timeout")


# -- pydruid -----------------------------------------------------------------------------------------------------------


def test_pydruid(client: Client, table: str) -> None:
    druid = pytest.importorskip("pydruid.client").PyDruid(str(client.http.base_url).rstrip("/"), "druid/v2/")
    count, longsum = (getattr(pytest.importorskip("pydruid.utils.aggregators"), n) for n in ("count", "longsum"))
    spec = pytest.importorskip("pydruid.utils.dimensions").DimensionSpec
    page = pytest.importorskip("pydruid.utils.filters").Dimension("page")
    total = pytest.importorskip("pydruid.utils.having").Aggregation("s")
    field = pytest.importorskip("pydruid.utils.postaggregator").Field

    common: dict[str, Any] = {"datasource": "hours", "intervals": MONTH}
    values = {"c": count("c"), "s": longsum("n")}
    series = druid.timeseries(
        granularity="day", aggregations=values, post_aggregations={"avg": field("s") / field("c")},
        filter=page != None, **common,  # noqa: E711 - pydruid's way to say it
    )  # fmt: skip
    assert series.result[0]["result"] == {"c": 3, "s": 3, "avg": 1.0}
    top = druid.topn(granularity="all", aggregations=values, metric="s", dimension="page", threshold=1, **common)
    assert top.result[0]["result"] == [{"page": None, "c": 2, "s": 16}]
    groups = druid.groupby(
        granularity="all", dimensions=[spec("page", "p")], aggregations=values,
        having=(total > 12), limit_spec={"type": "default", "limit": 5, "columns": ["s"]}, **common,
    )  # fmt: skip
    assert [g["event"]["p"] for g in groups.result] == ["p2", None]
    assert druid.time_boundary(datasource="hours").result[0]["result"]["maxTime"] == "2024-01-03T09:07:00.000Z"
    assert druid.segment_metadata(**common).result[0]["numRows"] == 4
    scan = druid.scan(limit=2, granularity="all", columns=["n"], metrics=[], **common)
    assert scan.result[0]["events"] == [{"n": 0}, {"n": 1}]
    with pytest.raises(OSError, match="fortnight"):
        druid.timeseries(granularity="fortnight", aggregations=values, **common)
