"""Names, scans, filters, order and limit: what a SELECT without grouping becomes."""

from __future__ import annotations

import pytest

from tests.msq.sql.bind.helpers import bind_text, outputs, query_of, refusal

AT = " (line [1], column [8])"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM t", "Column 'nope' not found in any table" + AT),
        ("SELECT K FROM t", "Column 'K' not found in any table; did you mean 'k'?" + AT),
        ("SELECT t.nope FROM t", "Column 'nope' not found in table 't' (line [1], column [10])"),
        ("SELECT q.k FROM t", "Table 'q' not found" + AT),
        ("SELECT k FROM t, u", "Column 'k' is ambiguous" + AT),
        ("SELECT * FROM nope", "Object 'nope' not found (line [1], column [15])"),
        ("SELECT * FROM druid.nope", "Object 'nope' not found within 'druid' (line [1], column [15])"),
        ("SELECT * FROM other.t", "Object 'other' not found (line [1], column [15])"),
        ("SELECT * FROM lookup.nope", "Object 'nope' not found within 'lookup' (line [1], column [15])"),
        ("SELECT * FROM sys.segments", "Cannot query table(s) [sys.segments] with SQL engine [msq-task]"),
        ("SELECT NOSUCH(k, v) FROM t", "No match found for function signature NOSUCH(<CHARACTER>, <NUMERIC>)" + AT),
        ("SELECT k FROM t WHERE v", "WHERE clause must be a condition (line [1], column [23])"),
        ("SELECT k FROM t ORDER BY 2", "Ordinal out of range (line [1], column [26])"),
        ("SELECT k FROM t ORDER BY k NULLS LAST", "ASCENDING ordering with NULLS LAST is not supported! (line [1]"),
        ("SELECT a.k FROM t a JOIN u a ON TRUE", "Duplicate relation name 'a' in FROM clause (line [1], column [21])"),
        ("SELECT x.k FROM t AS x(p, q)", "List of column aliases must have same degree as table; table has 8 columns"),
        ("SELECT DISTINCT k FROM t ORDER BY v", "Expression in ORDER BY of SELECT DISTINCT must be in the select list"),
        ("SELECT k FROM t LIMIT ?", "No value bound for parameter"),
    ],
)  # fmt: skip
def test_refusals(sql: str, message: str) -> None:
    error = refusal(sql)
    assert error.message.startswith(message)
    assert error.category == "INVALID_INPUT"
    assert error.context["sourceType"] == "sql"


def test_places_of_refusals_are_in_the_context() -> None:
    error = refusal("SELECT k,\n  nope FROM t")
    assert error.context == {"sourceType": "sql", "line": "2", "column": "3", "endLine": "2", "endColumn": "6"}


def test_columns_keep_their_names_and_computed_ones_are_virtual() -> None:
    query = query_of("SELECT k AS a, UPPER(k) AS b, v, UPPER(k) AS c FROM t")
    assert query["columns"] == ["k", "v0", "v"]
    assert [v["expression"] for v in query["virtualColumns"]] == ['upper("k")']
    assert outputs("SELECT k AS a, UPPER(k) AS b, v, UPPER(k) AS c FROM t") == ["k>a", "v0>b", "v>v", "v0>c"]


def test_unnamed_columns_are_numbered_by_place() -> None:
    assert outputs("SELECT k, v + 1, 'x' FROM t") == ["k>k", "v0>EXPR$1", "v1>EXPR$2"]


def test_a_column_that_the_filter_fixes_is_a_constant() -> None:
    query = query_of("SELECT k, v FROM t WHERE k = 'a'")
    assert query["columns"] == ["v0", "v"]
    assert query["virtualColumns"][0]["expression"] == "'a'"
    assert query_of("SELECT tags FROM t WHERE tags = 'a'")["columns"] == ["tags"], "rows may hold other values too"


def test_virtual_column_names_step_aside() -> None:
    inner = "SELECT v0 FROM (VALUES ('a')) AS q(v0) LIMIT 1"
    query = query_of(f"SELECT UPPER(v0) AS x FROM ({inner}) WHERE v0 > 'a'")
    assert query["virtualColumns"][0]["name"] == "_v0"


