"""Calls that are written with words between their arguments: FLOOR(x TO unit), EXTRACT, TRIM, TIMESTAMPADD and kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.expr.binding import BindEnv, Typed, bind_call, refuse
from msq.expr.functions import time_sql
from msq.sql.nodes import Call, position_of

if TYPE_CHECKING:
    from msq.sql.bind.expressions import Expressions


def special_form(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    """The value of a call with a form of its own, None for an ordinary call."""
    rule = _FORMS.get(node.upper)
    return None if rule is None else rule(binder, node, env)


def _rounded(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    if len(node.expressions) != 2 or not isinstance(node.expressions[1], exp.Var):
        return None
    value = binder.bind(node.expressions[0])
    return time_sql.bind_floor_to(value, _unit(node.expressions[1]), env, ceil=node.upper != "FLOOR")


def _extract(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    unit, value = node.expressions
    return time_sql.bind_extract(_unit(unit), binder.bind(value), env, position_of(unit))


def _timestamp_add(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    unit, first, second = _three(node)
    return time_sql.bind_timestamp_add(_unit(unit), binder.bind(first), binder.bind(second), env)


def _timestamp_diff(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    unit, first, second = _three(node)
    return time_sql.bind_timestamp_diff(_unit(unit), binder.bind(first), binder.bind(second), env)


def _three(node: Call) -> list[exp.Expr]:
    if len(node.expressions) != 3:
        refuse(f"Invalid number of arguments to function '{node.upper}'. Was expecting 3 arguments", position_of(node))
    return list(node.expressions)


def _unit(node: exp.Expr) -> str:
    return str(node.this)


def _trim(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    if len(node.expressions) != 3:
        return None
    side, characters, text = node.expressions
    name = {"LEADING": "TRIM_LEADING", "TRAILING": "TRIM_TRAILING"}.get(_unit(side), "TRIM")
    return bind_call(name, [binder.bind(text), binder.bind(characters)], env, position_of(node))


def _current(binder: Expressions, node: Call, env: BindEnv) -> Typed | None:
    return time_sql.bind_current(node.upper, env)


_FORMS: dict[str, Callable[[Expressions, Call, BindEnv], Typed | None]] = {
    "FLOOR": _rounded, "CEIL": _rounded, "CEILING": _rounded, "EXTRACT": _extract, "TIMESTAMPADD": _timestamp_add,
    "TIMESTAMPDIFF": _timestamp_diff, "TRIM": _trim, "CURRENT_TIMESTAMP": _current, "CURRENT_DATE": _current,
    "LOCALTIMESTAMP": _current, "CURRENT_TIME": _current, "LOCALTIME": _current,
}  # fmt: skip
