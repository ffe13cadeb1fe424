"""JSON columns: documents taken apart into one field a path, beside the raw documents themselves.

A column whose values are all scalars or arrays of scalars at the root is no nested column: it is written as one of its
type, or as a variant of several.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import DOUBLE, JSON, LONG, STRING, ColumnType, array_of
from msq.expr.printer import double_text
from msq.segment.schema import DimensionSchema
from msq.segment.smile import encode_document
from msq.segment.writer.auto import (
    AutoArrays,
    AutoNumbers,
    AutoStrings,
    column_file,
    element_index,
    id_codecs,
    side_files,
    variant_side_files,
)
from msq.segment.writer.blob import blob_files
from msq.segment.writer.columns import value_column
from msq.segment.writer.dictionary import encode_flat
from msq.segment.writer.encoding import Encoding, Written
from msq.segment.writer.generic import Array, Parts, be32, id_column, le32, name_list, size_of
from msq.segment.writer.roaring import bitmap_list, single_bitmap
from msq.segment.writer.sort import SortKey
from msq.segment.writer.values import (
    NO_ARRAYS,
    ValueSpace,
    distinct_doubles,
    distinct_longs,
    element_ids,
    local_dictionary,
    number_lists,
)

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_TYPE_BITS = {"STRING": 1, "LONG": 4, "DOUBLE": 8, "ARRAY<STRING>": 16, "ARRAY<LONG>": 32, "ARRAY<DOUBLE>": 64}
_NESTING = {dict, list}
_ELEMENTS = {str: "ARRAY<STRING>", float: "ARRAY<DOUBLE>"}


class Field:
    """The values at one path: `rows[i]` holds `values[i]`. Inner nodes of the tree of paths are fields, too."""

    __slots__ = ("elements", "keys", "path", "rows", "values")

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[int] = []
        self.values: list[Any] = []
        self.keys: dict[str, Field] = {}
        self.elements: dict[int, Field] = {}

    def under(self, key: str) -> Field:
        found = self.keys.get(key)
        if found is None:
            plain = key and not any(c in key for c in ".'\"[]")
            found = self.keys[key] = Field(f"{self.path}.{key}" if plain else f"{self.path}['{key}']")
        return found

    def at(self, index: int) -> Field:
        found = self.elements.get(index)
        if found is None:
            found = self.elements[index] = Field(f"{self.path}[{index}]")
        return found


def take_apart(value: Any, field: Field, row: int) -> None:
    """Note the scalars and arrays of scalars in a JSON value at the fields of their paths."""
    kind = type(value)
    if kind is dict:
        keys = field.keys
        for key, inner in value.items():
            if inner is None:
                continue
            below = keys.get(key) or field.under(key)
            if type(inner) in _NESTING:
                take_apart(inner, below, row)
            else:
                below.rows.append(row)
                below.values.append(inner)
    elif kind is list:
        if not _NESTING.isdisjoint(map(type, value)):
            for i, inner in enumerate(value):
                if inner is not None:
                    take_apart(inner, field.elements.get(i) or field.at(i), row)
        else:
            field.rows.append(row)
            field.values.append(value)
    else:
        field.rows.append(row)
        field.values.append(value)


class JsonColumn:
    """A column of JSON text. Text that is no JSON raises ValueError."""

    def __init__(self, column: Any, dimension: DimensionSchema) -> None:
        self.dimension = dimension
        self.column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])

    def keys(self) -> list[SortKey]:
        return []

    def write(self, order: Array | None, encoding: Encoding) -> Written:
        column = self.column if order is None else self.column.take(pa.array(order))
        root = Field("$")
        nested = self.dimension.kind == "json"
        raw: list[bytes] = []
        # one document at a time: many of them kept would keep the garbage collector busy
        for row, document in enumerate(self._documents(column)):
            if document is None:
                raw.append(b"")
                continue
            nested = nested or type(document) is dict
            take_apart(document, root, row)
            raw.append(encode_document(document))
        if not nested and not root.keys and not root.elements:
            return _write_plain(root, len(raw), self.dimension, encoding)
        fields = sorted((f for f in _walk(root) if f.values), key=lambda f: f.path.encode("utf-16-be", "surrogatepass"))
        return _write_nested(raw, fields, self.dimension, encoding)

    def _documents(self, column: Any) -> Iterator[Any]:
        scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        for chunk in column.chunks:
            for text in chunk.to_pylist():
                if text is None:
                    yield None
                    continue
                try:
                    value, end = scan(text, 0)
                except StopIteration:
                    end = -1
                except ValueError as e:
                    raise self._malformed(text) from e
                if end != len(text):
                    # blanks around it, or no JSON at all
                    try:
                        value = json.loads(text)
                    except ValueError as e:
                        raise self._malformed(text) from e
                yield value

    def _malformed(self, text: str) -> ValueError:
        return ValueError(f"Column [{self.dimension.name}] holds a text that is no JSON: [{text:.80}]")


def _walk(field: Field) -> list[Field]:
    out, waiting = [], [field]
    while waiting:
        at = waiting.pop()
        out.append(at)
        waiting += at.keys.values()
        waiting += at.elements.values()
    return out


# -- values of a field ------------------------------------------------------------------------------------------------


def split_types(values: list[Any]) -> dict[str, tuple[Array, list[Any]]]:
    """The values by stored type: type -> (their places, the values as that type). Arrays get one type each."""
    kinds = {type(v) for v in values}
    if len(kinds) == 1 and list not in kinds:
        only = kinds.pop()
        places = np.arange(len(values))
        if only is str:
            return {"STRING": (places, values)}
        if only is bool:
            return {"LONG": (places, [int(v) for v in values])}
        if only is float:
            return {"DOUBLE": (places, values)}
        if all(_LONG_MIN <= v <= _LONG_MAX for v in values):
            return {"LONG": (places, values)}
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for place, value in enumerate(values):
        kind, made = _typed(value)
        entry = found.setdefault(kind, ([], []))
        entry[0].append(place)
        entry[1].append(made)
    return {kind: (np.asarray(places), made) for kind, (places, made) in found.items()}


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, list):
        found = set(map(type, value))
        if len(found) == 1 and (only := _ELEMENTS.get(next(iter(found)))) is not None:
            return only, value
        kinds = {_typed(e)[0] for e in value if e is not None}
        if "STRING" in kinds:
            return "ARRAY<STRING>", [None if e is None else _as_text(e) for e in value]
        if "DOUBLE" in kinds:
            return "ARRAY<DOUBLE>", [None if e is None else float(e) for e in value]
        return ("ARRAY<LONG>" if kinds else "ARRAY"), [None if e is None else int(e) for e in value]
    if isinstance(value, str):
        return "STRING", value
    if isinstance(value, int) and _LONG_MIN <= value <= _LONG_MAX:
        return "LONG", int(value)
    return "DOUBLE", float(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return double_text(value) if isinstance(value, float) else str(value)


class _Space:
    """The value space of all fields, and the ids of a field's values in it."""

    def __init__(self, fields: list[Field]) -> None:
        self.split = [split_types(f.values) for f in fields]
        texts: set[str] = set()
        longs: list[Any] = []
        doubles: list[Any] = []
        for split in self.split:
            for kind, (_, values) in split.items():
                flat = [e for v in values for e in v if e is not None] if kind.startswith("ARRAY") else values
                if kind.endswith(("STRING", "STRING>")):
                    texts.update(flat)
                elif kind.endswith(("DOUBLE", "DOUBLE>")):
                    doubles.append(np.asarray(flat, np.float64))
                else:
                    longs.append(np.asarray(flat, np.int64))
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        strings, codes = encode_flat(pa.chunked_array([pa.array(clean, pa.string())]))
        self._text_ids: dict[Any, int] = dict(zip(texts, (codes + 1).tolist()))
        self._text_ids[None] = 0
        self.values = ValueSpace(
            strings,
            distinct_longs(np.concatenate(longs)) if longs else np.zeros(0, np.int64),
            distinct_doubles(np.concatenate(doubles)) if doubles else np.zeros(0),
            NO_ARRAYS,
        )
        lists = [self._element_lists(split) for split in self.split]
        ids = np.concatenate([np.zeros(0, np.int32), *(i for i, _ in lists)])
        lengths = np.concatenate([np.zeros(0, np.int64), *(n for _, n in lists)])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        arrays, rank = number_lists(ids, offsets, None)
        self.values.arrays = arrays
        self._array_ids = np.split(
            (self.values.first_array + rank).astype(np.int32), np.cumsum([len(n) for _, n in lists])[:-1]
        )

    def _ids(self, kind: str, values: list[Any]) -> Array:
        if kind == "STRING":
            return np.fromiter(map(self._text_ids.__getitem__, values), np.int32, len(values))
        if kind == "DOUBLE":
            return self.values.double_ids(np.asarray(values, np.float64))
        return self.values.long_ids(np.asarray(values, np.int64))

    def _element_lists(self, split: dict[str, tuple[Array, list[Any]]]) -> tuple[Array, Array]:
        """(ids of the elements, lengths) of a field's arrays, type after type."""
        ids: list[Array] = [np.zeros(0, np.int32)]
        lengths: list[int] = []
        for kind, (_, values) in split.items():
            if not kind.startswith("ARRAY"):
                continue
            flat = [e for v in values for e in v]
            lengths += [len(v) for v in values]
            given = np.fromiter((e is not None for e in flat), bool, len(flat))
            made = np.zeros(len(flat), np.int32)
            made[given] = self._ids(kind[6:-1], [e for e in flat if e is not None])
            ids.append(made)
        return np.concatenate(ids), np.asarray(lengths, np.int64)

    def ids_of(self, number: int, count: int, rows: list[int]) -> Array:
        """Global ids of field `number` in all `count` rows; 0 where the field is missing."""
        split = self.split[number]
        made = np.zeros(len(rows), np.int32)
        at = 0
        for kind, (places, values) in split.items():
            if kind.startswith("ARRAY"):
                made[places] = self._array_ids[number][at : at + len(places)]
                at += len(places)
            else:
                made[places] = self._ids(kind, values)
        out = np.zeros(count, np.int32)
        out[np.asarray(rows, np.int64)] = made
        return out

    def type_bits(self, number: int) -> int:
        return type_bits(self.split[number])


