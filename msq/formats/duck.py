"""DuckDB as a parser of chunks: a private database with one thread a query, and one cursor for each of our threads."""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa


class UnreadableError(Exception):
    """DuckDB refused the text."""


class ParserDatabase:
    """Queries over chunk files, from any thread. `close` when no thread uses it any more."""

    def __init__(self) -> None:
        config = {"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self._database = duckdb.connect(config=config)
        self._local = threading.local()

    def query(self, sql: str, columns: int, rows: int, views: dict[str, pa.Table] | None = None) -> list[pa.Array]:
        """The columns of the answer, each as one array; `rows` is how many are expected. Raises UnreadableError.

        views: Arrow tables by the name the text calls them.
        """
        cursor = self._cursor()
        for name, table in (views or {}).items():
            cursor.register(name, table)
        try:
            reader = cursor.sql(sql).to_arrow_reader(max(rows, 1))
            kinds = [f.type for f in reader.schema]
            batches = list(reader)
        except (duckdb.Error, OSError, pa.ArrowInvalid) as error:  # a reader's errors come as OSError
            raise UnreadableError(str(error)) from error
        finally:
            for name in views or {}:
                cursor.unregister(name)
        return [one_array([b.column(at) for b in batches], kinds[at]) for at in range(columns)]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._database.cursor()
        return cursor

    def close(self) -> None:
        self._database.close()


def one_array(arrays: list[pa.Array], kind: pa.DataType) -> pa.Array:
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays(arrays) if arrays else pa.array([], kind)


def quoted(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


def named(value: str) -> str:
    """A quoted identifier."""
    return '"' + value.replace('"', '""') + '"'
