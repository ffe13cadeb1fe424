"""Join conditions: a native expression over left columns and prefixed right ones, taken apart into SQL.

Equalities between the two sides become plain SQL equalities, so that DuckDB can hash them; the rest is lowered whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msq.datatypes import DOUBLE, ColumnType
from msq.expr.lower import InputColumn, Lowered, LowerEnv, convert, lower, lower_condition
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers
from msq.expr.parser import parse


@dataclass(frozen=True)
class Equality:
    """`left` reads columns of the left side only, `right` of the right side only; `nulls`: null matches null."""

    left: Node
    right: Node
    nulls: bool


@dataclass(frozen=True)
class JoinCondition:
    """`rest`: what is no equality of the two sides, all of which must hold too."""

    equalities: tuple[Equality, ...]
    rest: tuple[Node, ...]

    @staticmethod
    def parse(text: str, right_prefix: str) -> JoinCondition:
        """Raises DruidException for a text that is no expression."""
        equalities: list[Equality] = []
        rest: list[Node] = []
        for term in _terms(parse(text)):
            if isinstance(term, Literal) and isinstance(term.value, (int, float)) and term.value > 0:
                continue
            made = _equality(term, right_prefix)
            if made is None:
                rest.append(term)
            else:
                equalities.append(made)
        return JoinCondition(tuple(equalities), tuple(rest))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of both sides that the condition reads; right ones with their prefix."""
        found: dict[str, None] = {}
        for equality in self.equalities:
            for node in (equality.left, equality.right):
                found.update(dict.fromkeys(identifiers(node)))
        for node in self.rest:
            found.update(dict.fromkeys(identifiers(node)))
        return tuple(found)

    def sql(self, scope: Mapping[str, InputColumn], env: LowerEnv) -> str:
        """BOOLEAN SQL over the columns of both sides."""
        terms = [_equality_sql(e, scope, env) for e in self.equalities]
        terms += [lower_condition(node, scope, env) for node in self.rest]
        return " AND ".join(f"({t})" for t in terms) or "true"


def _terms(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.function == "&&":
        return [term for arg in node.args for term in _terms(arg)]
    return [node]


def _equality(term: Node, prefix: str) -> Equality | None:
    if not isinstance(term, Call) or term.function not in ("==", "notdistinctfrom") or len(term.args) != 2:
        return None
    a, b = term.args
    if _side(a, prefix) == "right" and _side(b, prefix) == "left":
        a, b = b, a
    if _side(a, prefix) != "left" or _side(b, prefix) != "right":
        return None
    return Equality(a, b, term.function == "notdistinctfrom")


def _side(node: Node, prefix: str) -> str | None:
    sides = {"right" if name.startswith(prefix) else "left" for name in identifiers(node)}
    return sides.pop() if len(sides) == 1 else None


def _equality_sql(equality: Equality, scope: Mapping[str, InputColumn], env: LowerEnv) -> str:
    left, right = lower(equality.left, scope, env), lower(equality.right, scope, env)
    common = _common(left.type, right.type)
    operator = "IS NOT DISTINCT FROM" if equality.nulls else "="
    return f"{_as(left, common)} {operator} {_as(right, common)}"


def _common(a: ColumnType, b: ColumnType) -> ColumnType:
    if a == b:
        return a
    if a.is_numeric or b.is_numeric:
        return DOUBLE
    return a


def _as(value: Lowered, wanted: ColumnType) -> str:
    if value.type == wanted and not value.multi_value:
        return value.sql
    return convert(value, wanted)


def plain_columns(condition: JoinCondition, prefix: str) -> list[tuple[str, str]]:
    """(left column, right column without prefix) of every equality of two plain columns."""
    return [
        (e.left.name, e.right.name[len(prefix) :])
        for e in condition.equalities
        if isinstance(e.left, Identifier) and isinstance(e.right, Identifier)
    ]
