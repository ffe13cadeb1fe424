"""INSERT, REPLACE and exports: rules for their columns, CLUSTERED BY, destinations, contexts and resources."""

from __future__ import annotations

from typing import Any

import pytest

from msq.codec import encode
from tests.msq.sql.bind.helpers import bind_text, outputs, query_of, refusal

BY_DAY = " PARTITIONED BY DAY"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT INTO z SELECT __time, UPPER(k) FROM t" + BY_DAY, "Insertion requires columns to be named"),
        ("INSERT INTO z SELECT __time, k, g AS k FROM t" + BY_DAY, "Duplicate field in SELECT: [k]"),
        ("INSERT INTO z SELECT v AS __time FROM t" + BY_DAY, "Field[__time] was the wrong type[BIGINT], expected"),
        ("INSERT INTO z SELECT k FROM t" + BY_DAY, "The granularity [{type=period, period=P1D, timeZone=UTC, origin"),
        ("INSERT INTO z SELECT __time FROM t LIMIT 3" + BY_DAY, "INSERT and REPLACE queries cannot have a LIMIT"),
        ("INSERT INTO z SELECT __time FROM t OFFSET 3 PARTITIONED BY ALL", "INSERT and REPLACE queries cannot have an"),
        ("INSERT INTO z SELECT __time, k FROM t PARTITIONED BY ALL CLUSTERED BY 3", "Ordinal out of range"),
        (
            "INSERT INTO z SELECT __time, k FROM t PARTITIONED BY ALL CLUSTERED BY k, __time",
            "Sort order (CLUSTERED BY) cannot include[__time] in position[1] unless context parameter",
        ),
        ("INSERT INTO z SELECT __time, k FROM t GROUP BY 1, 2 PARTITIONED BY ALL CLUSTERED BY v", "Expression 'v' is"),
    ],
)  # fmt: skip
def test_refusals(sql: str, message: str) -> None:
    assert refusal(sql).message.startswith(message)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"segmentSortOrder": "nope"}, "Column[nope] from context parameter[segmentSortOrder] does not appear in the"),
        ({"segmentSortOrder": "k"}, "Context parameter[segmentSortOrder] must start with[__time] unless context"),
        ({"sqlOuterLimit": 3}, "Context parameter [sqlOuterLimit] cannot be provided on operator [INSERT]"),
        ({"maxNumTasks": 1}, "MSQ context maxNumTasks [1] cannot be less than 2"),
    ],
)
def test_refused_contexts(context: dict[str, Any], message: str) -> None:
    assert refusal("INSERT INTO z SELECT __time, k FROM t" + BY_DAY, context).message.startswith(message)


def test_sort_order_without_time() -> None:
    context = {"segmentSortOrder": "k", "forceSegmentSortByTime": False}
    bound = bind_text("INSERT INTO z SELECT __time, k FROM t PARTITIONED BY ALL CLUSTERED BY k, __time", context)
    assert encode(bound.destination)["segmentSortOrder"] == ["k"]


def test_destinations() -> None:
    insert = bind_text("INSERT INTO z SELECT __time FROM t PARTITIONED BY MONTH")
    assert encode(insert.destination) == {
        "type": "dataSource", "dataSource": "z", "segmentGranularity": "MONTH",
        "terminalStageSpec": {"type": "segmentGeneration"},
    }  # fmt: skip
    assert insert.query.context["sqlInsertSegmentGranularity"] == '"MONTH"'
    replace = bind_text(
        "REPLACE INTO z OVERWRITE WHERE __time >= TIMESTAMP '2024-01-01' AND __time < TIMESTAMP '2024-01-03' "
        "SELECT __time FROM t" + BY_DAY
    )
    assert encode(replace.destination)["replaceTimeChunks"] == ["2024-01-01T00:00:00.000Z/2024-01-03T00:00:00.000Z"]
    assert replace.query.context["sqlReplaceTimeChunks"] == "2024-01-01T00:00:00.000Z/2024-01-03T00:00:00.000Z"
    assert bind_text("REPLACE INTO z OVERWRITE ALL SELECT __time FROM t" + BY_DAY).query.context[
        "sqlReplaceTimeChunks"
    ] == "all"  # fmt: skip
    assert encode(bind_text("SELECT k FROM t").destination) == {"type": "taskReport"}
    durable = bind_text("SELECT k FROM t", {"selectDestination": "durableStorage"})
    assert encode(durable.destination) == {"type": "durableStorage"}


