"""Lines one by one, by Druid's rules: which are records, which are not, and what a fast parser should read instead.

A record is the first JSON value of a line; text behind it is ignored, and a value that is no object is a record without
columns. `repair` gives the text of the records alone, one a line, in a form every JSON parser agrees on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from msq.formats.json_bytes import Bytes
from msq.formats.lenient_json import JsonSyntaxError, LenientParser
from msq.formats.text import BadRow
from msq.formats.values import java_double

_BLANK = " \t\r\n"
_BROKEN = re.compile("[\udc80-\udcff]")
_SPACE = re.compile(r"[ \t\r\n]*")


def _no_constant(word: str) -> Any:
    raise ValueError(f"[{word}] is not JSON")


class _Number(str):
    """A number kept as it was written."""


class LineParser:
    """Parses single lines. `features` are Jackson's, by name (`ALLOW_SINGLE_QUOTES`); some make a bad line good."""

    def __init__(self, features: dict[str, bool]) -> None:
        self._lenient = LenientParser(features)
        self.lenient = self._lenient.any
        self._strict = json.JSONDecoder(parse_constant=_no_constant)

    def record(self, line: str) -> str | None:
        """The record's own text, `{}` for a value that is no object; None when the line is no record.

        Bytes that are no UTF-8 are the half characters that Python's `surrogateescape` makes of them; they may only
        stand behind the value. A byte-order mark in front is skipped.
        """
        line = line.removeprefix("\ufeff")
        start = _SPACE.match(line).end()  # type: ignore[union-attr]
        try:
            value, end = self._strict.raw_decode(line, start)
        except (ValueError, RecursionError):
            return self._other(line)
        if _BROKEN.search(line, start, end) is not None:
            return None
        if isinstance(value, dict):
            return line[start:end]
        # what follows a bare number or word must not go on with it: 12abc, truely
        behind = line[end : end + 1]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and behind and behind not in _BLANK:
            return self._other(line)
        if (value is None or isinstance(value, bool)) and (behind.isalnum() or behind in ("_", "$")):
            return self._other(line)
        return "{}"

    def rewritten(self, text: str) -> str:
        """A record printed anew: the last of several equal keys stays, half characters become U+FFFD."""
        value = json.loads(text, parse_float=_Number, parse_int=_Number)
        return _print(value)

    def is_record(self, line: bytes) -> bool:
        """Whether the line stands as it is: strict JSON and nothing behind it."""
        try:
            self._strict.decode(line.decode())
        except (ValueError, RecursionError):
            return False
        return True

    def _other(self, line: str) -> str | None:
        if not self.lenient:
            return None
        try:
            value = self._lenient.first_value(line)
        except (JsonSyntaxError, RecursionError):
            return None
        if _BROKEN.search(line) is not None:
            return None
        return _print(value) if isinstance(value, dict) else "{}"


def _print(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_print(str(k))}:{_print(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_print, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else json.dumps(java_double(value))
    return json.dumps(value)


def repair(
    text: bytes, parser: LineParser, doubtful: Iterable[int] | None = None, rewrite: bool = False
) -> tuple[bytes, list[BadRow]]:
    """The records of `text`, one a line, and the lines that are none.

    doubtful: numbers of the lines to look at, ascending; the others stay as they are (None: look at all). rewrite:
    print every record anew.
    """
    starts, ends = line_bounds(np.frombuffer(text, np.uint8))
    pieces: list[bytes] = []
    bad: list[BadRow] = []
    done = 0
    for number in range(len(starts)) if doubtful is None else doubtful:
        start, end = int(starts[number]), int(ends[number])
        line = text[start:end]
        if end < len(text):
            line = line.removesuffix(b"\r")
        record = parser.record(line.decode("utf-8", "surrogateescape"))
        pieces.append(text[done:start])
        if record is None:
            bad.append(BadRow(line.decode("utf-8", "replace"), number - len(bad), number))
        else:
            record = parser.rewritten(record) if rewrite else record
            pieces.append(record.encode("utf-8", "surrogatepass") + b"\n")
        done = end + 1
    pieces.append(text[done:])
    return b"".join(pieces), bad


def line_bounds(text: Bytes) -> tuple[Any, Any]:
    """Where each line starts and ends (its newline, or the end of the text)."""
    ends = np.flatnonzero(text == 10)
    if len(text) and text[-1] != 10:
        ends = np.append(ends, len(text))
    return np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1)) if len(ends) else ends, ends
