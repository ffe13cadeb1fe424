"""Parts of native queries read: older and shorter spellings become the ones that msq.native knows.

Every function raises DruidException (400) naming what it cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from controller.native.errors import TYPE_CLASS, refused, unsupported
from msq.codec import CodecError, decode
from msq.datatypes import STRING, ColumnType, RowSignature
from msq.expr.nodes import Identifier, Literal
from msq.expr.parser import parse
from msq.expr.printer import to_text
from msq.expr.types import infer
from msq.intervals import ETERNITY, Interval
from msq.native.aggregators import PostAggregator
from msq.native.query import IntervalSpec
from msq.native.virtual import VirtualColumn

T = TypeVar("T")
Json = Mapping[str, Any]


def literal(value: str) -> str:
    """A text in an expression."""
    return to_text(Literal(value, STRING))


def quoted(name: str) -> str:
    """A column in an expression."""
    return to_text(Identifier(name))


def read(kind: type[T], value: Any) -> T:
    """`msq.codec.decode` with refusals of this family."""
    try:
        return decode(kind, value)
    except CodecError as error:
        raise refused(str(error), TYPE_CLASS) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise refused(f"Cannot read {kind.__name__} {_short(value)}: {error}") from None


def _short(value: Any) -> str:
    return json.dumps(value, default=str)[:120]


def obj(value: Any, what: str) -> Json:
    if not isinstance(value, Mapping):
        raise refused(f"[{what}] must be a JSON object, but is {_short(value)}")
    return value


def items(value: Any, what: str) -> list[Any]:
    """A JSON list; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(f"[{what}] must be a list, but is {_short(value)}")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise refused(f"[{what}] must be a text, but is {_short(value)}")
    return value


def number(value: Any, what: str, default: int | None = None) -> int | None:
    """A whole number of at least 0; texts of digits count."""
    if value is None:
        return default
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refused(f"[{what}] must be a whole number of at least 0, but is {_short(value)}")
    return value


def flag(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def intervals_of(value: Any, required: bool = True) -> IntervalSpec:
    """A text, a list of texts, or the object form."""
    if value is None or value == []:
        if required and value is None:
            raise refused("[intervals] must be given")
        return IntervalSpec((ETERNITY,) if value is None else ())
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Mapping):
        if value.get("type") not in ("intervals", "LegacySegmentSpec", None):
            raise unsupported(f"Query segment specs of type [{value.get('type')}] are not supported: use [intervals]")
        value = value.get("intervals")
    listed = [value] if isinstance(value, str) else items(value, "intervals")
    try:
        return IntervalSpec(tuple(Interval.parse(text(i, "intervals")) for i in listed))
    except ValueError as error:
        raise refused(str(error)) from None


# -- virtual columns ---------------------------------------------------------------------------------------------------


def virtual_columns_of(value: Any, columns: RowSignature) -> list[VirtualColumn]:
    """An expression that does not say its type has the one that its columns give it."""
    out: list[VirtualColumn] = []
    types = {c.name: c.type for c in columns}
    for one in items(value, "virtualColumns"):
        made = dict(obj(one, "virtualColumns"))
        if made.get("type") == "fallback":
            made = _fallback(made, types)
        if made.get("type") == "expression" and made.get("outputType") is None:
            made["outputType"] = str(infer(parse(text(made.get("expression"), "expression")), types))
        column = read(VirtualColumn, made)
        types[column.output] = column.column_type
        out.append(column)
    return out


def _fallback(given: Json, types: Mapping[str, ColumnType]) -> dict[str, Any]:
    """The first of its columns that is there; null where none is."""
    columns = items(given.get("columns"), "columns")
    if not columns:
        raise refused("columns cannot be empty in a virtual column of type [fallback]")
    names = [c if isinstance(c, str) else text(obj(c, "columns").get("dimension"), "dimension") for c in columns]
    found = next((n for n in names if n in types), None)
    kind = STRING if found is None else types[found]
    expression = "null" if found is None else quoted(found)
    return {"type": "expression", "name": given.get("name"), "expression": expression, "outputType": str(kind)}


# -- post-aggregators --------------------------------------------------------------------------------------------------

_ARITHMETIC = ("+", "-", "*", "/", "quotient", "pow")
_EXTREMES = {"doubleGreatest": "greatest", "doubleLeast": "least", "longGreatest": "greatest", "longLeast": "least"}


def post_aggregators_of(value: Any) -> tuple[PostAggregator, ...]:
    made = tuple(read(PostAggregator, _post(one)) for one in items(value, "postAggregations"))
    for one in made:
        if not one.name:
            raise refused("Every post-aggregator needs a [name]")
    return made


def _post(value: Any) -> dict[str, Any]:
    out = dict(obj(value, "postAggregations"))
    kind = out.get("type")
    if kind == "hyperUniqueCardinality":
        return {"type": "finalizingFieldAccess", "name": out.get("name"), "fieldName": out.get("fieldName")}
    if kind in _EXTREMES:
        args = ", ".join(_operand(obj(f, "fields")) for f in items(out.get("fields"), "fields"))
        return {
            "type": "expression", "name": out.get("name"), "expression": f"{_EXTREMES[str(kind)]}({args})",
            "outputType": "DOUBLE" if str(kind).startswith("double") else "LONG",
        }  # fmt: skip
    if kind == "arithmetic" and out.get("fn") not in _ARITHMETIC:
        raise refused(f"Unknown arithmetic function [{out.get('fn')}]: known are {', '.join(_ARITHMETIC)}")
    if kind == "arithmetic" and not out.get("fields"):
        raise refused(f"Illegal number of fields[0], must be > 1 in post-aggregator [{out.get('name')}]")
    inner: dict[str, Any] = {
        key: _post(value) for key, value in out.items() if isinstance(value, Mapping) and "type" in value
    }
    if "fields" in out:
        inner["fields"] = [_post(f) for f in items(out["fields"], "fields")]
    return {**out, **inner}


def _operand(field: Json) -> str:
    if field.get("type") in ("fieldAccess", "finalizingFieldAccess"):
        return quoted(text(field.get("fieldName"), "fieldName"))
    if field.get("type") == "constant" and isinstance(field.get("value"), (int, float)):
        return json.dumps(field["value"])
    raise unsupported(f"Fields of type [{field.get('type')}] are not supported inside greatest and least")
