"""Conditions and casts, native side: case, if, nvl, coalesce, CAST."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msq.datatypes import FLOAT, STRING, ColumnType
from msq.expr.declare import common_type, native
from msq.expr.lower import Lowered, Lowering, convert, truth
from msq.expr.nodes import Call
from msq.expr.registry import ResultRule, Types
from msq.expr.types import named_type


def _searched_branches(count: int) -> list[int]:
    """Positions of the results of case_searched(c1, r1, c2, r2, .., else)."""
    return [*range(1, count, 2), *([count - 1] if count % 2 else [])]


def _simple_branches(count: int) -> list[int]:
    """Positions of the results of case_simple(x, v1, r1, .., else)."""
    return [*range(2, count, 2), *([count - 1] if count % 2 == 0 else [])]


def _branch_type(args: Sequence[Lowered], positions: Sequence[int]) -> ColumnType:
    return common_type([None if args[i].is_null else args[i].type for i in positions]) or STRING


def _case_searched(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = _branch_type(args, _searched_branches(len(args)))
    parts = [f"WHEN {truth(args[i])} THEN {convert(args[i + 1], of)}" for i in range(0, len(args) - 1, 2)]
    tail = f" ELSE {convert(args[-1], of)}" if len(args) % 2 else ""
    return Lowered(f"(CASE {' '.join(parts)}{tail} END)", of)


def _case_simple(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    from msq.expr.functions.operators import compare

    of = _branch_type(args, _simple_branches(len(args)))
    parts = [
        f"WHEN {compare('=', [args[0], args[i]])} THEN {convert(args[i + 1], of)}" for i in range(1, len(args) - 1, 2)
    ]
    tail = f" ELSE {convert(args[-1], of)}" if len(args) % 2 == 0 else ""
    return Lowered(f"(CASE {' '.join(parts)}{tail} END)", of)


def _if(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = _branch_type(args, [1, 2])
    return Lowered(f"(CASE WHEN {truth(args[0])} THEN {convert(args[1], of)} ELSE {convert(args[2], of)} END)", of)


def _coalesce(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = _branch_type(args, range(len(args)))
    return Lowered(f"coalesce({', '.join(convert(a, of) for a in args)})", of)


def _at(positions: Callable[[int], list[int]]) -> ResultRule:
    def rule(types: Types) -> ColumnType | None:
        return common_type([types[i] for i in positions(len(types))])

    return rule


native(
    "case_searched", "Result of the first condition that is true.", _at(_searched_branches), _case_searched, whole=True
)
native("case_simple", "Result beside the first value equal to x.", _at(_simple_branches), _case_simple, whole=True)
native(
    "if",
    "The second argument where the first is true, else the third.",
    lambda types: common_type(types[1:]),
    _if,
    whole=True,
)
native("nvl", "The first argument unless it is NULL, else the second.", common_type, _coalesce, whole=True)
native("coalesce", "The first argument that is not NULL.", common_type, _coalesce, whole=True)


def _cast(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = named_type(node)
    assert of is not None and of != FLOAT
    return Lowered(convert(args[0], of), of)


native("cast", "The value as another type; what cannot be read becomes NULL.", lambda types: None, _cast, whole=True)
