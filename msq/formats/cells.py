"""Text cells of delimited and regex lines as typed columns: list delimiters and tryParseNumbers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import ColumnType
from msq.formats import convert, values

DEFAULT_LIST_DELIMITER = "\x01"


class CellConverter:
    """A cell that holds the list delimiter is a list; with `try_parse_numbers` a cell that says a number is one."""

    def __init__(self, list_delimiter: str | None, try_parse_numbers: bool) -> None:
        self._delimiter = list_delimiter or DEFAULT_LIST_DELIMITER
        self._numbers = try_parse_numbers

    def typed(self, column: pa.Array, declared: ColumnType) -> pa.Array:
        """A `string` column as `declared`; STRING becomes `list<string>` when some cell is a list."""
        several = self._lists_in(column)
        if several is None:
            return self._single(column, declared)
        if declared.kind == "STRING":
            lists = convert.split_lists(column, self._delimiter)
            return convert.relisted(lists, _java_numbers(lists.flatten())) if self._numbers else lists
        if declared.kind == "ARRAY" and declared.element is not None:
            lists = convert.split_lists(column, self._delimiter)
            return convert.relisted(lists, self._single(lists.flatten(), declared.element))
        if declared.is_json:
            return convert.by_value(column, self._json_text, pa.string())
        # a list is no number
        return self._single(pc.if_else(several, pa.scalar(None, pa.string()), column), declared)

    def _lists_in(self, column: pa.Array) -> pa.Array | None:
        """Which cells are lists; None when none is."""
        if self._delimiter == DEFAULT_LIST_DELIMITER:
            _, data = convert.string_buffers(column)
            if len(data) == 0 or data.min() > 1:
                return None
        several = pc.fill_null(pc.match_substring(column, self._delimiter), False)
        return several if pc.any(several).as_py() else None

    def _single(self, column: pa.Array, declared: ColumnType) -> pa.Array:
        if self._numbers:
            if declared.kind == "STRING":
                return _java_numbers(column)
            if declared.is_json:
                return convert.by_value(column, self._json_text, pa.string())
        return convert.text_to(column, declared)

    def _json_text(self, text: str) -> str | None:
        parts = text.split(self._delimiter)
        cells = [_parsed_number(p) if self._numbers else p for p in parts]
        return values.to_json_text(cells if len(cells) > 1 else cells[0])


def _parsed_number(text: str) -> Any:
    number = values.plain_number(text)
    return text if number is None else number


def _java_numbers(column: pa.Array) -> pa.Array:
    """Texts that are numbers as Java prints the number."""
    return convert.by_value(column, lambda t: values.java_text(_parsed_number(t)), pa.string())
