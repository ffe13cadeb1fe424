"""PIVOT and UNPIVOT."""

from __future__ import annotations

from tests.msq.sql.bind.helpers import outputs, query_of, refusal


def test_pivot_groups_by_the_rest_with_filtered_aggregates() -> None:
    sql = "SELECT * FROM (SELECT k, g, v FROM t) PIVOT (SUM(v) AS s, COUNT(*) AS c FOR g IN ('x' AS x, 'y' AS y))"
    query = query_of(sql)
    assert [d["dimension"] for d in query["dimensions"]] == ["k"]
    assert [a["filter"]["matchValue"] for a in query["aggregations"]] == ["x", "x", "y", "y"]
    assert outputs(sql) == ["d0>k", "a0>x_s", "a1>x_c", "a2>y_s", "a3>y_c"]
    assert "nope" in refusal("SELECT * FROM t PIVOT (SUM(v) FOR nope IN (1))").message


def test_unpivot_multiplies_rows_and_drops_nulls() -> None:
    sql = "SELECT * FROM (SELECT k, v, d FROM t) UNPIVOT (m FOR n IN (v AS 'vee', d AS 'dee'))"
    query = query_of(sql)
    assert query["dataSource"]["right"]["rows"] == [[0], [1]]
    assert query["filter"] == {"type": "not", "field": {"type": "null", "column": "v0"}}
    assert outputs(sql) == ["k>k", "v1>n", "v0>m"]
    assert query["virtualColumns"][0]["outputType"] == "DOUBLE"
    assert "filter" not in query_of(sql.replace("UNPIVOT (", "UNPIVOT INCLUDE NULLS ("))
    assert "no common type" in refusal("SELECT * FROM t UNPIVOT (m FOR n IN (v, arr))").message
