"""Subqueries inside expressions as joins: scalar ones, IN and NOT IN, EXISTS; and the WHERE clause they stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.datatypes import LONG
from msq.expr import operators
from msq.expr.binding import Typed, literal, refuse
from msq.expr.nodes import Identifier, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN
from msq.sql.bind.expressions import Expressions, flatten
from msq.sql.bind.relation import Aggregate, AggregateCall, Filter, Join, Project, Relation, Sort, Source
from msq.sql.bind.scope import Bound
from msq.sql.nodes import position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries
    from msq.sql.bind.select import Block

Attach = Callable[[Callable[[Relation], Relation]], None]


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
    nodes = queries.conjuncts(queries.conjunction(terms).node)
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
        bound = queries.query(node.this.this, block.scope.inner())
        marker = _any_row(queries, bound)
        assert block.relation is not None
        if not negated:
            block.relation = Join(block.relation, marker, "INNER", (), block.algorithm)
            return True
        block.relation = Join(block.relation, marker, "LEFT", (), block.algorithm)
        return operators.bind_is(marker.columns[0].typed, "NULL", queries.session.env)
    if not isinstance(node, exp.In) or node.args.get("query") is None:
        return None
    binder = block.binder_below("WHERE")
    if negated:
        return operators.bind_not(membership(queries, node, binder, block.attach, block.algorithm), binder.env)
    value = binder.bind(node.this)
    keys = _distinct_values(queries, _single_column(queries, node, binder))
    condition = operators.bind_comparison("=", value, keys.columns[0].typed, queries.session.env)
    assert block.relation is not None
    block.relation = Join(block.relation, keys, "INNER", (condition.node,), block.algorithm)
    return True


def _single_column(queries: Queries, node: exp.Expr, binder: Expressions) -> Bound:
    query = node.args.get("query") or node
    bound = queries.query(query.this, binder.scope.inner())
    if len(bound.columns) != 1:
        refuse("Cannot apply a subquery of more than one column here", position_of(node))
    return bound


def _distinct_values(queries: Queries, bound: Bound) -> Aggregate:
    column = bound.columns[0]
    key = queries.session.ids.column(column.name, column.type, column.multi)
    return Aggregate(bound.relation, ((key, Identifier(column.id)),), ())


def _any_row(queries: Queries, bound: Bound) -> Aggregate:
    """One row with a TRUE if the query has rows, none otherwise."""
    key = queries.session.ids.column("i", BOOLEAN)
    one = queries.session.ids.column("i", BOOLEAN)
    projected = Project(bound.relation, (one,), (Literal(1, LONG),))
    return Aggregate(projected, ((key, Identifier(one.id)),), ())


def scalar(queries: Queries, node: exp.Subquery, binder: Expressions, attach: Attach, algorithm: str) -> Typed:
    """The value of a subquery of one row, joined to every row; NULL where it has none."""
    bound = _single_column(queries, exp.In(query=node, this=node), binder)
    if not _one_row(bound.relation):
        refuse(
            "A scalar subquery must have one row: aggregate without GROUP BY, or use LIMIT 1", position_of(node)
        )
    column = bound.columns[0]
    attach(lambda relation: Join(relation, bound.relation, "LEFT", (), algorithm))
    return column.at(position_of(node))


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


def membership(queries: Queries, node: exp.In, binder: Expressions, attach: Attach, algorithm: str) -> Typed:
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
    keys = _distinct_values(queries, again)
    marker = ids.column("i", BOOLEAN)
    marked = Project(keys, (keys.columns[0], marker), (Identifier(keys.columns[0].id), Literal(1, LONG)))
    equal = operators.bind_comparison("=", value, keys.columns[0].typed, env)
    attach(lambda relation: Join(relation, counts, "INNER", (), algorithm))
    attach(lambda relation: Join(relation, marked, "LEFT", (equal.node,), algorithm))
    zero = literal(0)
    whens = [
        (operators.bind_comparison("=", rows.typed, zero, env), literal(False)),
        (operators.bind_is(marker.typed, "NOT NULL", env), literal(True)),
        (operators.bind_is(value, "NULL", env), replace(literal(None), sql_type=BOOLEAN)),
        (operators.bind_comparison("<", known.typed, rows.typed, env), replace(literal(None), sql_type=BOOLEAN)),
    ]
    return operators.bind_case(whens, literal(False), env)


def exists(queries: Queries, node: exp.Exists, binder: Expressions, attach: Attach, algorithm: str) -> Typed:
    """The truth of EXISTS as a value."""
    bound = queries.query(node.this.this, binder.scope.inner())
    marker = _any_row(queries, bound)
    attach(lambda relation: Join(relation, marker, "LEFT", (), algorithm))
    return operators.bind_is(marker.columns[0].typed, "NOT NULL", queries.session.env)

