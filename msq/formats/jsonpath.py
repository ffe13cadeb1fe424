"""JSONPath as Druid's flattenSpec knows it (Jayway): wildcards, deep scans, slices, unions, filters and functions.

A path is *definite* when it names at most one value (keys, indexes, functions); it then gives that value or None. Any
other gives the list of what it finds; as in Druid, a key that an object lacks and an index that a list lacks are found
there, as nulls, save right behind `..`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from msq.codec import CodecError
from msq.formats.jsonpath_functions import COMPARISONS, FUNCTIONS, Argument, Function

Step = Callable[[Any, Any], Iterator[Any]]
"""(a value, the whole record) to the values below it."""

_NAME = re.compile(r"[^.\[\]()\s,?&|=!<>~]+")
_INTEGER = re.compile(r"-?[0-9]+")
_SLICE = re.compile(r"\s*(-?[0-9]+)?\s*:\s*(-?[0-9]+)?\s*")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>|=~|(?:in|nin|subsetof|anyof|noneof|size|empty|contains)\b)\s*")
_CALL = re.compile(r"(\w+)\(")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/([a-z]*)")


Operand = Callable[[Any, Any], Any]
"""(a value, the whole record) to what a filter compares, or to an Argument."""


@dataclass(frozen=True)
class _Path:
    steps: tuple[Step, ...]
    definite: bool
    function: Function | None = None
    arguments: tuple[Operand, ...] = ()

    def find(self, value: Any, root: Any) -> Any:
        found = self._found(value, root)
        model = (found[0] if found else None) if self.definite else found
        if self.function is None:
            return model
        if self.function is FUNCTIONS["length"] and not self.definite:
            return sum(len(one) for one in found if isinstance(one, (list, dict)))
        return self.function(model, [argument(value, root) for argument in self.arguments])

    def exists(self, value: Any, root: Any) -> bool:
        return bool(self._found(value, root))

    def _found(self, value: Any, root: Any) -> list[Any]:
        found = [value]
        for step in self.steps:
            found = [below for above in found for below in step(above, root)]
        return found


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
                    steps.append(self._dotted(_present_key))
            elif self._take("."):
                called = self._function()
                if called is not None:
                    return _Path(tuple(steps), definite, *called)
                definite &= not self.text.startswith("*", self.at)
                steps.append(self._dotted())
            elif self._take("["):
                step, one = self._bracket()
                steps.append(step)
                definite &= one
            else:
                break
        return _Path(tuple(steps), definite)

    def _dotted(self, key: Callable[[str], Step] | None = None) -> Step:
        if self._take("*"):
            return _children
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise self.error()
        self.at = name.end()
        return (key or _key)(name.group())

    def _function(self) -> tuple[Function, tuple[Operand, ...]] | None:
        found = _CALL.match(self.text, self.at)
        if found is None:
            return None
        if found[1] not in FUNCTIONS:
            raise self.error()
        self.at = found.end()
        arguments: list[Operand] = []
        self._blank()
        while not self._take(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._argument())
        return FUNCTIONS[found[1]], tuple(arguments)

    def _argument(self) -> Operand:
        self._blank()
        if self.text.startswith("$", self.at):
            path = self.path("$")
            self._blank()
            return lambda v, r: Argument(path.find(r, r))
        start = self.at
        try:
            value, self.at = json.JSONDecoder().raw_decode(self.text, start)
        except ValueError as error:
            raise self.error() from error
        literal = Argument(value, self.text[start : self.at])
        self._blank()
        return lambda v, r: literal

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
        keys: list[str] = []
        while True:
            self._blank()
            number = _INTEGER.match(self.text, self.at)
            if number is not None:
                self.at = number.end()
                parts.append(_index(int(number.group())))
            else:
                keys.append(self._quoted())
                parts.append(_key(keys[-1]))
            self._blank()
            if not self._take(","):
                break
        self._closed(parts[0])
        if len(parts) == 1:
            return parts[0], True
        if len(keys) == len(parts) and self.text[self.at : self.at + 1] not in (".", "["):
            return _object(keys), True
        return _union(parts), False

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
        start = self.at
        left = self._operand()
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            self._blank()
            head, end = self.text[start : start + 1], self.at
            if head not in ("@", "$"):
                raise self.error()
            self.at = start
            path = self.path(head)
            self.at = end
            return lambda v, r: path.exists(v if head == "@" else r, r)
        self.at = operator.end()
        compare = COMPARISONS[operator[1]]
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
        if isinstance(value, dict):
            yield value.get(name)
        elif value is None:
            yield None

    return step


def _present_key(name: str) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _object(names: list[str]) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield {name: value[name] for name in names if name in value}

    return step


def _index(at: int) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield value[at] if -len(value) <= at < len(value) else None

    return step


def _slice(start: int | None, stop: int | None) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[slice(start, stop)]

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
