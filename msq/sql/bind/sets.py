"""UNION, INTERSECT and EXCEPT: unions whose rows are grouped by all columns, counted by the side that they come from.

Druid knows UNION ALL alone. NULLs are equal here, and texts of several values are grouped value by value, both as in
GROUP BY.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.datatypes import LONG, STRING
from msq.expr import operators
from msq.expr.binding import Position, Typed, literal, refuse
from msq.expr.casting import cast
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.sqltypes import BIGINT, INTEGER, VARCHAR, SqlType, least_restrictive, native
from msq.sql.bind.relation import Aggregate, AggregateCall, Column, Filter, Project, Relation, Union, Unnest
from msq.sql.bind.scope import Bound
from msq.sql.nodes import position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries


def set_word(node: exp.Expr) -> str:
    """The operator of a set operation as refusals name it. Refuses a node that is none."""
    word = _WORDS.get(type(node))
    if word is None:
        refuse(f"[{type(node).__name__}] is not a query that can be planned", position_of(node))
    return word if node.args.get("distinct") else f"{word} ALL"


def bind_set_operation(
    queries: Queries, node: exp.Expr, operands: Sequence[exp.Expr], branches: Sequence[Bound]
) -> Bound:
    """The rows of a set operation; `branches`: its operands, bound, of which only a UNION ALL has more than two."""
    word = set_word(node)
    if word == "UNION ALL":
        return _union_all(queries, word, operands, branches)
    if word == "UNION":
        return _distinct(queries, _union_all(queries, word, operands, branches))
    return _Sides(queries, word, _inputs(queries, word, operands, branches)).bound()


def _union_all(queries: Queries, word: str, operands: Sequence[exp.Expr], branches: Sequence[Bound]) -> Bound:
    """All rows of all branches by position; types widen to what holds all."""
    inputs = _inputs(queries, word, operands, branches)
    columns = tuple(
        queries.session.ids.column(c.name, c.type, any(i.columns[at].multi for i in inputs))
        for at, c in enumerate(inputs[0].columns)
    )
    return Bound(Union(tuple(inputs), columns), columns)


def _inputs(queries: Queries, word: str, operands: Sequence[exp.Expr], branches: Sequence[Bound]) -> list[Project]:
    """The branches with exactly their visible columns, in order, all of the same types."""
    first = branches[0]
    for operand, branch in zip(operands, branches):
        if len(branch.columns) != len(first.columns):
            refuse(f"Column count mismatch in {word}", _items_of(operand))
    types: list[SqlType] = []
    for at, column in enumerate(first.columns):
        of = least_restrictive([b.columns[at].type for b in branches], strings_win=False)
        if of is None:
            refuse(f"Type mismatch in column {at + 1} of {word}", _items_of(operands[0], at))
        types.append(of if not of.is_null else column.type)
    return [_cast_columns(queries, b, first, types) for b in branches]


def _items_of(node: exp.Expr, at: int | None = None) -> Position | None:
    """Where the SELECT list of an operand stands, or its item `at`; the operand itself where it has none."""
    while isinstance(node, (exp.SetOperation, exp.Subquery)):
        node = node.this
    items = node.expressions if isinstance(node, exp.Select) else []
    if at is not None:
        items = items[at : at + 1] if len(items) > at else []
    spans = [position_of(i) for i in items]
    start, end = (spans[0], spans[-1]) if spans else (None, None)
    return position_of(node) if start is None or end is None else (*start[:2], *end[2:])


def _cast_columns(queries: Queries, bound: Bound, first: Bound, types: Sequence[SqlType]) -> Project:
    """A branch whose columns have the names of the first one's and `types`, cast where run-time types differ."""
    made: list[Column] = []
    nodes: list[Node] = []
    for column, shown, of in zip(bound.columns, first.columns, types):
        value = column.typed
        if native(column.type) != native(of):
            value = cast(value, of, queries.session.env)
        made.append(queries.session.ids.column(shown.name, of, column.multi))
        nodes.append(value.node)
    return Project(bound.relation, tuple(made), tuple(nodes))


def _distinct(queries: Queries, bound: Bound) -> Bound:
    """Each row once."""
    keys = [(queries.session.ids.column(c.name, c.type), c) for c in bound.columns]
    grouped = Aggregate(bound.relation, tuple((k, Identifier(c.id)) for k, c in keys), ())
    return Bound(grouped, tuple(k for k, _ in keys))


@dataclass
class _Sides:
    """INTERSECT or EXCEPT of two inputs: how often each row stands on the left and on the right decides."""

    queries: Queries
    word: str
    inputs: list[Project]

    def bound(self) -> Bound:
        ids, env = self.queries.session.ids, self.queries.session.env
        side = ids.column("side", INTEGER)
        tagged = tuple(self._tagged(relation, number) for number, relation in enumerate(self.inputs))
        below = tuple(ids.column(c.name, c.type, c.multi) for c in self.inputs[0].columns)
        union = Union(tagged, (*below, side))
        keys = tuple(ids.column(c.name, c.type) for c in below)
        calls = tuple(
            AggregateCall(ids.column("n", BIGINT), "COUNT", (), filter=Call("==", (Identifier(side.id), _number(n))))
            for n in range(2)
        )
        left, right = (c.column.typed for c in calls)
        grouped = Aggregate(union, tuple((k, Identifier(c.id)) for k, c in zip(keys, below)), calls)
        zero = literal(0)
        match self.word:
            case "INTERSECT" | "INTERSECT ALL":
                conditions = [operators.bind_comparison(">", n, zero, env) for n in (left, right)]
                condition = operators.bind_and(conditions, env)
            case "EXCEPT":
                only = (
                    operators.bind_comparison(">", left, zero, env),
                    operators.bind_comparison("=", right, zero, env),
                )
                condition = operators.bind_and(only, env)
            case _:
                condition = operators.bind_comparison(">", left, right, env)
        kept = Filter(grouped, tuple(self.queries.conjuncts(condition.node)))
        if not self.word.endswith("ALL"):
            return Bound(kept, keys)
        copies: Node = Call("-", (left.node, right.node))
        if self.word == "INTERSECT ALL":
            smaller = operators.bind_comparison("<", left, right, env)
            copies = Call("case_searched", (smaller.node, left.node, right.node))
        return Bound(self._repeated(kept, keys, Typed(copies, BIGINT)), keys)

    def _tagged(self, relation: Project, number: int) -> Relation:
        side = self.queries.session.ids.column("side", INTEGER)
        return Project(relation.input, (*relation.columns, side), (*relation.nodes, _number(number)))

    def _repeated(self, relation: Relation, columns: Sequence[Column], copies: Typed) -> Relation:
        """Each row `copies` times: as often as an array of so many elements has one."""
        ids = self.queries.session.ids
        many, element = ids.column("copies", VARCHAR), ids.column("copy", VARCHAR)
        nodes: list[Node] = [Identifier(c.id) for c in columns]
        text = Call("repeat", (Literal("x,", STRING), copies.node))
        counted = Project(relation, (*columns, many), (*nodes, text))
        return Unnest(counted, element, Call("string_to_array", (Identifier(many.id), Literal(",", STRING))))


def _number(value: int) -> Literal:
    return Literal(value, LONG)


_WORDS: dict[type[exp.Expr], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}
