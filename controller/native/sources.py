"""Data sources of native queries, subqueries included, and what a query reads: the base of every query type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.native.errors import TYPE_CLASS, refused
from controller.native.filters import filter_of
from controller.native.reading import Json, intervals_of, items, obj, read, text, virtual_columns_of
from controller.native.session import Session
from msq.datatypes import DOUBLE, LONG, STRING, STRING_ARRAY, ColumnType, RowSignature
from msq.expr.parser import parse
from msq.native.datasource import (
    DataSource,
    FilteredDataSource,
    InlineDataSource,
    JoinDataSource,
    LookupDataSource,
    QueryDataSource,
    TableDataSource,
    UnionDataSource,
    UnnestDataSource,
)
from msq.native.filters import AndFilter, DimFilter, IntervalFilter
from msq.native.query import IntervalSpec, NativeQuery, ScanQuery
from msq.native.virtual import ExpressionVirtualColumn, VirtualColumn

Subquery = Callable[[Session, Json], NativeQuery]


@dataclass
class Base:
    """Source, intervals, filter and columns of a query; virtual columns may be added while it is put together."""

    source: DataSource
    intervals: IntervalSpec
    filter: DimFilter | None
    columns: RowSignature
    virtual: list[VirtualColumn] = field(default_factory=list)

    def type_of(self, name: str) -> ColumnType | None:
        """Type of a virtual column or a column; None when there is none."""
        made = next((v.column_type for v in reversed(self.virtual) if v.output == name), None)
        return made if made is not None else self.columns.type_of(name)

    def compute(self, expression: str, kind: ColumnType) -> str:
        """A virtual column of that value; its name. The same expression is computed once."""
        for known in self.virtual:
            if not isinstance(known, ExpressionVirtualColumn) or not known.name.startswith("__native"):
                continue
            if (known.expression, known.output_type) == (expression, kind):
                return known.name
        return self.add(lambda name: ExpressionVirtualColumn(name, expression, kind))

    def add(self, make: Callable[[str], VirtualColumn]) -> str:
        name = f"__native{len(self.virtual)}"
        self.virtual.append(make(name))
        return name


def base_of(session: Session, body: Json, subquery: Subquery, need_intervals: bool = True) -> Base:
    """Raises DruidException (400) for what cannot be read."""
    source = source_of(session, body.get("dataSource"), subquery)
    intervals = intervals_of(body.get("intervals"), need_intervals)
    columns = session.columns(source, intervals)
    virtual = virtual_columns_of(body.get("virtualColumns"), columns)
    base = Base(source, intervals, None, columns, virtual)
    base.filter = _within(source, intervals, columns, filter_of(body.get("filter"), base.compute))
    return base


def _within(
    source: DataSource, intervals: IntervalSpec, columns: RowSignature, condition: DimFilter | None
) -> DimFilter | None:
    """Tables are read for the intervals; rows from elsewhere are filtered by them where they have a time."""
    if not isinstance(source, (InlineDataSource, QueryDataSource)) or "__time" not in columns:
        return condition
    if any(i.is_eternity for i in intervals.intervals):
        return condition
    inside = IntervalFilter("__time", tuple(str(i) for i in intervals.intervals))
    return inside if condition is None else AndFilter((inside, condition))


def source_of(session: Session, value: Any, subquery: Subquery) -> DataSource:
    if isinstance(value, str):
        return _named(session, value)
    if value is None:
        raise refused("[dataSource] must be given")
    given = obj(value, "dataSource")
    reader = _READERS.get(str(given.get("type")))
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise refused(
            f"Could not resolve type id '{given.get('type')}' as a subtype of [DataSource]: known type ids = [{known}]",
            TYPE_CLASS,
        )
    return reader(session, given, subquery)


def _table(session: Session, value: Json, subquery: Subquery) -> DataSource:
    return _named(session, text(value.get("name"), "name"))


def _named(session: Session, name: str) -> DataSource:
    session.check_read(name)
    return TableDataSource(name)


def _lookup(session: Session, value: Json, subquery: Subquery) -> DataSource:
    name = text(value.get("lookup"), "lookup")
    if not session.catalog.lookup(name):
        raise refused(f"Lookup [{name}] not found")
    return LookupDataSource(name)


def _query(session: Session, value: Json, subquery: Subquery) -> DataSource:
    return QueryDataSource(subquery(session, obj(value.get("query"), "query")))


def _union(session: Session, value: Json, subquery: Subquery) -> DataSource:
    listed = items(value.get("dataSources"), "dataSources")
    if not listed:
        raise refused("[dataSources] of a union must not be empty")
    return UnionDataSource(tuple(source_of(session, v, subquery) for v in listed))


def _join(session: Session, value: Json, subquery: Subquery) -> DataSource:
    kind = str(value.get("joinType", "INNER")).upper()
    if kind not in ("INNER", "LEFT", "RIGHT", "FULL"):
        raise refused(f"Unknown joinType [{kind}]: known are FULL, INNER, LEFT, RIGHT")
    prefix = text(value.get("rightPrefix"), "rightPrefix")
    if not prefix or prefix == "__time":
        raise refused(f"[rightPrefix] must be a text that is not empty and no prefix of __time, but is [{prefix}]")
    parse(text(value.get("condition"), "condition"))
    right = _whole(session, source_of(session, value.get("right"), subquery))
    return JoinDataSource(
        source_of(session, value.get("left"), subquery), right, prefix,
        text(value.get("condition"), "condition"), kind, filter_of(value.get("leftFilter")),
    )  # fmt: skip


def _whole(session: Session, right: DataSource) -> DataSource:
    """The right side of a join: a query's intervals are for the left one, so a table is read whole."""
    if not isinstance(right, TableDataSource):
        return right
    columns = session.signature(right.name)
    types = tuple(c.type for c in columns)
    return QueryDataSource(ScanQuery(right, columns=columns.names, column_types=types))


