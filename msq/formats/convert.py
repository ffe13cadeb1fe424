"""Whole columns from text to a declared type: vectorised where values are ordinary, `values` for the rest.

`text` columns hold what a delimited file or DuckDB's VARCHAR reading of JSON gives: numbers, words and strings alike as
text. `json` columns hold one JSON text a row, so a string and a number stay apart. A value out of the ordinary is
converted once for each distinct text of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import ColumnType, arrow_type
from msq.faults import CannotParseExternalDataFault, MSQError
from msq.formats import values

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Unpack = Callable[[pa.Array, str], pa.Array]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

_PLAIN_LONG = r"^-?[0-9]{1,18}$"
_PLAIN_DOUBLE = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# DuckDB prints a JSON double as Java does, save for very large and very small ones; -0 and NaN are told apart, too
_ODD_NUMBER = r"^-?([0-9]{19,}|[0-9]{8,}\.[0-9]+|0\.000[0-9]*|[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]+)$"
_NESTED_JSON = r'(?s)^(\[+(\]|["{0-9tfn-].*\]$)|\{(\}$|".*\}$))'
_ODD_IN_JSON = r"([0-9]{19,})|([0-9]{8,}\.[0-9])|([0-9]\.?[0-9]*[eE][+-]?[0-9])|((^|[^0-9])0\.000)|^(true|false)$"


def string_buffers(column: pa.Array) -> tuple[np.ndarray[Any, Any], Bytes]:
    """Offsets (one more than rows) and bytes of a `string` or `binary` array."""
    buffers = column.buffers()
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    kind = np.int64 if wide else np.int32
    offsets = np.frombuffer(buffers[1], dtype=kind, count=len(column) + 1, offset=column.offset * kind().itemsize)
    data = np.frombuffer(buffers[2], dtype=np.uint8) if buffers[2] is not None else np.zeros(0, np.uint8)
    return offsets, data


def first_bytes(column: pa.Array) -> Bytes:
    """The first byte of each text; 0 for an empty text or a null."""
    if len(column) == 0:
        return np.zeros(0, np.uint8)
    offsets, data = string_buffers(column)
    if len(data) == 0:
        return np.zeros(len(column), np.uint8)
    starts = offsets[:-1]
    first = data[np.minimum(starts, len(data) - 1)]
    first[starts == offsets[1:]] = 0
    return np.asarray(first, np.uint8)


def last_bytes(column: pa.Array) -> Bytes:
    """The last byte of each text; anything for an empty text or a null."""
    offsets, data = string_buffers(column)
    if len(data) == 0:
        return np.zeros(len(column), np.uint8)
    return np.asarray(data[np.maximum(offsets[1:], 1) - 1], np.uint8)


def _digits(chars: Bytes) -> Mask:
    return np.asarray((chars - np.uint8(48)) <= 9)  # what is below 48 wraps around


def by_value(column: pa.Array, convert: Callable[[str], Any], kind: Any) -> pa.Array:
    """`convert` for each distinct text; nulls stay null."""
    coded = column.dictionary_encode()
    with _shallow():
        cells = [None if v is None else convert(v) for v in coded.dictionary.to_pylist()]
    return pa.array(cells, type=kind).take(coded.indices)


@contextmanager
def _shallow() -> Iterator[None]:
    """Values nested beyond what Python's stack holds are a fault, not a crash."""
    try:
        yield
    except RecursionError as error:
        raise MSQError(CannotParseExternalDataFault("Unable to parse a value that is nested too deeply")) from error


def _split(
    column: pa.Array, ordinary: Mask, fast: Callable[[pa.Array], pa.Array], slow: Callable[[str], Any]
) -> pa.Array:
    """`fast` for the ordinary rows, `slow` for each distinct text of the others."""
    place = np.empty(len(column), np.int64)
    yes, no = np.flatnonzero(ordinary), np.flatnonzero(~ordinary)
    place[yes] = np.arange(len(yes))
    place[no] = np.arange(len(yes), len(column))
    quick = fast(column.take(pa.array(yes)))
    exact = by_value(column.take(pa.array(no)), slow, quick.type)
    return pa.concat_arrays([quick, exact]).take(pa.array(place))


def _matches(column: pa.Array, pattern: str) -> Mask:
    found = pc.fill_null(pc.match_substring_regex(column, pattern), True)
    return found.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def long_of_text(column: pa.Array) -> pa.Array:
    try:
        out = pc.cast(column, pa.int64())
        if not _maybe_hex(column):
            return out
    except pa.ArrowInvalid:
        pass
    return _split(column, _matches(column, _PLAIN_LONG), lambda c: pc.cast(c, pa.int64()), values.to_long)