def type_bits(split: dict[str, Any]) -> int:
    """The set of types as bits. Arrays of nothing but nulls take part only by what stands beside them."""
    bits = 0
    for kind in split:
        bits |= _TYPE_BITS.get(kind, 0)
    if "ARRAY" in split and not bits & 0x70:
        scalars = {1: 16, 4: 32, 8: 64}
        bits |= scalars.get(bits, 32 if bits in (0, 4) else 64 if bits == 12 else 16)
    return bits


# -- files ------------------------------------------------------------------------------------------------------------


def _write_nested(raw: list[bytes], fields: list[Field], dimension: DimensionSchema, encoding: Encoding) -> Written:
    count = len(raw)
    space = _Space(fields)
    nulls = np.flatnonzero(np.fromiter(map(len, raw), np.int64, count) == 0)
    name = dimension.name
    bits = bytes(space.type_bits(i) for i in range(len(fields)))
    extra: Parts = [name_list([f.path for f in fields]) if fields else name_list([]), bits]
    files: dict[str, Parts] = {
        "__stringDictionary": space.values.string_dictionary(),
        "__longDictionary": space.values.long_dictionary(),
        "__doubleDictionary": space.values.double_dictionary(),
        "__arrayDictionary": space.values.array_dictionary(),
    }
    files.update(blob_files("__raw", raw, encoding.codecs(encoding.spec.json_compression)))
    if len(nulls):
        files["__nullIndex"] = single_bitmap(nulls)
    for number, field in enumerate(fields):
        ids = space.ids_of(number, count, field.rows)
        files[f"__field_{number}"] = _field_file(space, number, ids, field, encoding)
    head = column_file(name, "COMPLEX<json>", len(nulls) > 0, dimension.cast_to_type is not None, None, extra)
    return Written(head, JSON, side_files(name, files))


