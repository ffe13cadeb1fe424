"""Joins, subqueries in expressions, UNNEST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.msq.sql.bind.helpers import outputs, query_of, refusal

MERGE = {"sqlJoinAlgorithm": "sortMerge"}
T = {"type": "table", "name": "t"}


def source(sql: str, context: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = query_of(sql, context)["dataSource"]
    return found


def test_broadcast_reads_the_left_table_in_place() -> None:
    join = source("SELECT t.v, u.w FROM t JOIN u ON t.k = u.k")
    assert join["left"] == T
    assert join["right"]["query"]["columns"] == ["k", "w"]
    assert (join["condition"], join["joinType"], join["rightPrefix"]) == ('("k" == "j0.k")', "INNER", "j0.")
    assert "joinAlgorithm" not in join


def test_external_tables_are_read_whole() -> None:
    assert source("SELECT v FROM t JOIN EXTERN e ON t.k = e.a")["right"]["query"]["columns"] == [
        "a", "b", "c", "tags", "arr"
    ]  # fmt: skip


def test_merge_joins_have_subqueries_on_both_sides() -> None:
    join = source("SELECT t.v, u.w FROM t FULL JOIN u ON t.k = u.k", MERGE)
    assert (join["left"]["query"]["columns"], join["joinAlgorithm"]) == (["k", "v"], "sortMerge")
    assert source("SELECT /*+ sort_merge */ t.v FROM t JOIN u ON t.k = u.k")["joinAlgorithm"] == "sortMerge"
    assert "joinAlgorithm" not in source("SELECT /*+ broadcast */ t.v FROM t JOIN u ON t.k = u.k", MERGE)


def test_right_and_full_joins_are_merge_joins() -> None:
    assert source("SELECT u.w FROM t RIGHT JOIN u ON t.k = u.k")["joinAlgorithm"] == "sortMerge"


def test_computed_keys() -> None:
    sql = "SELECT t.v FROM t JOIN u ON UPPER(t.k) = LOWER(u.k)"
    assert source(sql)["condition"] == '(upper("k") == "j0.v0")'
    assert source(sql, MERGE)["condition"] == '("v0" == "j0.v0")'


def test_conditions_that_are_no_equality() -> None:
    query = query_of("SELECT t.v FROM t JOIN u ON t.k = u.k AND t.v < u.w")
    assert query["dataSource"]["condition"] == '("k" == "j0.k")'
    assert query["filter"]["expression"] == '("v" < "j0.w")'
    assert source("SELECT t.v FROM t LEFT JOIN u ON t.k = u.k AND t.v < u.w")["condition"] == (
        '(("k" == "j0.k") && ("v" < "j0.w"))'
    )
    # what concerns the optional side alone filters it before it is joined
    below = source("SELECT t.v FROM t LEFT JOIN u ON t.k = u.k AND u.w > 1")
    assert (below["condition"], below["right"]["query"]["filter"]["column"]) == ('("k" == "j0.k")', "w")


def test_null_safe_equality() -> None:
    join = source("SELECT t.v FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k")
    assert join["condition"] == 'notdistinctfrom("k","j0.k")'


def test_comma_and_where() -> None:
    query = query_of("SELECT t.v FROM t, u, t2 WHERE t.k = u.k AND t2.k = u.k AND t.v > 1")
    assert query["dataSource"]["condition"] == '("j0.k" == "_j0.k")'
    assert query["dataSource"]["left"]["condition"] == '("k" == "j0.k")'
    assert query["filter"]["column"] == "v"
    assert source("SELECT t.v FROM t, u")["condition"] == "1"


def test_using_shows_the_column_once() -> None:
    assert outputs("SELECT * FROM u JOIN t2 USING (k, __time)") == [
        "k>k", "__time>__time", "w>w", "j0.g>g", "j0.v>v"
    ]  # fmt: skip
    assert outputs("SELECT k FROM u JOIN t2 USING (k)") == ["k>k"]
    assert outputs("SELECT k FROM u NATURAL JOIN t2") == ["k>k"]
    assert "not found" in refusal("SELECT 1 FROM u JOIN t2 USING (w)").message


def test_prefixes_are_not_used_twice() -> None:
    join = source("SELECT 1 AS x FROM t JOIN (SELECT u.k FROM u JOIN t2 ON u.k = t2.k GROUP BY u.k) z ON t.k = z.k")
    assert join["rightPrefix"] == "_j0."


def test_parenthesised_joins() -> None:
    join = source("SELECT t.k FROM t JOIN (u JOIN t2 ON u.k = t2.k) ON t.k = u.k")
    assert join["right"]["query"]["dataSource"]["type"] == "join"


def test_in_keeps_rows_by_an_inner_join() -> None:
    query = query_of("SELECT v FROM t WHERE k IN (SELECT k FROM u WHERE w > 1) AND v > 2")
    assert query["dataSource"]["right"]["query"]["queryType"] == "groupBy"
    assert query["filter"]["column"] == "v"


def test_not_in_counts_nulls() -> None:
    query = query_of("SELECT v FROM t WHERE k NOT IN (SELECT k FROM u)")
    assert query["dataSource"]["joinType"] == "LEFT"
    assert [a["type"] for a in query["dataSource"]["left"]["right"]["query"]["aggregations"]] == ["count", "filtered"]
    assert query["filter"]["field"]["expression"].startswith("case_searched(")


def test_scalar_subqueries() -> None:
    query = query_of("SELECT v, (SELECT MAX(w) FROM u) AS m FROM t WHERE v > 1")
    assert query["dataSource"]["left"]["query"]["filter"]["column"] == "v"
    assert (query["dataSource"]["condition"], query["dataSource"]["joinType"]) == ("1", "LEFT")
    assert "more than one column" in refusal("SELECT (SELECT MAX(w), MIN(w) FROM u) FROM t").message


def test_scalar_subqueries_of_an_unknown_number_of_rows() -> None:
    right = source("SELECT v, (SELECT w FROM u WHERE k = 'a') AS m FROM t")["right"]["query"]
    assert right["aggregations"] == [{"type": "singleValue", "name": "a0", "fieldName": "w", "columnType": "LONG"}]
    assert right["filter"]["column"] == "k"
    each = source("SELECT v, (SELECT w FROM u WHERE u.k = t.k) AS m FROM t")
    assert (each["condition"], each["right"]["query"]["dimensions"][0]["dimension"]) == ('("k" == "j0.d0")', "k")
    limited = source("SELECT v, (SELECT w FROM u LIMIT 1) AS m FROM t")["right"]["query"]
    assert (limited["queryType"], limited["limit"]) == ("scan", 1)


def test_exists() -> None:
    assert source("SELECT v FROM t WHERE EXISTS (SELECT 1 FROM u)")["joinType"] == "INNER"
    query = query_of("SELECT v FROM t WHERE NOT EXISTS (SELECT 1 FROM u)")
    assert query["filter"] == {"type": "null", "column": "j0.d0"}


@pytest.mark.parametrize(
    ("sql", "condition"),
    [
        ("SELECT v FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.w > 1)", '("k" == "j0.d1")'),
        ("SELECT v FROM t WHERE v IN (SELECT w FROM u WHERE u.k = t.k)", '(("v" == "j0.d0") && ("k" == "j0.d1"))'),
        ("SELECT (SELECT MAX(w) FROM u WHERE u.k = UPPER(t.k)) AS m FROM t", '(upper("k") == "j0.d0")'),
        ("SELECT (SELECT MAX(w) FROM u WHERE k = t.g) AS m FROM t GROUP BY g", '("d0" == "j0.d0")'),
    ],
)
def test_correlated_subqueries(sql: str, condition: str) -> None:
    assert source(sql)["condition"] == condition


def test_correlated_counts_are_zero_without_rows() -> None:
    (column,) = query_of("SELECT (SELECT COUNT(*) FROM u WHERE u.k = t.k) AS c FROM t")["virtualColumns"]
    assert column["expression"] == 'nvl("j0.a0",0)'


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (SELECT MAX(w) FROM u WHERE u.w > t.v) FROM t",
        "SELECT v FROM t WHERE v IN (SELECT w FROM u WHERE u.w <> t.v)",
        "SELECT v FROM t WHERE EXISTS (SELECT 1 FROM (SELECT k FROM u LIMIT 3) x WHERE x.k = t.k OR x.k = 'a')",
    ],
)
def test_other_correlations_join_the_distinct_outer_values(sql: str) -> None:
    join = source(sql)
    assert "notdistinctfrom" in join["condition"]
    assert {"queryType": "groupBy", "source": "t"} in [
        {"queryType": q.get("queryType"), "source": (q.get("dataSource") or {}).get("name")} for q in parts(join)
    ]


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a query."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from parts(inner)


def test_correlations_below_a_full_join_are_refused() -> None:
    sql = "SELECT v FROM t WHERE EXISTS (SELECT 1 FROM u FULL JOIN t2 ON u.k = t2.k AND u.w > t.v)"
    assert "FULL join cannot read columns of the outer query" in refusal(sql).message


def test_unnest() -> None:
    query = query_of("SELECT k, x FROM t CROSS JOIN UNNEST(arr) AS z(x) WHERE x = 'a' AND v > 1 AND x <> k")
    unnest = query["dataSource"]
    assert unnest["base"]["filter"]["column"] == "v"
    assert unnest["virtualColumn"] == {
        "type": "expression", "name": "j0.unnest", "expression": '"arr"', "outputType": "ARRAY<STRING>"
    }  # fmt: skip
    assert unnest["unnestFilter"]["column"] == "j0.unnest"
    assert query["filter"]["expression"] == '("j0.unnest" != "k")'


def test_unnest_of_several_arrays_and_of_constants() -> None:
    twice = source("SELECT x, y FROM t, UNNEST(arr) AS a(x), UNNEST(MV_TO_ARRAY(tags)) AS b(y)")
    assert (twice["virtualColumn"]["name"], twice["virtualColumn"]["outputType"]) == ("_j0.unnest", "STRING")
    constant = source("SELECT x FROM t CROSS JOIN UNNEST(ARRAY[1, 2]) AS a(x)")
    assert constant["right"]["rows"] == [[1], [2]]
    assert source("SELECT x FROM UNNEST(ARRAY['p', NULL]) AS a(x)")["type"] == "inline"
    assert refusal("SELECT x FROM t, UNNEST(v) AS a(x)").message.startswith("Cannot apply 'UNNEST' to arguments of")
    assert "ON TRUE" in refusal("SELECT x FROM t LEFT JOIN UNNEST(arr) AS a(x) ON x = k").message


def test_inline_rows_are_joined_in_place() -> None:
    join = source("SELECT x.n FROM t JOIN (VALUES ('a', 1)) AS x(k, n) ON t.k = x.k")
    assert join["right"]["columnNames"] == ["k", "n", "k0"]
    assert join["condition"] == '("k" == "j0.k0")'
    assert source("SELECT x.v FROM t JOIN lookup.codes x ON t.k = x.k")["right"]["type"] == "lookup"


def test_merge_join_computes_below_an_external_left_side() -> None:
    join = source("SELECT UPPER(e.tags) AS x, u.w FROM EXTERN e JOIN u ON e.b = u.w", MERGE)
    assert join["left"]["type"] == "query"


def test_a_side_of_which_only_the_rows_matter_has_a_column_of_zeros() -> None:
    join = source("SELECT u.w FROM (SELECT v FROM t WHERE v > 0) s CROSS JOIN u")
    assert join["left"]["query"]["columns"] == ["v0"]
    assert join["left"]["query"]["virtualColumns"][0]["expression"] == "0"
