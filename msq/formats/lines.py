"""Lines taken as they are (lines) or apart by a pattern (regex)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.codec import CodecError, wire
from msq.datatypes import STRING, ColumnType, arrow_type
from msq.expr.kernels.regex import compile_java, re2_pattern
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.cells import CellConverter
from msq.formats.chunks import Chunk
from msq.formats.text import BadRow, FileText, Parsed
from msq.sources.base import InputItem

_MAYBE_ABSENT = re.compile(r"\||\)[?*{]")
_ENDS_OF_LINES = "[\r\x85\u2028\u2029]"
"""What Java's dot does not match beside a newline; RE2's does."""


@dataclass(frozen=True)
class LinesInputFormat(InputFormat, tag="lines"):
    """One column, `line`."""

    def text_reader(self, request: ReadRequest) -> LineReader:
        return LineReader(request, ("line",), None, CellConverter(None, False))


@dataclass(frozen=True)
class RegexInputFormat(InputFormat, tag="regex"):
    """The groups of a Java pattern that must match the whole line; `columns` names them (default `column_<n>`)."""

    pattern: str
    list_delimiter: str | None = None
    columns: tuple[str, ...] | None = wire(default=None, omit=lambda v: not v)

    def __post_init__(self) -> None:
        try:
            compile_java(self.pattern)
        except ValueError as error:
            raise CodecError(str(error)) from error

    def text_reader(self, request: ReadRequest) -> LineReader:
        groups = compile_java(self.pattern).groups
        names = self.columns or tuple(f"column_{n}" for n in range(1, groups + 1))
        return LineReader(request, names, self.pattern, CellConverter(self.list_delimiter, False))


class LineFile:
    skipped_lines = 0

    def skip(self, chunk: Chunk) -> bool:
        return True


class LineReader:
    def __init__(self, request: ReadRequest, names: Sequence[str], pattern: str | None, cells: CellConverter) -> None:
        self._request = request
        self._places = {n: at for at, n in enumerate(names)}
        self._pattern = pattern
        self._cells = cells

    def begin(self, item: InputItem) -> LineFile:
        return LineFile()

    def parse(self, file: FileText, chunk: Chunk) -> Parsed:
        lines = lines_of(chunk)
        bad: list[BadRow] = []
        columns: list[pa.Array] = [lines]
        if self._pattern is not None:
            good, columns = _groups(lines, self._pattern)
            for number in np.flatnonzero(~good):
                bad.append(BadRow(lines[int(number)].as_py(), int(number) - len(bad), int(number)))
        rows = len(lines) - len(bad)
        if rows == 0:
            return Parsed([], bad, 0, len(lines))
        typed = []
        for name in self._request.columns:
            declared: ColumnType = self._request.signature.type_of(name) or STRING
            at = self._places.get(name)
            if at is None or at >= len(columns):
                typed.append(pa.nulls(rows, arrow_type(declared)))
            else:
                typed.append(self._cells.typed(columns[at], declared))
        options = self._request.options
        batches = convert.batches_of(typed, self._request.columns, rows, options.max_batch_rows)
        return Parsed(batches, bad, rows, len(lines))


def lines_of(chunk: Chunk) -> pa.Array:
    """The lines as a `string` array, without their ends; bytes that are no UTF-8 are U+FFFD."""
    text = chunk.array()
    if len(text) == 0:
        return pa.array([], pa.string())
    drop = text == 10
    ends = np.flatnonzero(drop)
    if (text == 13).any():
        before = ends[ends > 0] - 1
        returns = before[text[before] == 13]
        drop[returns] = True
    if text[-1] != 10:
        ends = np.append(ends, len(text))
    kept = np.concatenate(([0], np.cumsum(~drop)))
    offsets = np.concatenate(([0], kept[ends])).astype(np.int32)
    data = text[~drop]
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        parts = [data[a:b].tobytes().decode("utf-8", "replace") for a, b in pairwise(offsets)]
        lines = pa.array(parts, pa.string())
    return lines


def _groups(lines: pa.Array, pattern: str) -> tuple[Any, list[pa.Array]]:
    """Which lines match, and the groups of those that do."""
    compiled = compile_java(pattern)
    plain = re2_pattern(pattern)
    if plain is not None and "." in plain and pc.any(pc.match_substring_regex(lines, _ENDS_OF_LINES)).as_py():
        plain = None
    if plain is not None and not _MAYBE_ABSENT.search(plain) and compiled.groups:
        # RE2 gives an absent group as an empty text: only patterns whose groups always take part may use it
        names = iter(range(compiled.groups))
        named = re.sub(r"\\.|\[[^\]]*\]|\((?!\?)", lambda m: f"(?P<g{next(names)}>" if m[0] == "(" else m[0], plain)
        found = pc.extract_regex(lines, f"^(?:{named})$")
        good = found.is_valid()
        matched = found.filter(good)
        return good.to_numpy(zero_copy_only=False), [matched.field(n) for n in range(compiled.groups)]
    matches = [compiled.fullmatch(line) for line in lines.to_pylist()]
    good = np.array([m is not None for m in matches], np.bool_)
    groups = [m.groups() for m in matches if m is not None]
    return good, [pa.array([g[n] for g in groups], pa.string()) for n in range(compiled.groups)]
