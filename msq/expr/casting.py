"""CAST on the SQL side: which casts are allowed and which native node each becomes."""

from __future__ import annotations

from dataclasses import replace

from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, ColumnType
from msq.expr.binding import BindEnv, Typed, finish, make, refuse
from msq.expr.nodes import Call, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN, SQL_DOUBLE, SqlType, native
from msq.faults import invalid_sql


def text_node(value: str | None) -> Literal:
    return Literal(value, None if value is None else STRING)


def long_node(value: int) -> Literal:
    return Literal(value, LONG)


def cast(value: Typed, to: SqlType, env: BindEnv, *, explicit: bool = False) -> Typed:
    """`value` as `to`; only its type changes where both are the same at run time.

    `explicit` refuses what the CAST function refuses. A literal stays a literal.
    """
    have = value.sql_type
    if explicit and not _allowed(have, to):
        refuse(f"Cast function cannot convert value of type {have} to type {to}", env.position)
    if have == to:
        return value
    if value.is_null:
        return replace(value, sql_type=to, node=Literal(None, native(to)), multi_value=False)
    return finish(_cast(value, to, env), env.at(value.position if not explicit else env.position))


def cast_node(node: Node, to: ColumnType) -> Node:
    """A native CAST; constants are converted by folding later. FLOAT is DOUBLE inside expressions."""
    return Call("CAST", (node, text_node(str(DOUBLE if to == FLOAT else to))))


def _cast(value: Typed, to: SqlType, env: BindEnv) -> Typed:
    from msq.expr.functions.json_sql import retarget

    have = value.sql_type
    retargeted = retarget(value, to)
    if retargeted is not None:
        return retargeted
    if have.is_character and to.is_time:
        parsed = make("timestamp_parse", [value, text_node(None), text_node(env.time_zone)], to)
        return parsed if to.name == "TIMESTAMP" else day_floor(parsed, to, env)
    if have.is_time and to.is_character:
        pattern = "yyyy-MM-dd HH:mm:ss" if have.name == "TIMESTAMP" else "yyyy-MM-dd"
        return make("timestamp_format", [value, text_node(pattern), text_node(env.time_zone)], to)
    if have.name == "TIMESTAMP" and to.name == "DATE":
        return day_floor(value, to, env)
    if to.name == "BOOLEAN" and have.name != "BOOLEAN":
        return _to_boolean(value)
    source, target = _running(native(have)), _running(native(to))
    if source == target and native(have) != native(to) and not value.is_literal:
        # FLOAT and DOUBLE are one inside expressions, but a column must change its width.
        return make("CAST", [value, text_node(str(native(to)))], to, multi_value=False)
    if source == target:
        return replace(value, sql_type=to, node=_retyped(value.node, to))
    return make("CAST", [value, text_node(str(target))], to, multi_value=False)


def _running(of: ColumnType) -> ColumnType:
    return DOUBLE if of == FLOAT else of


def _retyped(node: Node, to: SqlType) -> Node:
    if isinstance(node, Literal) and to.name == "INTEGER" and isinstance(node.value, int):
        return Literal((node.value + 2**31) % 2**32 - 2**31, LONG)
    return node


def day_floor(value: Typed, to: SqlType, env: BindEnv) -> Typed:
    return make("timestamp_floor", [value, text_node("P1D"), text_node(None), text_node(env.time_zone)], to)


def _to_boolean(value: Typed) -> Typed:
    """LONG columns are true unless 0, LONG constants above 0; doubles and texts as LONGs above 0."""
    if native(value.sql_type) == LONG:
        return make(">" if value.is_literal else "!=", [value, long_node(0)], BOOLEAN)
    as_long = make("CAST", [value, text_node("LONG")], BIGINT)
    if value.sql_type.is_character:
        return replace(as_long, sql_type=BOOLEAN)
    return make(">", [as_long, long_node(0)], BOOLEAN)


def _allowed(have: SqlType, to: SqlType) -> bool:
    if have.is_null or have == to:
        return True
    if (have.name == "ARRAY") != (to.name == "ARRAY"):
        return False
    if have.name == "ARRAY":
        return have.element is not None and to.element is not None and _allowed(have.element, to.element)
    if have.name == "OTHER" or to.name == "OTHER":
        return have.name == to.name
    if have.name == "BOOLEAN":
        return to.is_character or to.name == "BOOLEAN"
    if to.name == "BOOLEAN":
        return have.is_character or have.is_numeric
    if have.name == "DATE" and to.is_numeric:
        return False
    return not (to.name == "DATE" and have.is_numeric)


def as_number(value: Typed, env: BindEnv) -> Typed:
    """A text read as a number (DECIMAL); anything else unchanged."""
    return cast(value, SqlType("DECIMAL"), env) if value.sql_type.is_character else value


def as_double(value: Typed, env: BindEnv) -> Typed:
    return cast(value, SQL_DOUBLE, env) if value.sql_type.is_character else value


def unify(values: list[Typed], to: SqlType, env: BindEnv) -> list[Typed]:
    """Every branch as the common type, with casts only where the run-time types differ; literals are converted."""
    return [_as_branch(v, to, env) for v in values]


def _as_branch(value: Typed, to: SqlType, env: BindEnv) -> Typed:
    have = value.sql_type
    if value.is_null or have == to:
        return value
    if value.is_literal and have.is_numeric and to.is_numeric:
        assert isinstance(value.node, Literal)
        if native(to) in (DOUBLE, FLOAT):
            return replace(value, sql_type=to, node=Literal(float(value.literal_value), DOUBLE))
        return replace(value, sql_type=to)
    if have.name == "BOOLEAN" and not to.is_character:
        raise invalid_sql("Illegal mixing of types in CASE or COALESCE statement")
    return cast(value, to, env)
