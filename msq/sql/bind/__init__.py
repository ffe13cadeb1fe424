"""Binding: a statement and a catalog to the native query that answers it, with all that its task and plan need.

`bind` is the door. The way inside: syntax tree -> relations (`query`, `select`, `from_`, ..) -> levels (`emit`) ->
native queries (`scan`, `grouping`, `emit_window`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msq.catalog import Catalog
from msq.context import QueryContext
from msq.datatypes import RowSignature
from msq.expr.binding import BindEnv
from msq.faults import DruidException, invalid_input, not_plannable
from msq.intervals import Granularity, format_instant, parse_instant
from msq.native.datasource import JoinDataSource
from msq.native.query import NativeQuery
from msq.native.virtual import VirtualColumn
from msq.results import ResultsContext
from msq.sql.bind import ingest
from msq.sql.bind.decorrelate import free_ids
from msq.sql.bind.emit import Emitter
from msq.sql.bind.level import Contexts, Finished
from msq.sql.bind.predicates import check_time_condition
from msq.sql.bind.query import Queries
from msq.sql.bind.relation import Column, Relation, Sort
from msq.sql.bind.scope import Bound, Scope
from msq.sql.bind.session import Session
from msq.sql.cursor import too_deep
from msq.sql.statement import Statement, TableTarget
from msq.stage.destination import ColumnMapping, Destination

__all__ = ["BoundQuery", "ClusteredColumn", "Resource", "bind"]


@dataclass(frozen=True)
class Resource:
    """Something a statement reads or writes; `{"name","type"}` as EXPLAIN lists it. action: READ or WRITE."""

    name: str
    type: str
    action: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type}


@dataclass(frozen=True)
class ClusteredColumn:
    """One CLUSTERED BY key: the query's column, the output column it feeds, None for one that is not selected."""

    query_column: str
    output_column: str | None
    text: str
    """As EXPLAIN shows it: the output's name, or the expression with its names quoted."""

    @property
    def hidden(self) -> bool:
        return self.output_column is None


@dataclass(frozen=True)
class BoundQuery:
    """A statement ready to be planned.

    `query` is the payload's `spec.query`, contexts included. `column_mappings` are in SELECT order; several may read
    one query column, and output names may repeat in a SELECT. `signature`: the query's columns. `order_by`: (query
    column, descending) of the outermost ORDER BY or CLUSTERED BY. `sql_query_context` is the payload's
    `sqlQueryContext`.
    """

    query: NativeQuery
    column_mappings: tuple[ColumnMapping, ...]
    destination: Destination
    sql_type_names: tuple[str, ...]
    native_type_names: tuple[str, ...]
    signature: RowSignature
    kind: str
    segment_granularity: Granularity | None
    cluster_keys: tuple[ClusteredColumn, ...]
    order_by: tuple[tuple[str, bool], ...]
    cluster_by_virtual_columns: dict[str, VirtualColumn]
    sql_query_context: dict[str, Any]
    results_context: ResultsContext
    reads_and_writes: tuple[Resource, ...]
    data_source: str
    """`dataSource` of the task: the table written, `__query_select` or `__query_export`."""
    lookups: frozenset[str] = frozenset()
    """Lookups that the statement reads, by LOOKUP or as tables."""
    reads_clock: bool = False
    """Whether the statement means something else at another time."""

    @property
    def clustered_by(self) -> tuple[str, ...]:
        """CLUSTERED BY as EXPLAIN's attributes list it."""
        return tuple(c.text for c in self.cluster_keys)

    @property
    def join_algorithms(self) -> tuple[str, ...]:
        """Algorithm of every join of the outermost query, outer first."""
        joins = (s for s in self.query.data_source.walk() if isinstance(s, JoinDataSource))
        return tuple(j.join_algorithm or "broadcast" for j in joins)

    def resources(self) -> list[dict[str, str]]:
        """What EXPLAIN lists: each once, sorted by name."""
        listed = {(r.name, r.type): r.to_json() for r in self.reads_and_writes}
        return [listed[key] for key in sorted(listed)]


def bind(
    statement: Statement, catalog: Catalog, context: QueryContext | Mapping[str, Any], *, query_id: str, now_ms: int
) -> BoundQuery:
    """Resolves names and types of a statement and makes its native query.

    `context` is the statement's merged context (its SET items included). `now_ms` is what CURRENT_TIMESTAMP answers.
    Raises DruidException for everything that Druid refuses, with its category, text and place.
    """
    merged = context if isinstance(context, QueryContext) else QueryContext(context)
    merged.validate()
    if statement.target is not None and merged.get("sqlOuterLimit") is not None:
        raise ingest.outer_limit(statement)
    session = Session(catalog, _env(merged, catalog, now_ms), merged.raw, merged.value("sqlJoinAlgorithm"))
    try:
        return _bind(statement, merged, session, query_id, now_ms)
    except DruidException as error:
        error.message = session.ids.named(error.message)
        raise
    except RecursionError:
        raise too_deep() from None


