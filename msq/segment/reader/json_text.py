"""Values of typed columns as JSON text, for a JSON column that one segment stores as a column of its only type."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.printer import double_text

_quote = json.JSONEncoder(ensure_ascii=False).encode


def as_json_text(array: Any) -> Any:
    """`string` of JSON: numbers as they print, texts quoted, lists in brackets; null stays null."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        texts = as_json_text(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, texts).dictionary_decode()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        flat = pc.fill_null(as_json_text(array.flatten()), "null")
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat.cast(pa.large_string()))
        joined = pc.binary_join(lists, pa.scalar(",", pa.large_string())).cast(pa.string())
        texts = pc.binary_join_element_wise(pa.scalar("["), joined, pa.scalar("]"), pa.scalar(""))
        return pc.if_else(array.is_valid(), texts, pa.scalar(None, pa.string()))
    if pa.types.is_integer(kind):
        return array.cast(pa.string())
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else _number(v) for v in array.to_pylist()], pa.string())
    return pa.array([None if v is None else _quote(v) for v in array.to_pylist()], pa.string())


def _number(value: float) -> str:
    return double_text(value) if np.isfinite(value) else f'"{double_text(value)}"'
