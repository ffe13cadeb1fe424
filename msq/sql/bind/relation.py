"""Bound relations: what a statement means, before it is cut into native queries.

A relation has columns; every column has an id that is unique in the statement, so expressions (native nodes whose
identifiers are ids) keep their meaning wherever a rule moves them. Pass-through columns keep their id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from msq.datatypes import ColumnType, RowSignature
from msq.expr.binding import Position, Typed
from msq.expr.nodes import Identifier, Node, identifiers, transform
from msq.expr.sqltypes import SqlType, native
from msq.native.datasource import DataSource


@dataclass(frozen=True)
class Column:
    """A column of a relation. `name` is what SQL calls it; `multi`: some row may hold several values; `aggregate`: it
    is the value of an aggregate as it stands (shown as OTHER when aggregates are not finalised)."""

    id: str
    name: str
    type: SqlType
    multi: bool = False
    aggregate: bool = False

    @property
    def typed(self) -> Typed:
        """A reference to the column."""
        return self.at(None)

    @property
    def native(self) -> ColumnType:
        return native(self.type)

    @property
    def apart(self) -> str:
        """Keeps virtual columns of equal text apart where Druid does: a DATE is not the TIMESTAMP it starts at."""
        return "DATE" if self.type.name == "DATE" else ""

    def at(self, position: Position | None) -> Typed:
        return Typed(Identifier(self.id), self.type, position, self.multi)


class Relation:
    """Base of relations; immutable."""

    columns: tuple[Column, ...]

    def column(self, wanted: str) -> Column:
        """The column of an id. Raises KeyError."""
        for column in self.columns:
            if column.id == wanted:
                return column
        raise KeyError(wanted)


@dataclass(frozen=True)
class Source(Relation):
    """A table, external table, lookup, inline rows or union of tables. `names`: its native name of each column."""

    source: DataSource
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    signature: RowSignature
    direct: bool = False
    """Whether the right side of a join may read it in place: lookups and inline rows."""


@dataclass(frozen=True)
class Filter(Relation):
    """The rows for which all `conditions` hold."""

    input: Relation
    conditions: tuple[Node, ...]

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return self.input.columns


@dataclass(frozen=True)
class Project(Relation):
    """`columns[n]` is `nodes[n]` over the input."""

    input: Relation
    columns: tuple[Column, ...]
    nodes: tuple[Node, ...]

    @property
    def mapping(self) -> dict[str, Node]:
        return {c.id: n for c, n in zip(self.columns, self.nodes)}


SINGLE_VALUE = "SINGLE_VALUE"
"""Name of the aggregate that a scalar subquery gets whose number of rows is not known; no function of SQL."""


@dataclass(frozen=True)
class AggregateCall:
    """One aggregate: function as written, arguments and FILTER condition over the aggregate's input."""

    column: Column
    name: str
    args: tuple[Typed, ...]
    distinct: bool = False
    filter: Node | None = None
    position: Position | None = None
    groupings: tuple[str, ...] = ()
    """GROUPING(..): ids of the group columns asked about."""

    @property
    def inputs(self) -> tuple[str, ...]:
        found = [i for a in self.args for i in identifiers(a.node)]
        return tuple(dict.fromkeys([*found, *(identifiers(self.filter) if self.filter is not None else ())]))

    def over(self, mapping: Mapping[str, Node]) -> AggregateCall:
        """The same call with the identifiers of `mapping` replaced."""
        args = tuple(replace(a, node=substitute(a.node, mapping), source=None) for a in self.args)
        return replace(self, args=args, filter=None if self.filter is None else substitute(self.filter, mapping))


@dataclass(frozen=True)
class Aggregate(Relation):
    """Groups by `keys` (column, node over the input); `sets`: indexes of keys of each grouping set, None for one."""

    input: Relation
    keys: tuple[tuple[Column, Node], ...]
    calls: tuple[AggregateCall, ...]
    sets: tuple[tuple[int, ...], ...] | None = None

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return (*(c for c, _ in self.keys), *(c.column for c in self.calls))


@dataclass(frozen=True)
class SortKey:
    """Order by a column of the relation."""

    column: str
    descending: bool = False


@dataclass(frozen=True)
class Sort(Relation):
    """Rows ordered by `keys`, then `offset` skipped and at most `limit` kept."""

    input: Relation
    keys: tuple[SortKey, ...]
    offset: int = 0
    limit: int | None = None

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return self.input.columns


@dataclass(frozen=True)
class Join(Relation):
    """INNER, LEFT, RIGHT or FULL join; `conditions` are ANDed; `algorithm` broadcast or sortMerge."""

    left: Relation
    right: Relation
    kind: str
    conditions: tuple[Node, ...]
    algorithm: str
    condition_names: tuple[str, ...] = ()
    """The operator of each condition as the planner names it in refusals."""

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return (*self.left.columns, *self.right.columns)


@dataclass(frozen=True)
class Unnest(Relation):
    """The input's rows, one for each element of `node`; `conditions` over the element alone."""

    input: Relation
    element: Column
    node: Node
    conditions: tuple[Node, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return (*self.input.columns, self.element)


@dataclass(frozen=True)
class WindowCall:
    """One window function. Frame bounds are row offsets, None for unbounded; `peers`: the frame counts peer groups."""

    column: Column
    name: str
    args: tuple[Typed, ...]
    partition: tuple[str, ...]
    order: tuple[SortKey, ...]
    frame: tuple[str, int | None, int | None] | None = None
    position: Position | None = None


@dataclass(frozen=True)
class Window(Relation):
    """The input's columns and the windows'. Arguments, partition and order are columns of the input."""

    input: Relation
    calls: tuple[WindowCall, ...]

    @property
    def columns(self) -> tuple[Column, ...]:  # type: ignore[override]
        return (*self.input.columns, *(c.column for c in self.calls))


@dataclass(frozen=True)
class Union(Relation):
    """All rows of all inputs by position; `columns` are fresh."""

    inputs: tuple[Relation, ...]
    columns: tuple[Column, ...]


class Ids:
    """Makes column ids of one statement."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def column(self, name: str, kind: SqlType, multi: bool = False) -> Column:
        self._names.append(name)
        return Column(f"#{len(self._names)}", name, kind, multi)

    def named(self, text: str) -> str:
        """`text`, a message, with ids replaced by the names of their columns."""
        return re.sub(r"#(\d+)", self._name_of, text)

    def _name_of(self, found: re.Match[str]) -> str:
        number = int(found[1])
        return self._names[number - 1] if 0 < number <= len(self._names) and self._names[number - 1] else found[0]

    def copy(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        return tuple(self.column(c.name, c.type, c.multi) for c in columns)


def substitute(node: Node, mapping: Mapping[str, Node]) -> Node:
    """`node` with each identifier of `mapping` replaced by its node."""
    return transform(node, lambda at: mapping.get(at.name) if isinstance(at, Identifier) else None)