def _field_file(space: _Space, number: int, ids: Array, field: Field, encoding: Encoding) -> Parts:
    used = np.flatnonzero(np.bincount(ids, minlength=space.values.count))
    local = np.searchsorted(used, ids)
    longs: Parts = []
    doubles: Parts = []
    split = space.split[number]
    if len(split) == 1 and ("LONG" in split or "DOUBLE" in split):
        kind = next(iter(split))
        values = np.zeros(len(ids), np.int64 if kind == "LONG" else np.float64)
        values[np.asarray(field.rows, np.int64)] = split[kind][1]
        column = value_column(values, kind, encoding.metric)
        longs, doubles = (column, []) if kind == "LONG" else ([], column)
    out: Parts = [b"\x02" + be32(0), *local_dictionary(used), le32(size_of(longs)), le32(size_of(doubles))]
    out += longs + doubles
    out += id_column(local, int(used[-1]), id_codecs(encoding))
    out += bitmap_list(local, len(used))
    if any(kind.startswith("ARRAY") for kind in split):
        arrays = space.values.arrays.take(pa.array(used[used >= space.values.first_array] - space.values.first_array))
        elements = element_ids(arrays)
        out += local_dictionary(elements)
        out += element_index(space.values, ids, elements)
    return out


def _write_plain(root: Field, count: int, dimension: DimensionSchema, encoding: Encoding) -> Written:
    """A column whose values all stand at the root: one type, or a variant."""
    split = split_types(root.values)
    bits = type_bits(split)
    rows = np.asarray(root.rows, np.int64)
    types = [word for word, bit in _TYPE_BITS.items() if bits & bit]
    if len(types) <= 1:
        values: list[Any] = [None] * count
        for places, made in split.values():
            for place, value in zip(rows[places].tolist(), made):
                values[place] = value
        return _typed_column(values, ColumnType.parse(types[0]) if types else STRING, dimension).write(None, encoding)
    space = _Space([root])
    ids = space.ids_of(0, count, root.rows)
    logical = least_restrictive(types)
    head = column_file(dimension.name, logical, len(rows) < count, dimension.cast_to_type is not None, bits)
    side = side_files(dimension.name, variant_side_files(space.values, ids, encoding))
    return Written(head, ColumnType.parse(logical), side)


def _typed_column(
    values: list[Any], column_type: ColumnType, dimension: DimensionSchema
) -> AutoStrings | AutoNumbers | AutoArrays:
    if column_type == STRING:
        return AutoStrings(pa.array(values, pa.string()), dimension)
    if column_type == LONG:
        return AutoNumbers(pa.array(values, pa.int64()), dimension, LONG)
    if column_type == DOUBLE:
        return AutoNumbers(pa.array(values, pa.float64()), dimension, DOUBLE)
    assert column_type.element is not None
    element = {STRING: pa.string(), LONG: pa.int64(), DOUBLE: pa.float64()}[column_type.element]
    return AutoArrays(pa.array(values, pa.list_(element)), dimension, column_type.element)


def least_restrictive(types: list[str]) -> str:
    """The type that all of `types` can be read as."""
    elements = {t[6:-1] if t.startswith("ARRAY") else t for t in types}
    element = STRING if "STRING" in elements else DOUBLE if "DOUBLE" in elements else LONG
    return str(array_of(element) if any(t.startswith("ARRAY") for t in types) else element)
