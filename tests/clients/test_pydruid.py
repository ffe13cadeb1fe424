"""pydruid against a real server: DB-API, SQLAlchemy's dialect, and an ingest beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, day_table

pydruid_db = pytest.importorskip("pydruid.db", reason="pydruid is not installed")


@pytest.fixture(params=[False, True], ids=["plain", "header"])
def cursor(request: pytest.FixtureRequest, served: ServerProcess) -> Iterator[Any]:
    """Connected as pydruid connects by default: to the path with a slash at its end."""
    connection = pydruid_db.connect("localhost", served.port, "/druid/v2/sql/", "http", header=request.param)
    with closing(connection):
        yield connection.cursor()


def test_rows_and_their_types(cursor: Any, visits: str) -> None:
    cursor.execute(f"SELECT __time, city, n, x, n > 1 AS many FROM {visits} ORDER BY __time")
    assert [d[0] for d in cursor.description] == ["__time", "city", "n", "x", "many"]
    assert [tuple(row) for row in cursor] == [
        ("2024-01-01T01:00:00.000Z", "Zürich", 1, 0.5, False),
        ("2024-01-01T02:00:00.000Z", "Köln", 2, 1.5, True),
        ("2024-01-02T03:00:00.000Z", None, 9007199254740993, None, True),
    ]


def test_parameters_are_put_into_the_text(cursor: Any, visits: str) -> None:
    cursor.execute(f"SELECT n FROM {visits} WHERE city = %(city)s AND n < %(most)s", {"city": "Köln", "most": 5})
    assert cursor.fetchall() == [(2,)]
    cursor.execute("SELECT %(text)s AS quoted", {"text": "it's"})
    assert cursor.fetchone() == ("it's",)


def test_fetching_in_parts(cursor: Any, visits: str) -> None:
    cursor.execute(f"SELECT n FROM {visits} ORDER BY __time")
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany(1) == [(2,)]
    assert cursor.fetchall() == [(9007199254740993,)]
    assert cursor.fetchone() is None


def test_no_rows(cursor: Any, visits: str) -> None:
    cursor.execute(f"SELECT city, n FROM {visits} WHERE n < 0")
    assert cursor.fetchall() == []
    assert [d[0] for d in cursor.description or ()] == (["city", "n"] if cursor.header else [])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT nope FROM {visits}", "druidException (INVALID_INPUT): Column 'nope' not found in any table"),
        ("SELEC 1", "druidException (INVALID_INPUT): "),
        ("SELECT * FROM nowhere", "Object 'nowhere' not found"),
        (day_table("never"), "operations are not supported by requested SQL engine [native]"),
    ],
    ids=["column", "syntax", "table", "ingest"],
)
def test_refusals_reach_the_user(cursor: Any, visits: str, query: str, text: str) -> None:
    with pytest.raises(pydruid_db.exceptions.ProgrammingError) as raised:
        cursor.execute(query.replace("{visits}", visits) if "{visits}" in query else query)
    assert text in str(raised.value)


def test_the_context_goes_along(served: ServerProcess) -> None:
    context = {"sqlTimeZone": "Asia/Tokyo"}
    with closing(pydruid_db.connect("localhost", served.port, context=context)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT TIME_FORMAT(TIMESTAMP '2024-01-01 00:00:00', 'HH', 'UTC') AS h")
        assert cursor.fetchall() == [("15",)]


def test_a_table_can_be_read_as_soon_as_its_task_succeeded(cursor: Any, client: Client) -> None:
    """Three times over: what was replaced must not be seen again, either."""
    for days in (1, 3, 2):
        client.ingest(day_table("fresh", days=days))
        cursor.execute("SELECT COUNT(*) AS c FROM fresh")
        assert cursor.fetchall() == [(3 * days,)]


# -- SQLAlchemy --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sql_engine(served: ServerProcess) -> Iterator[Any]:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.dialects import registry

    registry.register("druid", "pydruid.db.sqlalchemy", "DruidHTTPDialect")
    # the dialect declares its driver as SQLAlchemy 1 asked for it
    with pytest.warns(sqlalchemy.exc.SADeprecationWarning, match="dbapi"):
        engine = sqlalchemy.create_engine(f"druid://localhost:{served.port}/druid/v2/sql/?header=true")
    yield engine
    engine.dispose()


# the dialect does not say whether its statements may be cached
NO_CACHE = pytest.mark.filterwarnings("ignore:Dialect druid.rest will not make use of SQL compilation caching")


@NO_CACHE
def test_rows_through_sqlalchemy(sql_engine: Any, visits: str) -> None:
    from sqlalchemy import text

    with sql_engine.connect() as connection:
        rows = connection.execute(text(f"SELECT city, SUM(n) AS total FROM {visits} WHERE n < 5 GROUP BY 1 ORDER BY 2"))
        assert [tuple(row) for row in rows] == [("Zürich", 1), ("Köln", 2)]
        assert connection.execute(text("SELECT 1")).scalar() == 1


@NO_CACHE
def test_a_statement_that_sqlalchemy_writes(sql_engine: Any, visits: str) -> None:
    """The dialect quotes every name, and puts literals into the text."""
    from sqlalchemy import column, func, select, table

    of = table(visits, column("__time"), column("city"), column("n"))
    day = func.TIME_FLOOR(of.c["__time"], "P1D").label("day")
    asked = select(day, func.count().label("c")).where(of.c.n > 0).group_by(day).order_by(day).limit(10)
    with sql_engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(asked)] == [
            ("2024-01-01T00:00:00.000Z", 2), ("2024-01-02T00:00:00.000Z", 1),
        ]  # fmt: skip


@NO_CACHE
def test_metadata_through_the_dialect(sql_engine: Any, visits: str) -> None:
    """The dialect's own calls: its signatures do not fit the inspector of SQLAlchemy 2."""
    from sqlalchemy import types

    dialect = sql_engine.dialect
    with sql_engine.connect() as connection:
        assert {"druid", "sys"} <= set(dialect.get_schema_names(connection))
        assert visits in dialect.get_table_names(connection, schema="druid")
        assert {"segments", "tasks"} <= set(dialect.get_table_names(connection, schema="sys"))
        assert dialect.has_table(connection, visits) and not dialect.has_table(connection, "nowhere")
        columns = {c["name"]: c for c in dialect.get_columns(connection, visits, schema="druid")}
    kinds = {name: found["type"] for name, found in columns.items()}
    assert kinds == {
        "__time": types.TIMESTAMP, "city": types.String, "n": types.BigInteger, "x": types.Float,
        "tags": types.String, "j": types.BLOB,
    }  # fmt: skip
    assert not columns["__time"]["nullable"] and columns["city"]["nullable"]
