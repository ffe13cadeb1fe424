"""`auto` columns of one type: scalars and arrays, with their dictionaries, ids and indexes in side files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import DOUBLE, LONG, STRING, ColumnType, array_of
from msq.segment.compression import LZ4, UNCOMPRESSED
from msq.segment.schema import DimensionSchema
from msq.segment.writer.columns import BITMAP_SERDE, descriptor, numbers_and_nulls, unique_pairs, value_column
from msq.segment.writer.dictionary import encode_flat, encode_strings, flatten_lists
from msq.segment.writer.encoding import Encoding, Written, nulls_in_order
from msq.segment.writer.generic import Array, Codecs, Parts, binary_buffers, id_column, vbyte
from msq.segment.writer.roaring import bitmap_list, pair_bitmap_list
from msq.segment.writer.sort import SortKey, bits_of, id_key, number_keys
from msq.segment.writer.values import (
    NO_ARRAYS,
    NO_DOUBLES,
    NO_LONGS,
    NO_STRINGS,
    ValueSpace,
    distinct_doubles,
    distinct_longs,
    element_ids,
    local_dictionary,
    number_lists,
)


def column_file(
    name: str, logical: str, has_nulls: bool, cast: bool, variant_types: int | None = None, extra: Parts | None = None
) -> Parts:
    """The column's own file. `variant_types`: the bits of its root types when it has several."""
    part: dict[str, Any] = {
        "type": "nestedCommonFormat",
        "logicalType": logical,
        "hasNulls": has_nulls,
        "isVariantType": variant_types is not None,
        "enforceLogicalType": cast,
        "byteOrder": "LITTLE_ENDIAN",
        "bitmapSerdeFactory": BITMAP_SERDE,
    }
    if logical == "COMPLEX<json>":
        part["pathParserVersion"] = 1
    text = name.encode()
    body: Parts = [descriptor("COMPLEX", part), b"\0" + vbyte(len(text)) + text]
    if variant_types is not None:
        body.append(bytes([variant_types]))
    return body + (extra or [])


def id_codecs(encoding: Encoding) -> Codecs:
    """Ids of auto columns are always compressed."""
    made = encoding.dimension
    return Codecs(LZ4, made.lz4_level) if made.codec == UNCOMPRESSED else made


class AutoStrings:
    """An auto column of strings, one a row."""

    def __init__(self, column: Any, dimension: DimensionSchema) -> None:
        self.dimension = dimension
        self.encoded = encode_strings(column)
        if self.encoded.offsets is not None:
            raise ValueError(f"Column [{dimension.name}] of type [STRING] holds several values in a row")

    def keys(self) -> list[SortKey]:
        return [id_key(self.encoded.ids, self.encoded.cardinality)]

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        encoded = self.encoded if order is None else self.encoded.take(order)
        # null is in the dictionary whether it occurs or not
        ids = encoded.ids if encoded.has_null else encoded.ids + 1
        space = ValueSpace(encoded.values, NO_LONGS, NO_DOUBLES, NO_ARRAYS)
        name, cast = self.dimension.name, self.dimension.cast_to_type is not None
        side = {
            "__stringDictionary": space.string_dictionary(),
            "__encodedColumn": id_column(ids, space.count, id_codecs(encoding)),
            "__valueIndexes": bitmap_list(ids, space.count),
        }
        return Written(column_file(name, "STRING", encoded.has_null, cast), STRING, side_files(name, side))


class AutoNumbers:
    """An auto column of longs or doubles; floats are kept as doubles."""

    def __init__(self, column: Any, dimension: DimensionSchema, column_type: ColumnType) -> None:
        self.dimension = dimension
        self.type = column_type
        self.values, self.nulls = numbers_and_nulls(column, column_type)

    def keys(self) -> list[SortKey]:
        return number_keys(self.values, self.nulls)

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        values, nulls = self.values, self.nulls
        if order is not None:
            nulls = nulls_in_order(nulls, len(values), order)
            values = values[order]
        given = np.delete(values, nulls) if len(nulls) else values
        is_long = self.type == LONG
        space = (
            ValueSpace(NO_STRINGS, distinct_longs(given), NO_DOUBLES, NO_ARRAYS)
            if is_long
            else ValueSpace(NO_STRINGS, NO_LONGS, distinct_doubles(given), NO_ARRAYS)
        )
        ids = space.long_ids(values) if is_long else space.double_ids(values)
        ids[nulls] = 0
        name, cast = self.dimension.name, self.dimension.cast_to_type is not None
        kind = "long" if is_long else "double"
        dictionary = space.long_dictionary(True) if is_long else space.double_dictionary(True)
        side = {
            f"__{kind}Dictionary": dictionary,
            "__encodedColumn": id_column(ids, space.count, id_codecs(encoding)),
            f"__{kind}Column": value_column(values, kind.upper(), encoding.metric),
            "__valueIndexes": bitmap_list(ids, space.count),
        }
        return Written(column_file(name, kind.upper(), len(nulls) > 0, cast), self.type, side_files(name, side))


