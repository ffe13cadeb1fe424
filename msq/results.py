"""Rows of a SELECT as the task report prints them: one rule for each SQL type. Source: reference msq-engine 2.7.

| SQL type | printed as |
|---|---|
| TIMESTAMP, DATE | ms (local wall clock of the session's zone read as UTC), days |
| BOOLEAN | true above 0, else false |
| arrays | JSON text, or a list when arrays are not stringified |
| VARCHAR with several values in the row | JSON text |
| OTHER (states of aggregations that are not finalised) | JSON text of the value |
| COMPLEX<json> | its JSON text |
| COMPLEX<serializablePairLong..> | JSON text `{"lhs":ms,"rhs":value}` |
| COMPLEX<spectatorHistogram..> | JSON text of the counts by bucket |
| other COMPLEX | JSON text of the bytes in base64 |
| INTEGER | the number cut to 32 bits |
| numbers | numbers; NaN and infinities as texts |

The interactive API prints the same, but TIMESTAMP and DATE as ISO texts in the session's zone (`iso_times`).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import ColumnType
from msq.expr.printer import whole_digits
from msq.expr.zones import is_utc
from msq.expr.zones import zone as zone_of
from msq.intervals import format_instant
from msq.sketches import pairs, spectator

DAY_MS = 86_400_000
_YEAR_0_MS, _YEAR_10000_MS = -62_167_219_200_000, 253_402_300_800_000
PAIR, SPECTATOR = "serializablePairLong", "spectatorHistogram"


@dataclass(frozen=True)
class ResultColumn:
    """One output column: the query column it comes from, its native type there, and its SQL type name."""

    query_column: str
    name: str
    type: ColumnType
    sql_type: str


@dataclass(frozen=True)
class ResultsContext:
    """`sqlResultsContext` of a task: the session's zone, and whether arrays are printed as texts.

    `iso_times`: print times as texts; never stored, since tasks never do.
    """

    time_zone: str = "UTC"
    stringify_arrays: bool = True
    iso_times: bool = False

    @staticmethod
    def of(value: Mapping[str, Any]) -> ResultsContext:
        return ResultsContext(value.get("timeZone", "UTC"), value.get("stringifyArrays", True))

    def to_json(self) -> dict[str, Any]:
        return {"timeZone": self.time_zone, "stringifyArrays": self.stringify_arrays}


def json_text(value: Any) -> str:
    """Compact JSON as Jackson prints it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def result_rows(
    batches: Iterable[pa.RecordBatch], columns: tuple[ResultColumn, ...], context: ResultsContext
) -> Iterable[list[Any]]:
    """Rows in output-column order; `batches` are in frame layout and hold the query columns."""
    for batch in batches:
        values = [column_values(batch.column(c.query_column), c, context) for c in columns]
        if not values:
            yield from ([] for _ in range(batch.num_rows))
        else:
            yield from map(list, zip(*values))


