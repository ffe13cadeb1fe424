"""Subqueries inside expressions as joins: scalar ones, IN and NOT IN, EXISTS; and the WHERE clause they stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from msq.datatypes import LONG
from msq.expr import operators
from msq.expr.binding import Position, Typed, literal, refuse
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers
from msq.expr.sqltypes import BIGINT, BOOLEAN
from msq.sql.bind.decorrelate import Correlation, decorrelate, output_node
from msq.sql.bind.expressions import Expressions, flatten
from msq.sql.bind.relation import (
    SINGLE_VALUE,
    Aggregate,
    AggregateCall,
    Column,
    Filter,
    Join,
    Project,
    Relation,
    Sort,
    Source,
)  # fmt: skip
from msq.sql.bind.scope import Bound, Scope
from msq.sql.nodes import position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries
    from msq.sql.bind.select import Block


class SubqueryHost(Protocol):
    """The clause that a subquery stands in."""

    def attach(self, attachment: Callable[[Relation], Relation]) -> None:
        """Joins a subquery to the rows that the clause reads."""

    def outer_value(self, node: Node) -> Node:
        """An expression over the block's tables as these rows have it: in terms of group keys in a grouped block."""


def where(block: Block, condition: exp.Expr) -> Relation:
    """The block's rows for which WHERE holds. IN and EXISTS among its terms become joins that keep or drop rows."""
    queries = block.queries
    terms: list[Typed] = []
    for term in _terms(condition):
        kept = _semi_join(block, term)
        if kept is None:
            terms.append(block.binder_below("WHERE").condition(term))
        elif isinstance(kept, Typed):
            terms.append(kept)
    assert block.relation is not None
    if not terms:
        return block.relation
    nodes = [n for t in terms for n in queries.conjuncts(t.node)]
    relation, rest = _into_joins(block.relation, nodes)
    kept_nodes = [n for n in rest if not (isinstance(n, Literal) and n.value == 1)]
    return Filter(relation, tuple(kept_nodes)) if kept_nodes else relation


def _terms(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Paren):
        return _terms(node.this)
    if isinstance(node, exp.And):
        return [t for part in flatten(node, exp.And) for t in _terms(part)]
    return [node]


def _into_joins(relation: Relation, nodes: list[Node]) -> tuple[Relation, list[Node]]:
    """Equalities between the two sides of INNER joins become conditions of the joins."""
    from msq.sql.bind.join import is_equality_between

    if not isinstance(relation, Join) or relation.kind not in ("INNER", "LEFT"):
        return relation, nodes
    left, nodes = _into_joins(relation.left, nodes)
    if relation.kind == "LEFT":
        return replace(relation, left=left), nodes
    mine = [n for n in nodes if is_equality_between(n, relation.left, relation.right)]
    rest = [n for n in nodes if n not in mine]
    return replace(relation, left=left, conditions=(*relation.conditions, *mine)), rest


def _semi_join(block: Block, node: exp.Expr) -> bool | Typed | None:
    """Joins the block's rows with IN's or EXISTS' subquery: True when that is all, a condition where one is left, None
    where the term is neither."""
    negated = False
    while isinstance(node, (exp.Not, exp.Paren)):
        negated ^= isinstance(node, exp.Not)
        node = node.this
    queries = block.queries
    if isinstance(node, exp.Exists):
        marker, conditions = _any_row(queries, node, block.scope.inner(), block)
        assert block.relation is not None
        kind = "LEFT" if negated else "INNER"
        block.relation = Join(block.relation, marker, kind, conditions, block.algorithm)
        return operators.bind_is(marker.columns[0].typed, "NULL", queries.session.env) if negated else True
    if not isinstance(node, exp.In) or node.args.get("query") is None:
        return None
    binder = block.binder_below("WHERE")
    if negated:
        return operators.bind_not(membership(queries, node, binder, block, block.algorithm), binder.env)
    value = binder.bind(node.this)
    bound = _single_column(queries, node, binder)
    keys, conditions = _distinct_values(queries, bound, position_of(node), block)
    condition = operators.bind_comparison("=", value, keys.columns[0].typed, queries.session.env)
    assert block.relation is not None
    block.relation = Join(block.relation, keys, "INNER", (condition.node, *conditions), block.algorithm)
    return True


def _single_column(queries: Queries, node: exp.Expr, binder: Expressions) -> Bound:
    query = node.args.get("query") or node
    bound = queries.query(query.this, binder.scope.inner())
    if len(bound.columns) != 1:
        refuse("Cannot apply a subquery of more than one column here", position_of(node))
    return bound


def _distinct_values(
    queries: Queries, bound: Bound, position: Position | None, host: SubqueryHost
) -> tuple[Aggregate, tuple[Node, ...]]:
    """The distinct values of the query's column, beside those of what it is correlated by; the join's conditions."""
    ids = queries.session.ids
    relation, correlation = decorrelate(bound.relation, ids, position)
    column = bound.columns[0]
    keys: list[tuple[Column, Node]] = [
        (ids.column(c.name, c.type, c.multi), Identifier(c.id)) for c in (column, *(c for c, _ in correlation.pairs))
    ]
    conditions = _equalities([k for k, _ in keys[1:]], correlation, host)
    return Aggregate(relation, tuple(keys), ()), conditions


