"""Extraction functions of native queries as expressions of Druid's language over a column."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from controller.native.errors import TYPE_CLASS, refused, unsupported
from controller.native.granularity import Buckets
from controller.native.reading import Json, flag, items, literal, number, obj, quoted, text


def extracted(column: str, fn: Any) -> str:
    """`fn` as an expression over `column`, itself an expression. Raises DruidException for what cannot be read."""
    spec = obj(fn, "extractionFn")
    kind = spec.get("type")
    rule = _RULES.get(str(kind))
    if rule is not None:
        return rule(column, spec)
    if kind == "javascript":
        raise unsupported("Extraction functions of type [javascript] are not supported: use a virtual column")
    known = ", ".join(sorted(_RULES))
    raise refused(
        f"Could not resolve type id '{kind}' as a subtype of [ExtractionFn]: known type ids = [{known}]", TYPE_CLASS
    )


def _call(name: str) -> Callable[[str, Json], str]:
    return lambda column, fn: f"{name}({column})"


def _substring(column: str, fn: Json) -> str:
    length = fn.get("length")
    start = number(fn.get("index"), "index")
    return f"substring({column}, {start or 0}, {number(length, 'length') if length is not None else -1})"


def _time_format(column: str, fn: Json) -> str:
    if fn.get("locale") not in (None, "en", "en-US"):
        raise unsupported(f"Extraction functions [timeFormat] of [locale] {fn['locale']} are not supported")
    at = column
    if fn.get("granularity") is not None:
        buckets = Buckets.of(fn["granularity"])
        if buckets.name == "period":
            at = buckets.expression.replace(quoted("__time"), column, 1)
    if flag(fn.get("asMillis")) and fn.get("format") is None:
        return f"CAST(CAST({at}, 'LONG'), 'STRING')"
    if fn.get("format") is None:
        return f"timestamp_format({at})"
    zone = literal(str(fn.get("timeZone") or "UTC"))
    return f"timestamp_format({at},{literal(text(fn.get('format'), 'format'))},{zone})"


def _time(column: str, fn: Json) -> str:
    """Times in one pattern in another; a text that is no such time stays as it is."""
    given, wanted = (literal(text(fn.get(key), key)) for key in ("timeFormat", "resultFormat"))
    return f"nvl(timestamp_format(timestamp_parse({column},{given},'UTC'),{wanted},'UTC'),{column})"


def _regex(column: str, fn: Json) -> str:
    """A group of the first match; without a match the value, or what replaces missing ones."""
    group = number(fn.get("index"), "index", 1)
    found = f"regexp_extract({column},{literal(text(fn.get('expr'), 'expr'))},{group})"
    if not flag(fn.get("replaceMissingValue")):
        return f"nvl({found},{column})"
    instead = fn.get("replaceMissingValueWith")
    return found if instead is None else f"nvl({found},{literal(text(instead, 'replaceMissingValueWith'))})"


def _partial(column: str, fn: Json) -> str:
    return f"if(regexp_like({column},{literal(text(fn.get('expr'), 'expr'))}),{column},null)"


def _search(column: str, fn: Json) -> str:
    """Values that a search finds; null for others."""
    query = obj(fn.get("query"), "query")
    kind = query.get("type")
    exact = kind in ("contains", "fragment") and flag(query.get("caseSensitive", query.get("case_sensitive")))
    if kind == "all":
        return column
    if kind == "regex":
        return _partial(column, {"expr": query.get("pattern")})
    if kind not in ("contains", "insensitive_contains", "fragment"):
        known = "all, contains, fragment, insensitive_contains, regex"
        raise refused(f"Could not resolve type id [{kind}] as a search query: known type ids = [{known}]", TYPE_CLASS)
    values = items(query.get("values"), "values") if kind == "fragment" else [query.get("value")]
    function = "contains_string" if exact else "icontains_string"
    tests = " && ".join(f"{function}({column},{literal(text(v, 'value'))})" for v in values) or "1"
    return f"if({tests},{column},null)"


def _string_format(column: str, fn: Json) -> str:
    form = literal(text(fn.get("format"), "format"))
    handling = str(fn.get("nullHandling") or "nullString")
    if handling.lower() == "returnnull":
        return f"if(isnull({column}),null,format({form},{column}))"
    if handling.lower() not in ("nullstring", "emptystring"):
        raise refused(f"Unknown nullHandling [{handling}]: known are emptyString, nullString, returnNull")
    return f"format({form},nvl({column},{literal('null' if handling.lower() == 'nullstring' else '')}))"


def _bucket(column: str, fn: Json) -> str:
    """The start of a number's bucket, whole where it can be; null for a text that is no number."""
    size, offset = (_double(fn.get(key), key, default) for key, default in (("size", 1.0), ("offset", 0.0)))
    if size == 0:
        raise refused("[size] of an extraction function [bucket] must not be 0")
    start = f"floor((CAST({column}, 'DOUBLE') - {offset}) / {size}) * {size} + {offset}"
    whole = f"CAST({start}, 'LONG')"
    return f"if({start} == {whole},CAST({whole}, 'STRING'),CAST({start}, 'STRING'))"


def _double(value: Any, what: str, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refused(f"[{what}] must be a number, but is {json.dumps(value, default=str)[:80]}")
    return float(value)


def looked_up(column: str, found: str, fn: Json) -> str:
    """`found`, else the value itself (`retainMissingValue`) or `replaceMissingValueWith`, else null."""
    instead = fn.get("replaceMissingValueWith")
    if flag(fn.get("retainMissingValue")):
        if instead:
            raise refused("Cannot specify a [replaceMissingValueWith] and set [retainMissingValue] to true")
        return f"nvl({found},{column})"
    return found if instead is None else f"nvl({found},{literal(text(instead, 'replaceMissingValueWith'))})"


def _registered(column: str, fn: Json) -> str:
    return looked_up(column, f"lookup({column},{literal(text(fn.get('lookup'), 'lookup'))})", fn)


def _lookup(column: str, fn: Json) -> str:
    """A lookup whose keys and values stand in the query."""
    spec = obj(fn.get("lookup"), "lookup")
    if spec.get("type") != "map":
        raise refused(
            f"Could not resolve type id '{spec.get('type')}' as a subtype of [LookupExtractor]: known type ids = [map]",
            TYPE_CLASS,
        )
    return looked_up(column, mapped(column, spec), fn)


def mapped(column: str, spec: Json) -> str:
    """The value of a key in a lookup of type `map`; null for none."""
    pairs = obj(spec.get("map"), "map").items()
    cases = ",".join(f"{literal(k)},{literal(text(v, 'map'))}" for k, v in pairs if v is not None)
    return f"case_simple({column},{cases},null)" if cases else "null"


def _cascade(column: str, fn: Json) -> str:
    for one in items(fn.get("extractionFns"), "extractionFns"):
        column = extracted(column, one)
    return column


_RULES: dict[str, Callable[[str, Json], str]] = {
    "identity": lambda column, fn: column, "upper": _call("upper"), "lower": _call("lower"),
    "strlen": lambda column, fn: f"CAST(strlen({column}), 'STRING')", "substring": _substring,
    "timeFormat": _time_format, "time": _time, "regex": _regex, "partial": _partial, "searchQuery": _search,
    "stringFormat": _string_format, "bucket": _bucket, "registeredLookup": _registered, "lookup": _lookup,
    "cascade": _cascade,
}  # fmt: skip
