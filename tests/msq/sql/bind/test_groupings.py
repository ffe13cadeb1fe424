"""GROUP BY, DISTINCT, aggregates, HAVING, grouping sets: what becomes a groupBy query."""

from __future__ import annotations

from typing import Any

import pytest

from tests.msq.sql.bind.helpers import bind_text, outputs, query_of, refusal


def dims(query: dict[str, Any]) -> list[str]:
    return [f"{d['dimension']}>{d['outputName']}" for d in query["dimensions"]]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT k, COUNT(*) FROM t", "Expression 'k' is not being grouped (line [1], column [8])"),
        ("SELECT * FROM t GROUP BY k", "Expression '__time' is not being grouped"),
        ("SELECT k FROM t GROUP BY k HAVING v > 1", "Expression 'v' is not being grouped (line [1], column [35])"),
        ("SELECT k FROM t WHERE COUNT(*) > 1", "Aggregate expression is illegal in WHERE clause (line [1]"),
        ("SELECT COUNT(*) FROM t GROUP BY COUNT(*)", "Aggregate expression is illegal in GROUP BY clause"),
        ("SELECT SUM(COUNT(*)) FROM t", "Aggregate expressions cannot be nested (line [1], column [12])"),
        ("SELECT k FROM t GROUP BY 2", "Ordinal out of range (line [1], column [26])"),
        ("SELECT k AS z FROM t GROUP BY z", "Column 'z' not found in any table (line [1], column [31])"),
        ("SELECT GROUPING(k) FROM t", "GROUPING operator may only occur in an aggregate query (line [1], column [8])"),
        ("SELECT GROUPING(g) FROM t GROUP BY k", "Argument to operator 'GROUPING' must be a grouped expression"),
        ("SELECT MAX(k) FROM t", "Aggregation [MAX] does not support type [STRING], column [v0]"),
        ("SELECT MAX(arr) FROM t", "Aggregation [MAX] does not support type [ARRAY<STRING>], column [arr]"),
        ("SELECT SUM(DISTINCT v) FROM t", "Aggregation [SUM] with DISTINCT is not supported when"),
        ("SELECT SUM(*) FROM t", "Unknown identifier '*'"),
        ("SELECT UPPER(k) FILTER (WHERE TRUE) FROM t", "FILTER is only allowed for aggregate functions"),
    ],
)
def test_refusals(sql: str, message: str) -> None:
    assert refusal(sql).message.startswith(message)


def test_keys_aggregates_and_order() -> None:
    query = query_of("SELECT g, k, COUNT(*) AS c, SUM(v) FROM t WHERE v > 1 GROUP BY k, g ORDER BY c DESC, 1 LIMIT 3")
    assert dims(query) == ["k>d0", "g>d1"]
    assert [a["type"] for a in query["aggregations"]] == ["count", "longSum"]
    assert query["limitSpec"] == {
        "type": "default",
        "columns": [
            {"dimension": "a0", "direction": "descending", "dimensionOrder": {"type": "numeric"}},
            {"dimension": "d1", "direction": "ascending", "dimensionOrder": {"type": "lexicographic"}},
        ],
        "limit": 3,
    }


def test_equal_aggregates_are_one() -> None:
    query = query_of("SELECT k, SUM(v) AS s, SUM(v) + 1 AS p FROM t GROUP BY k HAVING SUM(v) > 3")
    assert len(query["aggregations"]) == 1
    assert query["having"]["filter"]["column"] == "a0"
    assert query["postAggregations"][0]["expression"] == '("a0" + 1)'


def test_expressions_of_keys() -> None:
    query = query_of("SELECT LOWER(UPPER(k)) AS x, k FROM t GROUP BY k, UPPER(k)")
    assert dims(query) == ["k>d0", "v0>d1"]
    assert query["postAggregations"][0]["expression"] == 'lower("d1")'
    assert outputs("SELECT LOWER(UPPER(k)) AS x, k FROM t GROUP BY k, UPPER(k)") == ["p0>x", "d0>k"]


def test_post_aggregators_above_the_sort_have_a_prefix_of_their_own() -> None:
    sql = "SELECT k, SUM(v) / COUNT(*) AS r FROM t GROUP BY k"
    assert outputs(sql) == ["d0>k", "p0>r"]
    assert outputs(sql + " ORDER BY k") == ["d0>k", "s0>r"]
    assert outputs(sql + " LIMIT 3") == ["d0>k", "s0>r"]
    assert outputs(sql + " ORDER BY r") == ["d0>k", "p0>r"]


def test_conditions_on_keys_filter_before_grouping() -> None:
    query = query_of("SELECT k FROM t GROUP BY k HAVING k <> 'x' AND COUNT(*) > 1")
    assert query["filter"]["field"]["column"] == "k"
    assert query["having"]["filter"] == {
        "type": "range", "column": "a0", "matchValueType": "LONG", "lower": 1, "lowerOpen": True
    }  # fmt: skip


def test_constant_keys_do_not_group_beside_others() -> None:
    assert dims(query_of("SELECT 'x' AS c, k FROM t GROUP BY 1, 2")) == ["k>d0"]
    assert dims(query_of("SELECT 'x' AS c FROM t GROUP BY 1")) == ["v0>d0"]
    assert dims(query_of("SELECT k, g FROM t WHERE k = 'a' GROUP BY k, g")) == ["g>d0"]
    assert dims(query_of("SELECT k FROM t WHERE k = 'a' GROUP BY k")) == ["k>d0"]


