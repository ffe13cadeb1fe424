"""Data sources of native queries. EXTERN's source and format stay Druid's JSON (msq.sources, msq.formats read it)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msq.codec import Wire, decode, encode, wire
from msq.datatypes import ColumnType, RowSignature
from msq.native.filters import DimFilter
from msq.native.virtual import VirtualColumn

if TYPE_CHECKING:
    from msq.native.query import NativeQuery


class DataSource(Wire):
    """Where a query's rows come from. `children` are the sources inside it, left to right."""

    def children(self) -> tuple[DataSource, ...]:
        return ()

    def walk(self) -> Iterator[DataSource]:
        """This source and all below it, outer first."""
        yield self
        for child in self.children():
            yield from child.walk()


@dataclass(frozen=True)
class TableDataSource(DataSource, tag="table"):
    name: str


@dataclass(frozen=True)
class InputNumberDataSource(DataSource, tag="inputNumber"):
    """The stage's input of that number; only inside stage definitions."""

    input_number: int


@dataclass(frozen=True)
class ExternalDataSource(DataSource, tag="external"):
    input_source: dict[str, Any]
    input_format: dict[str, Any] | None
    signature: RowSignature


@dataclass(frozen=True)
class InlineDataSource(DataSource, tag="inline"):
    """Rows in the query itself. Values are JSON scalars or lists by column."""

    column_names: tuple[str, ...]
    column_types: tuple[ColumnType, ...]
    rows: tuple[tuple[Any, ...], ...]

    @property
    def signature(self) -> RowSignature:
        return RowSignature(zip(self.column_names, self.column_types))


@dataclass(frozen=True)
class LookupDataSource(DataSource, tag="lookup"):
    """A lookup as a table of two STRING columns `k`, `v`."""

    lookup: str


@dataclass(frozen=True)
class QueryDataSource(DataSource, tag="query"):
    query: NativeQuery

    def to_wire(self) -> Any:
        return {"type": "query", "query": encode(self.query)}

    @classmethod
    def from_wire(cls, value: Any) -> QueryDataSource:
        from msq.native.query import NativeQuery

        return cls(decode(NativeQuery, value["query"]))


@dataclass(frozen=True)
class JoinDataSource(DataSource, tag="join"):
    """`condition` is a native expression over left columns and right ones under `right_prefix`.

    join_type: INNER, LEFT, RIGHT or FULL. join_algorithm: "sortMerge", absent for broadcast.
    """

    left: DataSource
    right: DataSource
    right_prefix: str
    condition: str
    join_type: str
    left_filter: DimFilter | None = None
    join_algorithm: str | None = None

    def children(self) -> tuple[DataSource, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class UnnestDataSource(DataSource, tag="unnest"):
    """One row per element of `virtual_column` (output column of its name), kept when `unnest_filter` holds."""

    base: DataSource
    virtual_column: VirtualColumn
    unnest_filter: DimFilter | None = wire(keep_null=True, default=None)

    def children(self) -> tuple[DataSource, ...]:
        return (self.base,)


@dataclass(frozen=True)
class FilteredDataSource(DataSource, tag="filter"):
    base: DataSource
    filter: DimFilter | None = wire(keep_null=True, default=None)

    def children(self) -> tuple[DataSource, ...]:
        return (self.base,)


@dataclass(frozen=True)
class UnionDataSource(DataSource, tag="union"):
    """All rows of all sources, columns by name, missing ones null."""

    data_sources: tuple[DataSource, ...]

    def children(self) -> tuple[DataSource, ...]:
        return self.data_sources
