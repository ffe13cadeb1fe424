"""Virtual columns: named expressions evaluated below a query. Shapes: reference msq-engine 3.13."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from msq.codec import Wire, wire
from msq.datatypes import ColumnType


class VirtualColumn(Wire, ABC):
    """A column computed from others; every kind tells its output name and type."""

    @property
    @abstractmethod
    def output(self) -> str: ...

    @property
    @abstractmethod
    def column_type(self) -> ColumnType: ...


@dataclass(frozen=True)
class ExpressionVirtualColumn(VirtualColumn, tag="expression"):
    """`expression` is text in Druid's native expression language (msq.expr.parser reads it)."""

    name: str
    expression: str
    output_type: ColumnType

    @property
    def output(self) -> str:
        return self.name

    @property
    def column_type(self) -> ColumnType:
        return self.output_type


@dataclass(frozen=True)
class NestedFieldVirtualColumn(VirtualColumn, tag="nested-field"):
    """One path of a JSON column. `path_parts`: `{"type":"field","field":name}` or `{"type":"arrayElement","index":n}`.

    `process_from_raw` and expected type COMPLEX<json> mean JSON_QUERY, else JSON_VALUE.
    """

    column_name: str
    output_name: str
    expected_type: ColumnType
    path_parts: tuple[dict[str, Any], ...]
    process_from_raw: bool = False

    @property
    def output(self) -> str:
        return self.output_name

    @property
    def column_type(self) -> ColumnType:
        return self.expected_type


@dataclass(frozen=True)
class ListFilteredVirtualColumn(VirtualColumn, tag="mv-filtered"):
    """Keeps (or drops, `is_allow_list` false) the listed values of a multi-value string column."""

    name: str
    delegate: dict[str, Any]
    values: tuple[str | None, ...]
    is_allow_list: bool = wire(name="isAllowList", default=True)

    @property
    def output(self) -> str:
        return self.name

    @property
    def column_type(self) -> ColumnType:
        return ColumnType("STRING")


@dataclass(frozen=True)
class RegexFilteredVirtualColumn(VirtualColumn, tag="mv-regex-filtered"):
    """Keeps the values of a multi-value string column that match `pattern` as a whole."""

    name: str
    delegate: dict[str, Any]
    pattern: str

    @property
    def output(self) -> str:
        return self.name

    @property
    def column_type(self) -> ColumnType:
        return ColumnType("STRING")


@dataclass(frozen=True)
class PrefixFilteredVirtualColumn(VirtualColumn, tag="mv-prefix-filtered"):
    """Keeps the values of a multi-value string column that start with `prefix`."""

    name: str
    delegate: dict[str, Any]
    prefix: str

    @property
    def output(self) -> str:
        return self.name

    @property
    def column_type(self) -> ColumnType:
        return ColumnType("STRING")
