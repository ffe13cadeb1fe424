"""Statements that are asked again: what is kept of them, and what is seen at once of what others change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller import interactive
from controller.engine import Engine, Prepared
from controller.metadata.segments import set_used
from controller.settings import EngineSettings
from msq.faults import DruidException


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(EngineSettings(tmp_path, threads=1)) as engine:
        insert(engine, "t", "1,a")
        yield engine


def insert(
    engine: Engine, table: str, row: str, columns: str = "x BIGINT, s VARCHAR", verb: str = "INSERT INTO"
) -> None:
    names = ",".join(f'"{c.split()[0]}"' for c in columns.split(", "))
    source = f'{{"type":"inline","data":"{row}"}}'
    form = f'{{"type":"csv","columns":[{names}]}}'
    tail = " OVERWRITE ALL" if verb.startswith("REPLACE") else ""
    outcome = engine.execute(
        f"{verb} {table}{tail} SELECT TIME_PARSE('2024-01-01') AS __time, {names.replace(chr(34), '')} FROM "
        f"TABLE(EXTERN('{source}','{form}')) EXTEND ({columns}) PARTITIONED BY ALL"
    )
    assert outcome.status == "SUCCESS"


def prepared(engine: Engine, sql: str, query_id: str, parameters: Any = (), **context: Any) -> Prepared:
    return interactive.prepare(engine, sql, {"sqlQueryId": query_id, **context}, parameters, lambda schema, name: None)


def rows(engine: Engine, sql: str, query_id: str, parameters: Any = (), **context: Any) -> list[Any]:
    made = prepared(engine, sql, query_id, parameters, **context)
    return list(interactive.ask(made, interactive.controller_of(engine, made)).rows)


def test_the_same_statement_is_bound_once_and_runs_under_its_own_id(engine: Engine) -> None:
    one, two = (prepared(engine, "SELECT x FROM t", query_id) for query_id in ("one", "two"))
    assert one.bound is two.bound
    assert (two.query_id, two.task_id, two.context.value("sqlQueryId")) == ("two", "query-two", "two")
    assert one.definition().stages is two.definition().stages
    assert two.definition().query_id == "query-two"
    assert two.definition().context["sqlQueryId"] == "two"


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("SELECT x FROM t LIMIT 1", {}),
        ("SELECT x FROM t", {"sqlTimeZone": "Asia/Tokyo"}),
        ("SELECT x FROM t WHERE x = ?", {"parameters": [{"type": "BIGINT", "value": 2}]}),
    ],
)
def test_another_text_context_or_parameter_is_another_statement(engine: Engine, sql: str, more: Any) -> None:
    prepared(engine, "SELECT x FROM t", "one")
    prepared(engine, "SELECT x FROM t WHERE x = ?", "one", [{"type": "BIGINT", "value": 1}])
    before = list(engine.plans._known)
    prepared(engine, sql, "two", **more)
    assert len(engine.plans._known) == len(before) + 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT x FROM t WHERE __time < CURRENT_TIMESTAMP",
        "SELECT CURRENT_DATE",
        "EXPLAIN PLAN FOR SELECT x FROM t",
        "SET sqlQueryId = 'own'; SELECT x FROM t",
    ],
)
def test_what_depends_on_more_is_bound_each_time(engine: Engine, sql: str) -> None:
    one, two = (prepared(engine, sql, query_id) for query_id in ("one", "two"))
    assert one.bound is not two.bound


def test_an_id_that_druid_refuses_is_refused_for_a_known_statement(engine: Engine) -> None:
    prepared(engine, "SELECT x FROM t", "one")
    with pytest.raises(DruidException, match="cannot contain"):
        prepared(engine, "SELECT x FROM t", "a/b")


def test_a_table_with_other_columns_is_bound_anew(engine: Engine) -> None:
    assert rows(engine, "SELECT * FROM t", "one") == [["2024-01-01T00:00:00.000Z", 1, "a"]]
    insert(engine, "t", "b,7", "s VARCHAR, y BIGINT", "REPLACE INTO")
    assert rows(engine, "SELECT * FROM t", "two") == [["2024-01-01T00:00:00.000Z", "b", 7]]


def test_what_is_published_or_marked_unused_is_seen_at_once(engine: Engine) -> None:
    assert rows(engine, "SELECT SUM(x) FROM t", "one") == [[1]]
    insert(engine, "t", "5,b")
    assert rows(engine, "SELECT SUM(x) FROM t", "two") == [[6]]
    with engine.store.transaction() as connection:
        set_used(connection, [engine.used_segments("t")[0].id], False)
    assert rows(engine, "SELECT COUNT(*) FROM t", "three") == [[1]]


def test_what_another_process_commits_is_seen_at_once(engine: Engine) -> None:
    assert rows(engine, "SELECT SUM(x) FROM t", "one") == [[1]]
    with Engine(EngineSettings(engine.data_dir, threads=1)) as other:
        insert(other, "t", "5,b")
        assert rows(engine, "SELECT SUM(x) FROM t", "two") == [[6]]


def test_a_snapshot_lasts_until_something_is_committed(engine: Engine) -> None:
    first = engine.snapshots.now()
    assert engine.snapshots.now() is first
    calls: list[int] = []
    for _ in range(2):
        assert first.remember("key", lambda: calls.append(1) or 7) == 7  # type: ignore[func-returns-value]
    assert calls == [1]
    insert(engine, "u", "1,a")
    assert engine.snapshots.now() is not first
