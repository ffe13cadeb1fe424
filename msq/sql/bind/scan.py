"""A finished level without aggregation as a scan query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msq.datatypes import Column as NativeColumn
from msq.datatypes import RowSignature
from msq.expr.nodes import Literal, Node, rename
from msq.native.datasource import TableDataSource, UnionDataSource
from msq.native.query import IntervalSpec, OrderByColumn, ScanQuery
from msq.sql.bind.level import Finished, Level
from msq.sql.bind.naming import VirtualColumns
from msq.sql.bind.predicates import constants_of, filter_of, time_intervals
from msq.sql.bind.relation import substitute


def filtered(level: Level, registry: VirtualColumns) -> dict[str, Any]:
    """`filter` and `intervals` of a level's query; the filter's virtual columns are numbered first."""
    nodes = [rename(n, level.names) for n in level.where]
    intervals = None
    if isinstance(level.source, (TableDataSource, UnionDataSource)) and level.unnest is None:
        intervals, nodes = time_intervals(nodes)
    made: dict[str, Any] = {"filter": filter_of(nodes, level.signature, registry)}
    if intervals is not None:
        made["intervals"] = IntervalSpec(intervals)
    return made


def finish_scan(level: Level, wanted: Sequence[str], context: dict[str, Any]) -> Finished:
    """The scan query whose columns are `wanted` ids, in order, each name once, then order columns not among them."""
    registry = VirtualColumns(level.signature)
    clauses = filtered(level, registry)
    constants = constants_of(level.where, level.columns)
    names: dict[str, str] = {}
    for wanted_id in wanted:
        node = level.outputs[wanted_id]
        column = level.columns[wanted_id]
        names[wanted_id] = registry.column(_native(node, level, constants), column.native, column.apart)
    columns = list(dict.fromkeys(names.values()))
    order = []
    for column, node, descending in level.sort:
        native = _native(node, level, constants)
        if isinstance(native, Literal):
            continue
        name = names.setdefault(column.id, registry.column(native, column.native, column.apart))
        order.append(OrderByColumn(name, "descending" if descending else "ascending"))
        if name not in columns:
            columns.append(name)
    by_time = len(order) == 1 and order[0].column_name == "__time"
    signature = RowSignature(NativeColumn(c, registry.type_of(c) or level.signature.columns[0].type) for c in columns)
    query = ScanQuery(
        data_source=level.close_source(),
        virtual_columns=registry.used,
        offset=level.offset or None,
        limit=level.limit,
        order=order[0].order if by_time else None,
        order_by=None if by_time else tuple(order),
        columns=tuple(columns),
        column_types=tuple(c.type for c in signature),
        context=dict(sorted(context.items())),
        **clauses,
    )
    return Finished(query, names, signature)


def _native(node: Node, level: Level, constants: dict[str, Node]) -> Node:
    return rename(substitute(node, constants), level.names)