def _equalities(columns: Sequence[Column], correlation: Correlation, host: SubqueryHost) -> tuple[Node, ...]:
    return tuple(
        Call("==", (host.outer_value(other), Identifier(c.id))) for c, (_, other) in zip(columns, correlation.pairs)
    )


def _any_row(
    queries: Queries, node: exp.Exists, scope: Scope, host: SubqueryHost
) -> tuple[Aggregate, tuple[Node, ...]]:
    """A row with a TRUE if the query has rows, none otherwise; one for each value it is correlated by."""
    bound = queries.query(node.this.this, scope)
    ids = queries.session.ids
    relation, correlation = decorrelate(bound.relation, ids, position_of(node))
    one = ids.column("i", BOOLEAN)
    columns = tuple(c for c, _ in correlation.pairs)
    nodes: list[Node] = [Identifier(c.id) for c in columns]
    projected = Project(relation, (one, *columns), (Literal(1, LONG), *nodes))
    keys: list[tuple[Column, Node]] = [(ids.column(c.name, c.type), Identifier(c.id)) for c in (one, *columns)]
    return Aggregate(projected, tuple(keys), ()), _equalities([k for k, _ in keys[1:]], correlation, host)


def scalar(queries: Queries, node: exp.Subquery, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """The value of a subquery of one row, joined to every row; NULL where it has none."""
    bound = _single_column(queries, node, binder)
    position = position_of(node)
    if not _one_row(bound.relation):
        bound = _single_value(queries, bound, position)
    inner, correlation = decorrelate(bound.relation, queries.session.ids, position)
    conditions = _equalities([c for c, _ in correlation.pairs], correlation, host)
    host.attach(lambda relation: Join(relation, inner, "LEFT", conditions, algorithm))
    column = bound.columns[0]
    value = output_node(bound.relation, column.id)
    if not correlation.counts & set(identifiers(value)):
        return column.at(position)
    if not isinstance(value, Identifier):
        refuse("A correlated subquery may only select a bare COUNT, not an expression of it", position)
    return operators.bind_coalesce([column.typed, literal(0)], queries.session.env.at(position))


def _single_value(queries: Queries, bound: Bound, position: Position | None) -> Bound:
    """The query's value, refused when it runs where there is more than one."""
    (column,) = bound.columns
    value = queries.session.ids.column(column.name, column.type)
    call = AggregateCall(value, SINGLE_VALUE, (column.typed,), position=position)
    return replace(bound, relation=Aggregate(bound.relation, (), (call,)), columns=(value,))


def _one_row(relation: Relation) -> bool:
    """Whether a relation has at most one row."""
    if isinstance(relation, (Project, Filter)):
        return _one_row(relation.input)
    if isinstance(relation, Sort):
        return (relation.limit is not None and relation.limit <= 1) or _one_row(relation.input)
    if isinstance(relation, Aggregate):
        return not relation.keys
    rows = getattr(relation.source, "rows", None) if isinstance(relation, Source) else None
    return rows is not None and len(rows) <= 1


def membership(queries: Queries, node: exp.In, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """The truth of `x IN (query)` as a value: counts of the query's rows, and whether x is among its values."""
    value = binder.bind(node.this)
    bound = _single_column(queries, node, binder)
    ids, env = queries.session.ids, queries.session.env
    column = bound.columns[0]
    rows, known = ids.column("c", BIGINT), ids.column("ck", BIGINT)
    counts = Aggregate(
        bound.relation, (),
        (AggregateCall(rows, "COUNT", ()), AggregateCall(known, "COUNT", (column.typed,))),
    )  # fmt: skip
    again = _single_column(queries, node, binder)
    keys, correlated = _distinct_values(queries, again, position_of(node), host)
    if correlated:
        refuse("A correlated IN is only supported as a term of WHERE, without NOT", position_of(node))
    marker = ids.column("i", BOOLEAN)
    marked = Project(keys, (keys.columns[0], marker), (Identifier(keys.columns[0].id), Literal(1, LONG)))
    equal = operators.bind_comparison("=", value, keys.columns[0].typed, env)
    host.attach(lambda relation: Join(relation, counts, "INNER", (), algorithm))
    host.attach(lambda relation: Join(relation, marked, "LEFT", (equal.node,), algorithm))
    zero = literal(0)
    whens = [
        (operators.bind_comparison("=", rows.typed, zero, env), literal(False)),
        (operators.bind_is(marker.typed, "NOT NULL", env), literal(True)),
        (operators.bind_is(value, "NULL", env), replace(literal(None), sql_type=BOOLEAN)),
        (operators.bind_comparison("<", known.typed, rows.typed, env), replace(literal(None), sql_type=BOOLEAN)),
    ]
    return operators.bind_case(whens, literal(False), env)


def exists(queries: Queries, node: exp.Exists, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """The truth of EXISTS as a value."""
    marker, conditions = _any_row(queries, node, binder.scope.inner(), host)
    host.attach(lambda relation: Join(relation, marker, "LEFT", conditions, algorithm))
    return operators.bind_is(marker.columns[0].typed, "NOT NULL", queries.session.env)
