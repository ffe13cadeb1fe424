"""Time literals and intervals of SQL, by the words of the statement."""

from __future__ import annotations

from dataclasses import replace

from msq.expr.binding import BindEnv, Typed
from msq.expr.functions.time_sql import bind_date, bind_interval, bind_timestamp
from msq.expr.nodes import Literal
from msq.faults import invalid_sql


def bind_temporal_literal(kind: str, text: str, env: BindEnv) -> Typed:
    """`TIMESTAMP 'text'`, `DATE 'text'`; TIME is refused."""
    word = kind.upper()
    if word == "TIMESTAMP":
        return bind_timestamp(text, env)
    if word == "DATE":
        return bind_date(text, env)
    raise invalid_sql(f"Cannot handle literal [{text}] of unsupported type [{word}].")


def bind_interval_literal(text: str, unit: str, to: str | None, negative: bool, env: BindEnv) -> Typed:
    """`INTERVAL [-] 'text' unit [TO to]`."""
    made = bind_interval(text, unit if to is None else f"{unit} TO {to}", env)
    if not negative:
        return made
    assert isinstance(made.node, Literal)
    return replace(made, node=Literal(-made.node.value, made.node.type))
