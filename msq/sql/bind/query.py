"""Queries: WITH, set operations, VALUES, and the clauses that may follow any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlglot import exp

from msq.expr.binding import Typed, refuse
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.sqltypes import SqlType, least_restrictive
from msq.faults import invalid_sql, not_plannable
from msq.sql.bind import select, sets
from msq.sql.bind.expressions import Expressions, Host
from msq.sql.bind.inline import inline_source, is_foldable
from msq.sql.bind.relation import Column, Filter, Relation, Sort, SortKey
from msq.sql.bind.scope import Bound, CommonTable, Scope
from msq.sql.bind.session import Session
from msq.sql.nodes import position_of

MOST_QUERIES = 5_000
"""Query blocks of one statement; WITH items that use each other can multiply without bound."""


class Queries:
    """Binds the queries of one statement."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._bound = 0

    def expressions(self, scope: Scope, host: Host | None, clause: str) -> Expressions:
        return Expressions(self.session.env, scope, host, clause)

    def query(self, node: exp.Expr, scope: Scope) -> Bound:
        """A query with all its clauses, in a scope whose tables are outer ones."""
        self._bound += 1
        if self._bound > MOST_QUERIES:
            raise invalid_sql(
                "Statement is too complex: its queries, each WITH item counted at each use, are more than "
                f"[{MOST_QUERIES}]"
            )
        scope = self._with(node, scope)
        if isinstance(node, exp.Select):
            return select.bind_select(self, node, scope)
        if isinstance(node, exp.Subquery):
            return self.query(node.this, scope)
        bound = self._values(node, scope) if isinstance(node, exp.Values) else self._set_operation(node, scope)
        return self.ordered_by_output(bound, node)

    # --- WITH ---

    def _with(self, node: exp.Expr, scope: Scope) -> Scope:
        clause = node.args.get("with_")
        if clause is None:
            return scope
        if clause.args.get("recursive"):
            raise not_plannable(
                "Query could not be planned. A possible reason is [Recursive common table expressions are not "
                "supported.]"
            )
        common = dict(scope.common)
        for item in clause.expressions:
            names = tuple(c.name for c in item.args["alias"].args.get("columns") or ())
            around = replace(scope, common=dict(common))  # an item does not see itself, but what it hides
            common[item.args["alias"].this.name] = CommonTable(item.this, names, around)
            # bound once even if unused, so that what is wrong in it is refused
            self.query(item.this, around)
        return replace(scope, common=common)

    # --- set operations ---

    def _set_operation(self, node: exp.Expr, scope: Scope) -> Bound:
        sides = _branches(node) if sets.set_word(node) == "UNION ALL" else [node.this, node.expression]
        return sets.bind_set_operation(self, node, sides, [self.query(b, scope) for b in sides])

    # --- VALUES ---

    def _values(self, node: exp.Values, scope: Scope) -> Bound:
        binder = self.expressions(scope, None, "VALUES")
        rows = [[binder.bind(v) for v in row.expressions] for row in node.expressions]
        width = len(rows[0])
        if any(len(r) != width for r in rows):
            refuse("Values clause: rows must have the same number of columns", position_of(node))
        columns = []
        data: list[list[Any]] = [[] for _ in rows]
        for at in range(width):
            of = least_restrictive([r[at].sql_type for r in rows], strings_win=False)
            if of is None:
                refuse("Values passed to VALUES operator must have compatible types", position_of(node))
            columns.append(self.session.ids.column(f"EXPR${at}", of))
            for row, out in zip(rows, data):
                out.append(self._constant(row[at], of))
        source = inline_source(columns, [tuple(r) for r in data])
        return Bound(source, source.columns)

    def _constant(self, value: Typed, of: SqlType) -> Any:
        from msq.expr.casting import unify

        if not value.is_literal:
            if isinstance(value.node, Call) and value.node.function == "array":
                return [a.value if isinstance(a, Literal) else None for a in value.node.args]
            refuse("VALUES only takes constants", value.position)
        if value.is_null or not is_foldable(value):
            return None
        return unify([value], of, self.session.env)[0].literal_value

    # --- ORDER BY, LIMIT, OFFSET ---

    def ordered_by_output(self, bound: Bound, node: exp.Expr) -> Bound:
        """ORDER BY of a set operation or VALUES: output names and ordinals only."""
        keys = []
        for item in order_items(node):
            column = output_reference(item.this, bound.columns)
            if column is None:
                binder = self.expressions(replace(Scope(), items=(bound.item(None),)), None, "ORDER BY")
                typed = binder.bind(item.this)
                if not isinstance(typed.node, Identifier):
                    refuse("ORDER BY of a set operation only takes columns of its output", position_of(item))
                column = bound.relation.column(typed.node.name)
            keys.append(SortKey(column.id, is_descending(item)))
        offset, limit = self.limits(node)
        if not keys and limit is None and not offset:
            return bound
        return Bound(Sort(bound.relation, tuple(keys), offset, limit), bound.columns)

    def limits(self, node: exp.Expr) -> tuple[int, int | None]:
        """OFFSET and LIMIT of a query; None without LIMIT."""
        offset, limit = (self._count(node.args.get(k)) for k in ("offset", "limit"))
        return offset or 0, limit

    def _count(self, clause: exp.Expr | None) -> int | None:
        if clause is None:
            return None
        value = self.expressions(Scope(), None, "LIMIT").bind(clause.args["expression"])
        number = value.literal_value if value.is_literal else None
        if not isinstance(number, int) or number < 0:
            refuse("LIMIT and OFFSET take a number of rows", position_of(clause))
        return number

    # --- helpers ---

    def filter(self, relation: Relation, condition: Node) -> Relation:
        """The rows where a condition holds; conditions that always do are dropped."""
        kept = [n for n in self.conjuncts(condition) if not (isinstance(n, Literal) and n.value == 1)]
        return Filter(relation, tuple(kept)) if kept else relation

    def conjuncts(self, node: Node) -> list[Node]:
        """The terms of an AND, left to right."""
        if isinstance(node, Call) and node.function == "&&":
            return [t for a in node.args for t in self.conjuncts(a)]
        return [node]


