"""UNION ALL to union data sources: of tables as they are, or of subqueries whose columns are named alike.

Druid unions regular tables only; here a branch of any other kind becomes a scan that names its columns `u0`, `u1`..
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msq.datatypes import Column as NativeColumn
from msq.datatypes import RowSignature
from msq.expr.nodes import Identifier, rename
from msq.expr.printer import to_text
from msq.native.datasource import DataSource, QueryDataSource, TableDataSource, UnionDataSource
from msq.native.query import ScanQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.sql.bind.level import Level
from msq.sql.bind.naming import VirtualColumns
from msq.sql.bind.relation import Union
from msq.sql.bind.scan import filtered

if TYPE_CHECKING:
    from msq.sql.bind.emit import Emitter


def lower_union(emitter: Emitter, union: Union, needed: frozenset[str]) -> Level:
    """The level over the union of all branches; `needed` ids of the union's own columns."""
    kept = [n for n, c in enumerate(union.columns) if c.id in needed] or [0]
    levels = []
    for branch in union.inputs:
        reads = frozenset(branch.columns[n].id for n in kept)
        levels.append((branch, emitter.plain(branch, reads)))
    columns = [union.columns[n] for n in kept]
    tables = _same_tables([(level, [branch.columns[n].id for n in kept]) for branch, level in levels])
    if tables is not None:
        sources, names, signature = tables
        return Level.over(UnionDataSource(sources), columns, {c.id: n for c, n in zip(columns, names)}, signature)
    names = tuple(f"u{n}" for n in range(len(kept)))
    signature = RowSignature(NativeColumn(n, c.native) for n, c in zip(names, columns))
    branches = tuple(
        _named(emitter, level, [branch.columns[n].id for n in kept], signature) for branch, level in levels
    )
    return Level.over(UnionDataSource(branches), columns, {c.id: n for c, n in zip(columns, names)}, signature)


def _same_tables(
    branches: list[tuple[Level, list[str]]],
) -> tuple[tuple[DataSource, ...], tuple[str, ...], RowSignature] | None:
    """Table sources, column names and signature when every branch reads like-named, like-typed columns of a table."""
    first: RowSignature | None = None
    sources: list[DataSource] = []
    for level, wanted in branches:
        inner = level.close_source()  # an UNNEST may stand over the table
        if not level.is_mapping or not isinstance(inner, (TableDataSource, UnionDataSource)):
            return None
        mapped = level.mapped_names()
        if len({mapped[i] for i in wanted}) != len(wanted):
            return None
        signature = level.signature.select([mapped[i] for i in wanted])
        if first is not None and signature != first:
            return None
        first = signature
        sources.extend(inner.data_sources if isinstance(inner, UnionDataSource) else [inner])
    assert first is not None
    return tuple(sources), first.names, first


def _named(emitter: Emitter, level: Level, wanted: list[str], signature: RowSignature) -> DataSource:
    """A branch as a scan whose columns are named as in `signature`."""
    if level.aggregated or level.limited or level.sort:
        level = emitter.wrap(level, frozenset(wanted))
    registry = VirtualColumns(level.signature)
    clauses = filtered(level, registry)
    virtual = list(registry.used or ())
    for column, column_id in zip(signature, wanted):
        node = rename(level.outputs[column_id], level.names)
        if node != Identifier(column.name):
            virtual.append(ExpressionVirtualColumn(column.name, to_text(node), column.type))
    query = ScanQuery(
        data_source=level.close_source(), virtual_columns=tuple(virtual) or None, columns=signature.names,
        column_types=tuple(c.type for c in signature), context=dict(sorted(emitter.contexts.inner.items())), **clauses,
    )  # fmt: skip
    return QueryDataSource(query)
