"""JSON functions, native side. A JSON value is its text; DuckDB reads paths, kernels write normal texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import JSON, LONG, STRING, STRING_ARRAY, ColumnType, array_of
from msq.expr.declare import native, plain
from msq.expr.jsonpath import parse_path
from msq.expr.lower import Lowered, Lowering, convert, json_sql, quote
from msq.expr.nodes import Call, Literal
from msq.expr.types import named_type
from msq.faults import invalid_input


def _path(node: Call) -> str:
    """The constant path as DuckDB spells it, quoted."""
    arg = node.args[1] if len(node.args) > 1 else None
    if not isinstance(arg, Literal) or not isinstance(arg.value, str):
        raise invalid_input(f"Function[{node.function}] second argument [path] must be a literal")
    out = "$"
    for step in parse_path(arg.value):
        if isinstance(step, int):
            out += f"[{step}]" if step >= 0 else f"[#{step}]"
        else:
            out += '."' + re.sub(r'(["\\])', r"\\\1", step) + '"'
    return quote(out)


def _source(value: Lowered) -> str:
    if (value.type.is_array or value.multi_value) and not value.is_null:
        return to_json_sql(value)
    return value.sql if value.type.is_json else convert(value, JSON)


def _found_scalar(source: str, path: str) -> str:
    """The scalar at a path as JSON; an array of one element stands for that element."""
    within = quote(path[1:-1].replace("''", "'") + "[0]")
    single = f"CASE WHEN json_array_length({source}, {path}) = 1 THEN json_value({source}, {within}) END"
    return f"CAST(coalesce(json_value({source}, {path}), {single}) AS VARCHAR)"


def _scalar(value: str, of: ColumnType) -> str:
    """A JSON scalar's text (`value` as json_value() gives it) as a native type."""
    if of.kind == "STRING":
        return f"(d_json_text({value}))"
    if of == LONG:
        # A text counts only when it is a whole number; a number is cut.
        text = f"(d_json_raw({value}))"
        exact = f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]+') THEN TRY_CAST({text} AS BIGINT) END"
        return f"(CASE WHEN starts_with({value}, '\"') THEN {exact} ELSE d_s2l({text}) END)"
    return convert(Lowered(f"(d_json_raw({value}))", STRING), of)