def _inline(session: Session, value: Json, subquery: Subquery) -> DataSource:
    names = [text(n, "columnNames") for n in items(value.get("columnNames"), "columnNames")]
    rows = tuple(tuple(items(r, "rows")) for r in items(value.get("rows"), "rows"))
    if len(set(names)) != len(names):
        raise refused(f"[columnNames] of an inline data source must differ, but are {names}")
    if any(len(r) != len(names) for r in rows):
        raise refused(f"Every row of an inline data source needs [{len(names)}] values")
    given = items(value.get("columnTypes"), "columnTypes") or [None] * len(names)
    if len(given) != len(names):
        raise refused("[columnTypes] must have one type for each of [columnNames]")
    types = tuple(read(ColumnType, g) if g is not None else _guess([r[n] for r in rows]) for n, g in enumerate(given))
    return InlineDataSource(tuple(names), types, rows)


def _guess(values: list[Any]) -> ColumnType:
    kinds = {type(v) for v in values if v is not None}
    if list in kinds:
        return STRING_ARRAY
    if kinds and kinds <= {int, bool}:
        return LONG
    return DOUBLE if kinds and kinds <= {int, float, bool} else STRING


def _unnest(session: Session, value: Json, subquery: Subquery) -> DataSource:
    base = source_of(session, value.get("base"), subquery)
    columns = session.columns(base, IntervalSpec())
    column = virtual_columns_of([value.get("virtualColumn")], columns)[0]
    return UnnestDataSource(base, column, filter_of(value.get("unnestFilter")))


def _filtered(session: Session, value: Json, subquery: Subquery) -> DataSource:
    return FilteredDataSource(source_of(session, value.get("base"), subquery), filter_of(value.get("filter")))


_READERS: dict[str, Callable[[Session, Json, Subquery], DataSource]] = {
    "table": _table, "globalTable": _table, "lookup": _lookup, "query": _query, "union": _union, "join": _join,
    "inline": _inline, "unnest": _unnest, "filter": _filtered,
}  # fmt: skip
