"""Other databases as the `sql` input source reads them: which may be asked, read-only connections, values.

A place is `postgresql://host:port/database` or `sqlite:/path`, as the setting of allowed databases names it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pyarrow as pa

from msq.codec import CodecError
from msq.datatypes import STRING, ColumnType
from msq.faults import DruidException, MSQError, UnknownFault, invalid_input
from msq.sources.base import SourceAccess
from msq.sources.http import password_of

_PROPERTIES = ("ssl", "sslmode")
"""Properties of a connection that a statement may set."""


def place_of(kind: str, config: Mapping[str, Any]) -> str:
    """The database that a connector's settings mean. Raises CodecError for one that cannot be read."""
    uri = str(config.get("connectURI") or "")
    if not uri:
        raise CodecError("connectURI cannot be null")
    plain = uri.removeprefix("jdbc:")
    if kind == "sqlite" and plain.startswith("sqlite:"):
        path = plain.removeprefix("sqlite:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path.startswith("/"):
            raise CodecError(f"connectURI [{uri}] must name a file by its whole path")
        return f"sqlite:{path}"
    if kind == "postgresql" and plain.startswith("postgresql://"):
        parts = urlsplit(plain)
        if parts.username or parts.password:
            raise CodecError("User and password belong to [user] and [password], not to connectURI")
        for name, _ in parse_qsl(parts.query, keep_blank_values=True):
            if name not in _PROPERTIES:
                raise CodecError(f"The property [{name}] is not in the allowed list [{', '.join(_PROPERTIES)}]")
        try:
            port = parts.port or 5432
        except ValueError as error:
            raise CodecError(f"connectURI [{uri}]: {error}") from error
        if not parts.hostname or not parts.path.strip("/"):
            raise CodecError(f"connectURI [{uri}] must name a host and a database")
        return f"postgresql://{parts.hostname}:{port}/{parts.path.strip('/')}"
    if kind in ("sqlite", "postgresql"):
        raise CodecError(f"connectURI [{uri}] must begin with [jdbc:{kind}:]")
    raise CodecError(f"Database type [{kind}] is not supported. Use [postgresql] or [sqlite].")


def check_database(place: str, access: SourceAccess) -> None:
    """Raises DruidException (FORBIDDEN) for a database that may not be asked. A file must lie in an allowed folder; a
    server is named by the settings, whole or by host and port alone."""
    if place.startswith("sqlite:"):
        access.check_path(place.removeprefix("sqlite:"))
        return
    allowed = access.databases
    if allowed is not None and not any(one == "*" or f"{place}/".startswith(f"{one.rstrip('/')}/") for one in allowed):
        raise DruidException(
            f"Database [{place}] is not one this server may read from", error_code="forbidden", category="FORBIDDEN"
        )


@dataclass(frozen=True)
class Cursor:
    """The rows of one query: names of the columns, and the next rows, at most so many."""

    names: Sequence[str]
    fetch: Callable[[int], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True)
class Connection:
    query: Callable[[str], Cursor]


@contextmanager
def opened(kind: str, config: Mapping[str, Any], access: SourceAccess) -> Iterator[Connection]:
    """A connection that only reads. What the database says of a query becomes an UnknownFault."""
    place = place_of(kind, config)
    check_database(place, access)
    with {"sqlite": _sqlite, "postgresql": _postgresql}[kind](place, config, access) as connection:
        yield connection


@contextmanager
def _sqlite(place: str, config: Mapping[str, Any], access: SourceAccess) -> Iterator[Connection]:
    path = place.removeprefix("sqlite:")
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        try:
            # the file itself is all that may be read: no other file is attached, nothing is changed
            connection.set_authorizer(_reads_only)

            def query(sql: str) -> Cursor:
                cursor = connection.execute(sql)
                if cursor.description is None:
                    raise sqlite3.DatabaseError("the query answers no rows")
                return Cursor([column[0] for column in cursor.description], cursor.fetchmany)

            yield Connection(query)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _failed(place, error) from error


_READING = {
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
}  # fmt: skip


def _reads_only(action: int, *about: Any) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


@contextmanager
def _postgresql(place: str, config: Mapping[str, Any], access: SourceAccess) -> Iterator[Connection]:
    try:
        import psycopg
        from psycopg.types.json import set_json_loads
    except ImportError as error:
        raise invalid_input("PostgreSQL is read with the extra [postgres]: pip install 'msq[postgres]'") from error
    parts = urlsplit(place)
    given = dict(parse_qsl(urlsplit(str(config["connectURI"]).removeprefix("jdbc:")).query))
    mode = given.get("sslmode") or ("require" if given.get("ssl") in ("", "true") else "prefer")
    try:
        with psycopg.connect(
            host=parts.hostname, port=parts.port, dbname=unquote(parts.path.strip("/")), user=config.get("user"),
            password=password_of(config.get("password"), access) or None, sslmode=mode,
            connect_timeout=max(1, round(access.connect_timeout)), application_name="msq",
        ) as connection:  # fmt: skip
            connection.read_only = True
            set_json_loads(lambda text: text if isinstance(text, str) else bytes(text).decode(), connection)

            # a cursor of the server takes one query and nothing after it
            with connection.cursor("msq") as cursor:

                def query(sql: str) -> Cursor:
                    cursor.execute(sql.encode())
                    return Cursor([column.name for column in cursor.description or ()], cursor.fetchmany)

                yield Connection(query)
    except psycopg.Error as error:
        raise _failed(place, error) from error


def _failed(place: str, error: Exception) -> MSQError:
    return MSQError(UnknownFault(f"Cannot read from database [{place}]: {str(error).strip()}"))


def typed(cells: Sequence[Any], declared: ColumnType | None) -> pa.Array:
    """Values of one column as its declared type: times as milliseconds, decimals as numbers, the rest as it is."""
    from msq.formats import convert, values
    from msq.formats.columnar import ArrowColumns

    wanted = declared or STRING
    columns = ArrowColumns(False, False)
    try:
        column = pa.array(cells)
        if wanted.is_json and pa.types.is_string(column.type):
            return convert.by_value(column, lambda text: values.to_json_text(_json_or_text(text)), pa.string())
        return columns.typed(column, wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        # values of several kinds, or of kinds that Arrow has none for
        return convert.typed_array([columns.value(cell, pa.null()) for cell in cells], wanted)


def _json_or_text(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text
