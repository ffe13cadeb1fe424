"""Typed Arrow columns, as Parquet, ORC and their like give them, as columns of a declared type.

Whole columns where the types say how; nested and unusual ones value by value.
"""

from __future__ import annotations

import decimal
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import ColumnType, arrow_type
from msq.faults import DruidException, MSQError
from msq.formats import convert, values
from msq.formats.base import ReadRequest
from msq.sources.base import InputItem

_EPOCH = date(1970, 1, 1).toordinal()
_MS_PER_DAY = 86_400_000
_PER_MS = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}


class ArrowColumns:
    """Converts columns of one format. binary_as_string: bytes are UTF-8 text, else base64 where text is wanted.

    raw_nanoseconds: a timestamp of nanoseconds is its plain integer (Parquet), else milliseconds (ORC).
    """

    def __init__(self, binary_as_string: bool, raw_nanoseconds: bool) -> None:
        self._binary_as_string = binary_as_string
        self._raw_nanoseconds = raw_nanoseconds

    def typed(self, column: pa.Array, declared: ColumnType) -> pa.Array:
        """`column` as `declared`; a STRING column becomes `list<string>` when some row holds several values, and may
        stay a dictionary of texts."""
        if declared.kind == "STRING" and _is_dictionary_of_texts(column):
            return column.cast(_DICTIONARY)
        column = self._plain(column)
        kind = column.type
        if pa.types.is_null(kind):
            return pa.nulls(len(column), arrow_type(declared))
        if pa.types.is_string(kind):
            return convert.text_to(column, declared)
        if pa.types.is_binary(kind):
            if declared.is_complex and not declared.is_json:
                return column
            return convert.typed_array(column.to_pylist(), declared)
        if pa.types.is_list(kind):
            return self._of_list(column, declared)
        if pa.types.is_boolean(kind):
            return _of_boolean(column, declared)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return self._of_number(column, declared)
        return convert.typed_array([self.value(v, kind) for v in column.to_pylist()], declared)

    def value(self, value: Any, kind: pa.DataType) -> Any:
        """A Python value of Arrow as the plain value the conversions know."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("utf-8", "replace") if self._binary_as_string else bytes(value)
        if isinstance(value, decimal.Decimal):
            return float(value)
        if isinstance(value, datetime):
            passed = value.replace(tzinfo=None) - datetime(1970, 1, 1)
            ms = passed // timedelta(milliseconds=1)
            # micros of Parquet are cut toward zero, other times are floored
            toward_zero = self._raw_nanoseconds and getattr(kind, "unit", "") == "us"
            return ms + 1 if toward_zero and ms < 0 and passed % timedelta(milliseconds=1) else ms
        if isinstance(value, date):
            return (value.toordinal() - _EPOCH) * _MS_PER_DAY
        if isinstance(value, time):
            unit = 1 if getattr(kind, "unit", "us") == "ms" else 1000
            return (
                (((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond) * unit // 1000
            )
        if isinstance(value, dict):
            return {k: self.value(v, _inner(kind, k)) for k, v in value.items()}
        if isinstance(value, list):
            if pa.types.is_map(kind):
                return {str(self.value(k, kind.key_type)): self.value(v, kind.item_type) for k, v in value}
            return [self.value(v, _inner(kind, None)) for v in value]
        return str(value)

    def _plain(self, column: pa.Array) -> pa.Array:
        """One of few types: text, bytes, numbers (times as numbers), lists, or the nested rest."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type) if kind.value_type != pa.null() else column.dictionary_decode()
            kind = column.type
        if pa.types.is_string(kind):
            return _valid(column)
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return _valid(column.cast(pa.string()))
        if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return column.cast(pa.list_(kind.value_type))
        if _is_binary(kind):
            column = column.cast(pa.binary())
            return _text_of_bytes(column) if self._binary_as_string else column
        if pa.types.is_timestamp(kind):
            return self._milliseconds(column)
        if pa.types.is_date32(kind):
            return pc.multiply(column.cast(pa.int32()).cast(pa.int64()), _MS_PER_DAY)
        if pa.types.is_date64(kind) or pa.types.is_time64(kind) or pa.types.is_duration(kind):
            return column.cast(pa.int64())
        if pa.types.is_time32(kind):
            return column.cast(pa.int32()).cast(pa.int64())
        return column

    def _milliseconds(self, column: pa.Array) -> pa.Array:
        unit = column.type.unit
        raw = column.cast(pa.timestamp(unit)).view(pa.int64()) if column.type.tz else column.view(pa.int64())
        if unit == "s":
            return pc.multiply(raw, 1000)
        if unit == "ms" or (unit == "ns" and self._raw_nanoseconds):
            return raw
        known, per_ms = pc.fill_null(raw, 0), int(_PER_MS[unit])
        # micros of Parquet are cut toward zero, other times are floored
        toward_zero = unit == "us" and self._raw_nanoseconds
        plain = np.asarray(pc.divide(known, per_ms)) if toward_zero else np.asarray(known) // per_ms
        return pa.array(plain, pa.int64(), mask=np.asarray(column.is_null()))

    def _of_number(self, column: pa.Array, declared: ColumnType) -> pa.Array:
        kind = declared.kind
        if kind in ("LONG", "DOUBLE", "FLOAT"):
            return _number_as(column, kind)
        if kind == "STRING":
            if pa.types.is_floating(column.type):
                return _java_doubles(column)
            return column.cast(pa.string())
        if kind == "ARRAY" and declared.element is not None:
            cells = self._of_number(column, declared.element)
            return convert.listed(cells, np.arange(len(column) + 1), column.is_null())
        if declared.is_json and pa.types.is_integer(column.type):
            return column.cast(pa.string())
        return convert.typed_array([self.value(v, column.type) for v in _shortest(column)], declared)

    def _of_list(self, column: pa.Array, declared: ColumnType) -> pa.Array:
        element = column.type.value_type
        scalar = not pa.types.is_nested(element) and not pa.types.is_boolean(element)
        if declared.kind == "ARRAY" and declared.element is not None and scalar:
            return convert.relisted(column, self.typed(column.flatten(), declared.element))
        if declared.kind == "STRING" and scalar:
            texts = convert.relisted(column, self.typed(column.flatten(), declared))
            return convert.several_or_single(texts)
        return convert.typed_array([self.value(v, column.type) for v in column.to_pylist()], declared)


