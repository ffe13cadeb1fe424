"""What JSONPath calls: functions at the end of a path, and comparisons in its filters, as Druid's library has them.

A function gets the value that its path leads to (a list of them, when the path may lead to several) and its arguments:
the value of a path, or a literal with its text. Where Druid would fail for want of values, the answer is None.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msq.formats.values import number_of_text


@dataclass(frozen=True, slots=True)
class Argument:
    """`literal`: the text of one that is no path."""

    value: Any
    literal: str | None = None


Function = Callable[[Any, Sequence[Argument]], Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flat(model: Any, arguments: Sequence[Argument]) -> Iterator[Any]:
    """The members of a list, and of what argument paths lead to. Literals do not count."""
    if isinstance(model, list):
        yield from model
    for argument in arguments:
        if argument.literal is None:
            yield from argument.value if isinstance(argument.value, list) else [argument.value]


def _numeric(compute: Callable[[list[float]], float]) -> Function:
    def function(model: Any, arguments: Sequence[Argument]) -> float | None:
        numbers = [float(v) for v in _flat(model, arguments) if _is_number(v)]
        return compute(numbers) if numbers else None

    return function


def _deviation(numbers: list[float]) -> float:
    count, total = len(numbers), sum(numbers)
    return math.sqrt(abs(sum(n * n for n in numbers) / count - total * total / count / count))


def _concat(model: Any, arguments: Sequence[Argument]) -> str:
    parts = [v for v in model if isinstance(v, str)] if isinstance(model, list) else []
    for argument in arguments:
        if argument.literal is not None:
            parts.append(argument.literal)  # with its quotes, as Druid has it
            continue
        found = argument.value if isinstance(argument.value, list) else [argument.value]
        parts += [v if isinstance(v, str) else json.dumps(v) for v in found if v is not None]
    return "".join(parts)


def _append(model: Any, arguments: Sequence[Argument]) -> Any:
    return [*model, *(a.value for a in arguments)] if isinstance(model, list) else model


def _length(model: Any, arguments: Sequence[Argument]) -> int | None:
    return len(model) if isinstance(model, (list, dict)) else None


def _keys(model: Any, arguments: Sequence[Argument]) -> list[str] | None:
    return list(model) if isinstance(model, dict) else None


def _member(at: int) -> Function:
    return lambda model, arguments: model[at] if isinstance(model, list) and model else None


FUNCTIONS: dict[str, Function] = {
    "min": _numeric(min), "max": _numeric(max), "sum": _numeric(math.fsum), "stddev": _numeric(_deviation),
    "avg": _numeric(lambda numbers: sum(numbers) / len(numbers)), "length": _length, "concat": _concat,
    "append": _append, "keys": _keys, "first": _member(0), "last": _member(-1),
}  # fmt: skip


# -- comparisons -------------------------------------------------------------------------------------------------------


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        numbers = _is_number(left) and _is_number(right)
        return (numbers or (isinstance(left, str) and isinstance(right, str))) and test(left, right)

    return compare


def equal(left: Any, right: Any) -> bool:
    """A text that says a number equals the number."""
    if isinstance(left, str) and _is_number(right):
        return bool(number_of_text(left) == right)
    if isinstance(right, str) and _is_number(left):
        return bool(number_of_text(right) == left)
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _among(left: Any, right: Any) -> bool:
    return isinstance(right, list) and any(equal(left, one) for one in right)


def _matches(left: Any, right: Any) -> bool:
    text = left if isinstance(left, str) else json.dumps(left) if _is_number(left) else None
    return text is not None and isinstance(right, re.Pattern) and right.fullmatch(text) is not None


def _lists(test: Callable[[list[Any], list[Any]], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: isinstance(left, list) and isinstance(right, list) and test(left, right)


def _size(left: Any, right: Any) -> bool:
    return isinstance(left, (list, str)) and equal(len(left), right)


def _empty(left: Any, right: Any) -> bool:
    return isinstance(left, (list, str)) and bool((len(left) == 0) == right)


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    return isinstance(left, list) and any(equal(one, right) for one in left)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal, "!=": lambda a, b: not equal(a, b),
    "<": _ordered(lambda a, b: a < b), "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b), ">=": _ordered(lambda a, b: a >= b),
    "=~": _matches, "in": _among, "nin": lambda a, b: isinstance(b, list) and not _among(a, b),
    "subsetof": _lists(lambda a, b: all(_among(one, b) for one in a)),
    "anyof": _lists(lambda a, b: any(_among(one, b) for one in a)),
    "noneof": _lists(lambda a, b: not any(_among(one, b) for one in a)),
    "size": _size, "empty": _empty, "contains": _contains,
}  # fmt: skip
