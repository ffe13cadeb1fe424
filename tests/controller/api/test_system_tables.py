"""System tables: what clients ask of them, and every column the reference lists."""

from __future__ import annotations

import pytest

from controller.system.tables import system_tables
from msq.sql.functions import functions
from tests.controller.api.conftest import Client


def test_every_system_table_can_be_read_and_is_listed(client: Client) -> None:
    listed = set(map(tuple, client.rows("SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES")))
    for (schema, name), table in system_tables().items():
        assert (schema, name) in listed
        answer = client.sql(f'SELECT * FROM "{schema}"."{name}"', resultFormat="array", header=True)
        assert answer.status_code == 200, answer.text
        assert answer.json()[0] == [column for column, _ in table.columns]


def test_segments(client: Client, wiki: str) -> None:
    rows = client.rows(
        """SELECT "start", num_rows, is_active, is_available, is_overshadowed, partition_num, shard_spec
        FROM sys.segments WHERE datasource = 'wiki' AND is_active = 1 ORDER BY "start" """
    )
    assert [row[:6] for row in rows] == [
        ["2024-01-01T00:00:00.000Z", 3, 1, 1, 0, 0], ["2024-01-02T00:00:00.000Z", 3, 1, 1, 0, 0]
    ]  # fmt: skip
    assert '"type":"numbered"' in rows[0][6]


def test_columns_of_a_table(client: Client, wiki: str) -> None:
    rows = client.rows(
        "SELECT COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, DATA_TYPE, JDBC_TYPE FROM INFORMATION_SCHEMA.COLUMNS "
        "WHERE TABLE_SCHEMA = 'druid' AND TABLE_NAME = 'wiki'"
    )
    assert rows == [
        ["__time", 1, "NO", "TIMESTAMP", 93], ["n", 2, "YES", "BIGINT", -5], ["page", 3, "YES", "VARCHAR", 12]
    ]  # fmt: skip


def test_tasks_and_their_workers(client: Client, wiki: str) -> None:
    rows = client.rows(
        "SELECT type, status, runner_status, COUNT(*) FROM sys.tasks WHERE datasource = 'wiki' AND status = 'SUCCESS' "
        "GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert [row[:3] for row in rows] == [
        ["query_controller", "SUCCESS", "NONE"], ["query_worker", "SUCCESS", "NONE"]
    ]  # fmt: skip


def test_the_process_plays_every_part(client: Client) -> None:
    roles = [row[0] for row in client.rows("SELECT server_type FROM sys.servers ORDER BY 1")]
    assert roles == ["broker", "coordinator", "historical", "indexer", "overlord", "router"]


def test_routines_come_from_the_registries(client: Client) -> None:
    found = {
        name: (aggregator, signatures)
        for name, aggregator, signatures in client.rows(
            "SELECT ROUTINE_NAME, IS_AGGREGATOR, SIGNATURES FROM INFORMATION_SCHEMA.ROUTINES"
        )
    }
    assert found["LPAD"] == ("NO", "LPAD(<CHARACTER>, <INTEGER>, [<CHARACTER>])")
    assert found["SUM"][0] == "YES"
    assert set(found) == {f.name for f in functions() if f.kind != "operator"}


@pytest.mark.parametrize(
    "query",
    [
        'SELECT COUNT(*) FILTER (WHERE "suspended" = 0) AS "running" FROM sys.supervisors',
        """SELECT CASE WHEN "status" = 'RUNNING' THEN "runner_status" ELSE "status" END AS "status", COUNT(*) AS "count"
        FROM sys.tasks GROUP BY CASE WHEN "status" = 'RUNNING' THEN "runner_status" ELSE "status" END""",
        'WITH s AS (SELECT * FROM sys.segments) SELECT "segment_id" FROM s ORDER BY "start" DESC, "version" LIMIT 5',
        """SELECT "start" || '/' || "end" AS i, SUM("size") FROM sys.segments WHERE "start" LIKE '____-%'
        AND LOWER("datasource") LIKE '%w%' GROUP BY 1 ORDER BY 1 DESC""",
        "SELECT COUNT(*) > 0 AS exists_ FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'wiki'",
        """SELECT datasource, COUNT(*) AS c, 100.0 * SUM("size") FILTER (WHERE is_published = 1) / COUNT(*) AS a
        FROM sys.segments GROUP BY 1 HAVING c > 0""",
    ],
)
def test_queries_of_clients(client: Client, wiki: str, query: str) -> None:
    answer = client.sql(query)
    assert answer.status_code == 200, answer.text


def test_tasks_cannot_read_them(client: Client) -> None:
    answer = client.post("/druid/v2/sql/task", {"query": "SELECT * FROM sys.segments"})
    assert answer.status_code == 400
    assert answer.json()["error"]["errorMessage"] == (
        "Cannot query table(s) [sys.segments] with SQL engine [msq-task]"
    )  # fmt: skip
