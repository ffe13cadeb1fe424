"""Parts of native queries read: older and shorter spellings become the ones that msq.native knows.

Every function raises DruidException (400) naming what it cannot read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from controller.native.errors import TYPE_CLASS, refused, unsupported
from msq.codec import CodecError, decode
from msq.datatypes import RowSignature
from msq.expr.nodes import Identifier
from msq.expr.parser import parse
from msq.expr.printer import to_text
from msq.expr.types import infer
from msq.intervals import ETERNITY, Interval
from msq.native.aggregators import PostAggregator
from msq.native.filters import DimFilter
from msq.native.query import IntervalSpec
from msq.native.virtual import VirtualColumn

T = TypeVar("T")
Json = Mapping[str, Any]


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


# -- filters -----------------------------------------------------------------------------------------------------------


def filter_of(value: Any) -> DimFilter | None:
    return None if value is None else read(DimFilter, filter_json(value))


def filter_json(value: Any) -> dict[str, Any]:
    """A filter's JSON in the spelling of msq.native."""
    out = dict(obj(value, "filter"))
    if out.get("extractionFn") is not None:
        raise unsupported("Filters with an [extractionFn] are not supported: use a virtual column")
    rule = _FILTERS.get(str(out.get("type")))
    return out if rule is None else rule(out)


def _fields(f: dict[str, Any]) -> dict[str, Any]:
    return {**f, "fields": [filter_json(v) for v in items(f.get("fields"), "fields")]}


def _field(f: dict[str, Any]) -> dict[str, Any]:
    return {**f, "field": filter_json(f.get("field"))}


def as_text(value: Any) -> str | None:
    """A JSON scalar as text filters compare it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _selector(f: dict[str, Any]) -> dict[str, Any]:
    return {**f, "value": as_text(f.get("value"))}


def _in(f: dict[str, Any]) -> dict[str, Any]:
    return {**f, "values": [as_text(v) for v in items(f.get("values"), "values")]}


def _in_type(f: dict[str, Any]) -> dict[str, Any]:
    return {**f, "sortedValues": items(f.get("sortedValues", f.get("values")), "values")}


def _bound(f: dict[str, Any]) -> dict[str, Any]:
    out = {**f, "lower": as_text(f.get("lower")), "upper": as_text(f.get("upper"))}
    ordering = out.pop("ordering", None) or ("alphanumeric" if flag(out.get("alphaNumeric")) else "lexicographic")
    name = str(ordering.get("type") if isinstance(ordering, Mapping) else ordering).lower()
    if name not in ("lexicographic", "numeric"):
        raise unsupported(f"Bound filters of ordering [{name}] are not supported")
    out["ordering"] = name
    for key in ("lowerStrict", "upperStrict"):
        out[key] = flag(out.get(key))
    return out


def _search(f: dict[str, Any]) -> dict[str, Any]:
    return search_filter(text(f.get("dimension"), "dimension"), obj(f.get("query"), "query"))


def search_filter(dimension: str, query: Json) -> dict[str, Any]:
    """The filter that keeps the values which a search query spec finds."""
    kind = query.get("type")
    if kind == "all":
        return {"type": "true"}
    if kind == "regex":
        return {"type": "regex", "dimension": dimension, "pattern": text(query.get("pattern"), "pattern")}
    exact = kind in ("contains", "fragment") and flag(query.get("caseSensitive", query.get("case_sensitive")))
    if kind in ("insensitive_contains", "contains"):
        values = [text(query.get("value"), "value")]
    elif kind == "fragment":
        values = [text(v, "values") for v in items(query.get("values"), "values")]
    else:
        known = "all, contains, fragment, insensitive_contains, regex"
        raise refused(f"Could not resolve type id [{kind}] as a search query: known type ids = [{known}]", TYPE_CLASS)
    tests = [
        {"type": "regex", "dimension": dimension, "pattern": ("" if exact else "(?i)") + re.escape(v)} for v in values
    ]
    return tests[0] if len(tests) == 1 else {"type": "and", "fields": tests}


def _compared(f: dict[str, Any]) -> dict[str, Any]:
    listed = items(f.get("dimensions"), "dimensions")
    return {**f, "dimensions": [d if isinstance(d, str) else obj(d, "dimensions").get("dimension") for d in listed]}


def _interval(f: dict[str, Any]) -> dict[str, Any]:
    given = f.get("intervals")
    return {**f, "intervals": [given] if isinstance(given, str) else given}


_FILTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "and": _fields, "or": _fields, "not": _field, "istrue": _field, "isfalse": _field, "selector": _selector,
    "in": _in, "inType": _in_type, "bound": _bound, "search": _search, "columnComparison": _compared,
    "interval": _interval,
}  # fmt: skip


# -- virtual columns ---------------------------------------------------------------------------------------------------


def virtual_columns_of(value: Any, columns: RowSignature) -> list[VirtualColumn]:
    """An expression that does not say its type has the one that its columns give it."""
    out: list[VirtualColumn] = []
    types = {c.name: c.type for c in columns}
    for one in items(value, "virtualColumns"):
        made = dict(obj(one, "virtualColumns"))
        if made.get("type") == "expression" and made.get("outputType") is None:
            made["outputType"] = str(infer(parse(text(made.get("expression"), "expression")), types))
        column = read(VirtualColumn, made)
        types[column.output] = column.column_type
        out.append(column)
    return out


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
