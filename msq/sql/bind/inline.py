"""Rows that stand in the statement itself: VALUES, SELECT without FROM, constant arrays; and folding over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msq.datatypes import ColumnType
from msq.expr.binding import Position, Typed, evaluate, finish, refuse
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.native.datasource import InlineDataSource
from msq.sql.bind.relation import Column, Source, substitute
from msq.sql.bind.session import Session

MOST_FOLDED_VALUES = 300
"""Values that are computed while binding, one by one; where rows need more, the expressions are left to the workers."""


def inline_source(columns: list[Column], rows: list[tuple[Any, ...]]) -> Source:
    """Rows in the query itself; names made unique as Calcite does (`a`, `a0`)."""
    names: list[str] = []
    for column in columns:
        name, number = column.name, 0
        while name in names:
            name, number = f"{column.name}{number}", number + 1
        names.append(name)
    types: list[ColumnType] = [c.native for c in columns]
    source = InlineDataSource(tuple(names), tuple(types), tuple(rows))
    return Source(source, tuple(columns), tuple(names), source.signature, direct=True)


def inline_rows(session: Session, array: Typed, position: Position | None) -> list[Any]:
    """The elements of a constant array."""
    node = array.node
    if isinstance(node, Literal) and isinstance(node.value, tuple):
        return list(node.value)
    if isinstance(node, Call) and node.function == "array" and all(isinstance(a, Literal) for a in node.args):
        return [a.value for a in node.args if isinstance(a, Literal)]
    made = evaluate(node, session.env.lookups)
    if not isinstance(made, list):
        refuse("UNNEST of a constant that is no array", position)
    return made


def is_foldable(value: Typed) -> bool:
    """Whether a constant of the type can stand in inline rows."""
    return value.sql_type.name not in ("ARRAY", "OTHER", "INTERVAL", "ANY")


def fold_projection(
    session: Session, source: Source, columns: Sequence[Column], values: Sequence[Typed]
) -> Source | None:
    """`values` over inline rows as inline rows of their own; None where they cannot be computed now."""
    data = source.source
    if not isinstance(data, InlineDataSource) or not all(is_foldable(v) for v in values):
        return None
    computed = sum(not isinstance(v.node, (Identifier, Literal)) for v in values)
    if len(data.rows) * computed > MOST_FOLDED_VALUES:
        return None
    ids = [c.id for c in source.columns]
    kinds = [c.native for c in source.columns]
    rows = []
    for row in data.rows:
        mapping: dict[str, Node] = {
            i: Literal(v, None if v is None else k) for i, v, k in zip(ids, row, kinds) if not isinstance(v, list)
        }
        made = [_value(session, v, mapping) for v in values]
        if any(isinstance(m, Unfolded) for m in made):
            return None
        rows.append(tuple(made))
    return inline_source(list(columns), rows)


class Unfolded:
    """Says that a value is not constant."""


def _value(session: Session, value: Typed, mapping: Mapping[str, Node]) -> Any:
    node = substitute(value.node, mapping)
    done = finish(replace(value, node=node, source=None), session.env)
    return done.node.value if isinstance(done.node, Literal) else Unfolded()
