"""Rows as the five result formats write them, in pieces. Source: reference sql-surface 8.2.

Values are those of `msq.results`: texts, numbers, booleans, null, and lists where arrays are not printed as texts.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from msq.formats.values import java_double, java_text

Rows = Iterable[Sequence[Any]]
ROWS_PER_PIECE = 1_000
_QUOTED = re.compile('[",\n\r]')


@dataclass(frozen=True)
class Header:
    """Header rows: `names` always; native types and SQL types when they were asked for."""

    names: Sequence[str]
    types: Sequence[str] | None = None
    sql_types: Sequence[str] | None = None

    def rows(self) -> list[Sequence[Any]]:
        return [row for row in (self.names, self.types, self.sql_types) if row is not None]

    def entries(self) -> list[Any]:
        """Values of the one header object: null, or an object with the types."""
        if self.types is None and self.sql_types is None:
            return [None] * len(self.names)
        keyed = (("type", self.types), ("sqlType", self.sql_types))
        return [{key: row[at] for key, row in keyed if row is not None} for at in range(len(self.names))]


@dataclass(frozen=True)
class ResultFormat:
    """`write(names, header rows or None, rows)` yields pieces of the body."""

    media_type: str
    write: Callable[[Sequence[str], Header | None, Rows], Iterator[str]]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _pieces(rows: Rows) -> Iterator[list[Sequence[Any]]]:
    iterator = iter(rows)
    while piece := list(islice(iterator, ROWS_PER_PIECE)):
        yield piece


def _objects(names: Sequence[str]) -> Callable[[Sequence[Any]], str]:
    """A row as an object; a name that stands twice is written twice."""
    if len(set(names)) == len(names):
        return lambda row: _json(dict(zip(names, row)))
    keys = [_json(name) + ":" for name in names]
    return lambda row: "{" + ",".join(key + _json(value) for key, value in zip(keys, row)) + "}"


def _array_of(texts: Iterator[list[str]]) -> Iterator[str]:
    """One JSON array of texts that come in pieces."""
    opening = "["
    for piece in texts:
        if piece:
            yield opening + ",".join(piece)
            opening = ","
    yield "]\n" if opening == "," else "[]\n"


def _object(names: Sequence[str], header: Header | None, rows: Rows) -> Iterator[str]:
    one = _objects(names)

    def texts() -> Iterator[list[str]]:
        if header is not None:
            yield [one(header.entries())]
        for piece in _pieces(rows):
            yield [one(row) for row in piece]

    return _array_of(texts())


def _array(names: Sequence[str], header: Header | None, rows: Rows) -> Iterator[str]:
    def texts() -> Iterator[list[str]]:
        if header is not None:
            yield [_json(list(row)) for row in header.rows()]
        for piece in _pieces(rows):
            yield [_json(piece)[1:-1]]

    return _array_of(texts())


def _object_lines(names: Sequence[str], header: Header | None, rows: Rows) -> Iterator[str]:
    one = _objects(names)
    return _lines(one, [] if header is None else [one(header.entries())], rows)


def _array_lines(names: Sequence[str], header: Header | None, rows: Rows) -> Iterator[str]:
    return _lines(_json, [] if header is None else [_json(list(row)) for row in header.rows()], rows)


def _lines(one: Callable[[Sequence[Any]], str], head: list[str], rows: Rows) -> Iterator[str]:
    """Lines, and an empty one at the end by which a client sees that nothing is missing."""
    empty = not head
    if head:
        yield "".join(line + "\n" for line in head)
    for piece in _pieces(rows):
        empty = False
        yield "".join(one(row) + "\n" for row in piece)
    yield "\n\n" if empty else "\n"


def _csv(names: Sequence[str], header: Header | None, rows: Rows) -> Iterator[str]:
    if header is not None:
        yield "".join(csv_line(row) for row in header.rows())
    for piece in _pieces(rows):
        yield _csv_piece(piece)
    yield "\n"


def _csv_piece(rows: Sequence[Sequence[Any]]) -> str:
    """Many lines at once. The library's writer quotes as Druid does, but for a carriage return."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([v if type(v) is str or type(v) is int or v is None else _csv_text(v) for v in r] for r in rows)
    text = out.getvalue()
    return "".join(map(csv_line, rows)) if "\r" in text else text


def csv_line(row: Sequence[Any]) -> str:
    """One line; null is an empty field, and a row that is one empty field is `""`."""
    line = ",".join(_csv_field(value) for value in row)
    return ('""' if not line and len(row) == 1 else line) + "\n"


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _csv_text(value)
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _csv_text(value: Any) -> str:
    return java_double(value) if isinstance(value, float) else java_text(value)


FORMATS: dict[str, ResultFormat] = {
    "object": ResultFormat("application/json", _object),
    "array": ResultFormat("application/json", _array),
    "objectLines": ResultFormat("text/plain", _object_lines),
    "arrayLines": ResultFormat("text/plain", _array_lines),
    "csv": ResultFormat("text/csv", _csv),
}
