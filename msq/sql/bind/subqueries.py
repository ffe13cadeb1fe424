"""Subqueries inside expressions as joins: scalar ones, IN and NOT IN, EXISTS; and the WHERE clause they stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from msq.datatypes import LONG
from msq.expr import operators
from msq.expr.binding import Position, Typed, literal, refuse
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN
from msq.sql.bind.decorrelate import counts_rows, decorrelate, free_ids, output_node
from msq.sql.bind.expressions import Expressions, flatten
from msq.sql.bind.lateral import Lateral
from msq.sql.bind.relation import (
    SINGLE_VALUE,
    Aggregate,
    AggregateCall,
    Column,
    Filter,
    Ids,
    Join,
    Project,
    Relation,
    Sort,
    Source,
    substitute,
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

    def outer_columns(self) -> Sequence[Column]:
        """The columns of the block's tables."""

    def outer_rows(self) -> Relation:
        """Rows with every value that `outer_value` may have in the rows that the clause reads."""


@dataclass(frozen=True)
class Correlated:
    """A subquery beside `columns`, which the rows of the outer query are joined on by `operator` with `values`."""

    relation: Relation
    columns: tuple[Column, ...] = ()
    operator: str = "=="
    values: tuple[Node, ...] = ()

    def conditions(self, columns: Sequence[Column]) -> tuple[Node, ...]:
        """The join's conditions; `columns` have the values of the subquery's own ones."""
        return tuple(Call(self.operator, (v, Identifier(c.id))) for v, c in zip(self.values, columns))

    def keys(self, ids: Ids) -> list[tuple[Column, Node]]:
        """Group keys of the columns."""
        return [(ids.column(c.name, c.type, c.multi), Identifier(c.id)) for c in self.columns]


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
        marker, conditions = _any_row(queries, node, block.scope.inner(), block, block.algorithm)
        assert block.relation is not None
        kind = "LEFT" if negated else "INNER"
        block.relation = Join(block.relation, marker, kind, conditions, block.algorithm)
        return operators.bind_is(marker.columns[0].typed, "NULL", queries.session.env) if negated else True
    if not isinstance(node, exp.In) or node.args.get("query") is None or isinstance(node.this, exp.Tuple):
        return None
    binder = block.binder_below("WHERE")
    if negated:
        return operators.bind_not(membership(queries, node, binder, block, block.algorithm), binder.env)
    value = binder.bind(node.this)
    bound = _single_column(queries, node, binder)
    keys, conditions = _distinct_values(queries, bound, position_of(node), block, block.algorithm)
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


def _correlated(
    queries: Queries,
    relation: Relation,
    host: SubqueryHost,
    position: Position | None,
    algorithm: str,
    singles: int = 0,
) -> Correlated:
    """A subquery's relation without references to the block's columns: joined by equalities, as Druid plans it, or
    computed for all their values. `singles`: groupings without keys whose missing rows the caller makes up for."""
    ids = queries.session.ids
    found = decorrelate(relation, ids)
    if found is not None and found[1].single <= singles:
        pairs = found[1].pairs
        return Correlated(
            found[0], tuple(c for c, _ in pairs), "==", tuple(host.outer_value(other) for _, other in pairs)
        )
    own = {c.id: c for c in host.outer_columns()}
    values = {i: (own[i], host.outer_value(Identifier(i))) for i in sorted(free_ids(relation)) if i in own}
    if not values:
        return Correlated(relation)  # correlated with a block further out
    made, columns = Lateral(host.outer_rows(), values, ids, algorithm, position).lift(relation)
    return Correlated(made, tuple(columns.values()), "notdistinctfrom", tuple(values[i][1] for i in columns))


def _distinct_values(
    queries: Queries, bound: Bound, position: Position | None, host: SubqueryHost, algorithm: str
) -> tuple[Aggregate, tuple[Node, ...]]:
    """The distinct values of the query's column, beside those of what it is correlated by; the join's conditions."""
    ids = queries.session.ids
    inner = _correlated(queries, bound.relation, host, position, algorithm)
    (column,) = bound.columns
    keys = [(ids.column(column.name, column.type, column.multi), Identifier(column.id)), *inner.keys(ids)]
    return Aggregate(inner.relation, tuple(keys), ()), inner.conditions([k for k, _ in keys[1:]])


def _any_row(
    queries: Queries, node: exp.Exists, scope: Scope, host: SubqueryHost, algorithm: str
) -> tuple[Aggregate, tuple[Node, ...]]:
    bound = queries.query(node.this.this, scope)
    return marked_rows(queries, bound.relation, host, position_of(node), algorithm)


def marked_rows(
    queries: Queries, relation: Relation, host: SubqueryHost, position: Position | None, algorithm: str
) -> tuple[Aggregate, tuple[Node, ...]]:
    """A row with a TRUE if the relation has rows, none otherwise; one for each value it is correlated by. And the
    conditions to join it on."""
    ids = queries.session.ids
    inner = _correlated(queries, relation, host, position, algorithm)
    one = ids.column("i", BOOLEAN)
    nodes: list[Node] = [Identifier(c.id) for c in inner.columns]
    projected = Project(inner.relation, (one, *inner.columns), (Literal(1, LONG), *nodes))
    keys: list[tuple[Column, Node]] = [(ids.column(c.name, c.type), Identifier(c.id)) for c in (one, *inner.columns)]
    return Aggregate(projected, tuple(keys), ()), inner.conditions([k for k, _ in keys[1:]])


