"""Data of lookups in files: Druid's `namespaceParseSpec`: csv, tsv, customJson, simpleJson."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RowParser = Callable[[str], Iterable[tuple[str, str | None]]]
"""From a file's text to keys and values. Raises ValueError."""


def read_file(path: Path) -> str:
    """The file's text, unpacked by its suffix. Raises OSError, or ValueError for what is no UTF-8."""
    from msq.formats.streams import unpack

    stream = unpack(path.open("rb"), path.name)
    try:
        parts, buffer = [], bytearray(1 << 20)
        while count := stream.readinto(memoryview(buffer)):
            parts.append(bytes(buffer[:count]))
        return b"".join(parts).decode("utf-8-sig")
    finally:
        stream.close()


def parser_of(spec: Any) -> RowParser:
    """Raises ValueError for a spec that is none."""
    if not isinstance(spec, Mapping):
        raise ValueError("An extraction namespace of type [uri] needs an object [namespaceParseSpec]")
    kind = spec.get("format")
    makers = {"csv": _csv, "tsv": _tsv, "customJson": _custom_json, "simpleJson": _simple_json}
    if kind not in makers:
        raise ValueError(
            f"Could not resolve type id '{kind}' as a subtype of `FlatDataParser`: known type ids = "
            f"[{', '.join(sorted(makers))}]"
        )
    return makers[kind](spec)


def _csv(spec: Mapping[str, Any]) -> RowParser:
    return _delimited(spec, lambda text: csv.reader(io.StringIO(text, newline="")))


def _tsv(spec: Mapping[str, Any]) -> RowParser:
    delimiter = spec.get("delimiter") or "\t"
    if not isinstance(delimiter, str):
        raise ValueError("[delimiter] of a tsv lookup must be a text")
    return _delimited(spec, lambda text: (line.split(delimiter) for line in text.splitlines() if line))


def _delimited(spec: Mapping[str, Any], rows_of: Callable[[str], Iterable[list[str]]]) -> RowParser:
    columns, header, skip = spec.get("columns"), bool(spec.get("hasHeaderRow")), spec.get("skipHeaderRows") or 0
    if not header and not (isinstance(columns, Sequence) and not isinstance(columns, str) and len(columns) > 1):
        raise ValueError("[columns] of a lookup's data must name two columns or more, or hasHeaderRow be true")
    if not isinstance(skip, int) or skip < 0:
        raise ValueError("[skipHeaderRows] of a lookup's data must be 0 or more")
    if columns is not None:
        _places(columns, spec)

    def parse(text: str) -> Iterator[tuple[str, str | None]]:
        rows = iter(row for row in rows_of(text) if row)
        for _ in range(skip):
            next(rows, None)
        first = next(rows, []) if header else []
        names = columns or first
        if not names:
            return
        key, value = _places(names, spec)
        for row in rows:
            if len(row) <= max(key, value):
                raise ValueError(f"a line has [{len(row)}] fields of [{len(names)}]: [{','.join(row)[:80]}]")
            yield row[key], row[value]

    return parse


def _places(names: Sequence[str], spec: Mapping[str, Any]) -> tuple[int, int]:
    found = []
    for what, default in (("keyColumn", 0), ("valueColumn", 1)):
        name = spec.get(what)
        if name is not None and name not in names:
            raise ValueError(f"{what} [{name}] not found in columns [{', '.join(map(str, names))}]")
        found.append(default if name is None else list(names).index(name))
    return found[0], found[1]


def _custom_json(spec: Mapping[str, Any]) -> RowParser:
    key, value = spec.get("keyFieldName"), spec.get("valueFieldName")
    if not isinstance(key, str) or not isinstance(value, str) or not key or not value:
        raise ValueError("A customJson lookup needs the texts [keyFieldName] and [valueFieldName]")

    def parse(text: str) -> Iterator[tuple[str, str | None]]:
        for row in _objects(text):
            if row.get(key) is not None and row.get(value) is not None:
                yield _shown(row[key]), _shown(row[value])

    return parse


def _simple_json(spec: Mapping[str, Any]) -> RowParser:
    def parse(text: str) -> Iterator[tuple[str, str | None]]:
        for row in _objects(text):
            for key, value in row.items():
                yield key, None if value is None else _shown(value)

    return parse


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a line is no JSON object: [{line[:80]}]")
            yield row


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
