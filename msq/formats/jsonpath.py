"""JSONPath as Druid's flattenSpec knows it (Jayway): wildcards, deep scans, slices, unions, filters and functions.

A path is *definite* when it names at most one value (keys, indexes, functions); it then gives that value or None. Any
other gives the list of what it finds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from msq.codec import CodecError

Step = Callable[[Any, Any], Iterator[Any]]
"""(a value, the whole record) to the values below it."""

_NAME = re.compile(r"[^.\[\]()\s,?&|=!<>~]+")
_INTEGER = re.compile(r"-?[0-9]+")
_SLICE = re.compile(r"\s*(-?[0-9]+)?\s*:\s*(-?[0-9]+)?\s*(?::\s*(-?[0-9]+)?\s*)?")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>|=~|in\b|nin\b)\s*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/([a-z]*)")


@dataclass(frozen=True)
class _Path:
    steps: tuple[Step, ...]
    definite: bool
    function: Callable[[list[Any]], Any] | None

    def find(self, value: Any, root: Any) -> Any:
        found = [value]
        for step in self.steps:
            found = [below for above in found for below in step(above, root)]
        if self.function is not None:
            return self.function(found[0] if self.definite and found and isinstance(found[0], list) else found)
        return (found[0] if found else None) if self.definite else found


def compile_path(expr: str) -> Callable[[Any], Any]:
    """A function from a record to the value. Raises CodecError for a text that is no path."""
    parser = _Parser(expr)
    path = parser.path("$")
    if parser.at != len(parser.text):
        raise parser.error()
    return lambda record: path.find(record, record)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text if text.startswith("$") else "$." + text
        self.at = 0
        self._added = len(self.text) - len(text)

    def error(self) -> CodecError:
        return CodecError(f"flattenSpec path [{self.text[self._added :]}] is not supported at [{self.text[self.at :]}]")

    def path(self, root: str) -> _Path:
        self._expect(root)
        steps: list[Step] = []
        definite = True
        while self.at < len(self.text):
            if self._take(".."):
                steps.append(_descend)
                definite = False
                if not self.text.startswith("[", self.at):
                    steps.append(self._dotted())
            elif self._take("."):
                function = self._function()
                if function is not None:
                    return _Path(tuple(steps), definite, function)
                definite &= not self.text.startswith("*", self.at)
                steps.append(self._dotted())
            elif self._take("["):
                step, one = self._bracket()
                steps.append(step)
                definite &= one
            else:
                break
        return _Path(tuple(steps), definite, None)

    def _dotted(self) -> Step:
        if self._take("*"):
            return _children
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise self.error()
        self.at = name.end()
        return _key(name.group())

    def _function(self) -> Callable[[list[Any]], Any] | None:
        found = re.compile(r"(\w+)\(\)$").match(self.text, self.at)
        if found is None:
            return None
        if found[1] not in _FUNCTIONS:
            raise self.error()
        self.at = found.end()
        return _FUNCTIONS[found[1]]

    def _bracket(self) -> tuple[Step, bool]:
        self._blank()
        if self._take("*"):
            return self._closed(_children), False
        if self._take("?"):
            self._expect("(")
            condition = self._any()
            self._expect(")")
            return self._closed(_filter(condition)), False
        slice_ = _SLICE.match(self.text, self.at)
        if slice_ is not None:
            self.at = slice_.end()
            return self._closed(_slice(*(int(g) if g else None for g in slice_.groups()))), False
        parts: list[Step] = []
        while True:
            self._blank()
            number = _INTEGER.match(self.text, self.at)
            if number is not None:
                self.at = number.end()
                parts.append(_index(int(number.group())))
            else:
                parts.append(_key(self._quoted()))
            self._blank()
            if not self._take(","):
                break
        step = parts[0] if len(parts) == 1 else _union(parts)
        return self._closed(step), len(parts) == 1

    def _closed(self, step: Step) -> Step:
        self._blank()
        self._expect("]")
        return step

    # --- filters ---

    def _any(self) -> Callable[[Any, Any], bool]:
        terms = [self._all()]
        while self._take("||"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else lambda v, r: any(t(v, r) for t in terms)

    def _all(self) -> Callable[[Any, Any], bool]:
        terms = [self._term()]
        while self._take("&&"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else lambda v, r: all(t(v, r) for t in terms)

    def _term(self) -> Callable[[Any, Any], bool]:
        self._blank()
        if self._take("!"):
            inner = self._term()
            return lambda v, r: not inner(v, r)
        if self._take("("):
            grouped = self._any()
            self._expect(")")
            self._blank()
            return grouped
        left = self._operand()
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            self._blank()
            return lambda v, r: left(v, r) not in (None, [])
        self.at = operator.end()
        compare = _COMPARE[operator[1]]
        right = self._operand()
        self._blank()
        return lambda v, r: compare(left(v, r), right(v, r))

    def _operand(self) -> Callable[[Any, Any], Any]:
        self._blank()
        head = self.text[self.at : self.at + 1]
        if head in ("@", "$"):
            path = self.path(head)
            return lambda v, r: path.find(v if head == "@" else r, r)
        if head in ("'", '"'):
            text = self._quoted()
            return lambda v, r: text
        if head == "[":
            return self._list()
        regex = _REGEX.match(self.text, self.at)
        if regex is not None:
            self.at = regex.end()
            pattern = re.compile(regex[1], re.IGNORECASE if "i" in regex[2] else 0)
            return lambda v, r: pattern
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self._take(word):
                return lambda v, r, value=value: value  # type: ignore[misc]
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise self.error()
        self.at = number.end()
        parsed = float(number.group())
        return lambda v, r: parsed

    def _list(self) -> Callable[[Any, Any], Any]:
        self._expect("[")
        items = []
        self._blank()
        while not self._take("]"):
            items.append(self._operand())
            self._blank()
            self._take(",")
            self._blank()
        return lambda v, r: [item(v, r) for item in items]

    # --- characters ---

    def _quoted(self) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote not in ("'", '"'):
            raise self.error()
        found = re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}").match(self.text, self.at)
        if found is None:
            raise self.error()
        self.at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1])

    def _blank(self) -> None:
        while self.text.startswith(" ", self.at):
            self.at += 1

    def _take(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self.error()


def _key(name: str) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(at: int) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= at < len(value):
            yield value[at]

    return step


def _slice(start: int | None, stop: int | None, by: int | None) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[slice(start, stop, by)]

    return step


def _union(parts: list[Step]) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        for part in parts:
            yield from part(value, root)

    return step


def _filter(condition: Callable[[Any, Any], bool]) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        for below in value if isinstance(value, list) else [value] if isinstance(value, dict) else []:
            if condition(below, root):
                yield below

    return step


def _children(value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descend(value: Any, root: Any) -> Iterator[Any]:
    yield value
    for below in _children(value, root):
        if isinstance(below, (dict, list)):
            yield from _descend(below, root)


def _numbers(found: list[Any]) -> list[float]:
    return [float(v) for v in found if isinstance(v, (int, float)) and not isinstance(v, bool)]


def _average(found: list[Any]) -> float | None:
    numbers = _numbers(found)
    return sum(numbers) / len(numbers) if numbers else None


def _deviation(found: list[Any]) -> float | None:
    numbers = _numbers(found)
    if not numbers:
        return None
    mean = sum(numbers) / len(numbers)
    return math.sqrt(sum((n - mean) ** 2 for n in numbers) / len(numbers))


_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "min": lambda found: min(_numbers(found), default=None),
    "max": lambda found: max(_numbers(found), default=None),
    "sum": lambda found: math.fsum(_numbers(found)),
    "avg": _average,
    "stddev": _deviation,
    "length": len,
    "concat": lambda found: "".join(v if isinstance(v, str) else str(v) for v in found),
}


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (left, right))
        return (numbers or (isinstance(left, str) and isinstance(right, str))) and test(left, right)

    return compare


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b and isinstance(a, bool) == isinstance(b, bool),
    "!=": lambda a, b: a != b,
    "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b),
    ">=": _ordered(lambda a, b: a >= b),
    "=~": lambda a, b: isinstance(a, str) and hasattr(b, "fullmatch") and b.fullmatch(a) is not None,
    "in": lambda a, b: isinstance(b, list) and a in b,
    "nin": lambda a, b: isinstance(b, list) and a not in b,
}
