"""DuckDB as a parser of chunks: one private database for the process, one thread a query, a cursor for each thread.

Making a database costs more than parsing a small file, so it is kept. It holds no tables.
"""

from __future__ import annotations

import os
import threading

import duckdb
import pyarrow as pa

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_lock = threading.Lock()
_databases: dict[int, duckdb.DuckDBPyConnection] = {}
_local = threading.local()


class UnreadableError(Exception):
    """DuckDB refused the text."""


def query(sql: str, columns: int, rows: int, views: dict[str, pa.Table] | None = None) -> list[pa.Array]:
    """The columns of the answer, each as one array; `rows` is how many are expected. Raises UnreadableError.

    views: Arrow tables by the name the text calls them.
    """
    cursor = _cursor()
    for name, table in (views or {}).items():
        cursor.register(name, table)
    try:
        reader = cursor.sql(sql).to_arrow_reader(max(rows, 1))
        kinds = [f.type for f in reader.schema]
        batches = list(reader)
    except (duckdb.Error, OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        # a reader's errors come as OSError, and some quote half a character of the text
        raise UnreadableError(str(error)) from error
    finally:
        for name in views or {}:
            cursor.unregister(name)
    return [_one_array([b.column(at) for b in batches], kinds[at]) for at in range(columns)]


def _cursor() -> duckdb.DuckDBPyConnection:
    """This thread's cursor. A forked process starts with a database of its own."""
    process = os.getpid()
    owner, cursor = getattr(_local, "cursor", (None, None))
    if cursor is None or owner != process:
        with _lock:
            database = _databases.get(process)
            if database is None:
                _databases.clear()
                database = _databases[process] = duckdb.connect(config=_CONFIG)
            cursor = database.cursor()
        _local.cursor = (process, cursor)
    return cursor


def _one_array(arrays: list[pa.Array], kind: pa.DataType) -> pa.Array:
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays(arrays) if arrays else pa.array([], kind)


def quoted(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


def named(value: str) -> str:
    """A quoted identifier."""
    return '"' + value.replace('"', '""') + '"'
