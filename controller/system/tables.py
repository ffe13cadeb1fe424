"""The registry of system tables, and the reader that makes their rows for a statement.

A table is declared once, where its rows are made: `@system_table(schema, name, columns)`. A column is LONG or STRING.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controller.system.state import SystemState
from msq.datatypes import LONG, STRING, ColumnType
from msq.faults import invalid_sql
from msq.native.datasource import InlineDataSource

Rows = Iterable[Sequence[Any]]
_MODULES = ("controller.system.sys_tables", "controller.system.information_schema")


@dataclass(frozen=True)
class SystemTable:
    """`rows(state)` yields rows in the order of `columns`."""

    schema: str
    name: str
    columns: tuple[tuple[str, ColumnType], ...]
    rows: Callable[[SystemState], Rows]


_TABLES: dict[tuple[str, str], SystemTable] = {}


def system_table(
    schema: str, name: str, *, columns: str, longs: str = ""
) -> Callable[[Callable[[SystemState], Rows]], Callable[[SystemState], Rows]]:
    """Declares a table: the names of its columns, and those among them that are numbers."""
    numbers = frozenset(longs.split())
    typed = tuple((column, LONG if column in numbers else STRING) for column in columns.split())

    def declare(rows: Callable[[SystemState], Rows]) -> Callable[[SystemState], Rows]:
        _TABLES[schema, name] = SystemTable(schema, name, typed, rows)
        return rows

    return declare


def system_tables() -> dict[tuple[str, str], SystemTable]:
    """All of them, by schema and name."""
    for module in _MODULES:
        importlib.import_module(module)
    return _TABLES


class SystemTableReader:
    """Reads each table once, so that one statement sees one state of it."""

    def __init__(self, state: SystemState) -> None:
        self._state = state
        self._read: dict[tuple[str, str], InlineDataSource] = {}

    def __call__(self, schema: str, name: str) -> InlineDataSource:
        found = self._read.get((schema, name))
        if found is None:
            found = self._read[schema, name] = self._make(schema, name)
        return found

    def _make(self, schema: str, name: str) -> InlineDataSource:
        table = system_tables().get((schema, name))
        if table is None:
            raise invalid_sql(f"Object '{name}' not found within '{schema}'")
        names = tuple(column for column, _ in table.columns)
        types = tuple(kind for _, kind in table.columns)
        return InlineDataSource(names, types, tuple(tuple(row) for row in table.rows(self._state)))