def test_time_conditions_become_intervals_of_a_table() -> None:
    query = query_of("SELECT k FROM t WHERE __time >= TIMESTAMP '2024-01-01' AND __time < '2024-02-01' AND v > 3")
    assert query["intervals"]["intervals"] == ["2024-01-01T00:00:00.000Z/2024-02-01T00:00:00.000Z"]
    assert query["filter"] == {
        "type": "range", "column": "v", "matchValueType": "LONG", "lower": 3, "lowerOpen": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "intervals"),
    [
        ("__time = '2024-01-01'", ["2024-01-01T00:00:00.000Z/2024-01-01T00:00:00.001Z"]),
        (
            "__time BETWEEN '2024-01-01' AND '2024-01-02' OR __time = '2025-01-01'",
            [
                "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.001Z",
                "2025-01-01T00:00:00.000Z/2025-01-01T00:00:00.001Z",
            ],
        ),
        (
            "NOT (__time < '2024-01-01' OR __time >= '2024-01-03')",
            ["2024-01-01T00:00:00.000Z/2024-01-03T00:00:00.000Z"],
        ),
        ("__time > '2024-01-02' AND __time < '2024-01-01'", []),
        ("TIME_IN_INTERVAL(__time, '2024-01-01/P1D')", ["2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"]),
    ],
)
def test_intervals(condition: str, intervals: list[str]) -> None:
    from msq.codec import encode

    bound = bind_text(f"SELECT k FROM t WHERE {condition}")
    assert encode(bound.query)["intervals"]["intervals"] == intervals
    assert "filter" not in encode(bound.query)


def test_time_conditions_over_other_sources_stay_filters() -> None:
    query = query_of("SELECT k FROM (SELECT k, __time FROM t LIMIT 5) WHERE __time > '2024-01-01'")
    assert "intervals" not in query
    assert query["filter"]["column"] == "__time"


def test_order_and_limit() -> None:
    query = query_of("SELECT k AS a FROM t ORDER BY a, v DESC LIMIT 3 OFFSET 2")
    assert query["columns"] == ["k", "v"]
    assert query["orderBy"] == [
        {"columnName": "k", "order": "ascending"}, {"columnName": "v", "order": "descending"}
    ]  # fmt: skip
    assert (query["offset"], query["limit"]) == (2, 3)
    assert outputs("SELECT k AS a FROM t ORDER BY a, v DESC") == ["k>a"], "what only orders is not shown"


def test_order_by_time_alone_has_its_own_field() -> None:
    query = query_of("SELECT k FROM t ORDER BY __time DESC")
    assert query["order"] == "descending"
    assert "orderBy" not in query


def test_order_by_an_alias_beats_a_column() -> None:
    query = query_of("SELECT UPPER(k) AS v, k FROM t ORDER BY v")
    assert query["orderBy"] == [{"columnName": "v0", "order": "ascending"}]


def test_order_of_a_subquery_without_limit_is_dropped() -> None:
    assert "orderBy" not in query_of("SELECT k FROM (SELECT k, v FROM t ORDER BY v)")
    inner = query_of("SELECT k FROM (SELECT k, v FROM t ORDER BY v LIMIT 2) WHERE v > 1")["dataSource"]["query"]
    assert inner["orderBy"] == [{"columnName": "v", "order": "ascending"}]


def test_outer_limit_wraps_a_select() -> None:
    assert query_of("SELECT k FROM t ORDER BY v LIMIT 5", {"sqlOuterLimit": 3})["limit"] == 3
    assert query_of("SELECT k FROM t LIMIT 2", {"sqlOuterLimit": 3})["limit"] == 2


def test_only_columns_in_use_are_read_below() -> None:
    query = query_of("SELECT COUNT(*) FROM (SELECT * FROM t LIMIT 10) WHERE k = 'a'")
    assert query["dataSource"]["query"]["columns"] == ["k"]
    zero = query_of("SELECT COUNT(*) FROM (SELECT * FROM t LIMIT 10)")["dataSource"]["query"]
    assert zero["virtualColumns"][0]["expression"] == "0"


def test_select_without_from() -> None:
    assert query_of("SELECT 1 + 1 AS two, 'x' AS s, 3 AS two")["dataSource"] == {
        "type": "inline", "columnNames": ["two", "s", "two0"], "rows": [[2, "x", 3]],
    }  # fmt: skip
    assert query_of("SELECT ARRAY[1, 2] AS a")["dataSource"]["columnNames"] == ["ZERO"]


def test_values() -> None:
    source = query_of("SELECT x + 1 AS z, UPPER(y) AS u FROM (VALUES (1, 'a'), (2, NULL)) AS q(x, y)")["dataSource"]
    assert source == {
        "type": "inline", "columnNames": ["z", "u"], "rows": [[2, "A"], [3, None]]
    }  # fmt: skip
    assert query_of("VALUES (1), (2.5)")["dataSource"]["rows"] == [[1.0], [2.5]]
    assert refusal("VALUES (1), ('a')").message.startswith("Values passed to VALUES operator must have compatible")