def column_values(array: Any, column: ResultColumn, context: ResultsContext) -> list[Any]:
    """The printed values of one column of a batch."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if context.iso_times and column.sql_type in ("TIMESTAMP", "DATE") and pa.types.is_integer(array.type):
        return iso_texts(array, context.time_zone)
    if column.sql_type == "TIMESTAMP" and pa.types.is_integer(array.type):
        instants: list[Any] = local_ms(array, context.time_zone).to_pylist()
        return instants
    if column.sql_type == "DATE" and pa.types.is_integer(array.type):
        return [None if v is None else v // DAY_MS for v in local_ms(array, context.time_zone).to_pylist()]
    if column.sql_type == "BOOLEAN" and pa.types.is_integer(array.type):
        return [None if v is None else v > 0 for v in array.to_pylist()]
    if column.sql_type == "INTEGER" and pa.types.is_integer(array.type):
        return [None if v is None else (v + 2**31) % 2**32 - 2**31 for v in array.to_pylist()]
    if (column.type.complex_name or "").startswith(PAIR) and pa.types.is_binary(array.type):
        return _pair_values(array, column.type)
    values = array.to_pylist()
    return list(map(_printer(array.type, column, context), values))


def _pair_values(array: Any, column_type: ColumnType) -> list[Any]:
    """States of EARLIEST and LATEST as JSON text of their time and value."""
    kind = (column_type.complex_name or "")[len(PAIR) :]
    times, there = pairs.times(array, kind == "String")
    if kind == "String":
        values = pairs.decode_texts(array)
    else:
        values = pairs.decode_numbers(array, {"Long": pa.int64(), "Double": pa.float64(), "Float": pa.float32()}[kind])
    return [
        json_text({"lhs": int(time), "rhs": _plain(value)}) if known else None
        for time, known, value in zip(times, there, values.to_pylist())
    ]


def _printer(kind: Any, column: ResultColumn, context: ResultsContext) -> Callable[[Any], Any]:
    if column.type.is_json:
        return lambda v: v
    if (column.type.complex_name or "").startswith(SPECTATOR) and pa.types.is_binary(kind):
        return _spectator
    if pa.types.is_binary(kind):
        return _complex
    if column.type.is_array:
        if column.type.element is not None and column.type.element.is_json:
            return lambda v: _json_list(v, context.stringify_arrays)
        if context.stringify_arrays or column.sql_type == "OTHER":
            return lambda v: None if v is None else json_text(_plain(v))
        return _plain
    if pa.types.is_list(kind):
        return _multi_value
    if column.sql_type == "OTHER":
        return lambda v: None if v is None else json_text(_plain(v))
    if pa.types.is_floating(kind) and column.sql_type in ("BIGINT", "INTEGER"):
        return lambda v: None if v is None else int(v)  # a distinct count of a theta sketch
    if pa.types.is_float32(kind) and column.sql_type != "DOUBLE":
        return _float
    if pa.types.is_floating(kind):
        return _number
    return lambda v: v


def _json_list(values: list[str | None] | None, as_text: bool) -> Any:
    """An array of JSON values, which are texts, as JSON text or as a list."""
    if values is None:
        return None
    if as_text:
        return "[" + ",".join("null" if v is None else v for v in values) + "]"
    return [None if v is None else json.loads(v) for v in values]


def _complex(value: bytes | None) -> str | None:
    """Bytes as JSON text of their base64; a value that is itself JSON text (bounds of a theta sketch) as it is."""
    if value is None:
        return None
    return value.decode() if value[:1] == b"{" else json_text(base64.b64encode(value).decode("ascii"))


def _spectator(value: bytes | None) -> str | None:
    """A spectator histogram as JSON text of its counts by bucket."""
    if value is None:
        return None
    _, buckets, counts = spectator.read(pa.array([value], pa.binary()))
    return json_text({str(b): c for b, c in zip(buckets.tolist(), counts.tolist(), strict=True)})


def local_ms(array: Any, zone: str) -> Any:
    """ms of instants as ms of the wall clock in `zone`, nulls kept."""
    if is_utc(zone):
        return array
    instants = array.cast(pa.int64())
    local = zone_of(zone).to_local(np.asarray(instants.fill_null(0)))
    return pa.array(local, pa.int64(), mask=np.asarray(instants.is_null()))


def iso_texts(array: Any, zone: str) -> list[str | None]:
    """ms of instants as ISO texts of the wall clock in `zone` with its offset, `Z` for none."""
    instants = np.asarray(array.cast(pa.int64()).fill_null(0))
    clocks = np.asarray(local_ms(array, zone).cast(pa.int64()).fill_null(0))
    if len(clocks) and (clocks.min() < _YEAR_0_MS or clocks.max() >= _YEAR_10000_MS):
        texts = [format_instant(clock)[:-1] for clock in clocks.tolist()]
    else:
        texts = np.datetime_as_string(clocks.astype("datetime64[ms]")).tolist()
    offsets = ((clocks - instants) // 1000).tolist()
    shown = {seconds: _offset(seconds) for seconds in set(offsets)}
    nulls = np.asarray(array.is_null()).tolist()
    return [None if null else text + shown[o] for null, text, o in zip(nulls, texts, offsets)]


def _offset(seconds: int) -> str:
    if seconds == 0:
        return "Z"
    minutes, rest = divmod(abs(seconds), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{rest:02d}" if rest else text


def _multi_value(values: list[Any] | None) -> Any:
    """A row of a multi-value column: its one value, or JSON text of several."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else json_text(values)


def _float(value: float | None) -> Any:
    """A 32-bit value by the digits that Java prints."""
    if value is None or not math.isfinite(value):
        return _number(value)
    if 2.0**24 < abs(value) < 2.0**62 and value.is_integer():
        return float(whole_digits(value, 24))
    return float(str(np.float32(value)))


def _number(value: float | None) -> Any:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value