def test_exports() -> None:
    bound = bind_text("INSERT INTO extern(local(exportPath => '/x')) AS CSV SELECT k FROM t")
    assert encode(bound.destination) == {
        "type": "export", "exportStorageProvider": {"type": "local", "exportPath": "/x"}, "resultFormat": "csv"
    }  # fmt: skip
    assert bound.query.context["__exportFileFormat"] == "CSV"
    assert bound.data_source == "__query_export"


def test_clustered_by_is_the_order_of_the_query() -> None:
    bound = bind_text("INSERT INTO z SELECT __time, k AS kk, v FROM t PARTITIONED BY ALL CLUSTERED BY 2, UPPER(k), g")
    assert encode(bound.query)["orderBy"] == [
        {"columnName": c, "order": "ascending"} for c in ("k", "v0", "g")
    ]  # fmt: skip
    assert [(c.query_column, c.output_column, c.hidden) for c in bound.cluster_keys] == [
        ("k", "kk", False), ("v0", None, True), ("g", None, True)
    ]  # fmt: skip
    assert bound.clustered_by == ("kk", 'UPPER("k")', '"g"')
    assert list(bound.cluster_by_virtual_columns) == ["v0"]
    assert [m.query_column for m in bound.column_mappings] == ["__time", "k", "v"]


def test_clustered_by_an_aggregate() -> None:
    query = query_of("INSERT INTO z SELECT k, COUNT(*) AS c FROM t GROUP BY k PARTITIONED BY ALL CLUSTERED BY c")
    assert [c["dimension"] for c in query["limitSpec"]["columns"]] == ["a0"]


def test_rows_of_values_are_folded() -> None:
    sql = "INSERT INTO z SELECT TIME_PARSE(s) AS __time, k FROM (VALUES ('2024-01-02', 'b')) AS v(s, k)" + BY_DAY
    assert query_of(sql)["dataSource"]["rows"] == [[1704153600000, "b"]]
    assert outputs(sql) == ["__time>__time", "k>k"]


def test_resources() -> None:
    bound = bind_text("INSERT INTO z SELECT t.__time, e.a FROM t JOIN EXTERN e ON t.k = e.a" + BY_DAY)
    assert bound.resources() == [
        {"name": "EXTERNAL", "type": "EXTERNAL"}, {"name": "t", "type": "DATASOURCE"},
        {"name": "z", "type": "DATASOURCE"},
    ]  # fmt: skip
    assert bound.data_source == "z"


def test_number_arrays_have_no_multi_value_form() -> None:
    error = refusal("INSERT INTO z SELECT ARRAY[1, 2] AS n PARTITIONED BY ALL", {"arrayIngestMode": "mvd"})
    assert error.message.startswith("Numeric arrays can only be ingested when 'arrayIngestMode' is set to 'array'.")


@pytest.mark.parametrize(
    ("column", "mode", "hint"),
    [
        ("ARRAY['a'] AS k", "array", 'Try wrapping this field using ARRAY_TO_MV(...) AS "k".'),
        ("'a' AS arr", "array", "Try adjusting your query to make this column an ARRAY instead of VARCHAR."),
        ("MV_TO_ARRAY(k) AS arr", "mvd", "setting arrayIngestMode to[array] to retain the SQL type[VARCHAR ARRAY]."),
    ],
)
def test_arrays_and_multi_values_do_not_mix(column: str, mode: str, hint: str) -> None:
    sql = f"INSERT INTO t SELECT __time, {column} FROM t" + BY_DAY
    error = refusal(sql, {"arrayIngestMode": mode})
    assert error.message.startswith("Cannot write into field[")
    assert hint in error.message
    assert bind_text(sql, {"arrayIngestMode": mode, "skipTypeVerification": "k,arr"}).data_source == "t"


def test_query_context_of_the_task() -> None:
    bound = bind_text("INSERT INTO z SELECT __time FROM t" + BY_DAY, {"maxNumTasks": 3})
    assert bound.sql_query_context == {
        "sqlQueryId": "some-id", "maxNumTasks": 3, "queryId": "some-id", "sqlInsertSegmentGranularity": '"DAY"'
    }  # fmt: skip
