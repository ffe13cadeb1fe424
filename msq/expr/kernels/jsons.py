"""JSON kernels: parsing, normal texts as Jackson writes them, paths, merging. JSON is text everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.jsonpath import path_text
from msq.expr.kernels.base import Kernel, by_value, whole
from msq.expr.printer import double_text


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"[{text}] is not JSON")


def load(text: str) -> Any:
    """The value of a JSON text; of repeated names the last counts. Raises ValueError."""
    return json.loads(text, parse_constant=_refuse_constant)


def dump(value: Any) -> str:
    """Compact JSON; doubles print as in Java."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, float):
        text = double_text(value)
        return f'"{text}"' if text[-1] in "Ny" else text
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(v) for v in value) + "]"
    return str(value)


_ODD_NUMBER = r"\d{8}\.|\b0\.000|\d[eE][-+\d]"
"""Fractions that Java writes with an exponent, and numbers that come with one."""
_odd_number = re.compile(rf"{_ODD_NUMBER}|\d{{19}}")
"""Those, and integers that may lie beyond 64 bits."""


def normal(text: str) -> str | None:
    """The normal text of a JSON text, None for `null`. Raises ValueError."""
    value = load(text)
    return None if value is None else dump(value)


def _quick(text: str) -> str | None:
    """As `normal`, for a text without odd numbers."""
    try:
        value = orjson.loads(text)
        return None if value is None else orjson.dumps(value).decode()
    except (ValueError, TypeError):
        return normal(text)  # not JSON, or integers beyond 64 bits: the slow reader tells


def _refused(text: str, error: ValueError) -> str | None:
    raise ValueError(f"Function[parse_json] bad string input [{text}]") from error


def _normal_column(otherwise: Callable[[str, ValueError], str | None]) -> Callable[[Any], Any]:
    """A kernel over a column of texts; `otherwise` says what a text that is no JSON becomes."""

    def run(column: Any) -> Any:
        array = whole(column)
        odd = pc.match_substring_regex(array, _ODD_NUMBER).to_pylist()
        out: list[str | None] = []
        for text, slow in zip(array.to_pylist(), odd):
            try:
                out.append(None if text is None else normal(text) if slow else _quick(text))
            except ValueError as error:
                out.append(otherwise(text, error))
        return pa.array(out, pa.string())

    return run


def leaves(text: str | None) -> list[str]:
    """JSON_PATHS: paths of scalars, nulls and arrays of scalars only, nearest first."""
    root = load(text) if text is not None else None
    if not isinstance(root, (dict, list)) or _is_leaf(root):
        return ["$"]
    found: list[str] = []
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop(0)
        for step, child in _children(value):
            here = (*path, step)
            if _is_leaf(child):
                found.append(path_text(here))
            else:
                waiting.append((here, child))
    return found


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _is_leaf(value: Any) -> bool:
    if isinstance(value, list):
        return not any(isinstance(v, (dict, list)) for v in value)
    return not isinstance(value, dict)


def merge(texts: tuple[str | None, ...]) -> str | None:
    """JSON_MERGE: later top-level names replace earlier ones, arrays append. NULL or `null` anywhere gives None."""
    if any(t is None for t in texts):
        return None
    values = []
    quick = not any(_odd_number.search(t) for t in texts if t is not None)
    for text in texts:
        assert text is not None
        try:
            value = orjson.loads(text) if quick else load(text)
        except ValueError as error:
            raise ValueError(f"Function[json_merge] bad string input [{text}]") from error
        if value is None:
            return None
        if not isinstance(value, (dict, list)):
            raise ValueError(f"Function[json_merge] bad string input [{text}]")
        values.append(value)
    result = values[0]
    for position, value in enumerate(values[1:], 1):
        if isinstance(result, dict) and isinstance(value, dict):
            result = {**result, **value}
        elif isinstance(result, list) and isinstance(value, list):
            result = result + value
        else:
            kinds = ("object", "array") if isinstance(result, dict) else ("array", "object")
            raise ValueError(
                f"Function[json_merge] bad input[{texts[position]}] in position[{position}], "
                f"expected {kinds[0]} but got {kinds[1]}"
            )
    return orjson.dumps(result).decode() if quick else dump(result)


def _list_text(values: tuple[str | None, ...], kind: str) -> str:
    """A JSON array of texts: as strings for kind STRING, as they are for JSON and numbers."""
    parts = ("null" if v is None else encode_basestring(v) if kind == "STRING" else v for v in values)
    return "[" + ",".join(parts) + "]"


def _texts(text: str) -> list[str | None]:
    """The elements of a JSON array as texts; any other value is one element."""
    value = load(text)
    items = value if isinstance(value, list) else [value]
    return [None if v is None else v if isinstance(v, str) else dump(v) for v in items]


def _listed(of: Any, returns: pa.DataType) -> Any:
    def run(column: Any) -> Any:
        seen: dict[Any, Any] = {}
        out = []
        for value in whole(column).to_pylist():
            if value not in seen:
                seen[value] = of(value)
            out.append(seen[value])
        return pa.array(out, returns)

    return run


KERNELS = (
    Kernel("py_parse_json", ("VARCHAR",), "VARCHAR", _normal_column(_refused)),
    Kernel("py_try_parse_json", ("VARCHAR",), "VARCHAR", _normal_column(lambda text, error: None)),
    Kernel("py_json_text", ("VARCHAR",), "VARCHAR", _normal_column(lambda text, error: encode_basestring(text))),
    by_value("py_json_string", ("VARCHAR",), "VARCHAR", encode_basestring),
    Kernel("py_json_paths", ("VARCHAR",), "VARCHAR[]", _listed(leaves, pa.list_(pa.string()))),
    by_value("py_json_array", ("VARCHAR",), "VARCHAR[]", _texts),
    by_value("py_json_list", ("VARCHAR[]", "VARCHAR"), "VARCHAR", _list_text),
    by_value("py_json_merge", ("VARCHAR[]",), "VARCHAR", merge),
)
