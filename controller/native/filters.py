"""Filters of native queries read: older spellings, and extraction functions, become what msq.native knows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from controller.native.errors import TYPE_CLASS, refused, unsupported
from controller.native.extraction import extracted
from controller.native.reading import Json, flag, items, obj, quoted, read, text
from msq.datatypes import STRING, ColumnType
from msq.native.filters import DimFilter

Compute = Callable[[str, ColumnType], str]
"""Makes a virtual column of an expression and a type, and says its name."""


def filter_of(value: Any, compute: Compute | None = None) -> DimFilter | None:
    """`compute`: of the query that is filtered; without it extraction functions are refused."""
    return None if value is None else read(DimFilter, filter_json(value, compute))


def filter_json(value: Any, compute: Compute | None = None) -> dict[str, Any]:
    """A filter's JSON in the spelling of msq.native."""
    out = dict(obj(value, "filter"))
    kind = str(out.get("type"))
    if kind in ("and", "or"):
        return {**out, "fields": [filter_json(v, compute) for v in items(out.get("fields"), "fields")]}
    if kind in ("not", "istrue", "isfalse"):
        return {**out, "field": filter_json(out.get("field"), compute)}
    if out.get("extractionFn") is not None:
        fn = out.pop("extractionFn")
        if compute is None:
            raise unsupported("An [extractionFn] is not supported in a filter at this place: use a virtual column")
        name = text(out.get("dimension"), "dimension")
        out["dimension"] = compute(extracted(quoted(name), fn), STRING)
    rule = _FILTERS.get(kind)
    return out if rule is None else rule(out)


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
    if name not in ("lexicographic", "numeric", "strlen"):
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
    "selector": _selector, "extraction": lambda f: {**_selector(f), "type": "selector"}, "in": _in,
    "inType": _in_type, "bound": _bound, "search": _search, "columnComparison": _compared, "interval": _interval,
}  # fmt: skip
