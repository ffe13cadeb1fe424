"""Native filters. Shapes and key order: reference msq-engine 3.13; lowering: msq.expr.filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.codec import Wire, wire
from msq.datatypes import ColumnType


class DimFilter(Wire):
    """A condition over the columns and virtual columns of a query, three-valued."""


@dataclass(frozen=True)
class EqualsFilter(DimFilter, tag="equals"):
    column: str
    match_value_type: ColumnType
    match_value: Any


@dataclass(frozen=True)
class NullFilter(DimFilter, tag="null"):
    column: str


@dataclass(frozen=True)
class RangeFilter(DimFilter, tag="range"):
    column: str
    match_value_type: ColumnType
    lower: Any = None
    upper: Any = None
    lower_open: bool = wire(default=False, omit=lambda v: not v)
    upper_open: bool = wire(default=False, omit=lambda v: not v)


@dataclass(frozen=True)
class InTypeFilter(DimFilter, tag="inType"):
    column: str
    match_value_type: ColumnType
    sorted_values: tuple[Any, ...]


@dataclass(frozen=True)
class LikeFilter(DimFilter, tag="like"):
    dimension: str
    pattern: str
    escape: str | None = wire(keep_null=True, default=None)
    extraction_fn: Any = wire(name="extractionFn", keep_null=True, default=None)


@dataclass(frozen=True)
class ArrayContainsFilter(DimFilter, tag="arrayContainsElement"):
    column: str
    element_match_value_type: ColumnType
    element_match_value: Any


@dataclass(frozen=True)
class ExpressionFilter(DimFilter, tag="expression"):
    """True where the native expression is (numbers above 0, text `true`)."""

    expression: str
    filter_tuning: Any = None


@dataclass(frozen=True)
class IntervalFilter(DimFilter, tag="interval"):
    dimension: str
    intervals: tuple[str, ...]
    extraction_fn: Any = wire(name="extractionFn", default=None)


@dataclass(frozen=True)
class AndFilter(DimFilter, tag="and"):
    fields: tuple[DimFilter, ...]


@dataclass(frozen=True)
class OrFilter(DimFilter, tag="or"):
    fields: tuple[DimFilter, ...]


@dataclass(frozen=True)
class NotFilter(DimFilter, tag="not"):
    field: DimFilter


@dataclass(frozen=True)
class IsTrueFilter(DimFilter, tag="istrue"):
    field: DimFilter


@dataclass(frozen=True)
class IsFalseFilter(DimFilter, tag="isfalse"):
    field: DimFilter


@dataclass(frozen=True)
class TrueFilter(DimFilter, tag="true"):
    pass


@dataclass(frozen=True)
class FalseFilter(DimFilter, tag="false"):
    pass


@dataclass(frozen=True)
class SelectorFilter(DimFilter, tag="selector"):
    """The older equality on text; null matches null."""

    dimension: str
    value: str | None = wire(keep_null=True, default=None)
    extraction_fn: Any = wire(name="extractionFn", default=None)


@dataclass(frozen=True)
class InFilter(DimFilter, tag="in"):
    """The older IN list of texts; a null among them matches null."""

    dimension: str
    values: tuple[str | None, ...]
    extraction_fn: Any = wire(name="extractionFn", default=None)


@dataclass(frozen=True)
class BoundFilter(DimFilter, tag="bound"):
    """The older range on text; `ordering` is lexicographic, numeric or strlen."""

    dimension: str
    lower: str | None = None
    upper: str | None = None
    lower_strict: bool = False
    upper_strict: bool = False
    ordering: Any = "lexicographic"
    extraction_fn: Any = wire(name="extractionFn", default=None)


@dataclass(frozen=True)
class RegexFilter(DimFilter, tag="regex"):
    dimension: str
    pattern: str
    extraction_fn: Any = wire(name="extractionFn", default=None)


@dataclass(frozen=True)
class ColumnComparisonFilter(DimFilter, tag="columnComparison"):
    dimensions: tuple[str, ...]
