"""PIVOT and UNPIVOT in FROM: a grouping with one filtered aggregate a value, and a product with the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from msq.expr import operators
from msq.expr.binding import Typed, literal, refuse
from msq.expr.nodes import Identifier, Node
from msq.expr.sqltypes import INTEGER, least_restrictive
from msq.sql.bind.inline import inline_source
from msq.sql.bind.relation import Column, Filter, Join, Project, Relation
from msq.sql.bind.scope import Bound, Scope
from msq.sql.dialect import to_sql
from msq.sql.nodes import Call, Pivot, PivotedTable, Unpivot, position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries


def bind_pivoted(queries: Queries, node: PivotedTable, relation: Relation, scope: Scope, algorithm: str) -> Bound:
    """The rows of a pivoted table; `relation` and `scope`: the table that is pivoted."""
    clause = node.args["pivot"]
    if isinstance(clause, Pivot):
        return _pivot(queries, clause, relation, scope, algorithm)
    assert isinstance(clause, Unpivot)
    return _unpivot(queries, clause, relation, scope, algorithm)


def _pivot(queries: Queries, node: Pivot, relation: Relation, scope: Scope, algorithm: str) -> Bound:
    """`SELECT rest, agg FILTER (WHERE axis = value) AS value_agg, .. GROUP BY rest`: what PIVOT stands for."""
    from msq.sql.bind.select import bind_block

    axes = [a.name for a in node.args["axes"]]
    used = {c.name for call in node.expressions for c in call.find_all(exp.Column)} | set(axes)
    for name in used:
        if not scope.knows(name):
            refuse(f"Column '{name}' not found in any table", position_of(node))
    rest = [c.name for c in scope.columns() if c.name not in used]
    items: list[exp.Expr] = [_column(name) for name in rest]
    for value in node.args["values"]:
        terms = [exp.EQ(this=_column(a), expression=v.copy()) for a, v in zip(axes, value.expressions)]
        condition: exp.Expr = terms[0]
        for term in terms[1:]:
            condition = exp.And(this=condition, expression=term)
        shown = value.args["alias"].name if value.args.get("alias") is not None else to_sql(value.expressions[0])
        for aggregate in node.expressions:
            inner = aggregate.this if isinstance(aggregate, exp.Alias) else aggregate
            call = inner.copy()
            assert isinstance(call, Call)
            given = call.args.get("filter")
            call.set("filter", condition.copy() if given is None else exp.And(this=given, expression=condition.copy()))
            name = f"{shown}_{aggregate.alias}" if isinstance(aggregate, exp.Alias) else shown
            items.append(exp.Alias(this=call, alias=exp.Identifier(this=name, quoted=True)))
    select = exp.Select(expressions=items)
    if rest:
        select.set("group", exp.Group(expressions=[_column(name) for name in rest]))
    return bind_block(queries, select, scope, relation, algorithm)


def _column(name: str) -> exp.Column:
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def _unpivot(queries: Queries, node: Unpivot, relation: Relation, scope: Scope, algorithm: str) -> Bound:
    """Each row once for each value: the axes hold its names, the measures its columns; rows of nulls are dropped."""
    measures = [m.name for m in node.expressions]
    axes = [a.name for a in node.args["axes"]]
    values = node.args["values"]
    sources = [[scope.resolve(_column(c.name)) for c in v.expressions] for v in values]
    if any(len(s) != len(measures) for s in sources):
        refuse("UNPIVOT: each item of IN must name as many columns as there are measures", position_of(node))
    ids = queries.session.ids
    number = ids.column("n", INTEGER)
    numbers = inline_source([number], [(n,) for n in range(len(values))])
    joined = Join(relation, numbers, "INNER", (), algorithm)
    used = {c.id for row in sources for c in row}
    columns = [c for c in scope.columns() if c.id not in used]
    nodes: list[Node] = [Identifier(c.id) for c in columns]
    binder = queries.expressions(scope, None, "UNPIVOT")
    for at, name in enumerate(axes):
        names = []
        for value in values:
            given = value.args.get("constants")
            label = " ".join(c.name for c in value.expressions)
            names.append(binder.bind(given[at]) if given else literal(label))
        column, chosen = _choice(queries, number, names, name)
        columns.append(column)
        nodes.append(chosen)
    kept = []
    for at, name in enumerate(measures):
        column, chosen = _choice(queries, number, [row[at].typed for row in sources], name)
        columns.append(column)
        nodes.append(chosen)
        kept.append(column)
    made: Relation = Project(joined, tuple(columns), tuple(nodes))
    if not node.args.get("nulls"):
        terms = [operators.bind_is(c.typed, "NOT NULL", queries.session.env) for c in kept]
        made = Filter(made, tuple(queries.conjuncts(operators.bind_or(terms, queries.session.env).node)))
    return Bound(made, tuple(columns))


def _choice(queries: Queries, number: Column, options: list[Typed], name: str) -> tuple[Column, Node]:
    """The column that is `options[n]` in rows of number n."""
    of = least_restrictive([o.sql_type for o in options], strings_win=False)
    if of is None:
        refuse(f"UNPIVOT: the columns of [{name}] have no common type", None)
    env = queries.session.env
    whens = [(operators.bind_comparison("=", number.typed, literal(n), env), o) for n, o in enumerate(options)]
    value = operators.bind_case(whens, None, env)
    return queries.session.ids.column(name, value.sql_type), value.node
