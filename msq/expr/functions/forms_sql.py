"""Calls whose grammar has words of its own; the words arrive as text literals.

FLOOR and CEIL with an optional unit last; EXTRACT(unit, t); TIMESTAMPADD and TIMESTAMPDIFF(unit, ..);
TRIM([side, characters,] text); CURRENT_TIMESTAMP and its kin without arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from msq.expr.binding import BindEnv, Typed, literal, make, refuse, refuse_types
from msq.expr.casting import as_number, cast
from msq.expr.functions.time_sql import (
    bind_current,
    bind_extract,
    bind_floor_to,
    bind_timestamp_add,
    bind_timestamp_diff,
)
from msq.expr.registry import SqlFunction, add_sql
from msq.expr.sqltypes import NULL_TYPE, VARCHAR

Rule = Callable[[Sequence[Typed], BindEnv], Typed]


def _form(name: str, doc: str, rule: Rule, least: int, most: int, forms: str = "") -> None:
    add_sql(SqlFunction(name, doc, rule, forms, least, most, name))


def _rounding(name: str, native: str) -> Rule:
    forms = f"'{name}(<NUMERIC>)'\n'{name}(<DATETIME> TO <TIME_UNIT>)'\n'{name}(<DATE> TO <TIME_UNIT>)'"

    def rule(args: Sequence[Typed], env: BindEnv) -> Typed:
        value = args[0]
        if len(args) == 2:
            if not (value.sql_type.is_time or value.sql_type.is_null) or not args[1].is_literal:
                refuse_types(name, forms, args, env.position)
            return bind_floor_to(value, str(args[1].literal_value), env, ceil=native == "ceil")
        value = as_number(value, env)
        if not (value.sql_type.is_numeric or value.sql_type.is_null):
            refuse_types(name, forms, args, env.position)
        return make(native, [value], value.sql_type)

    return rule


_form("FLOOR", "Largest whole number not above x, or a time cut to a unit.", _rounding("FLOOR", "floor"), 1, 2)
_form("CEIL", "Smallest whole number not below x, or the end of a time's unit.", _rounding("CEIL", "ceil"), 1, 2)
_form("CEILING", "CEIL.", _rounding("CEILING", "ceil"), 1, 2)


def _unit(value: Typed, env: BindEnv) -> str:
    if not value.is_literal:
        refuse("A time unit must be a word", value.position or env.position)
    return str(value.literal_value)


_form("EXTRACT", "A calendar field of a time.",
      lambda args, env: bind_extract(_unit(args[0], env), args[1], env, args[0].position), 2, 2)  # fmt: skip
_form("TIMESTAMPADD", "A time moved by n units.",
      lambda args, env: bind_timestamp_add(_unit(args[0], env), args[1], args[2], env), 3, 3)  # fmt: skip
_form("TIMESTAMPDIFF", "Whole units from one time to another.",
      lambda args, env: bind_timestamp_diff(_unit(args[0], env), args[1], args[2], env), 3, 3)  # fmt: skip


_SIDES = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}


def _trim(args: Sequence[Typed], env: BindEnv) -> Typed:
    side = "BOTH"
    characters: Typed = literal(" ")
    text = args[-1]
    if len(args) == 3:
        side, characters = str(args[0].literal_value).upper() if args[0].is_literal else "", args[1]
    if len(args) == 2 or side not in _SIDES:
        refuse("Invalid number of arguments to function 'TRIM'. Was expecting 1 arguments", env.position)
    if text.sql_type.is_null:
        return replace(literal(None), sql_type=NULL_TYPE)
    sides = [v if v.sql_type.is_character or v.is_null else cast(v, VARCHAR, env) for v in (text, characters)]
    return make(_SIDES[side], sides, VARCHAR)


_form("TRIM", "The text without the given characters at one end or both.", _trim, 1, 3)


def _current(name: str) -> Rule:
    return lambda args, env: bind_current(name, env, args[0] if args else None)


for _name, _doc in (
    ("CURRENT_TIMESTAMP", "When the query began."), ("LOCALTIMESTAMP", "When the query began."),
    ("CURRENT_DATE", "The day on which the query began."),
):  # fmt: skip
    _form(_name, _doc, _current(_name), 0, 1)
