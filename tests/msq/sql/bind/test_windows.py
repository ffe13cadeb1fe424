"""Window functions: operators, frames, refusals, and what stands below and above them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.msq.sql.bind.helpers import outputs, query_of, refusal


def processors(sql: str) -> list[dict[str, Any]]:
    query = query_of(sql)
    query = query if query["queryType"] == "windowOperator" else query["dataSource"]["query"]
    return [o["processor"] for o in query["operatorDefinition"] if o["type"] == "window"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT ROW_NUMBER() FROM t", "OVER clause is necessary for window functions (line [1], column [8])"),
        ("SELECT SUM(DISTINCT v) OVER () FROM t", "DISTINCT is not supported for window functions"),
        ("SELECT SUM(v) FILTER (WHERE v > 1) OVER () FROM t", "OVER must be applied to aggregate function"),
        ("SELECT UPPER(k) OVER () FROM t", "OVER must be applied to aggregate function"),
        ("SELECT NTILE(2) OVER (ORDER BY v ROWS 1 PRECEDING) FROM t", "Framing of NTILE is not supported."),
        ("SELECT SUM(v) OVER (ORDER BY v ROWS v PRECEDING) FROM t", "Window frames with expression based lower/upper"),
        (
            "SELECT SUM(v) OVER (ORDER BY v RANGE 2 PRECEDING) FROM t",
            "Order By with RANGE clause currently supports only UNBOUNDED or CURRENT ROW. Use ROWS clause instead. "
            "(line [1], column [20])",
        ),
        ("SELECT k FROM t GROUP BY k HAVING SUM(1) OVER () > 1", "Window functions are not allowed in HAVING"),
        ("SELECT SUM(v) OVER w FROM t WINDOW w AS (ORDER BY MAX(v))", "Aggregation inside window is currently not"),
        ("SELECT FIRST_VALUE(v) OVER (ORDER BY v ROWS 2 PRECEDING) FROM t", "Framing of FIRST_VALUE/LAST_VALUE is"),
        ("SELECT k FROM t WHERE ROW_NUMBER() OVER () = 1", "Windowed aggregate expression is illegal in WHERE clause"),
        ("SELECT SUM(v) OVER w FROM t", "Window 'w' not found (line [1], column [20])"),
        ("SELECT LAG(v, w) OVER (ORDER BY v) FROM t, u", "Argument to function 'LAG' must be a literal"),
        ("SELECT NTH_VALUE(v, 0) OVER (ORDER BY v) FROM t", "Argument to function 'NTH_VALUE' must be a positive"),
        ("SELECT RANK(v) OVER (ORDER BY v) FROM t", "Invalid number of arguments to function 'RANK'"),
    ],
)
def test_refusals(sql: str, message: str) -> None:
    assert refusal(sql).message.startswith(message)


def test_partition_order_and_columns() -> None:
    query = query_of("SELECT k, SUM(v) OVER (PARTITION BY k ORDER BY __time DESC) AS s FROM t")
    assert query["queryType"] == "windowOperator"
    assert query["dataSource"]["query"]["columns"] == ["__time", "k", "v"]
    assert [c["name"] for c in query["outputSignature"]] == ["k", "w0"]
    assert query["operatorDefinition"][0] == {
        "type": "naiveSort",
        "columns": [{"column": "k", "direction": "ASC"}, {"column": "__time", "direction": "DESC"}],
    }
    assert query["operatorDefinition"][1] == {"type": "naivePartition", "partitionColumns": ["k"]}


@pytest.mark.parametrize(
    ("over", "frame"),
    [
        ("", {"type": "rows", "lowerOffset": None, "upperOffset": None}),
        ("ORDER BY v", {"type": "groups", "lowerOffset": None, "upperOffset": 0, "orderByColumns": ["v"]}),
        ("ORDER BY v ROWS 2 PRECEDING", {"type": "rows", "lowerOffset": -2, "upperOffset": 0}),
        ("ORDER BY v ROWS 2 FOLLOWING", {"type": "rows", "lowerOffset": 0, "upperOffset": 2}),
        ("ROWS 2 PRECEDING", {"type": "rows", "lowerOffset": None, "upperOffset": None}),
        ("ORDER BY v ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", {"type": "rows", "lowerOffset": -1, "upperOffset": 1}),
        (
            "ORDER BY v RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            {"type": "groups", "lowerOffset": 0, "upperOffset": None, "orderByColumns": ["v"]},
        ),
    ],
)
def test_frames(over: str, frame: dict[str, Any]) -> None:
    (processor,) = processors(f"SELECT SUM(v) OVER ({over}) AS s FROM t")
    assert processor["frame"] == frame


def test_ranks_and_offsets_of_one_window_stand_together() -> None:
    window = "OVER (PARTITION BY k ORDER BY v)"
    made = processors(
        f"SELECT ROW_NUMBER() {window}, RANK() {window}, LAG(v, 2) {window}, LEAD(g) {window}, NTILE(3) {window}, "
        f"CUME_DIST() {window}, SUM(v) {window} FROM t"
    )
    assert [p["type"] for p in made] == ["rowNumber", "composing", "framedAgg"]
    assert [p["type"] for p in made[1]["processors"]] == ["rank", "offset", "offset", "percentile", "cumeDist"]
    assert [p.get("offset") for p in made[1]["processors"][1:3]] == [-2, 1]


def test_first_and_last_values() -> None:
    assert [p["type"] for p in processors("SELECT FIRST_VALUE(v) OVER (ORDER BY k) FROM t")] == ["first"]
    (own,) = processors("SELECT LAST_VALUE(v) OVER (ORDER BY k) FROM t")
    assert (own["type"], own["offset"]) == ("offset", 0)
    last = "SELECT LAST_VALUE(v) OVER (ORDER BY k ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t"
    assert [p["type"] for p in processors(last)] == ["last"]


def test_windows_without_partition_come_first() -> None:
    query = query_of("SELECT SUM(v) OVER (PARTITION BY k) AS a, COUNT(*) OVER () AS b FROM t")
    assert [o.get("partitionColumns") for o in query["operatorDefinition"] if o["type"] == "naivePartition"] == [
        [], ["k"]
    ]  # fmt: skip
    assert outputs("SELECT SUM(v) OVER (PARTITION BY k) AS a, COUNT(*) OVER () AS b FROM t") == ["w0>a", "w1>b"]


def test_named_windows_are_refined() -> None:
    (one, two) = processors(
        "SELECT ROW_NUMBER() OVER w AS r, SUM(v) OVER (w ROWS 1 PRECEDING) AS s FROM t "
        "WINDOW w AS (PARTITION BY k ORDER BY v)"
    )
    assert (one["type"], two["frame"]["lowerOffset"]) == ("rowNumber", -1)


def test_averages_divide_above() -> None:
    query = query_of("SELECT AVG(v) OVER (PARTITION BY k) AS a, AVG(d) OVER (PARTITION BY k) AS b FROM t")
    assert [v["expression"] for v in query["virtualColumns"]] == [
        '(CAST(case_searched(("w0" > 0),"w1",null), \'DOUBLE\') / "w0")',
        '(case_searched(("w2" > 0),"w3",null) / "w2")',
    ]


def test_computed_columns_stand_above_unless_the_window_is_partitioned() -> None:
    above = query_of("SELECT UPPER(k) AS u, ROW_NUMBER() OVER (ORDER BY v) AS r FROM t")
    assert above["queryType"] == "scan"
    assert above["virtualColumns"][0]["expression"] == 'upper("k")'
    below = query_of("SELECT UPPER(k) AS u, ROW_NUMBER() OVER (PARTITION BY g ORDER BY v) AS r FROM t")
    assert below["queryType"] == "windowOperator"
    assert below["dataSource"]["query"]["columns"] == ["g", "v", "v0"]


def test_conditions_on_results_filter_above() -> None:
    sql = "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS rn FROM t) WHERE rn <= 2"
    query = query_of(sql)
    assert query["filter"] == {"type": "range", "column": "w0", "matchValueType": "LONG", "upper": 2}
    qualified = query_of("SELECT k, v FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) <= 2")
    assert qualified["filter"] == query["filter"]


def test_windows_over_groups() -> None:
    query = query_of("SELECT k, SUM(SUM(v)) OVER (ORDER BY k) AS s FROM t GROUP BY k")
    assert query["dataSource"]["query"]["queryType"] == "groupBy"
    assert processors("SELECT k, SUM(SUM(v)) OVER (ORDER BY k) AS s FROM t GROUP BY k")[0]["aggregations"] == [
        {"type": "longSum", "name": "w0", "fieldName": "a0"}
    ]


def test_constants_aggregated_over_windows_are_columns_below() -> None:
    made = query_of("SELECT k, SUM(2) OVER (ORDER BY k), COUNT(1) OVER (ORDER BY k) FROM t")
    assert made["dataSource"]["query"]["columns"] == ["k", "v0"]
    framed = made["operatorDefinition"][-1]["processor"]["aggregations"]
    assert [a.get("fieldName") for a in framed] == ["v0", None]
