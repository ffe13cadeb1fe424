"""What a statement may read: tables with their columns, and lookups. Answered by whoever holds the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from msq.datatypes import ColumnType, RowSignature

if TYPE_CHECKING:
    from msq.native.datasource import InlineDataSource


@dataclass(frozen=True)
class TableSchema:
    """A table as SQL sees it: `signature` in the order of `SELECT *`, `__time` (LONG) first.

    multi_value: names of STRING columns of which some row may hold several values.
    """

    name: str
    signature: RowSignature
    multi_value: frozenset[str] = field(default_factory=frozenset)


LookupTable = Mapping[str, str | None]
"""Key to value."""
Lookups = Mapping[str, LookupTable]
"""Tables of LOOKUP by name."""


class Catalog(Protocol):
    """Names to schemas. Answers must stay the same while one statement is bound."""

    @property
    def lookups(self) -> Lookups:
        """All lookups: their names are checked, and constant keys are looked up, while binding."""

    def table(self, name: str) -> TableSchema | None:
        """The table (datasource) of that name, None when there is none."""

    def lookup(self, name: str) -> bool:
        """Whether there is a lookup of that name."""

    def system(self, schema: str, name: str) -> InlineDataSource | None:
        """Rows of a table of `sys` or `INFORMATION_SCHEMA`; None where the statement's engine cannot read it."""


@dataclass(frozen=True)
class StaticCatalog:
    """A catalog of fixed contents: for tests, and for tools that know their tables beforehand."""

    tables: dict[str, TableSchema] = field(default_factory=dict)
    lookups: Lookups = field(default_factory=dict)

    def table(self, name: str) -> TableSchema | None:
        return self.tables.get(name)

    def lookup(self, name: str) -> bool:
        return name in self.lookups

    def system(self, schema: str, name: str) -> InlineDataSource | None:
        return None


def sql_type_name(name: str, column_type: ColumnType) -> str:
    """The SQL type of a stored column as INFORMATION_SCHEMA.COLUMNS tells it."""
    if name == "__time":
        return "TIMESTAMP"
    if column_type.is_array and column_type.element is not None:
        return "ARRAY"
    return _SQL_NAMES.get(column_type.kind, str(column_type))


_SQL_NAMES = {"STRING": "VARCHAR", "LONG": "BIGINT", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE"}