def test_distinct_is_a_grouping() -> None:
    query = query_of("SELECT DISTINCT k, g FROM t ORDER BY g")
    assert dims(query) == ["k>d0", "g>d1"]
    assert query["limitSpec"]["columns"][0]["dimension"] == "d1"
    nested = query_of("SELECT DISTINCT c FROM (SELECT k, COUNT(*) AS c FROM t GROUP BY k)")
    assert dims(nested) == ["a0>_d0"]


def test_names_step_aside_over_a_grouping() -> None:
    query = query_of("SELECT d0, SUM(c) FROM (SELECT k AS d0, COUNT(*) AS c FROM t GROUP BY k) GROUP BY d0")
    assert dims(query) == ["d0>_d0"]
    assert query["aggregations"][0]["name"] == "_a0"


def test_filters_of_aggregates() -> None:
    (aggregator,) = query_of("SELECT SUM(v) FILTER (WHERE UPPER(k) = 'A') AS s FROM t")["aggregations"]
    assert aggregator["type"] == "filtered"
    assert aggregator["filter"]["column"] == "v0"


def test_floor_of_time_is_told_in_the_context() -> None:
    context = bind_text("SELECT k, FLOOR(__time TO HOUR) AS h, COUNT(*) FROM t GROUP BY 1, 2").query.context
    assert context["timestampResultField"] == "d1"
    assert context["timestampResultFieldGranularity"] == '"HOUR"'
    assert context["timestampResultFieldInOriginalDimensions"] == 1
    two = bind_text("SELECT FLOOR(__time TO HOUR), FLOOR(__time TO DAY) FROM t GROUP BY 1, 2").query.context
    assert "timestampResultField" not in two


def test_exact_distinct_groups_twice() -> None:
    query = query_of(
        "SELECT k, COUNT(DISTINCT g) AS n, SUM(v) AS s, COUNT(*) AS c FROM t GROUP BY k",
        {"useApproximateCountDistinct": False},
    )
    assert dims(query["dataSource"]["query"]) == ["k>d0", "g>d1"]
    assert [a["type"] for a in query["aggregations"]] == ["filtered", "longSum", "longSum"]


def test_several_exact_distincts_have_a_grouping_set_each() -> None:
    exact = {"useApproximateCountDistinct": False}
    query = query_of("SELECT k, COUNT(DISTINCT g) AS n, COUNT(DISTINCT v) AS m, AVG(d) AS a FROM t GROUP BY k", exact)
    inner = query["dataSource"]["query"]
    assert dims(inner) == ["k>d0", "g>d1", "v>d2"]
    assert inner["subtotalsSpec"] == [["d0"], ["d0", "d1"], ["d0", "d2"]]
    assert inner["aggregations"][0]["groupings"] == ["g", "v"]
    assert [a["type"] for a in query["aggregations"]] == ["filtered", "filtered", "filtered"]
    union = query_of("SELECT COUNT(DISTINCT g) FROM t GROUP BY ROLLUP(k)", exact)["dataSource"]
    assert (union["type"], len(union["dataSources"])) == ("union", 2)


def test_grouping_sets() -> None:
    query = query_of("SELECT k, g, SUM(v), GROUPING(g, k) AS gr FROM t GROUP BY ROLLUP(k, g)")
    assert query["subtotalsSpec"] == [["d0", "d1"], ["d0"], []]
    assert query["aggregations"][1] == {"type": "grouping", "name": "a1", "groupings": ["g", "k"]}
    assert query_of("SELECT k FROM t GROUP BY CUBE(k, g)")["subtotalsSpec"] == [["d0", "d1"], ["d0"], ["d1"], []]
    crossed = query_of("SELECT k FROM t GROUP BY v, GROUPING SETS ((k, g), (k))")
    assert crossed["subtotalsSpec"] == [["d0", "d1", "d2"], ["d0", "d1"]]


def test_types_when_aggregates_are_not_finalised() -> None:
    bound = bind_text("SELECT k, SUM(v) AS s, AVG(v) AS a FROM t GROUP BY k", {"finalizeAggregations": False})
    assert bound.sql_type_names == ("VARCHAR", "OTHER", "DOUBLE")
    assert bound.native_type_names == ("STRING", "LONG", "DOUBLE")
    assert bound.query.context["finalize"] is False


def test_having_may_use_aliases() -> None:
    query = query_of("SELECT k, MAX(v) - MIN(v) AS r FROM t GROUP BY k HAVING r > 3")
    assert query["having"]["filter"] == {"type": "expression", "expression": '(("a0" - "a1") > 3)'}


def test_a_total_of_which_only_the_row_matters_counts() -> None:
    made = query_of("SELECT 'c' FROM (SELECT MAX(v) AS m FROM t) s")
    assert (made["dimensions"], [a["type"] for a in made["aggregations"]]) == ([], ["count"])


@pytest.mark.parametrize("star", ["", "*"])
def test_a_distinct_count_needs_an_argument(star: str) -> None:
    assert refusal(f"SELECT COUNT(DISTINCT {star}) FROM t").message.startswith("Invalid number of arguments")
