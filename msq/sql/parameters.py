"""Values of a request's `parameters`, as the literals that take the place of `?`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from msq.faults import DruidException, invalid_input
from msq.intervals import format_instant
from msq.sql.nodes import TemporalLiteral, TypeName

_TEXTS = ("VARCHAR", "CHAR", "CHARACTER", "OTHER")
_INTEGERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT")
_NULLABLE = ("VARCHAR", *_INTEGERS, "DOUBLE", "FLOAT", "REAL", "TIMESTAMP", "DATE")
_NUMBERS = ("DOUBLE", "FLOAT", "REAL", "DECIMAL", "NUMERIC")


def literal_of(parameter: Any) -> exp.Expr:
    """The literal of `{"type": .., "value": ..}`. NULL is cast to its type; a TIMESTAMP or DATE may be a text or ms;
    an ARRAY's elements have the types of their JSON values. Raises the refusal of anything else."""
    if not isinstance(parameter, Mapping) or not isinstance(parameter.get("type"), str):
        raise invalid_input(
            f"Invalid query parameter [{parameter}]: expected an object of [type] and [value]", envelope=False
        )
    kind, value = str(parameter["type"]).upper(), parameter.get("value")
    if value is None:
        return exp.Cast(this=exp.Null(), to=TypeName(this=kind)) if kind in _NULLABLE else exp.Null()
    if kind in _TEXTS:
        return _text(str(value))
    if kind in _INTEGERS and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return _number(_converted(int, value, parameter))
    if kind in _NUMBERS and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return _number(_converted(float, value, parameter))
    if kind == "BOOLEAN" and str(value).lower() in ("true", "false"):
        return exp.Boolean(this=str(value).lower() == "true")
    if kind in ("TIMESTAMP", "DATE"):
        if isinstance(value, int) and not isinstance(value, bool):
            instant = format_instant(value)
            value = instant[:10] if kind == "DATE" else f"{instant[:10]} {instant[11:-1]}"
        return TemporalLiteral(this=str(value), kind=kind)
    if kind == "ARRAY" and isinstance(value, list):
        return exp.Array(expressions=[_element(v) for v in value])
    raise _mismatch(parameter)


def _element(value: Any) -> exp.Expr:
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, list):
        return exp.Array(expressions=[_element(v) for v in value])
    return _text(str(value))


def _text(value: str) -> exp.Literal:
    return exp.Literal(this=value, is_string=True)


def _number(value: int | float) -> exp.Expr:
    text = repr(abs(value))
    if isinstance(value, float) and "e" not in text:
        text += "e0"  # a literal without exponent would be a DECIMAL
    node = exp.Literal(this=text, is_string=False)
    return exp.Neg(this=node) if value < 0 else node


def _converted(kind: type[Any], value: Any, parameter: Any) -> Any:
    try:
        made = kind(value)
    except (ValueError, OverflowError) as error:
        raise _mismatch(parameter) from error
    if isinstance(made, float) and made - made != 0:
        raise _mismatch(parameter)
    return made


def _mismatch(parameter: Any) -> DruidException:
    return invalid_input(
        f"Invalid query parameter: value [{parameter.get('value')}] is not of type [{parameter.get('type')}]",
        envelope=False,
    )
