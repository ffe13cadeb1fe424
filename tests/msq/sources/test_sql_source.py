"""The `sql` input source: rows of SQLite and PostgreSQL, typed as declared, read-only, from allowed places."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine
from controller.settings import EngineSettings
from msq.codec import encode
from msq.faults import DruidException, MSQError
from msq.sources import SourceAccess, parse_input_source
from tests.harness.reading import Reading, read_rows

FORMAT = {"type": "json"}
SIGNATURE = {"id": "LONG", "name": "STRING", "score": "DOUBLE", "raw": "STRING", "missing": "STRING"}


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    path = tmp_path / "app data.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id INTEGER, name TEXT, score REAL, raw BLOB, anything)")
        rows = [(1, "ann", 1.5, b"\x00\x01", "7"), (2, None, None, None, 8), (2**40, "bö", 2.0, b"x", 1.25)]
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()

    def made(*sqls: str, **more: Any) -> dict[str, Any]:
        config = {"connectURI": f"jdbc:sqlite:{path}"}
        return {"type": "sql", "database": {"type": "sqlite", "connectorConfig": config}, "sqls": list(sqls), **more}

    return made


def test_rows_as_declared(source: Callable[..., dict[str, Any]]) -> None:
    done = read_rows(source("SELECT * FROM users ORDER BY id", "SELECT 9 AS id"), FORMAT, SIGNATURE)
    assert done.rows == [
        [1, "ann", 1.5, "AAE=", None], [2, None, None, None, None], [2**40, "bö", 2.0, "eA==", None],
        [9, None, None, None, None],
    ]  # fmt: skip
    assert (done.sink.counted_rows, done.sink.files) == (4, 2)


def test_values_of_several_kinds_in_one_column(source: Callable[..., dict[str, Any]]) -> None:
    sql = "SELECT anything, anything AS number, anything AS j FROM users ORDER BY id"
    done = read_rows(source(sql), FORMAT, {"anything": "STRING", "number": "DOUBLE", "j": "COMPLEX<json>"})
    assert done.rows == [["7", 7.0, '"7"'], ["8", 8.0, "8"], ["1.25", 1.25, "1.25"]]


def test_rows_come_in_batches(source: Callable[..., dict[str, Any]]) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i AS Id FROM n"
    done = read_rows(source(numbers, foldCase=True), FORMAT, {"id": "LONG"}, max_batch_rows=30)
    assert [row[0] for row in done.rows] == list(range(1, 101))
    assert [b.num_rows for b in done.batches] == [30, 30, 30, 10]
    assert read_rows(source(numbers), FORMAT, {"id": "LONG"}).rows == [[None]] * 100


def test_slices_are_sources(source: Callable[..., dict[str, Any]]) -> None:
    parsed = parse_input_source(source("SELECT 1 AS id", "SELECT 2 AS id"))
    part = parsed.with_items(parsed.list(SourceAccess())[1:])
    assert encode(part) == source("SELECT 2 AS id", foldCase=False)
    both = {"type": "combining", "delegates": [source("SELECT 5 AS id"), source("SELECT 6 AS id")]}
    assert read_rows(both, FORMAT, {"id": "LONG"}).rows == [[5], [6]]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM users", "CREATE TABLE t (a)", "ATTACH DATABASE 'other.db' AS o", "PRAGMA writable_schema = 1",
        "INSERT INTO users (id) VALUES (5) RETURNING id", "SELECT nothing FROM users", "SELEC", "SELECT 1; SELECT 2",
        "VACUUM INTO 'copy.db'", "",
    ],
)  # fmt: skip
def test_only_reading_is_done(source: Callable[..., dict[str, Any]], sql: str) -> None:
    with pytest.raises(MSQError, match=r"Cannot read from database|Error occurred"):
        read_rows(source(sql), FORMAT, {"id": "LONG"})
    assert read_rows(source("SELECT COUNT(*) AS id FROM users"), FORMAT, {"id": "LONG"}).rows == [[3]]


def test_a_missing_file_is_not_made(source: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    missing = source("SELECT 1 AS id")
    missing["database"]["connectorConfig"]["connectURI"] = f"jdbc:sqlite:{tmp_path}/none.db"
    with pytest.raises(MSQError, match="unable to open database file"):
        read_rows(missing, FORMAT, {"id": "LONG"})
    assert not (tmp_path / "none.db").exists()


def test_files_lie_in_allowed_folders(source: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    given = source("SELECT 3 AS id")
    assert read_rows(given, FORMAT, {"id": "LONG"}, access=SourceAccess(folders=(str(tmp_path),))).rows == [[3]]
    with pytest.raises(DruidException, match="outside the folders"):
        read_rows(given, FORMAT, {"id": "LONG"}, access=SourceAccess(folders=("/elsewhere",)))


@pytest.mark.parametrize(
    ("allowed", "good"),
    [
        (None, True), (("*",), True), (("postgresql://h.org:5432/app",), True), (("postgresql://h.org:5432",), True),
        ((), False), (("postgresql://h.org:5432/ap",), False), (("postgresql://h.org:543",), False),
        (("postgresql://other",), False),
    ],
)  # fmt: skip
def test_servers_are_allowed_by_setting(allowed: tuple[str, ...] | None, good: bool) -> None:
    config = {"connectURI": "jdbc:postgresql://h.org/app"}
    parsed = parse_input_source(
        {"type": "sql", "sqls": ["SELECT 1"], "database": {"type": "postgresql", "connectorConfig": config}}
    )
    if good:
        assert len(parsed.list(SourceAccess(databases=allowed))) == 1
    else:
        with pytest.raises(DruidException, match=r"Database \[postgresql://h.org:5432/app\] is not one"):
            parsed.list(SourceAccess(databases=allowed))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sqls": []}, "No SQL queries provided"),
        ({"database": {"type": "mysql", "connectorConfig": {"connectURI": "jdbc:mysql://h/d"}}}, "type [mysql] is not"),
        ({"database": {"type": "sqlite", "connectorConfig": {}}}, "connectURI cannot be null"),
        ({"database": {"type": "sqlite", "connectorConfig": {"connectURI": "jdbc:sqlite:a.db"}}}, "by its whole path"),
        ({"database": {"type": "sqlite", "connectorConfig": {"connectURI": "jdbc:mysql://h/d"}}}, "[jdbc:sqlite:]"),
        (
            {"database": {"type": "postgresql", "connectorConfig": {"connectURI": "jdbc:postgresql://u:p@h/d"}}},
            "belong to [user] and [password]",
        ),
        (
            {"database": {"type": "postgresql", "connectorConfig": {"connectURI": "jdbc:postgresql://h/d?options=-c"}}},
            "The property [options] is not in the allowed list [ssl, sslmode]",
        ),
        (
            {"database": {"type": "postgresql", "connectorConfig": {"connectURI": "jdbc:postgresql://h"}}},
            "must name a host and a database",
        ),
    ],
)  # fmt: skip
def test_refused_with_a_reason(source: Callable[..., dict[str, Any]], change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_source({**source("SELECT 1"), **change})
    assert reason in caught.value.message


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Reading]]:
    """Reads a query of a PostgreSQL of its own."""
    from tests.harness.postgres import Unavailable, server

    try:
        with server(tmp_path_factory.mktemp("pg")) as database:
            uri = database("app").removeprefix("postgresql+psycopg://tester@")

            def read(sql: str, signature: dict[str, str], **access: Any) -> Reading:
                config = {
                    "connectURI": f"jdbc:postgresql://{uri}", "user": "tester",
                    "password": {"type": "default", "password": "any"},
                }  # fmt: skip
                source = {
                    "type": "sql", "database": {"type": "postgresql", "connectorConfig": config}, "sqls": [sql],
                }  # fmt: skip
                return read_rows(source, FORMAT, signature, access=SourceAccess(**access), max_batch_rows=40)

            yield read
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_postgresql(postgres: Callable[..., Reading]) -> None:
    sql = """SELECT 7::bigint AS l, 1.5::numeric AS num, 0.25::float8 AS d, true AS b, 'ö'::text AS s,
      TIMESTAMP '2024-05-01 10:00:00.123' AS ts, TIMESTAMPTZ '2024-05-01 10:00:00+02' AS tz, DATE '2024-05-02' AS day,
      ARRAY['x', NULL, 'y'] AS tags, ARRAY[1, 2] AS nums, '{"a":[1,{"b":null}]}'::jsonb AS j, '\\x0001'::bytea AS raw,
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, NULL AS nothing
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"""
    signature = {
        "l": "LONG", "num": "DOUBLE", "d": "FLOAT", "b": "STRING", "s": "STRING", "ts": "LONG", "tz": "LONG",
        "day": "LONG", "tags": "STRING", "nums": "ARRAY<LONG>", "j": "COMPLEX<json>", "raw": "STRING", "id": "STRING",
        "nothing": "STRING",
    }  # fmt: skip
    first, second = postgres(sql, signature).rows
    assert first == [
        7, 1.5, 0.25, "true", "ö", 1714557600123, 1714550400000, 1714608000000, ["x", None, "y"], [1, 2],
        '{"a":[1,{"b":null}]}', "AAE=", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None,
    ]  # fmt: skip
    assert second == [None] * 14
    text = postgres("""SELECT '{"a": 1}'::json AS j, 12.50::numeric AS num""", {"j": "STRING", "num": "STRING"})
    assert text.rows == [['{"a": 1}', "12.50"]]


def test_postgresql_only_reads(postgres: Callable[..., Reading]) -> None:
    many = postgres("SELECT i FROM generate_series(1, 100) AS i", {"i": "LONG"})
    assert [row[0] for row in many.rows] == list(range(1, 101)) and len(many.batches) == 3
    for sql in ("SELECT 1 AS i; COMMIT; CREATE TABLE made (a int)", "CREATE TABLE made (a int)", "SELECT nothing"):
        with pytest.raises(MSQError, match="Cannot read from database"):
            postgres(sql, {"i": "LONG"})
    found = postgres("SELECT COUNT(*) AS i FROM pg_tables WHERE tablename = 'made'", {"i": "LONG"})
    assert found.rows == [[0]]
    with pytest.raises(DruidException, match="is not one this server may read from"):
        postgres("SELECT 1 AS i", {"i": "LONG"}, databases=("postgresql://elsewhere",))


def test_in_a_statement(source: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    given = json.dumps(source("SELECT id, name FROM users WHERE id < 3", "SELECT 7 AS id, 'it''s' AS name"))
    literal = given.replace("'", "''")
    rows = f"""TABLE(EXTERN('{literal}', '{{"type":"json"}}')) EXTEND (id BIGINT, name VARCHAR)"""
    with Engine(EngineSettings(tmp_path / "data", threads=1)) as engine:
        done = engine.execute(f"SELECT id, UPPER(name) AS name FROM {rows} ORDER BY id", {"maxNumTasks": 3})
        assert done.status == "SUCCESS", done.fault
        assert done.table().to_pylist() == [
            {"id": 1, "name": "ANN"}, {"id": 2, "name": None}, {"id": 7, "name": "IT'S"},
        ]  # fmt: skip
        broken = rows.replace("FROM users", "FROM nobody")
        done = engine.execute(f"SELECT COUNT(*) AS c FROM {broken}", {})
        assert done.status == "FAILED" and "no such table: nobody" in str(done.fault)
    access = SourceAccess(folders=("/elsewhere",))
    with Engine(EngineSettings(tmp_path / "data2", threads=1, access=access)) as engine:
        done = engine.execute(f"SELECT COUNT(*) AS c FROM {rows}", {})
        assert done.status == "FAILED" and "outside the folders" in str(done.fault)