def _of_boolean(column: pa.Array, declared: ColumnType) -> pa.Array:
    if declared.kind == "STRING":
        return column.cast(pa.string())
    if declared.is_json:
        return column.cast(pa.int8()).cast(pa.string())
    if declared.kind == "ARRAY" and declared.element is not None:
        cells = _of_boolean(column, declared.element)
        return convert.listed(cells, np.arange(len(column) + 1), column.is_null())
    return pa.nulls(len(column), arrow_type(declared))


def _inner(kind: pa.DataType, key: Any) -> pa.DataType:
    if pa.types.is_struct(kind):
        return kind.field(key).type
    return getattr(kind, "value_type", pa.null())


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    ) and not pa.types.is_decimal(kind)  # fmt: skip


_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def _is_dictionary_of_texts(column: pa.Array) -> bool:
    """Whether the column is one that may stay so: valid texts, no two alike, none null, no more of them than rows."""
    if not pa.types.is_dictionary(column.type) or not pa.types.is_string(column.type.value_type):
        return False
    texts = column.dictionary
    if len(texts) > len(column) or texts.null_count or len(texts.unique()) < len(texts):
        return False
    return _valid(texts) is texts


def _valid(column: pa.Array) -> pa.Array:
    """Text that a file calls UTF-8; bytes that are none become U+FFFD."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return _text_of_bytes(column.cast(pa.binary()))
    return column


def _text_of_bytes(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in column.to_pylist()], pa.string())


def _number_as(column: pa.Array, kind: str) -> pa.Array:
    if kind == "LONG":
        if pa.types.is_integer(column.type):
            return column.cast(pa.int64(), safe=False)
        doubles = np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), 0.0), np.float64)
        with np.errstate(invalid="ignore"):
            longs = np.where(np.isnan(doubles), 0, doubles).astype(np.int64)
        longs[doubles >= 2.0**63] = values.LONG_MAX
        longs[doubles <= -(2.0**63)] = values.LONG_MIN
        return pa.array(longs, pa.int64(), mask=np.asarray(column.is_null()))
    return column.cast(pa.float64() if kind == "DOUBLE" else pa.float32(), safe=False)


def _java_doubles(column: pa.Array) -> pa.Array:
    coded = column.dictionary_encode()
    texts = pa.array([None if v is None else values.java_double(v) for v in _shortest(coded.dictionary)], pa.string())
    return texts.take(coded.indices)


def shortest_float(value: float) -> float:
    """A 32-bit number as the double that prints alike."""
    return float(str(np.float32(value)))


def _shortest(column: pa.Array) -> list[Any]:
    """Numbers as Python's; a 32-bit one as the double that prints the same (`Float.toString`)."""
    if column.type == pa.float32() or column.type == pa.float16():
        return [None if v is None else shortest_float(v) for v in column.to_pylist()]
    return list(column.to_pylist())


@contextmanager
def damage() -> Iterator[None]:
    """What a library makes of a broken file, as a ValueError or an OSError with its text, whatever it is."""
    try:
        yield
    except (MSQError, DruidException, OSError, EOFError, ValueError):
        raise
    except Exception as error:  # of a broken file: KeyError, IndexError, struct.error, zlib.error and their like
        raise ValueError(f"{type(error).__name__}: {error}") from error


def undamaged(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches of a file, with what a library makes of a broken one as `damage` has it."""
    nothing = object()
    while True:
        with damage():
            batch = next(batches, nothing)
        if batch is nothing:
            return
        yield batch


@contextmanager
def local_copy(request: ReadRequest, item: InputItem) -> Iterator[str]:
    """A path that holds the item's bytes: the file itself, or a copy for as long as the block runs.

    Counts the file's bytes when the block ends without an error.
    """
    if item.path is not None:
        request.options.access.check_path(item.path)
        yield item.path
        size = item.size
    else:
        folder = request.options.temp_dir or request.options.access.work_dir
        with tempfile.NamedTemporaryFile(dir=folder, prefix="input-") as copy:
            with request.source.open(item, request.options.access) as raw:
                shutil.copyfileobj(raw, copy, 1 << 20)
            copy.flush()
            size = os.path.getsize(copy.name)
            yield copy.name
    if request.source.counted:
        request.sink.bytes(size)
