"""One native query in the making: what relations have put into it so far.

A level takes clauses in the order of Druid's partial query: source, filter, projection, aggregation, having,
post-projection, order and limit. `emit` decides when a relation no longer fits and a new level begins above; `scan`
and `grouping` turn a finished level into a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msq.datatypes import STRING, ColumnType, RowSignature, array_of
from msq.datatypes import Column as NativeColumn
from msq.expr.nodes import Call, Identifier, Node, rename
from msq.expr.printer import to_text
from msq.native.datasource import DataSource, FilteredDataSource, UnnestDataSource
from msq.native.query import NativeQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.sql.bind.predicates import filter_of
from msq.sql.bind.relation import AggregateCall, Column


@dataclass(frozen=True)
class Contexts:
    """Contexts of the native queries of one statement: of the outermost one and of all below."""

    outer: dict[str, Any]
    inner: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """A native query, the native name of each output column by id, and its columns in output order."""

    query: NativeQuery
    names: dict[str, str]
    signature: RowSignature


@dataclass
class OpenUnnest:
    """The unnest at the top of a level's source, kept open for filters on its element and on what it reads."""

    base: DataSource
    names: dict[str, str]
    signature: RowSignature
    element: Column
    name: str
    node: Node
    below: list[Node] = field(default_factory=list)
    kept: list[Node] = field(default_factory=list)

    def close(self) -> DataSource:
        base = self.base
        if self.below:
            below = [rename(n, self.names) for n in self.below]
            base = FilteredDataSource(base, filter_of(below, self.signature, None))
        node, kind = rename(self.node, self.names), array_of(self.element.native)
        if isinstance(node, Call) and node.function == "mv_to_array" and isinstance(node.args[0], Identifier):
            node, kind = node.args[0], STRING
        elif isinstance(node, Identifier) and self.signature.type_of(node.name) == STRING:
            kind = STRING
        kept = None
        if self.kept:
            signature = RowSignature([NativeColumn(self.name, self.element.native)])
            kept = filter_of([rename(n, {self.element.id: self.name}) for n in self.kept], signature, None)
        return UnnestDataSource(base, ExpressionVirtualColumn(self.name, to_text(node), kind), kept)


@dataclass
class Level:
    """`names`: native name of each source column id. `outputs`: nodes over the source's ids or, once aggregated, over
    the ids of keys and calls; `sort` likewise. `columns` knows every id in use."""

    source: DataSource
    names: dict[str, str]
    signature: RowSignature
    columns: dict[str, Column]
    outputs: dict[str, Node]
    where: list[Node] = field(default_factory=list)
    keys: list[tuple[Column, Node]] | None = None
    calls: list[AggregateCall] = field(default_factory=list)
    sets: tuple[tuple[int, ...], ...] | None = None
    having: list[Node] = field(default_factory=list)
    sort: list[tuple[Column, Node, bool]] = field(default_factory=list)
    offset: int = 0
    limit: int | None = None
    unnest: OpenUnnest | None = None
    direct: bool = False
    """Whether a join may read the source in place on its right side: lookups and inline rows."""

    @staticmethod
    def over(
        source: DataSource, columns: Sequence[Column], names: Mapping[str, str], signature: RowSignature,
        *, direct: bool = False,
    ) -> Level:  # fmt: skip
        outputs: dict[str, Node] = {c.id: Identifier(c.id) for c in columns}
        return Level(source, dict(names), signature, {c.id: c for c in columns}, outputs, direct=direct)

    @property
    def aggregated(self) -> bool:
        return self.keys is not None

    @property
    def limited(self) -> bool:
        return bool(self.offset) or self.limit is not None

    @property
    def is_mapping(self) -> bool:
        """Nothing but the source, with columns left out or reordered."""
        return (
            not self.aggregated and not self.where and not self.sort and not self.limited
            and all(isinstance(n, Identifier) for n in self.outputs.values())
        )  # fmt: skip

    def learn(self, columns: Iterable[Column]) -> None:
        self.columns.update((c.id, c) for c in columns)

    def native_type(self, column_id: str) -> ColumnType:
        return self.columns[column_id].native

    def close_source(self) -> DataSource:
        return self.source if self.unnest is None else self.unnest.close()

    def mapped_names(self) -> dict[str, str]:
        """Of a mapping: native name of each output."""
        return {i: self.names[n.name] for i, n in self.outputs.items() if isinstance(n, Identifier)}
