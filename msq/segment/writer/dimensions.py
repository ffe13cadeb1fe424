"""From a column's schema and its Arrow data to its files and its sort keys: which kind of column is written how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from msq.datatypes import ColumnType
from msq.segment.compression import CODEC_OF
from msq.segment.schema import TIME, DimensionSchema, IndexSpec, MetricSchema, SegmentSchema
from msq.segment.pairs import PAIR_VALUES
from msq.segment.writer.columns import (
    complex_column,
    complex_head,
    null_column,
    numbers_and_nulls,
    numeric_column,
    string_column,
)
from msq.segment.writer.dictionary import EncodedStrings, encode_strings
from msq.segment.writer.generic import Codecs, Parts
from msq.segment.writer.pairs import pair_column
from msq.segment.writer.sort import SortKey, id_key, list_key, number_keys


@dataclass
class Written:
    """One column's own file, its side files in order, and whether it holds nothing but nulls."""

    parts: Parts
    side_files: list[tuple[str, Parts]] = field(default_factory=list)
    null_only: bool = False


def codecs_of(word: str, lz4_level: int) -> Codecs:
    return Codecs(CODEC_OF[word], lz4_level)


def is_json_dimension(dimension: DimensionSchema, column: Any) -> bool:
    """Whether rows arrive as JSON text: the `json` kind, and `auto` without a type when its data is text."""
    if dimension.kind == "json":
        return True
    if dimension.kind != "auto" or dimension.type is not None:
        return False
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def sortable(schema: SegmentSchema, rows: Any) -> list[str]:
    """The leading columns of the sort order that rows can be sorted by: those before the first JSON column."""
    by_name = {d.name: d for d in schema.dimensions}
    out = []
    for name in schema.sort_names:
        if name != TIME and is_json_dimension(by_name[name], rows.column(name)):
            break
        out.append(name)
    return out


def sort_keys(column: Any, dimension: DimensionSchema) -> tuple[EncodedStrings | None, list[SortKey]]:
    """(the encoded form when it is a string column, the keys that order its rows)."""
    if dimension.kind == "string":
        made = encode_strings(column, dimension.multi_value_handling)
        if made.offsets is not None:
            return made, [list_key(made.ids, made.offsets)]
        return made, [id_key(made.ids, made.cardinality)]
    if dimension.kind in ("long", "double", "float"):
        assert dimension.type is not None
        return None, number_keys(*numbers_and_nulls(column, dimension.type))
    return None, []


def write_dimension(column: Any, dimension: DimensionSchema, spec: IndexSpec, lz4_level: int) -> Written:
    """Raises ValueError, naming the column, when its data does not fit its kind."""
    writer = _WRITERS.get(dimension.kind)
    if writer is None:
        raise ValueError(f"Dimension [{dimension.name}] of type [{dimension.kind}] cannot be written")
    try:
        return writer(column, dimension, spec, lz4_level)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise ValueError(f"Column [{dimension.name}] cannot be stored as [{dimension.kind}]: {e}") from e


def write_metric(column: Any, metric: MetricSchema, spec: IndexSpec, lz4_level: int) -> Written:
    if metric.type.is_numeric:
        return _numeric(column, metric.type, spec, lz4_level)
    name = metric.type.complex_name
    if name is None:
        raise ValueError(f"Metric [{metric.name}] of type [{metric.type}] cannot be written")
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_null(array.type):
        array = array.cast(pa.binary())
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        raise ValueError(f"Metric [{metric.name}] of type [{metric.type}] holds [{array.type}] instead of binary values")
    if name in PAIR_VALUES:
        return Written([*complex_head(name), *pair_column(array, name)])
    return Written(complex_column(array, name))


def _string(column: Any, dimension: DimensionSchema, spec: IndexSpec, lz4_level: int) -> Written:
    encoded = encode_strings(column, dimension.multi_value_handling)
    if not len(encoded.values):
        return Written(null_column(encoded.rows), null_only=True)
    codecs = codecs_of(spec.dimension_compression, lz4_level)
    return Written(string_column(encoded, codecs, dimension.create_bitmap_index))


def _number(column: Any, dimension: DimensionSchema, spec: IndexSpec, lz4_level: int) -> Written:
    assert dimension.type is not None
    return _numeric(column, dimension.type, spec, lz4_level)


def _numeric(column: Any, column_type: ColumnType, spec: IndexSpec, lz4_level: int) -> Written:
    values, nulls = numbers_and_nulls(column, column_type)
    codecs = codecs_of(spec.metric_compression, lz4_level)
    return Written(numeric_column(values, nulls, column_type.kind, codecs, spec.long_encoding))


_WRITERS: dict[str, Callable[[Any, DimensionSchema, IndexSpec, int], Written]] = {
    "string": _string, "long": _number, "double": _number, "float": _number,
}  # fmt: skip