def _maybe_hex(column: pa.Array) -> bool:
    """Arrow reads 0x10 as a number; Druid does not."""
    offsets, data = string_buffers(column)
    if len(data) == 0 or offsets[0] == offsets[-1]:
        return False
    return bool((data[offsets[0] : offsets[-1]] | np.uint8(0x20) == 120).any())


def double_of_text(column: pa.Array) -> pa.Array:
    try:
        out = pc.cast(column, pa.float64())
        if np.isfinite(np.asarray(pc.fill_null(out, 0.0))).all():
            return out
    except pa.ArrowInvalid:
        pass
    return _split(column, _matches(column, _PLAIN_DOUBLE), lambda c: pc.cast(c, pa.float64()), values.to_double)


def float_of_text(column: pa.Array) -> pa.Array:
    with np.errstate(over="ignore"):
        return pc.cast(double_of_text(column), pa.float32(), safe=False)


_NUMBERS = {"LONG": long_of_text, "DOUBLE": double_of_text, "FLOAT": float_of_text}


def text_to(column: pa.Array, declared: ColumnType) -> pa.Array:
    """A column of single texts (no lists) as `declared`; STRING is the texts themselves."""
    kind = declared.kind
    if kind == "STRING":
        return column
    if kind in _NUMBERS:
        return _NUMBERS[kind](column)
    if kind == "ARRAY":
        assert declared.element is not None
        return listed(text_to(column, declared.element), np.arange(len(column) + 1, dtype=np.int32), column.is_null())
    if declared.is_json:
        return by_value(column, values.to_json_text, pa.string())
    return by_value(column, values.to_sketch_bytes, pa.binary())


def listed(children: pa.Array, offsets: Any, null_rows: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), children, mask=null_rows)


def needs_json(column: pa.Array) -> bool:
    """Whether a STRING column read from JSON as VARCHAR holds texts that may not have been strings: lists, objects,
    numbers that Java prints otherwise, and the words NaN and Infinity that no JSON may hold."""
    first = first_bytes(column)
    nested = (first | np.uint8(0x20)) == 123  # [ and {
    if nested.any() and _some_json(column.filter(pa.array(nested))):
        return True
    numeric = _digits(first) | (first == 45)
    if not numeric.any():
        return False
    numeric &= _digits(last_bytes(column))
    if not numeric.any():
        return False
    texts = column if numeric.all() else column.filter(pa.array(numeric))
    return bool(pc.any(pc.match_substring_regex(texts, _ODD_NUMBER)).as_py())


def _some_json(column: pa.Array) -> bool:
    """Whether some text is a list or an object as DuckDB prints it (no blanks)."""
    for text in column.filter(pc.match_substring_regex(column, _NESTED_JSON)).to_pylist():
        try:
            json.loads(text)
        except ValueError:
            continue
        except RecursionError:
            return True
        return True
    return False


def json_to(column: pa.Array, declared: ColumnType, unpack: Unpack) -> pa.Array:
    """A column of JSON texts as `declared`. `unpack` turns JSON strings and lists into texts and `list<string>`.

    A STRING column becomes `list<string>` when some row holds several values.
    """
    kind = declared.kind
    column = _without_null_words(column)
    if declared.is_json:
        odd = _matches_not(column, _ODD_IN_JSON)
        if odd.all():
            return column
        return _split(column, odd, lambda c: c, lambda t: values.to_json_text(json.loads(t)))
    if kind == "STRING":
        return _string_of_json(column, unpack)
    if kind == "ARRAY":
        return _array_of_json(column, declared, unpack)
    return by_value(column, lambda t: values.to_typed(json.loads(t), declared), arrow_type(declared))


def _without_null_words(column: pa.Array) -> pa.Array:
    is_null = pc.equal(column, "null")
    if not pc.any(is_null).as_py():
        return column
    return pc.if_else(pc.fill_null(is_null, True), pa.scalar(None, pa.string()), column)


def _matches_not(column: pa.Array, pattern: str) -> Mask:
    found = pc.fill_null(pc.match_substring_regex(column, pattern), False)
    return ~found.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _string_of_json(column: pa.Array, unpack: Unpack) -> pa.Array:
    first = first_bytes(column)
    quoted = (first == 34) | (first == 0)
    if quoted.all():
        return _strings(column, unpack)
    is_list = first == 91
    if not is_list.any():
        return _split(column, quoted, lambda c: _strings(c, unpack), lambda t: values.java_text(json.loads(t)))
    nested = is_list & ~_plain_lists(column)
    rest = np.flatnonzero(~is_list | nested)
    lists = np.flatnonzero(is_list & ~nested)
    several = unpack(column.take(pa.array(lists)), "VARCHAR[]")
    single = by_value(column.take(pa.array(rest)), lambda t: _as_list(values.to_string(json.loads(t))), several.type)
    place = np.empty(len(column), np.int64)
    place[lists] = np.arange(len(lists))
    place[rest] = np.arange(len(lists), len(column))
    out = pa.concat_arrays([several, single]).take(pa.array(place))
    return several_or_single(out)