def test_common_tables_are_bound_where_they_are_used() -> None:
    query = query_of("WITH x (p) AS (SELECT k FROM t WHERE v > 1) SELECT a.p FROM x a JOIN x b ON a.p = b.p")
    assert query["dataSource"]["left"]["query"]["filter"]["column"] == "v"
    assert query["dataSource"]["condition"] == '("k" == "j0.k")'
    assert "Recursive" in refusal("WITH RECURSIVE x AS (SELECT 1) SELECT * FROM x").message


def test_json_paths_are_nested_fields() -> None:
    columns = query_of("SELECT JSON_VALUE(j, '$.a' RETURNING BIGINT) + 1 AS x FROM t")["virtualColumns"]
    assert [(c["type"], c.get("outputName", c.get("name"))) for c in columns] == [
        ("nested-field", "v1"), ("expression", "v0")
    ]  # fmt: skip
    assert columns[1]["expression"] == '("v1" + 1)'


def test_unions_of_tables_are_one_source() -> None:
    assert query_of("SELECT k, v FROM t UNION ALL SELECT k, v FROM t2")["dataSource"] == {
        "type": "union", "dataSources": [{"type": "table", "name": "t"}, {"type": "table", "name": "t2"}]
    }  # fmt: skip
    assert query_of("SELECT k FROM TABLE(APPEND('t', 'u')) WHERE w > 1")["dataSource"]["type"] == "union"


def test_unions_of_anything_name_their_columns_alike() -> None:
    query = query_of("SELECT k, v FROM t WHERE v > 1 UNION ALL SELECT a, c FROM EXTERN ORDER BY 2 LIMIT 3")
    branches = query["dataSource"]["dataSources"]
    assert [b["query"]["columns"] for b in branches] == [["u0", "u1"], ["u0", "u1"]]
    assert branches[0]["query"]["virtualColumns"][1]["expression"] == "CAST(\"v\", 'DOUBLE')"
    assert query["orderBy"] == [{"columnName": "u1", "order": "ascending"}]
    distinct = query_of("SELECT k FROM t UNION SELECT k FROM t2")
    assert (distinct["queryType"], distinct["dataSource"]["type"]) == ("groupBy", "union")
    assert refusal("SELECT k FROM t UNION ALL SELECT k, w FROM u").message == (
        "Column count mismatch in UNION ALL (line [1], column [34])"
    )
    assert refusal("SELECT k, k FROM t UNION ALL SELECT k, v FROM t").message == (
        "Type mismatch in column 2 of UNION ALL (line [1], column [11])"
    )


def test_lookups_are_tables() -> None:
    assert query_of("SELECT v FROM lookup.codes WHERE k = 'a'")["dataSource"] == {"type": "lookup", "lookup": "codes"}


def test_lookup_names_are_checked_and_constants_looked_up() -> None:
    assert query_of("SELECT LOOKUP('a', 'codes') AS x")["dataSource"]["rows"] == [["Alpha"]]
    assert refusal("SELECT LOOKUP(k, 'nope') FROM t").message == "Lookup [nope] not found"


def test_time_condition_may_be_required() -> None:
    required = {"requireTimeCondition": "true"}
    assert query_of("SELECT k FROM t WHERE __time > '2024-01-01'", required)["columns"] == ["k"]
    assert "requireTimeCondition is enabled" in refusal("SELECT k FROM t", required).message
    assert "requireTimeCondition" in refusal("SELECT a FROM EXTERN WHERE a IN (SELECT k FROM u)", required).message


def test_contexts_of_outer_and_inner_queries() -> None:
    query = bind_text("SELECT k FROM (SELECT k FROM t LIMIT 3) WHERE k > 'a'", {"priority": 5}).query
    inner = query.data_source.query.context  # type: ignore[attr-defined]
    assert inner == {"priority": 5, "queryId": "some-id", "sqlQueryId": "some-id"}
    assert list(query.context) == sorted(query.context)
    assert query.context["startTime"] == "2023-11-14T22:13:20.000Z"
    assert query.context["finalize"] is True


@pytest.mark.parametrize(
    "condition",
    [
        " OR ".join(f"v = {n}" for n in range(3000)),
        " AND ".join(f"v <> {n}" for n in range(900)),
        "v IN (" + ", ".join(str(n) for n in range(5000)) + ")",
    ],
    ids=["or", "and", "in"],
)
def test_long_conditions(condition: str) -> None:
    kinds = {"OR": "inType", "AND": "and", "IN": "inType"}
    word = next(w for w in ("OR", "AND", "IN") if f" {w} " in condition)
    assert query_of(f"SELECT k FROM t WHERE {condition}")["filter"]["type"] == kinds[word]


def test_common_tables_that_multiply_are_refused() -> None:
    chain = ", ".join(f"c{n} AS (SELECT a.k FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 20))
    assert "too complex" in refusal(f"WITH c0 AS (SELECT k FROM t), {chain} SELECT k FROM c19").message
