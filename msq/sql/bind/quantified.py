"""Quantified comparisons with a subquery: `x > ANY (..)`, `x <= ALL (..)`, `(a, b) IN (..)`, each three-valued.

Two questions answer them: is there a row for which the comparison holds, and one for which it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.expr import operators
from msq.expr.binding import Typed, literal, refuse
from msq.sql.bind.expressions import Expressions
from msq.sql.bind.relation import Filter, Join
from msq.sql.bind.scope import Bound
from msq.sql.bind.subqueries import SubqueryHost, marked_rows, unknown
from msq.sql.nodes import position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries

_OPPOSITE = {"=": "<>", "<>": "=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def quantified(
    queries: Queries, node: exp.Binary, word: str, binder: Expressions, host: SubqueryHost, algorithm: str
) -> Typed:
    """`x word ANY (query)` and `x word ALL (query)`, which is NOT of the opposite comparison with ANY."""
    every = isinstance(node.expression, exp.All)
    env = queries.session.env.at(position_of(node))
    if word not in _OPPOSITE:
        refuse(f"Quantified comparison {word} is not supported", position_of(node))
    operator = _OPPOSITE[word] if every else word
    made = _any(queries, [node.this], operator, node.expression.this, node, binder, host, algorithm)
    return operators.bind_not(made, env) if every else made


def row_membership(queries: Queries, node: exp.In, binder: Expressions, host: SubqueryHost, algorithm: str) -> Typed:
    """`(a, b) IN (query)`."""
    return _any(queries, node.this.expressions, "=", node.args["query"], node, binder, host, algorithm)


def _any(
    queries: Queries, values: Sequence[exp.Expr], operator: str, query: exp.Expr, node: exp.Expr, binder: Expressions,
    host: SubqueryHost, algorithm: str,
) -> Typed:  # fmt: skip
    """Whether the comparison holds for any row: TRUE, else NULL where it is unknown for one, else FALSE."""
    env, position = queries.session.env, position_of(node)
    left = [binder.bind(v) for v in values]

    def compared(bound: Bound) -> Typed:
        if len(bound.columns) != len(left):
            refuse("Values passed to IN operator must have compatible types", position)
        pairs = [operators.bind_comparison(operator, a, c.typed, env) for a, c in zip(left, bound.columns)]
        return pairs[0] if len(pairs) == 1 else operators.bind_and(pairs, env)

    def exists(condition: Callable[[Bound], Typed]) -> Typed:
        bound = queries.query(query.this, binder.scope.inner())
        kept = Filter(bound.relation, (condition(bound).node,))
        marker, conditions = marked_rows(queries, kept, host, position, algorithm)
        host.attach(lambda relation: Join(relation, marker, "LEFT", conditions, algorithm))
        return operators.bind_is(marker.columns[0].typed, "NOT NULL", env)

    whens = [
        (exists(compared), literal(True)),
        (exists(lambda bound: operators.bind_is(compared(bound), "NULL", env)), unknown()),
    ]
    return operators.bind_case(whens, literal(False), env)
