"""scan and groupBy: rows and groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from controller.native.answers import answers, subquery
from controller.native.errors import refused, unsupported
from controller.native.granularity import Buckets
from controller.native.grouping import Groups, having_of
from controller.native.reading import Json, items, number, obj, quoted, text
from controller.native.session import Session
from controller.native.sources import Base, base_of
from msq.datatypes import STRING, STRING_ARRAY, Column, RowSignature
from msq.intervals import format_instant
from msq.native.datasource import TableDataSource
from msq.native.query import GroupByQuery, OrderByColumn, ScanQuery
from msq.stage.inputs import SEGMENT_ID

BATCH_ROWS = 20_480
"""Rows of one element of a scan's answer when the query does not say."""


# -- scan --------------------------------------------------------------------------------------------------------------


def scan_query(session: Session, body: Json) -> ScanQuery:
    """A scan as a subquery or as it runs, with the types of its columns."""
    return _scan(base_of(session, body, subquery), body)


def _scan(base: Base, body: Json) -> ScanQuery:
    names = [text(c, "columns") for c in items(body.get("columns"), "columns")]
    if not names:
        names = list(dict.fromkeys([*base.columns.names, *(v.output for v in base.virtual)]))
    names = list(dict.fromkeys(names))
    order = _order(body)
    for name in order:
        if name.column_name not in names:
            raise refused(f"Column [{name.column_name}] of the order must be among [columns]")
    by_time = order[0].order if [o.column_name for o in order] == ["__time"] else None
    return ScanQuery(
        base.source, base.intervals, tuple(base.virtual) or None, offset=number(body.get("offset"), "offset") or None,
        limit=number(body.get("limit"), "limit"), order=by_time, order_by=None if by_time else order or None,
        filter=base.filter, columns=tuple(names), column_types=tuple(base.type_of(n) or STRING for n in names),
    )  # fmt: skip


def _order(body: Json) -> tuple[OrderByColumn, ...]:
    listed = items(body.get("orderBy"), "orderBy")
    if listed:
        given = [
            (text(obj(o, "orderBy").get("columnName"), "columnName"), o.get("order") or "ascending") for o in listed
        ]
    else:
        given = [("__time", body.get("order") or "none")]
    out = []
    for name, order in given:
        word = text(order, "order").lower()
        if word not in ("ascending", "descending", "none"):
            raise refused(f"Unknown order [{order}]: known are none, ascending, descending")
        if word != "none":
            out.append(OrderByColumn(name, word))
    return tuple(out)


@answers("scan", scan_query)
def scan(session: Session, body: Json) -> Iterator[Any]:
    form = body.get("resultFormat") or "list"
    if form not in ("list", "compactedList"):
        raise unsupported(f"Result format [{form}] is not supported: use list or compactedList")
    size = number(body.get("batchSize"), "batchSize") or BATCH_ROWS
    base = base_of(session, body, subquery)
    query = _scan(base, body)
    shown = query.signature
    columns, lists = _as_arrays(session, base, query)
    # rows that are sorted, or of a join, belong to no one segment
    named = isinstance(base.source, TableDataSource) and query.order is None and query.order_by is None
    if named:
        columns = RowSignature([*columns, Column(SEGMENT_ID, STRING)])
    reading = ScanQuery(
        query.data_source, query.intervals, tuple(base.virtual) or None, offset=query.offset, limit=query.limit,
        order=query.order, order_by=query.order_by, filter=query.filter, columns=columns.names,
        column_types=tuple(c.type for c in columns),
    )  # fmt: skip
    rows = session.ask(reading, columns, lists, in_order=True, with_segments=named)
    if named:
        return _batches(_by_segment(rows, size), shown, form == "list")
    segments = session.segments(base.source, base.intervals.intervals)
    segment = segments[0].segment.id if len(segments) == 1 else None
    return _batches(((segment, chunk) for chunk in _chunks(rows, size)), shown, form == "list")


def _as_arrays(session: Session, base: Base, query: ScanQuery) -> tuple[RowSignature, frozenset[str]]:
    """The columns as they are read: those that may hold several values a row as arrays of them."""
    several = session.multi_value(base.source) | {v.output for v in base.virtual if v.column_type == STRING}
    sorted_by = {o.column_name for o in query.order_by or ()}
    out, lists = [], set()
    for column in query.signature:
        if column.type == STRING and column.name in several and column.name not in sorted_by:
            name = base.compute(f"mv_to_array({quoted(column.name)})", STRING_ARRAY)
            lists.add(name)
            column = Column(name, STRING_ARRAY)
        out.append(column)
    return RowSignature(out), frozenset(lists)


def _chunks(rows: Iterator[list[Any]], size: int) -> Iterator[list[list[Any]]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _by_segment(rows: Iterator[list[Any]], size: int) -> Iterator[tuple[str, list[list[Any]]]]:
    """Rows of one segment each, which is their last column; that is taken off."""
    for segment, members in groupby(rows, key=itemgetter(-1)):
        for chunk in _chunks(members, size):
            for row in chunk:
                row.pop()
            yield segment, chunk


def _batches(
    chunks: Iterator[tuple[str | None, list[list[Any]]]], columns: RowSignature, as_objects: bool
) -> Iterator[Any]:
    names, signature = columns.names, [{"name": c.name, "type": str(c.type)} for c in columns]
    for segment, chunk in chunks:
        events: list[Any] = [dict(zip(names, row)) for row in chunk] if as_objects else chunk
        yield {"segmentId": segment, "columns": list(names), "events": events, "rowSignature": signature}


# -- groupBy -----------------------------------------------------------------------------------------------------------


def _groups(session: Session, body: Json) -> Groups:
    base = base_of(session, body, subquery)
    groups = Groups.of(base, body, Buckets.of(body.get("granularity")), items(body.get("dimensions"), "dimensions"))
    groups.having = having_of(body.get("having"))
    groups.take_limit_spec(body.get("limitSpec"))
    if body.get("subtotalsSpec") is not None:
        front = () if groups.bucket is None else (groups.bucket,)
        known = {d.output_name for d in groups.dimensions}
        sets = [tuple(text(n, "subtotalsSpec") for n in items(s, "subtotalsSpec")) for s in body["subtotalsSpec"]]
        for name in (n for one in sets for n in one):
            if name not in known:
                raise refused(f"Subtotal spec [{name}] is no dimension of the query")
        groups.subtotals = tuple((*front, *one) for one in sets)
    return groups


def group_by_query(session: Session, body: Json) -> GroupByQuery:
    return _groups(session, body).query()


@answers("groupBy", group_by_query)
def group_by(session: Session, body: Json) -> Iterator[Any]:
    groups = _groups(session, body)
    rows = session.ask(groups.query(), groups.signature())
    intervals = groups.base.intervals.intervals
    start = format_instant(intervals[0].start) if intervals else None
    return _events(rows, groups, start, session.option("resultAsArray"))


def _events(rows: Iterator[list[Any]], groups: Groups, start: str | None, as_arrays: bool) -> Iterator[Any]:
    names, bucketed = groups.names, groups.bucket is not None
    for row in rows:
        if as_arrays:
            yield row
        elif bucketed:
            yield {"version": "v1", "timestamp": format_instant(row[0]), "event": dict(zip(names, row[1:]))}
        else:
            yield {"version": "v1", "timestamp": start, "event": dict(zip(names, row))}
