"""Rows of a report as an Arrow table, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_TYPES = {
    "TIMESTAMP": pa.timestamp("ms", "UTC"), "DATE": pa.date32(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64(),
    "INTEGER": pa.int64(), "SMALLINT": pa.int64(), "TINYINT": pa.int64(), "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(), "REAL": pa.float64(), "DECIMAL": pa.float64(),
}  # fmt: skip
_ELEMENTS = {"STRING": pa.string(), "LONG": pa.int64(), "DOUBLE": pa.float64(), "FLOAT": pa.float32()}


def arrow_table(results: Mapping[str, Any]) -> Any:
    """The report's `results` as an Arrow table, one column for each output column, in order.

    TIMESTAMP is `timestamp[ms, UTC]` (in another session zone its local wall clock), DATE `date32`, arrays lists;
    multi-value strings and JSON stay the JSON texts that the report holds.
    """
    names = [c["name"] for c in results["signature"]]
    natives = [c["type"] for c in results["signature"]]
    sql_types = results["sqlTypeNames"]
    columns = list(zip(*results["results"])) if results["results"] else [() for _ in names]
    arrays = [_array(values, sql, native) for values, sql, native in zip(columns, sql_types, natives)]
    return pa.Table.from_arrays(arrays, names=names)


def _array(values: Any, sql_type: str, native: str) -> Any:
    if native.startswith("ARRAY<") and native[6:-1] in _ELEMENTS:
        lists = [json.loads(v) if isinstance(v, str) else v for v in values]
        return pa.array(lists, pa.list_(_ELEMENTS[native[6:-1]]))
    kind = _TYPES.get(sql_type, pa.string())
    if kind == pa.string():
        return pa.array([None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else float(v) for v in values], kind)
    return pa.array(values, kind) if sql_type not in ("TIMESTAMP", "DATE") else _temporal(values, kind)


def _temporal(values: Any, kind: Any) -> Any:
    plain = pa.int64() if pa.types.is_timestamp(kind) else pa.int32()
    return pa.array(values, plain).cast(kind)