def several_or_single(lists: pa.Array) -> pa.Array:
    """A STRING column given as lists: lists where some row holds several values, else plain texts. Empty is NULL."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    empty = lengths == 0
    if (lengths > 1).any():
        if (empty & lists.is_valid().to_numpy(zero_copy_only=False)).any():
            return pc.if_else(pa.array(empty), pa.scalar(None, lists.type), lists)
        return lists
    return pc.list_element(pc.if_else(pa.array(empty), pa.scalar([None], lists.type), lists), 0)


def _strings(column: pa.Array, unpack: Unpack) -> pa.Array:
    """JSON strings as texts; only those with escapes need a parser."""
    _, data = string_buffers(column)
    if len(data) == 0 or not (data == 92).any():
        return pc.utf8_slice_codeunits(column, 1, -1)
    return unpack(column, "VARCHAR")


def _as_list(value: str | list[str | None] | None) -> list[str | None] | None:
    return value if value is None or isinstance(value, list) else [value]


def _plain_lists(column: pa.Array) -> Mask:
    """Lists of strings without escapes, of integers and of nulls: DuckDB takes these apart as Druid does."""
    return pc.fill_null(  # type: ignore[no-any-return]
        pc.match_substring_regex(column, r'^\[((("[^"\\]*")|(-?[1-9][0-9]{0,17})|0|null)(,|\]$))*\]?$'), False
    ).to_numpy(zero_copy_only=False)


def _array_of_json(column: pa.Array, declared: ColumnType, unpack: Unpack) -> pa.Array:
    element = declared.element
    assert element is not None
    kind = arrow_type(declared)
    plain = _plain_lists(column) | np.asarray(column.is_null())
    if element.kind not in ("STRING", *_NUMBERS) or not plain.any():
        return by_value(column, lambda t: values.to_array(json.loads(t), declared), kind)

    def quick(texts: pa.Array) -> pa.Array:
        lists = unpack(texts, "VARCHAR[]")
        return pa.ListArray.from_arrays(lists.offsets, text_to(lists.values, element), mask=lists.is_null())

    return _split(column, plain, quick, lambda t: values.to_array(json.loads(t), declared))


def split_lists(column: pa.Array, delimiter: str) -> pa.Array:
    """Texts split at a delimiter, as `list<string>`; nulls stay null."""
    return pc.split_pattern(column, delimiter)


def find_null_byte(column: pa.Array) -> int | None:
    """The first row of a `string` column whose text holds a NUL character."""
    offsets, data = string_buffers(column)
    if len(column) == 0 or offsets[-1] == offsets[0]:
        return None
    used = data[offsets[0] : offsets[-1]]
    if used.min() != 0:
        return None
    at = int(np.flatnonzero(used == 0)[0]) + int(offsets[0])
    return int(np.searchsorted(offsets, at, side="right")) - 1


def batches_of(arrays: Sequence[pa.Array], names: Sequence[str], rows: int, max_rows: int) -> list[pa.RecordBatch]:
    """Record batches of at most `max_rows`; columns may be none at all."""
    batch = with_rows(arrays, names, rows)
    return [batch.slice(at, max_rows) for at in range(0, rows, max_rows)]


def with_rows(arrays: Sequence[pa.Array], names: Sequence[str], rows: int) -> pa.RecordBatch:
    if arrays:
        return pa.RecordBatch.from_arrays(list(arrays), names=list(names))
    return pa.RecordBatch.from_arrays([pa.nulls(rows)], names=["x"]).select([])


def typed_array(cells: Sequence[Any], declared: ColumnType) -> pa.Array:
    """External values one by one as `declared`; a STRING column becomes a list column when a row holds several."""
    with _shallow():
        converted = [values.to_typed(v, declared) for v in cells]
    if declared.kind == "STRING" and any(isinstance(v, list) for v in converted):
        converted = [v if v is None or isinstance(v, list) else [v] for v in converted]
        return pa.array(converted, arrow_type(declared, multi_value=True))
    return pa.array(converted, arrow_type(declared))


def relisted(lists: pa.Array, children: pa.Array) -> pa.Array:
    """The list array with other children, one for each of `lists.flatten()`."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return listed(children, offsets, lists.is_null())
