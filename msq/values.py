"""Rows of frames as JSON values, for people and clients: arrays as lists, JSON text parsed, sketches as base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from msq.datatypes import ColumnType, RowSignature


def json_rows(batch: Any, signature: RowSignature) -> Iterator[dict[str, Any]]:
    """The rows of a record batch as JSON objects; columns in the batch's order, types from `signature`."""
    names = batch.schema.names
    columns = [json_values(batch.column(n), signature.type_of(n)) for n in names]
    for values in zip(*columns):
        yield dict(zip(names, values))


def json_values(array: Any, column_type: ColumnType | None) -> list[Any]:
    """The values of an Arrow array as JSON values; NaN and infinities as the texts Druid prints."""
    values: list[Any] = array.to_pylist()
    if column_type is None:
        return values
    if column_type.is_json:
        return [None if v is None else json.loads(v) for v in values]
    if column_type.is_complex:
        return [None if v is None else base64.b64encode(v).decode() for v in values]
    if column_type.kind in ("DOUBLE", "FLOAT"):
        return [_number(v) for v in values]
    if column_type.is_array:
        return [None if v is None else [_number(e) for e in v] for v in values]
    if column_type.kind == "STRING":
        # a row of one value is a scalar whatever its batch looks like
        return [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    return list(values)


def _number(value: Any) -> Any:
    if isinstance(value, float):
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
    return value