def _json_value(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = named_type(node) or STRING
    source, path = _source(args[0]), _path(node)
    if of.element is None:
        if of.is_json:
            return _json_query(lowering, node, args)
        return Lowered(_scalar(_found_scalar(source, path), of), of)
    found = f"json_extract({source}, {path})"
    element = "CAST(json_value(__j, '$') AS VARCHAR)"
    item = _scalar(element, of.element)
    if of.element == STRING:
        # among texts truth values are texts, too
        words = f"CASE WHEN {element} IN ('true', 'false') THEN {element} ELSE {item} END"
        mixed = f"list_contains(list_transform(CAST({found} AS JSON[]), lambda __j: json_type(__j)), 'VARCHAR')"
    listed = f"list_transform(CAST({found} AS JSON[]), lambda __j: {item})"
    if of.element == STRING:
        spelt = f"list_transform(CAST({found} AS JSON[]), lambda __j: {words})"
        listed = f"CASE WHEN {mixed} THEN {spelt} ELSE {listed} END"
    nested = f"len(list_filter(CAST({found} AS JSON[]), lambda __j: json_type(__j) IN ('OBJECT', 'ARRAY'))) > 0"
    single = _scalar(f"CAST(json_value({source}, {path}) AS VARCHAR)", of.element)
    return Lowered(
        f"(CASE json_type({found}) WHEN 'ARRAY' THEN CASE WHEN {nested} THEN NULL ELSE {listed} END "
        f"WHEN 'OBJECT' THEN NULL WHEN 'NULL' THEN NULL ELSE CASE WHEN {found} IS NOT NULL THEN [{single}] END END)",
        of,
    )


def fraction(node: Call, source: Lowered) -> str:
    """SQL of the number that a json_value() finds, as DOUBLE; NULL unless it is written with a fraction or exponent."""
    found = _found_scalar(_source(source), _path(node))
    return f"(CASE WHEN regexp_matches({found}, '^-?[0-9]+[.eE]') THEN CAST({found} AS DOUBLE) END)"


def _json_query(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    return Lowered(f"nullif(CAST(json_extract({_source(args[0])}, {_path(node)}) AS VARCHAR), 'null')", JSON)


def _json_query_array(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    found = f"json_extract({_source(args[0])}, {_path(node)})"
    items = f"list_transform(CAST({found} AS JSON[]), lambda __j: nullif(CAST(__j AS VARCHAR), 'null'))"
    return Lowered(
        f"(CASE json_type({found}) WHEN 'ARRAY' THEN {items} WHEN 'OBJECT' THEN NULL WHEN 'NULL' THEN NULL "
        f"ELSE CASE WHEN {found} IS NOT NULL THEN [CAST({found} AS VARCHAR)] END END)",
        array_of(JSON),
    )


def _json_keys(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    at = f"{_source(args[0])}, {_path(node)}"
    return Lowered(
        f"(CASE json_type({at}) WHEN 'OBJECT' THEN json_keys({at}) WHEN 'ARRAY' "
        f"THEN list_transform(range(CAST(json_array_length({at}) AS BIGINT)), lambda __i: CAST(__i AS VARCHAR)) END)",
        STRING_ARRAY,
    )


native("json_value", "The scalar at a path, as a type.", STRING, _json_value, whole=True)
native("json_query", "The JSON value at a path.", JSON, _json_query, whole=True)
native(
    "json_query_array",
    "The elements of the array at a path; a scalar is one element.",
    array_of(JSON),
    _json_query_array,
    whole=True,
)
native("json_keys", "Names of the object at a path, or positions of the array.", STRING_ARRAY, _json_keys, whole=True)
native("json_paths", "Paths of the leaves.", STRING_ARRAY, whole=True,
       rule=lambda lowering, node, args: Lowered(f"py_json_paths({_source(args[0])})", STRING_ARRAY))  # fmt: skip
plain("parse_json", "The JSON of a text; fails on a text that is none.", "S", "d_parse_json({0})", JSON)
plain("try_parse_json", "The JSON of a text; NULL for a text that is none.", "S", "d_try_parse_json({0})", JSON)


def to_json_sql(value: Lowered) -> str:
    """The normal JSON text of any value; NULL for NULL."""
    if value.is_null:
        return "CAST(NULL AS VARCHAR)"
    return json_sql(replace(value, type=STRING_ARRAY) if value.multi_value else value)


native("to_json_string", "The JSON text of any value.", STRING,
       lambda lowering, node, args: Lowered(to_json_sql(args[0]), STRING), whole=True)  # fmt: skip


def _json_object(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    if len(args) % 2:
        raise invalid_input("Function[json_object] must have an even number of arguments")
    parts = []
    # a name that is given twice has its last value
    last = {key.sql: value for key, value in zip(args[::2], args[1::2])}
    for key, value in {key.sql: (key, last[key.sql]) for key in args[::2]}.values():
        if key.is_null:
            raise invalid_input("Function[json_object] encountered a NULL key, keys must be non-null strings")
        parts.append(
            f"CAST(to_json({convert(key, STRING)}) AS VARCHAR) || ':' || coalesce({to_json_sql(value)}, 'null')"
        )
    return Lowered("('{' || " + " || ',' || ".join(parts) + " || '}')" if parts else "'{}'", JSON)


native("json_object", "An object of names and values by turns.", JSON, _json_object, whole=True)


def _json_merge(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    texts = [a.sql if a.type.is_json else convert(a, STRING) for a in args]
    valid = " AND ".join(f"json_valid({t})" for t in texts)
    return Lowered(f"py_json_merge(CAST([{', '.join(texts)}] AS VARCHAR[]), {valid})", JSON)


native("json_merge", "Objects merged, later names first; arrays appended.", JSON, _json_merge)
