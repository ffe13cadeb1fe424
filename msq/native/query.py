"""The native queries that plans are made of: scan, groupBy, windowOperator. Key order: reference msq-engine 3.3."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from msq.codec import Wire, decode_fields, encode, wire
from msq.datatypes import ColumnType, RowSignature
from msq.intervals import ETERNITY, Granularity, Interval
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.datasource import DataSource
from msq.native.filters import DimFilter
from msq.native.virtual import VirtualColumn


@dataclass(frozen=True)
class IntervalSpec:
    """`{"type":"intervals","intervals":[..]}`; window queries print type LegacySegmentSpec."""

    intervals: tuple[Interval, ...] = (ETERNITY,)
    kind: str = "intervals"

    def to_json(self) -> dict[str, Any]:
        return {"type": self.kind, "intervals": [str(i) for i in self.intervals]}

    @staticmethod
    def from_json(value: Any) -> IntervalSpec:
        """Also reads the bare list and the bare text that native queries may carry."""
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            return IntervalSpec(tuple(Interval.parse(v) for v in value))
        return IntervalSpec(tuple(Interval.parse(v) for v in value["intervals"]), value.get("type", "intervals"))


ALL = Granularity("ALL")


class NativeQuery(Wire):
    """Base of the native queries; immutable. Shared fields: data_source, intervals, context."""

    TYPE_KEY = "queryType"

    data_source: DataSource
    intervals: IntervalSpec
    context: dict[str, Any]

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        return decode_fields(cls, {"intervals": [str(ETERNITY)], **value})

    def with_data_source(self, source: DataSource) -> Any:
        return replace(self, data_source=source)  # type: ignore[type-var]

    def with_context(self, context: dict[str, Any]) -> Any:
        """The same query with `context`, whose keys are printed sorted."""
        return replace(self, context=dict(sorted(context.items())))  # type: ignore[type-var]


@dataclass(frozen=True)
class OrderByColumn(Wire):
    """One ordering column of a scan: order is `ascending` or `descending`."""

    column_name: str
    order: str = "ascending"


@dataclass(frozen=True)
class ScanQuery(NativeQuery, tag="scan"):
    """Rows as they are: filter, virtual columns, projection `columns` (types beside them), order, offset, limit."""

    data_source: DataSource
    intervals: IntervalSpec = IntervalSpec()
    virtual_columns: tuple[VirtualColumn, ...] | None = wire(default=None, omit=lambda v: not v)
    result_format: str = "compactedList"
    batch_size: int | None = None
    offset: int | None = wire(default=None, omit=lambda v: not v)
    limit: int | None = None
    order: str | None = None
    order_by: tuple[OrderByColumn, ...] | None = wire(default=None, omit=lambda v: not v)
    filter: DimFilter | None = None
    columns: tuple[str, ...] = ()
    context: dict[str, Any] = wire(default_factory=dict)
    column_types: tuple[ColumnType, ...] | None = None
    granularity: Granularity = ALL
    legacy: bool = False

    @property
    def signature(self) -> RowSignature:
        """Columns with their types, in `columns` order. Raises ValueError when the query carries no types."""
        if self.column_types is None:
            raise ValueError("scan query without columnTypes has no signature of its own")
        return RowSignature(zip(self.columns, self.column_types))


class DimensionSpec(Wire):
    """The family of groupBy's dimension objects."""


@dataclass(frozen=True)
class DefaultDimensionSpec(DimensionSpec, tag="default"):
    dimension: str
    output_name: str
    output_type: ColumnType = ColumnType("STRING")


class HavingSpec(Wire):
    """The family of having specs; MSQ knows `filter` and `always`."""


@dataclass(frozen=True)
class FilterHaving(HavingSpec, tag="filter"):
    filter: DimFilter
    finalize: bool = True


@dataclass(frozen=True)
class AlwaysHaving(HavingSpec, tag="always"):
    pass


@dataclass(frozen=True)
class OrderByColumnSpec(Wire):
    """`direction` ascending|descending; `dimension_order` {"type":"numeric"|"lexicographic"}."""

    dimension: str
    direction: str = "ascending"
    dimension_order: dict[str, Any] = wire(default_factory=lambda: {"type": "lexicographic"})


class LimitSpec(Wire):
    """The family of limit specs."""


@dataclass(frozen=True)
class NoopLimitSpec(LimitSpec, tag="NoopLimitSpec"):
    pass


@dataclass(frozen=True)
class DefaultLimitSpec(LimitSpec, tag="default"):
    columns: tuple[OrderByColumnSpec, ...] = ()
    offset: int | None = wire(default=None, omit=lambda v: not v)
    limit: int | None = None


@dataclass(frozen=True)
class GroupByQuery(NativeQuery, tag="groupBy"):
    """Groups by `dimensions` (empty: one group over all rows) and aggregates; post-aggregators, having, limitSpec."""

    data_source: DataSource
    intervals: IntervalSpec = IntervalSpec()
    virtual_columns: tuple[VirtualColumn, ...] | None = wire(default=None, omit=lambda v: not v)
    filter: DimFilter | None = None
    granularity: Granularity = ALL
    dimensions: tuple[DefaultDimensionSpec, ...] = ()
    aggregations: tuple[Aggregator, ...] | None = wire(default=None, omit=lambda v: not v)
    post_aggregations: tuple[PostAggregator, ...] | None = wire(default=None, omit=lambda v: not v)
    having: HavingSpec | None = None
    limit_spec: LimitSpec = NoopLimitSpec()
    subtotals_spec: tuple[tuple[str, ...], ...] | None = None
    context: dict[str, Any] = wire(default_factory=dict)


@dataclass(frozen=True)
class WindowOperatorQuery(NativeQuery, tag="windowOperator"):
    """Window functions as a list of operators over sorted partitions; operators and processors as in 3.8."""

    data_source: DataSource
    intervals: IntervalSpec = IntervalSpec(kind="LegacySegmentSpec")
    context: dict[str, Any] = wire(default_factory=dict)
    output_signature: RowSignature = RowSignature()
    operator_definition: tuple[dict[str, Any], ...] = ()
    leaf_operators: tuple[dict[str, Any], ...] = ()
    granularity: Granularity = ALL


def query_text(query: NativeQuery) -> dict[str, Any]:
    """The query as Druid prints it."""
    encoded: dict[str, Any] = encode(query)
    return encoded
