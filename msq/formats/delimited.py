"""Delimited lines: csv (RFC 4180, each line by itself) and tsv (no quoting at all).

DuckDB splits whole chunks; a chunk whose quotes, line ends or bytes are out of the ordinary is first rewritten line by
line (`delimited_lines`) into text that every parser splits alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.codec import CodecError, wire
from msq.datatypes import STRING, ColumnType, arrow_type
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.cells import DEFAULT_LIST_DELIMITER, CellConverter
from msq.formats.chunks import Chunk
from msq.formats.delimited_lines import LineSplitter, rewrite
from msq.formats.duck import UnreadableError, query, quoted
from msq.formats.text import BadRow, FileText, Parsed
from msq.sources.base import InputItem

_DUCKDB_DELIMITER_BYTES = 4


class DelimitedFormat(InputFormat, ABC):
    """What csv and tsv share; `separator` and `quote` tell them apart."""

    columns: tuple[str, ...] | None
    list_delimiter: str | None
    find_columns_from_header: bool | None
    has_header_row: bool | None
    skip_header_rows: int
    try_parse_numbers: bool

    @property
    @abstractmethod
    def separator(self) -> str: ...

    @property
    def quote(self) -> str | None:
        return None

    def check(self) -> None:
        """Druid's rules for the header settings; raises CodecError."""
        header = self.find_columns_from_header
        if not self.columns:
            if header is not None and self.has_header_row is not None:
                raise CodecError("Cannot accept both [findColumnsFromHeader] and [hasHeaderRow]")
            header = self.has_header_row if header is None else header
            if header is None:
                raise CodecError("Either [columns] or [findColumnsFromHeader] must be set")
            if not header:
                raise CodecError(
                    "If [columns] is not set, the first row of your data must have your header and "
                    "[findColumnsFromHeader] must be set to true."
                )
        # printed under its present name
        object.__setattr__(self, "find_columns_from_header", header)
        object.__setattr__(self, "has_header_row", None)
        if not self.separator:
            raise CodecError("Empty delimiter")
        if self.separator == (self.list_delimiter or DEFAULT_LIST_DELIMITER):
            raise CodecError(f"Cannot have same delimiter and list delimiter of [{self.separator}]")
        if self.skip_header_rows < 0:
            raise CodecError(f"[skipHeaderRows] must not be negative, got [{self.skip_header_rows}]")
        for name in self.columns or ():
            if self.separator in name:
                raise CodecError(f"Column[{name}] cannot have the delimiter[{self.separator}] in its name")
        if len(set(self.columns or ())) != len(self.columns or ()):
            raise CodecError(duplicate_columns(self.columns or ()))

    @property
    def reads_header(self) -> bool:
        return bool(self.find_columns_from_header)

    def text_reader(self, request: ReadRequest) -> DelimitedReader:
        return DelimitedReader(request, self)


def _unset(value: Any) -> bool:
    return not value


@dataclass(frozen=True)
class CsvInputFormat(DelimitedFormat, tag="csv"):
    columns: tuple[str, ...] | None = wire(default=None, omit=_unset)
    list_delimiter: str | None = None
    find_columns_from_header: bool | None = wire(default=None, omit=_unset)
    skip_header_rows: int = wire(default=0, omit=_unset)
    try_parse_numbers: bool = wire(default=False, omit=_unset)
    has_header_row: bool | None = wire(default=None, omit=_unset)

    def __post_init__(self) -> None:
        self.check()

    @property
    def separator(self) -> str:
        return ","

    @property
    def quote(self) -> str | None:
        return '"'


@dataclass(frozen=True)
class TsvInputFormat(DelimitedFormat, tag="tsv"):
    """`delimiter` is always printed."""

    columns: tuple[str, ...] | None = wire(default=None, omit=_unset)
    list_delimiter: str | None = None
    delimiter: str | None = "\t"
    find_columns_from_header: bool | None = wire(default=None, omit=_unset)
    skip_header_rows: int = wire(default=0, omit=_unset)
    try_parse_numbers: bool = wire(default=False, omit=_unset)
    has_header_row: bool | None = wire(default=None, omit=_unset)

    def __post_init__(self) -> None:
        if self.delimiter is None:
            object.__setattr__(self, "delimiter", "\t")
        self.check()

    @property
    def separator(self) -> str:
        return self.delimiter if self.delimiter is not None else "\t"


def duplicate_columns(names: Sequence[str]) -> str:
    twice = sorted({n for n in names if names.count(n) > 1})
    return f"Duplicate column entries found : [{', '.join(twice)}]"


class DelimitedFile:
    """One file's columns: given, or read from its header line after `skip_header_rows` lines."""

    def __init__(self, input_format: DelimitedFormat, splitter: LineSplitter) -> None:
        self._to_skip = input_format.skip_header_rows
        self._header_due = input_format.reads_header
        self._splitter = splitter
        self.skipped_lines = 0
        self.names: tuple[str, ...] = input_format.columns or ()
        self.failed = False
        self.errors: list[str] = []

    def take_errors(self) -> list[str]:
        errors, self.errors = self.errors, []
        return errors

    def skip(self, chunk: Chunk) -> bool:
        while self._to_skip or self._header_due:
            if chunk.size == 0:
                return False
            end = chunk.buffer.map.find(b"\n", chunk.start, chunk.end)
            line_end = chunk.end if end < 0 else end
            if self._to_skip:
                self._to_skip -= 1
            else:
                line = chunk.buffer.map[chunk.start : line_end]
                if end >= 0:
                    line = line.removesuffix(b"\r")
                fields = self._splitter.split(line.decode("utf-8", "replace"))
                self.names = tuple(f if f else f"column_{n}" for n, f in enumerate(fields, 1))
                if len(set(self.names)) != len(self.names):
                    self.failed, self.errors = True, [duplicate_columns(self.names)]
                self._header_due = False
            self.skipped_lines += 1
            chunk.start = min(line_end + 1, chunk.end)
        return True


