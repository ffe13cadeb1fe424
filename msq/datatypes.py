"""Druid's column types and row signatures, and their one mapping to Arrow.

Owns: the type names of the wire, how each is laid out in Arrow frames, and nothing else.

Layout of values in frames (no zone, no logical tags; the `RowSignature` tells what a column means):

| type | Arrow | remarks |
|---|---|---|
| STRING | `string`, or `list<string>` when a batch holds rows with several values | may be a dictionary array |
| LONG | `int64` | timestamps are ms since 1970-01-01T00:00:00Z, booleans 0/1 |
| FLOAT, DOUBLE | `float32`, `float64` | |
| ARRAY<T> | `list<T>` | null row, empty list and null elements are distinct |
| COMPLEX<json> | `string` holding JSON text | |
| other COMPLEX | `binary` in the type's own serialised form | |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A Druid type. `kind` is STRING, LONG, FLOAT, DOUBLE, ARRAY or COMPLEX.

    `element` is set for ARRAY alone; `complex_name` for COMPLEX alone and may be absent there.
    `str()` gives the wire form: `LONG`, `ARRAY<STRING>`, `COMPLEX<json>`.
    """

    kind: str
    element: ColumnType | None = None
    complex_name: str | None = None

    def __str__(self) -> str:
        if self.kind == "ARRAY":
            return f"ARRAY<{self.element}>"
        if self.kind == "COMPLEX":
            return f"COMPLEX<{self.complex_name}>" if self.complex_name else "COMPLEX"
        return self.kind

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("LONG", "FLOAT", "DOUBLE")

    @property
    def is_array(self) -> bool:
        return self.kind == "ARRAY"

    @property
    def is_complex(self) -> bool:
        return self.kind == "COMPLEX"

    @property
    def is_json(self) -> bool:
        return self.kind == "COMPLEX" and self.complex_name == "json"

    @staticmethod
    def parse(text: str) -> ColumnType:
        """The type named by `text` in any letter case (the name of a COMPLEX keeps its case).

        Raises ValueError for a text that names no type.
        """
        return _parse(text.strip())


STRING = ColumnType("STRING")
LONG = ColumnType("LONG")
FLOAT = ColumnType("FLOAT")
DOUBLE = ColumnType("DOUBLE")
JSON = ColumnType("COMPLEX", complex_name="json")
STRING_ARRAY = ColumnType("ARRAY", element=STRING)
LONG_ARRAY = ColumnType("ARRAY", element=LONG)
FLOAT_ARRAY = ColumnType("ARRAY", element=FLOAT)
DOUBLE_ARRAY = ColumnType("ARRAY", element=DOUBLE)

_PRIMITIVES = {t.kind: t for t in (STRING, LONG, FLOAT, DOUBLE)}
_ARROW = {"STRING": pa.string(), "LONG": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64()}


def array_of(element: ColumnType) -> ColumnType:
    return ColumnType("ARRAY", element=element)


def complex_of(name: str) -> ColumnType:
    return ColumnType("COMPLEX", complex_name=name)


@lru_cache(maxsize=1024)
def _parse(text: str) -> ColumnType:
    upper = text.upper()
    if upper in _PRIMITIVES:
        return _PRIMITIVES[upper]
    if upper.startswith("ARRAY<") and text.endswith(">"):
        return array_of(_parse(text[6:-1].strip()))
    if upper.startswith("COMPLEX<") and text.endswith(">"):
        return complex_of(text[8:-1].strip())
    if upper == "COMPLEX":
        return ColumnType("COMPLEX")
    raise ValueError(f"Cannot parse column type [{text}]")


def arrow_type(column_type: ColumnType, multi_value: bool = False) -> Any:
    """The Arrow type of a column in a frame; `multi_value` asks for the list form of STRING."""
    if column_type.kind == "ARRAY":
        assert column_type.element is not None
        return pa.list_(arrow_type(column_type.element))
    if column_type.kind == "COMPLEX":
        return pa.string() if column_type.complex_name == "json" else pa.binary()
    if multi_value and column_type.kind == "STRING":
        return pa.list_(pa.string())
    return _ARROW[column_type.kind]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a signature, `{"name","type"}` on the wire."""

    name: str
    type: ColumnType


class RowSignature:
    """Ordered columns of rows: name to `ColumnType`. Names are unique. Immutable and hashable.

    On the wire it is `[{"name":..,"type":..}, ..]`.
    """

    __slots__ = ("_by_name", "columns")

    columns: tuple[Column, ...]

    def __init__(self, columns: Iterable[Column | tuple[str, ColumnType]] = ()) -> None:
        made = tuple(c if isinstance(c, Column) else Column(*c) for c in columns)
        by_name = {c.name: c.type for c in made}
        if len(by_name) != len(made):
            raise ValueError(f"Duplicate column names in signature {[c.name for c in made]}")
        self.columns = made
        self._by_name = by_name

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def type_of(self, name: str) -> ColumnType | None:
        """The type of column `name`, None when there is no such column."""
        return self._by_name.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowSignature) and self.columns == other.columns

    def __hash__(self) -> int:
        return hash(self.columns)

    def __repr__(self) -> str:
        return "RowSignature(" + ", ".join(f"{c.name}: {c.type}" for c in self.columns) + ")"

    def select(self, names: Sequence[str]) -> RowSignature:
        """The columns `names`, in that order. Raises KeyError for an unknown name."""
        return RowSignature(Column(n, self._by_name[n]) for n in names)

    def to_json(self) -> list[dict[str, str]]:
        return [{"name": c.name, "type": str(c.type)} for c in self.columns]

    @staticmethod
    def from_json(value: Sequence[dict[str, str]]) -> RowSignature:
        return RowSignature(Column(v["name"], ColumnType.parse(v["type"])) for v in value)

    def arrow_schema(self) -> Any:
        """The Arrow schema of a frame whose STRING columns are all single-valued."""
        return pa.schema([(c.name, arrow_type(c.type)) for c in self.columns])
