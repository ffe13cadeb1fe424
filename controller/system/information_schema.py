"""Tables of `INFORMATION_SCHEMA`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.catalog import MetadataCatalog
from controller.metadata import segments as segment_rows
from controller.system.state import SystemState
from controller.system.tables import Rows, system_table, system_tables
from msq.catalog import sql_type_name
from msq.datatypes import LONG, STRING, ColumnType

_SCHEMATA = ("INFORMATION_SCHEMA", "druid", "lookup", "sys")
_JDBC_TYPES = {
    "VARCHAR": 12, "BIGINT": -5, "DOUBLE": 8, "FLOAT": 6, "REAL": 7, "TIMESTAMP": 93, "ARRAY": 2003, "BOOLEAN": 16,
    "INTEGER": 4, "DATE": 91,
}  # fmt: skip
_OTHER = 1111
_PRECISION = {"BIGINT": 19, "DOUBLE": 15, "FLOAT": 15, "REAL": 7}
_SCALE = {"BIGINT": 0}
_LOOKUP_COLUMNS = (("k", STRING), ("v", STRING))


def _tables(state: SystemState) -> Iterator[tuple[str, str, str, str]]:
    """(schema, name, type, joinable)."""
    with state.engine.store.reading() as connection:
        names = segment_rows.datasource_names(connection)
    catalog = _catalog(state)
    for name in names:
        if state.may_read(name) and catalog.table(name) is not None:
            yield "druid", name, "TABLE", "NO"
    for name in sorted(state.engine.lookups.tables()):
        yield "lookup", name, "TABLE", "YES"
    for schema, name in sorted(system_tables()):
        yield schema, name, "SYSTEM_TABLE", "NO"


def _catalog(state: SystemState) -> MetadataCatalog:
    return state.engine.catalog()


@system_table(
    "INFORMATION_SCHEMA", "SCHEMATA",
    columns="CATALOG_NAME SCHEMA_NAME SCHEMA_OWNER DEFAULT_CHARACTER_SET_CATALOG DEFAULT_CHARACTER_SET_SCHEMA "
    "DEFAULT_CHARACTER_SET_NAME SQL_PATH",
)  # fmt: skip
def schemata(state: SystemState) -> Rows:
    for name in _SCHEMATA:
        yield ("druid", name, None, None, None, None, None)


@system_table(
    "INFORMATION_SCHEMA", "TABLES",
    columns="TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE IS_JOINABLE IS_BROADCAST",
)  # fmt: skip
def tables(state: SystemState) -> Rows:
    for schema, name, kind, joinable in _tables(state):
        # as Druid: what joins in place stands on every server
        yield ("druid", schema, name, kind, joinable, joinable)


@system_table(
    "INFORMATION_SCHEMA", "COLUMNS",
    longs="ORDINAL_POSITION NUMERIC_PRECISION NUMERIC_PRECISION_RADIX NUMERIC_SCALE DATETIME_PRECISION JDBC_TYPE",
    columns="TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION COLUMN_DEFAULT IS_NULLABLE DATA_TYPE "
    "CHARACTER_MAXIMUM_LENGTH CHARACTER_OCTET_LENGTH NUMERIC_PRECISION NUMERIC_PRECISION_RADIX NUMERIC_SCALE "
    "DATETIME_PRECISION CHARACTER_SET_NAME COLLATION_NAME JDBC_TYPE",
)  # fmt: skip
def columns(state: SystemState) -> Rows:
    catalog = _catalog(state)
    for schema, table, _, _ in _tables(state):
        for at, (name, kind) in enumerate(_columns_of(catalog, schema, table), 1):
            yield _column(schema, table, at, name, kind)


def _columns_of(catalog: MetadataCatalog, schema: str, table: str) -> Iterator[tuple[str, ColumnType]]:
    if schema == "druid":
        found = catalog.table(table)
        for column in found.signature if found is not None else ():
            yield column.name, column.type
    elif schema == "lookup":
        yield from _LOOKUP_COLUMNS
    else:
        yield from system_tables()[schema, table].columns


def _column(schema: str, table: str, at: int, name: str, kind: ColumnType) -> tuple[Any, ...]:
    time = schema == "druid" and name == "__time"
    sql_type = sql_type_name(name if schema == "druid" else "", kind)
    number = sql_type in _PRECISION
    text = sql_type == "VARCHAR"
    nullable = "NO" if time or (schema not in ("druid", "lookup") and kind == LONG) else "YES"
    return (
        "druid", schema, table, name, at, "", nullable, sql_type, None, None, _PRECISION.get(sql_type),
        10 if number else None, _SCALE.get(sql_type), 3 if sql_type == "TIMESTAMP" else None,
        "UTF-16LE" if text else None, "UTF-16LE$en_US$primary" if text else None, _JDBC_TYPES.get(sql_type, _OTHER),
    )  # fmt: skip


@system_table(
    "INFORMATION_SCHEMA", "ROUTINES",
    columns="ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE IS_AGGREGATOR SIGNATURES",
)  # fmt: skip
def routines(state: SystemState) -> Rows:
    """Everything that is called by a name."""
    from msq.sql.functions import routines as named

    for f in named():
        aggregator = "YES" if f.kind == "aggregate" else "NO"
        yield ("druid", "INFORMATION_SCHEMA", f.name, "FUNCTION", aggregator, f.signature)
