"""JSON values one by one: reading and writing texts as Jackson does, paths, merging. JSON is text everywhere.

What is here decides; `json_columns` gives the same for whole columns.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from msq.expr.jsonpath import path_text
from msq.expr.printer import double_text

_ESCAPES = {i: f"\\u{i:04X}" for i in range(32)} | {
    ord(c): f"\\{e}" for c, e in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"[{text}] is not JSON")


def load(text: str) -> Any:
    """The value of a JSON text; of repeated names the last counts. Raises ValueError, also beyond 1000 levels or so."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def quoted(text: str) -> str:
    """The text as a JSON string."""
    return f'"{text.translate(_ESCAPES)}"'


def dump(value: Any) -> str:
    """Compact JSON; doubles print as in Java."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        text = double_text(value)
        return f'"{text}"' if text[-1] in "Ny" else text
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(v) for v in value) + "]"
    return str(value)


def normal(text: str) -> str | None:
    """The normal text of a JSON text, None for `null`. Raises ValueError."""
    value = load(text)
    return None if value is None else _written(value)


def _written(value: Any) -> str:
    try:
        # half of a surrogate pair has no UTF-8: Java writes a question mark
        return dump(value).encode("utf-8", "replace").decode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def leaves(text: str | None) -> list[str]:
    """JSON_PATHS: paths of scalars, nulls and arrays of scalars only, nearest first."""
    root = load(text) if text is not None else None
    if not isinstance(root, (dict, list)) or _is_leaf(root):
        return ["$"]
    found: list[str] = []
    waiting: deque[tuple[tuple[str | int, ...], Any]] = deque([((), root)])
    while waiting:
        path, value = waiting.popleft()
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
    for text in texts:
        assert text is not None
        try:
            value = load(text)
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
    return _written(result)


def elements(text: str) -> list[str | None]:
    """The elements of a JSON array as texts; any other value is one element."""
    value = load(text)
    items = value if isinstance(value, list) else [value]
    return [None if v is None else v if isinstance(v, str) else dump(v) for v in items]
