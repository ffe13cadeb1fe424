"""Conditions of a level: the native filter, the intervals of a table's time, and columns that they make constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msq.datatypes import ColumnType, RowSignature
from msq.expr.filtering import to_filter
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.printer import to_text
from msq.faults import not_plannable
from msq.intervals import ETERNITY, MAX_INSTANT, MIN_INSTANT, Interval, condense, subtract
from msq.native.datasource import QueryDataSource, TableDataSource
from msq.native.filters import AndFilter, DimFilter, ExpressionFilter
from msq.native.query import NativeQuery
from msq.sql.bind.naming import VirtualColumns
from msq.sql.bind.relation import Column

Intervals = tuple[Interval, ...]


def filter_of(nodes: Sequence[Node], signature: RowSignature, registry: VirtualColumns | None) -> DimFilter | None:
    """The filter of an AND over native column names; computed operands become virtual columns of `registry`, or an
    expression filter where there is none."""
    if not nodes:
        return None
    if registry is not None:
        return to_filter(_joined(nodes), signature, registry.column)
    try:
        return to_filter(_joined(nodes), signature, _no_virtual_column)
    except _NeedsVirtualColumn:
        terms = [t for n in nodes for t in _terms(n)]
        fields = tuple(_alone(t, signature) for t in terms)
        return fields[0] if len(fields) == 1 else AndFilter(fields)


class _NeedsVirtualColumn(Exception):
    """A filter compares something computed where only columns may be compared."""


def _no_virtual_column(node: Node, kind: ColumnType) -> str:
    raise _NeedsVirtualColumn


def _alone(node: Node, signature: RowSignature) -> DimFilter:
    try:
        return to_filter(node, signature, _no_virtual_column)
    except _NeedsVirtualColumn:
        return ExpressionFilter(to_text(node))


def _joined(nodes: Sequence[Node]) -> Node:
    """The AND of all, as a balanced tree: filters flatten it."""
    if len(nodes) == 1:
        return nodes[0]
    middle = len(nodes) // 2
    return Call("&&", (_joined(nodes[:middle]), _joined(nodes[middle:])))


def check_time_condition(query: NativeQuery) -> None:
    """Refuses a query that reads a datasource for all of time (context requireTimeCondition)."""
    for source in query.data_source.walk():
        if isinstance(source, QueryDataSource):
            check_time_condition(source.query)
        elif isinstance(source, TableDataSource) and query.intervals.intervals == (ETERNITY,):
            raise not_plannable(
                "Query could not be planned. A possible reason is [requireTimeCondition is enabled, all queries must "
                "include a filter condition on the __time column]"
            )


def constants_of(nodes: Sequence[Node], columns: Mapping[str, Column]) -> dict[str, Node]:
    """Columns that the conditions fix to one value, by id; those known to hold several values a row are left out."""
    found: dict[str, Node] = {}
    for node in nodes:
        for term in _terms(node):
            if not isinstance(term, Call) or term.function != "==" or len(term.args) != 2:
                continue
            left, right = term.args
            if isinstance(right, Identifier):
                left, right = right, left
            if isinstance(left, Identifier) and isinstance(right, Literal) and right.value is not None:
                column = columns.get(left.name)
                if column is not None and not column.multi and right.type == column.native:
                    found.setdefault(left.name, right)
    return found


def _terms(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.function == "&&":
        return [t for a in node.args for t in _terms(a)]
    return [node]


def time_intervals(nodes: Sequence[Node]) -> tuple[Intervals, list[Node]]:
    """What conditions say about `__time` as intervals, and the conditions that are left."""
    intervals: Intervals = (ETERNITY,)
    rest: list[Node] = []
    for node in (t for n in nodes for t in _terms(n)):
        found = _intervals(node)
        if found is None:
            rest.append(node)
        else:
            intervals = _intersect(intervals, found)
    return intervals, rest


def _intervals(node: Node) -> Intervals | None:
    """The instants of `__time` for which a condition on it alone holds; None for other conditions."""
    if not isinstance(node, Call):
        return None
    if node.function in ("&&", "||"):
        parts = [_intervals(a) for a in node.args]
        if any(p is None for p in parts):
            return None
        known = [p for p in parts if p is not None]
        if node.function == "||":
            return condense(i for p in known for i in p)
        made = known[0]
        for part in known[1:]:
            made = _intersect(made, part)
        return made
    if node.function == "!" and len(node.args) == 1:
        inner = _intervals(node.args[0])
        return None if inner is None else subtract([ETERNITY], inner)
    return _comparison(node)


def _comparison(node: Call) -> Intervals | None:
    operator, args = node.function, node.args
    if operator == "scalar_in_array" and args[0] == Identifier("__time"):
        array = args[1]
        items = array.args if isinstance(array, Call) and array.function == "array" else ()
        values = [i.value for i in items if isinstance(i, Literal) and isinstance(i.value, int)]
        if not values or len(values) != len(items):
            return None
        return condense(Interval(v, v + 1) for v in values)
    if operator not in _FLIPPED or len(args) != 2:
        return None
    left, right = args
    if isinstance(right, Identifier):
        left, right, operator = right, left, _FLIPPED[operator]
    if left != Identifier("__time") or not isinstance(right, Literal) or not isinstance(right.value, int):
        return None
    at = min(max(right.value, MIN_INSTANT), MAX_INSTANT - 1)
    interval = {
        "<": Interval(MIN_INSTANT, at), "<=": Interval(MIN_INSTANT, at + 1), ">": Interval(at + 1, MAX_INSTANT),
        ">=": Interval(at, MAX_INSTANT), "==": Interval(at, at + 1),
    }  # fmt: skip
    if operator == "!=":
        return subtract([ETERNITY], [interval["=="]])
    return (interval[operator],) if interval[operator].start < interval[operator].end else ()


_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _intersect(one: Intervals, two: Intervals) -> Intervals:
    return condense(i for a in one for b in two if (i := a.intersect(b)) is not None)
