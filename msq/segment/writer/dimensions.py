"""From a column's schema and its Arrow data to its sort keys and its files: which kind of column is written how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from msq.datatypes import ColumnType
from msq.segment.compression import CODEC_OF
from msq.segment.pairs import PAIR_VALUES
from msq.segment.schema import DimensionSchema, IndexSpec, MetricSchema
from msq.segment.writer.columns import (
    complex_column,
    complex_head,
    null_column,
    numbers_and_nulls,
    numeric_column,
    string_column,
)
from msq.segment.writer.dictionary import EncodedStrings, encode_strings
from msq.segment.writer.generic import Array, Codecs, Parts
from msq.segment.writer.pairs import pair_column
from msq.segment.writer.sort import SortKey, id_key, list_key, number_keys


@dataclass
class Written:
    """One column's own file, its side files in order, and whether it holds nothing but nulls."""

    parts: Parts
    side_files: list[tuple[str, Parts]] = field(default_factory=list)
    null_only: bool = False


@dataclass(frozen=True)
class Encoding:
    """How columns are encoded: the segment's spec and the effort put into LZ4."""

    spec: IndexSpec
    lz4_level: int

    def codecs(self, word: str) -> Codecs:
        return Codecs(CODEC_OF[word], self.lz4_level)

    @property
    def dimension(self) -> Codecs:
        return self.codecs(self.spec.dimension_compression)

    @property
    def metric(self) -> Codecs:
        return self.codecs(self.spec.metric_compression)


class Prepared(Protocol):
    """A dimension's data in the form it is sorted and written in."""

    def keys(self) -> list[SortKey]:
        """What orders its rows; empty for a column without an order."""

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        """Its files with the rows in `order` (None: as they are)."""

    def to_arrow(self, order: Array | None) -> Any:
        """Its rows in `order` as Arrow."""


def prepare(column: Any, dimension: DimensionSchema) -> Prepared:
    """Raises ValueError, naming the column, when its data does not fit its kind."""
    try:
        return _KINDS[dimension.kind](column, dimension)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as e:
        raise ValueError(f"Column [{dimension.name}] cannot be stored as [{dimension.kind}]: {e}") from e


class _Strings:
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
            return Written(null_column(encoded.rows), null_only=True)
        return Written(string_column(encoded, encoding.dimension, self.dimension.create_bitmap_index))

    def to_arrow(self, order: Array | None) -> Any:
        return self._ordered(order).to_arrow()


class _Numbers:
    def __init__(self, column: Any, dimension: DimensionSchema) -> None:
        assert dimension.type is not None
        self.type = dimension.type
        self.column = column
        self.values, self.nulls = numbers_and_nulls(column, dimension.type)

    def keys(self) -> list[SortKey]:
        return number_keys(self.values, self.nulls)

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        return write_numbers(self.values, self.nulls, self.type, order, encoding)

    def to_arrow(self, order: Array | None) -> Any:
        return self.column if order is None else self.column.take(pa.array(order))


def write_numbers(
    values: Array, nulls: Array, column_type: ColumnType, order: Array | None, encoding: Encoding
) -> Written:
    if order is not None:
        if len(nulls):
            nulls = nulls_in_order(nulls, len(values), order)
        values = values[order]
    return Written(numeric_column(values, nulls, column_type.kind, encoding.metric, encoding.spec.long_encoding))


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
        raise ValueError(f"Metric [{metric.name}] of type [{metric.type}] holds [{array.type}] instead of binary values")
    if name in PAIR_VALUES:
        return Written([*complex_head(name), *pair_column(array, name)])
    return Written(complex_column(array, name))


def nulls_in_order(nulls: Array, count: int, order: Array) -> Array:
    """Where the rows `nulls` stand once rows come in `order`, ascending."""
    flags = np.zeros(count, bool)
    flags[nulls] = True
    return np.flatnonzero(flags[order])


_KINDS: dict[str, Callable[[Any, DimensionSchema], Prepared]] = {
    "string": _Strings, "long": _Numbers, "double": _Numbers, "float": _Numbers,
}  # fmt: skip