class AutoArrays:
    """An auto column of arrays. A null row, an empty array and null elements are all distinct."""

    def __init__(self, column: Any, dimension: DimensionSchema, element: ColumnType) -> None:
        self.dimension = dimension
        self.element = DOUBLE if element.kind == "FLOAT" else element
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        if pa.types.is_null(column.type):
            column = column.cast(pa.list_(pa.null()))
        offsets, flat = flatten_lists(column)
        missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
        self.space, elements = self._elements(flat)
        arrays, rank = number_lists(elements, offsets, missing)
        self.space.arrays = arrays
        self.ids = np.where(rank < 0, 0, self.space.first_array + rank).astype(np.int32)
        self.elements, self.offsets = elements, offsets

    def _elements(self, flat: Any) -> tuple[ValueSpace, Array]:
        if self.element == STRING:
            if pa.types.is_null(flat.type):
                flat = flat.cast(pa.string())
            values, codes = encode_flat(flat)
            return ValueSpace(values, NO_LONGS, NO_DOUBLES, NO_ARRAYS), codes + 1
        values, nulls = numbers_and_nulls(flat, self.element)
        given = np.delete(values, nulls) if len(nulls) else values
        if self.element == LONG:
            space = ValueSpace(NO_STRINGS, distinct_longs(given), NO_DOUBLES, NO_ARRAYS)
            ids = space.long_ids(values)
        else:
            space = ValueSpace(NO_STRINGS, NO_LONGS, distinct_doubles(given), NO_ARRAYS)
            ids = space.double_ids(values)
        ids[nulls] = 0
        return space, ids

    def keys(self) -> list[SortKey]:
        return [SortKey(bits_of(self.space.count), lambda: self.ids)]

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        ids = self.ids if order is None else self.ids[order]
        name, cast = self.dimension.name, self.dimension.cast_to_type is not None
        column_type = array_of(self.element)
        has_nulls = bool((ids == 0).any())
        return Written(
            column_file(name, str(column_type), has_nulls, cast), column_type,
            side_files(name, variant_side_files(self.space, ids, encoding)),
        )  # fmt: skip


def variant_side_files(space: ValueSpace, ids: Array, encoding: Encoding) -> dict[str, Parts]:
    """The side files of arrays and variants; `ids` are global, one a row."""
    elements = element_ids(space.arrays)
    return {
        "__stringDictionary": space.string_dictionary(),
        "__longDictionary": space.long_dictionary(),
        "__doubleDictionary": space.double_dictionary(),
        "__arrayDictionary": space.array_dictionary(),
        "__arrayElementDictionary": local_dictionary(elements),
        "__encodedColumn": id_column(ids, space.count, id_codecs(encoding)),
        "__valueIndexes": bitmap_list(ids, space.count),
        "__arrayElementIndexes": element_index(space, ids, elements),
    }


def element_index(space: ValueSpace, ids: Array, elements: Array) -> Parts:
    """For each id of `elements` the rows whose array holds it."""
    if not len(elements):
        return pair_bitmap_list(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    holding = np.flatnonzero(ids >= space.first_array)
    words, offsets = array_words(space.arrays)
    of_row = ids[holding] - space.first_array
    lengths = np.diff(offsets)[of_row]
    ends = np.cumsum(lengths)
    at = np.repeat(offsets[:-1][of_row] - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
    found = np.searchsorted(elements, words[at])
    pairs, rows = unique_pairs(found, np.concatenate([[0], ends]))
    return pair_bitmap_list(pairs, holding[rows], len(elements))


def array_words(arrays: Any) -> tuple[Array, Array]:
    """(ids of all arrays' elements, offsets of the arrays in them)."""
    offsets, data = binary_buffers(arrays)
    words = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].view(">u4").astype(np.int64)
    return words, (offsets - offsets[0]) // 4


def side_files(name: str, files: dict[str, Parts]) -> list[tuple[str, Parts]]:
    return [(f"{name}.{suffix}", parts) for suffix, parts in files.items()]


def type_of_data(kind: Any) -> ColumnType | None:
    """The Druid type that data of an Arrow type is stored as by an auto column; None for text, which may be JSON."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = type_of_data(kind.value_type)
        # lists of nothing but nulls are arrays of longs
        return array_of(LONG if pa.types.is_null(kind.value_type) else element or STRING)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return LONG
    if pa.types.is_floating(kind):
        return DOUBLE
    return None


__all__ = ["AutoArrays", "AutoNumbers", "AutoStrings", "column_file", "side_files", "type_of_data"]