class DelimitedReader:
    def __init__(self, request: ReadRequest, input_format: DelimitedFormat) -> None:
        self._request = request
        self._format = input_format
        self._types: dict[str, ColumnType] = {c: request.signature.type_of(c) or STRING for c in request.columns}
        self._cells = CellConverter(input_format.list_delimiter, input_format.try_parse_numbers)
        self._splitter = LineSplitter(input_format.separator, input_format.quote)

    def begin(self, item: InputItem) -> DelimitedFile:
        return DelimitedFile(self._format, self._splitter)

    def parse(self, file: FileText, chunk: Chunk) -> Parsed:
        assert isinstance(file, DelimitedFile)
        if file.failed:  # said once; the file then yields nothing
            return Parsed([], [BadRow("", 0, 0, message) for message in file.take_errors()], 0, 0)
        rows = chunk.count_lines()
        if rows == 0:
            return Parsed([], [], 0, 0)
        texts = self._texts(file, chunk, rows)
        columns = [
            self._cells.typed(texts[name], self._types[name]) if name in texts
            else pa.nulls(rows, arrow_type(self._types[name]))
            for name in self._request.columns
        ]  # fmt: skip
        options = self._request.options
        return Parsed(convert.batches_of(columns, self._request.columns, rows, options.max_batch_rows), [], rows, rows)

    def _texts(self, file: DelimitedFile, chunk: Chunk, rows: int) -> dict[str, pa.Array]:
        """The wanted columns of the file as text, each with `rows` values."""
        places = {n: at for at, n in enumerate(file.names)}
        wanted = {n: places[n] for n in self._request.columns if n in places}
        if not wanted:
            return {}
        separator, quote = self._format.separator, self._format.quote
        arrays = None
        if len(separator.encode()) <= _DUCKDB_DELIMITER_BYTES and self._ordinary(chunk):
            arrays = self._split(chunk, list(wanted.values()), len(file.names), separator, quote, rows)
        if arrays is None:
            chunk.replace(rewrite(chunk.text(), self._splitter, len(file.names)))
            arrays = self._split(chunk, list(wanted.values()), len(file.names), ",", '"', rows)
        if arrays is None:
            raise ValueError("a chunk of delimited text was not read in full")
        return dict(zip(wanted, arrays))

    def _ordinary(self, chunk: Chunk) -> bool:
        """Whether DuckDB splits the chunk as Druid does: no stray quotes, no carriage returns, no byte-order mark."""
        text = chunk.array()
        if bytes(text[:3]) == b"\xef\xbb\xbf" or (text == 13).any():
            return False
        if self._format.quote is None:
            return True
        return quotes_are_regular(text, ord(self._format.separator))

    def _split(
        self, chunk: Chunk, places: list[int], width: int, separator: str, quote: str | None, rows: int
    ) -> list[pa.Array] | None:
        # one column more than there are: a line of one column may be blank, and DuckDB drops blank lines
        spec = ", ".join(f"c{n}: 'VARCHAR'" for n in range(max(width, 1) + 1))
        mark = quoted(quote or "")
        size = chunk.size + 1
        sql = (
            f"SELECT {', '.join(f'c{n}' for n in places)} FROM read_csv({quoted(chunk.path)}, auto_detect=false, "
            f"header=false, columns={{{spec}}}, delim={quoted(separator)}, quote={mark}, escape={mark}, comment='', "
            f"nullstr='', allow_quoted_nulls=false, null_padding=true, strict_mode=false, ignore_errors=true, "
            f"compression='none', new_line='\\n', parallel=false, max_line_size={size}, buffer_size={size})"
        )
        if chunk.start:
            chunk.drop_head()
        try:
            arrays = query(sql, len(places), rows)
        except UnreadableError:
            return None
        return arrays if all(len(a) == rows for a in arrays) else None


def quotes_are_regular(text: convert.Bytes, separator: int) -> bool:
    """Whether every quote opens a field, closes one, or stands doubled inside one, and none is open at a line's end."""
    at = np.flatnonzero(text == 34)
    if len(at) == 0:
        return True
    if len(at) % 2:
        return False
    opening, closing = at[0::2], at[1::2]
    ends = np.flatnonzero(text == 10)
    # a pair lies within one line
    if (np.searchsorted(ends, opening) != np.searchsorted(ends, closing)).any():
        return False
    before = text[np.maximum(opening - 1, 0)]
    starts = (opening == 0) | (before == separator) | (before == 10)
    doubled = np.zeros(len(opening), np.bool_)
    doubled[1:] = opening[1:] == closing[:-1] + 1
    after = text[np.minimum(closing + 1, len(text) - 1)]
    stops = (closing == len(text) - 1) | (after == separator) | (after == 10)
    followed = np.zeros(len(opening), np.bool_)
    followed[:-1] = doubled[1:]
    return bool((starts | doubled).all() and (stops | followed).all())