def _branches(node: exp.Expr) -> list[exp.Expr]:
    """Operands of a balanced run of UNION ALL without clauses between."""
    plain = isinstance(node, exp.Union) and not node.args.get("distinct")
    if not plain:
        return [node]
    made: list[exp.Expr] = []
    for side in (node.args["this"], node.args["expression"]):
        clauses = any(side.args.get(k) is not None for k in ("order", "limit", "offset", "with_"))
        made.extend([side] if clauses else _branches(side))
    return made


def order_items(node: exp.Expr) -> list[exp.Ordered]:
    clause = node.args.get("order")
    return list(clause.expressions) if clause is not None else []


def is_descending(item: exp.Ordered) -> bool:
    """The direction of an ORDER BY item. Refuses an order of nulls that Druid does not have: they are lowest."""
    descending = bool(item.args.get("desc"))
    first = item.args.get("nulls_first")
    if first is not None and first == descending:
        word, nulls = ("DESCENDING", "FIRST") if descending else ("ASCENDING", "LAST")
        refuse(f"{word} ordering with NULLS {nulls} is not supported!", position_of(item))
    return descending


def output_reference(node: exp.Expr, columns: Sequence[Column]) -> Column | None:
    """The output column that an ORDER BY or CLUSTERED BY item means by ordinal or by name, None for expressions."""
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
        number = int(str(node.this))
        if not 1 <= number <= len(columns):
            refuse("Ordinal out of range", position_of(node))
        return columns[number - 1]
    if isinstance(node, exp.Column) and node.args.get("table") is None and not isinstance(node.this, exp.Star):
        return next((c for c in columns if c.name == node.name), None)
    return None