def scalar(queries: Queries, node: exp.Subquery, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """The value of a subquery of one row, joined to every row; NULL where it has none."""
    bound = _single_column(queries, node, binder)
    position = position_of(node)
    if not _one_row(bound.relation):
        bound = _single_value(queries, bound, position)
    (column,) = bound.columns
    base = _below_projections(bound.relation)
    if not isinstance(base, Aggregate) or base.keys or not free_ids(bound.relation):
        _attach_value(host, _correlated(queries, bound.relation, host, position, algorithm), algorithm)
        return column.at(position)
    value = output_node(bound.relation, column.id)
    # what is computed of aggregates is computed where those of no rows are known
    relation = bound.relation if isinstance(value, Identifier) else base
    inner = _correlated(queries, relation, host, position, algorithm, singles=1)
    _attach_value(host, inner, algorithm)
    counts = {c.column.id for c in base.calls if counts_rows(c)} if inner.operator == "==" else set()
    if isinstance(value, Identifier):
        if value.name not in counts:
            return column.at(position)
        return operators.bind_coalesce([column.typed, literal(0)], queries.session.env.at(position))
    zero: dict[str, Node] = {i: Call("nvl", (Identifier(i), Literal(0, LONG))) for i in counts}
    return Typed(substitute(value, zero), column.type, position)


def _attach_value(host: SubqueryHost, inner: Correlated, algorithm: str) -> None:
    host.attach(lambda relation: Join(relation, inner.relation, "LEFT", inner.conditions(inner.columns), algorithm))


def _below_projections(relation: Relation) -> Relation:
    while isinstance(relation, Project):
        relation = relation.input
    return relation


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
    # a join reads the rows of its clause, the value may still be of what these are grouped from
    over = replace(value, node=host.outer_value(value.node), source=None)
    bound = _single_column(queries, node, binder)
    ids, env = queries.session.ids, queries.session.env
    rows, known = _attach_counts(queries, bound, host, position_of(node), algorithm)
    again = _single_column(queries, node, binder)
    keys, conditions = _distinct_values(queries, again, position_of(node), host, algorithm)
    marker = ids.column("i", BOOLEAN)
    columns = tuple(c for c, _ in keys.keys)
    nodes: list[Node] = [Identifier(c.id) for c in columns]
    first, *others = zip(columns, nodes)
    marked = Project(
        keys, (first[0], marker, *(c for c, _ in others)), (first[1], Literal(1, LONG), *(n for _, n in others))
    )
    equal = operators.bind_comparison("=", over, columns[0].typed, env)
    host.attach(lambda relation: Join(relation, marked, "LEFT", (equal.node, *conditions), algorithm))
    whens = [
        (operators.bind_comparison("=", rows, literal(0), env), literal(False)),
        (operators.bind_is(marker.typed, "NOT NULL", env), literal(True)),
        (operators.bind_is(value, "NULL", env), unknown()),
        (operators.bind_comparison("<", known, rows, env), unknown()),
    ]
    return operators.bind_case(whens, literal(False), env)


def unknown() -> Typed:
    """The truth value that is neither TRUE nor FALSE."""
    return replace(literal(None), sql_type=BOOLEAN)


def _attach_counts(
    queries: Queries, bound: Bound, host: SubqueryHost, position: Position | None, algorithm: str
) -> tuple[Typed, Typed]:
    """The number of the query's rows, and that of those whose value is not NULL, joined to every row."""
    ids, env = queries.session.ids, queries.session.env
    column = bound.columns[0]
    inner = _correlated(queries, bound.relation, host, position, algorithm)
    keys = inner.keys(ids)
    rows, known = ids.column("c", BIGINT), ids.column("ck", BIGINT)
    calls = (AggregateCall(rows, "COUNT", ()), AggregateCall(known, "COUNT", (column.typed,)))
    counts = Aggregate(inner.relation, tuple(keys), calls)
    conditions = inner.conditions([k for k, _ in keys])
    host.attach(lambda relation: Join(relation, counts, "LEFT" if keys else "INNER", conditions, algorithm))
    if not keys:
        return rows.typed, known.typed
    return (
        operators.bind_coalesce([rows.typed, literal(0)], env),
        operators.bind_coalesce([known.typed, literal(0)], env),
    )


def exists(queries: Queries, node: exp.Exists, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """The truth of EXISTS as a value."""
    marker, conditions = _any_row(queries, node, binder.scope.inner(), host, algorithm)
    host.attach(lambda relation: Join(relation, marker, "LEFT", conditions, algorithm))
    return operators.bind_is(marker.columns[0].typed, "NOT NULL", queries.session.env)