def _bind(statement: Statement, merged: QueryContext, session: Session, query_id: str, now_ms: int) -> BoundQuery:
    queries = Queries(session)
    if isinstance(statement.target, TableTarget):
        ingest.check_limits(statement)
    bound = queries.query(ingest.ordered_query(statement), Scope())
    if free_ids(bound.relation):
        raise not_plannable("Query could not be planned. A possible reason is [Correlated subqueries of this form.]")
    _check_types(bound)
    keys: tuple[ingest.ClusterKey, ...] = ()
    if statement.target is not None:
        ingest.check_output(statement, bound)
        keys = ingest.cluster_keys(bound)
        ingest.check_time(statement, bound)
        if isinstance(statement.target, TableTarget):
            ingest.check_sort_order(merged, keys, bound)
            ingest.check_arrays(merged, bound)
            ingest.check_types(statement.target, session.catalog, merged, bound)
    else:
        bound = _with_outer_limit(bound, merged)
    contexts = _contexts(statement, merged, query_id, now_ms)
    done = Emitter(contexts, session.context).outermost(bound.relation, [c.id for c in bound.columns])
    if session.flag("requireTimeCondition", False):
        check_time_condition(done.query)
    return _result(statement, merged, session, bound, done, keys, query_id)


def _check_types(bound: Bound) -> None:
    """Raises DruidException for a column of a type that nothing can hold."""
    for column in bound.columns:
        if column.type.name == "INTERVAL":
            name = f"INTERVAL_{column.type.unit}".replace(" TO ", "_")
            raise not_plannable(f"Query could not be planned. A possible reason is [{name} type is not supported]")


def _env(context: QueryContext, catalog: Catalog, now_ms: int) -> BindEnv:
    given = context.value("sqlCurrentTimestamp")
    if given:
        try:
            now_ms = parse_instant(given)
        except ValueError as error:
            raise invalid_input(f"Context parameter [sqlCurrentTimestamp] cannot be parsed: {error}") from error
    return BindEnv(context.value("sqlTimeZone"), now_ms, catalog.lookups)


def _with_outer_limit(bound: Bound, context: QueryContext) -> Bound:
    limit = context.value("sqlOuterLimit")
    if limit is None or limit < 0:
        return bound
    return Bound(Sort(bound.relation, (), 0, limit), bound.columns)


def _contexts(statement: Statement, context: QueryContext, query_id: str, now_ms: int) -> Contexts:
    """What the native queries carry: the user's keys and ids everywhere, the engine's keys on the outermost one."""
    given = {key: value for key, value in context.raw.items() if key != "__user"}
    inner = {**given, **ingest.ingest_keys(statement), "queryId": query_id, "sqlQueryId": query_id}
    outer = {
        **inner,
        "__user": context.raw.get("__user", "allowAll"),
        "finalize": context.value("finalizeAggregations"),
        "maxParseExceptions": context.max_parse_exceptions,
        "rowBasedFrameType": context.value("rowBasedFrameType"),
        "startTime": format_instant(now_ms),
        "windowFunctionOperatorTransformation": True,
    }
    return Contexts(outer, inner)


def _result(
    statement: Statement, context: QueryContext, session: Session, bound: Bound, done: Finished,
    keys: tuple[ingest.ClusterKey, ...], query_id: str,
) -> BoundQuery:  # fmt: skip
    final = context.value("finalizeAggregations")
    names = done.names
    order = _sort_of(bound.relation)
    clustered = tuple(
        ClusteredColumn(names[k.column.id], k.output, ingest.shown(k, node))
        for k, node in zip(keys, statement.clustered_by)
        if k.column.id in names
    )
    virtual = {v.output: v for v in getattr(done.query, "virtual_columns", None) or ()}
    target = statement.target
    table = target.name if isinstance(target, TableTarget) else ("__query_export" if target else "__query_select")
    added = ingest.ingest_keys(statement)
    ids = ("sqlQueryId", "queryId", "__user")
    return BoundQuery(
        query=done.query,
        column_mappings=tuple(ColumnMapping(names[c.id], c.name) for c in bound.columns),
        destination=ingest.destination_of(statement, context),
        sql_type_names=tuple(_sql_name(c, final) for c in bound.columns),
        native_type_names=tuple(str(c.native) for c in bound.columns),
        signature=done.signature,
        kind=statement.kind,
        segment_granularity=statement.partitioned_by,
        cluster_keys=clustered,
        order_by=tuple((names[k.column], k.descending) for k in (order.keys if order else ()) if k.column in names),
        cluster_by_virtual_columns={
            c.query_column: virtual[c.query_column] for c in clustered if c.query_column in virtual
        },
        sql_query_context={
            "sqlQueryId": query_id, **{k: v for k, v in context.raw.items() if k not in ids}, "queryId": query_id,
            **added,
        },
        results_context=ResultsContext(context.value("sqlTimeZone"), context.value("sqlStringifyArrays")),
        reads_and_writes=_resources(statement, session),
        data_source=table,
        lookups=frozenset(session.env.lookups_read),
        reads_clock=bool(session.env.clock_read),
    )  # fmt: skip


def _sql_name(column: Column, final: bool) -> str:
    return "OTHER" if column.aggregate and not final else column.type.name


def _sort_of(relation: Relation) -> Sort | None:
    while isinstance(relation, Sort):
        if relation.keys:
            return relation
        relation = relation.input
    return None


def _resources(statement: Statement, session: Session) -> tuple[Resource, ...]:
    """Sorted by name, as EXPLAIN prints them."""
    found = {Resource(t, "DATASOURCE", "READ") for t in session.tables}
    if session.externals:
        found.add(Resource("EXTERNAL", "EXTERNAL", "READ"))
    if isinstance(statement.target, TableTarget):
        found.add(Resource(statement.target.name, "DATASOURCE", "WRITE"))
    elif statement.target is not None:
        found.add(Resource("EXTERNAL", "EXTERNAL", "WRITE"))
    return tuple(sorted(found, key=lambda r: (r.name, r.type, r.action)))
