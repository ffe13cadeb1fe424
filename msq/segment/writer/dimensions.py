"""From a column's schema and its Arrow data to its sort keys and its files: which kind of column is written how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from msq.datatypes import DOUBLE, LONG, STRING, ColumnType
from msq.segment.nullable import SPECTATOR_TYPES
from msq.segment.pairs import PAIR_VALUES
from msq.segment.schema import DimensionSchema, MetricSchema
from msq.segment.writer.auto import AutoArrays, AutoNumbers, AutoStrings, type_of_data
from msq.segment.writer.columns import (
    complex_column,
    complex_head,
    null_column,
    nullable_column,
    numbers_and_nulls,
    numeric_column,
    string_column,
)
from msq.segment.writer.dictionary import EncodedStrings, encode_strings
from msq.segment.writer.encoding import Encoding, Written, nulls_in_order
from msq.segment.writer.front_coded import front_coded
from msq.segment.writer.generic import Array
from msq.segment.writer.nested import JsonColumn
from msq.segment.writer.pairs import pair_column
from msq.segment.writer.sort import SortKey, id_key, list_key, number_keys


class Prepared(Protocol):
    """A dimension's data in the form it is sorted and written in."""

    def keys(self) -> list[SortKey]:
        """What orders its rows; empty for a column without an order."""

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        """Its files with the rows in `order` (None: as they are)."""


def prepare(column: Any, dimension: DimensionSchema) -> Prepared:
    """Raises ValueError, naming the column, when its data does not fit its kind."""
    try:
        return _KINDS[dimension.kind](column, dimension)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as e:
        raise ValueError(f"Column [{dimension.name}] cannot be stored as [{dimension.kind}]: {e}") from e


class StringsDimension:
    def __init__(self, column: Any, dimension: DimensionSchema) -> None:
        self.dimension = dimension
        self.encoded: EncodedStrings = encode_strings(column, dimension.multi_value_handling)

    def keys(self) -> list[SortKey]:
        made = self.encoded
        if made.offsets is not None:
            return [list_key(made.ids, made.offsets)]
        return [id_key(made.ids, made.cardinality)]

    def _ordered(self, order: Array | None) -> EncodedStrings:
        return self.encoded if order is None else self.encoded.take(order)

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        encoded = self._ordered(order)
        if not len(encoded.values):
            return Written(null_column(encoded.rows), STRING, null_only=True)
        spec = encoding.spec.string_dictionary
        dictionary = front_coded(encoded.values, encoded.has_null, spec) if spec.get("type") == "frontCoded" else None
        parts = string_column(encoded, encoding.dimension, self.dimension.create_bitmap_index, dictionary)
        return Written(parts, STRING, multiple=encoded.offsets is not None)

    def to_arrow(self, order: Array | None) -> Any:
        return self._ordered(order).to_arrow()


class NumbersDimension:
    def __init__(self, column: Any, dimension: DimensionSchema) -> None:
        assert dimension.type is not None
        self.type = dimension.type
        self.values, self.nulls = numbers_and_nulls(column, dimension.type)

    def keys(self) -> list[SortKey]:
        return number_keys(self.values, self.nulls)

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        return write_numbers(self.values, self.nulls, self.type, order, encoding)


def write_numbers(
    values: Array, nulls: Array, column_type: ColumnType, order: Array | None, encoding: Encoding
) -> Written:
    if order is not None:
        if len(nulls):
            nulls = nulls_in_order(nulls, len(values), order)
        values = values[order]
    parts = numeric_column(values, nulls, column_type.kind, encoding.metric, encoding.spec.long_encoding)
    return Written(parts, column_type)


def write_metric(column: Any, metric: MetricSchema, encoding: Encoding) -> Written:
    """Raises ValueError, naming the metric, when its values are not those of its type."""
    if metric.type.is_numeric:
        values, nulls = numbers_and_nulls(column, metric.type)
        return write_numbers(values, nulls, metric.type, None, encoding)
    name = metric.type.complex_name
    if name is None:
        raise ValueError(f"Metric [{metric.name}] of type [{metric.type}] cannot be written")
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_null(array.type):
        array = array.cast(pa.binary())
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
        raise ValueError(
            f"Metric [{metric.name}] of type [{metric.type}] holds [{array.type}] instead of binary values"
        )
    if name in PAIR_VALUES:
        return Written([*complex_head(name), *pair_column(array, name, encoding.lz4_level)], metric.type)
    if name in SPECTATOR_TYPES:
        return Written(nullable_column(array, name), metric.type)
    return Written(complex_column(array, name), metric.type)


def _auto(column: Any, dimension: DimensionSchema) -> Prepared:
    column_type = dimension.type or type_of_data(column.type)
    if column_type is None or column_type.is_json:
        return JsonColumn(column, dimension)
    if column_type.is_array:
        assert column_type.element is not None
        return AutoArrays(column, dimension, column_type.element)
    if column_type == STRING:
        return AutoStrings(column, dimension)
    if column_type.is_numeric:
        return AutoNumbers(column, dimension, LONG if column_type == LONG else DOUBLE)
    raise ValueError(f"Dimension [{dimension.name}] of type [{column_type}] cannot be written")


_KINDS: dict[str, Callable[[Any, DimensionSchema], Prepared]] = {
    "string": StringsDimension,
    "long": NumbersDimension,
    "double": NumbersDimension,
    "float": NumbersDimension,
    "auto": _auto,
    "json": JsonColumn,
}
