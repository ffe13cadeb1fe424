"""Segments that cannot hold a row of a query, told by its filter and their `range` shard specs. Source: msq-engine 3.9.

A filter is read as a set of value ranges for each column; what it says in other ways is taken as "anything". A value is
(0, "") for null, which sorts first, (1, text) for a text, (2, "") above all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.slicing import Visible
from msq.datatypes import STRING
from msq.native.datasource import DataSource, FilteredDataSource, InputNumberDataSource
from msq.native.filters import (
    AndFilter,
    DimFilter,
    EqualsFilter,
    InFilter,
    InTypeFilter,
    NullFilter,
    OrFilter,
    RangeFilter,
    SelectorFilter,
)
from msq.native.query import GroupByQuery, ScanQuery
from msq.segment.identity import RangeShardSpec
from msq.stage.query import StageDefinition

Point = tuple[int, str]
Range = tuple[Point, Point]
"""Both ends included: an open end only ever keeps a segment too many."""
Ranges = tuple[Range, ...]

LOWEST: Point = (0, "")
HIGHEST: Point = (2, "")
ANYTHING: Ranges = ((LOWEST, HIGHEST),)


def prune(stage: StageDefinition, visible: Sequence[Visible]) -> Sequence[Visible]:
    """Those of a table's segments that the stage, which reads the table, has to open."""
    filters = _filters(stage)
    if not filters:
        return visible
    wanted: dict[str, Ranges] = {}

    def ranges(column: str) -> Ranges:
        if column not in wanted:
            found = ANYTHING
            for one in filters:
                found = _both(found, _ranges(one, column))
            wanted[column] = found
        return wanted[column]

    computed = {v.output for v in getattr(_query(stage), "virtual_columns", None) or ()}
    return [v for v in visible if not _excluded(v.segment.shard_spec, ranges, computed)]


def _query(stage: StageDefinition) -> Any:
    return getattr(stage.processor, "query", None)


def _filters(stage: StageDefinition) -> list[DimFilter]:
    """The conditions that every row of the table must fulfil to matter; none when the table is joined or unnested."""
    query = _query(stage)
    if not isinstance(query, (ScanQuery, GroupByQuery)):
        return []
    found = [] if query.filter is None else [query.filter]
    source: DataSource = query.data_source
    while isinstance(source, FilteredDataSource):
        found += [] if source.filter is None else [source.filter]
        source = source.base
    return found if isinstance(source, InputNumberDataSource) else []


def _excluded(spec: Any, ranges: Callable[[str], Ranges], computed: set[str]) -> bool:
    """Whether no tuple between the spec's ends can pass: decided by the first dimension whose ends differ."""
    if not isinstance(spec, RangeShardSpec) or spec.virtual_columns:
        return False
    for position, dimension in enumerate(spec.dimensions):
        if dimension in computed:
            return False
        start = LOWEST if spec.start is None else _point(spec.start[position])
        end = HIGHEST if spec.end is None else _point(spec.end[position])
        if not _both(ranges(dimension), ((start, end),)):
            return True
        if start != end:
            return False
    return False


def _point(value: Any) -> Point:
    return LOWEST if value is None else (1, str(value))


def _ranges(condition: DimFilter, column: str) -> Ranges:
    """The values of `column` with which a row may pass."""
    reader = _READERS.get(type(condition))
    return ANYTHING if reader is None else reader(condition, column)


def _points(values: Sequence[Any]) -> Ranges:
    return tuple((_point(v), _point(v)) for v in values)


def _equals(condition: EqualsFilter, column: str) -> Ranges:
    if condition.column != column or condition.match_value_type != STRING:
        return ANYTHING
    return _points([condition.match_value])


def _in_type(condition: InTypeFilter, column: str) -> Ranges:
    if condition.column != column or condition.match_value_type != STRING:
        return ANYTHING
    return _points(condition.sorted_values)


def _range(condition: RangeFilter, column: str) -> Ranges:
    if condition.column != column or condition.match_value_type != STRING:
        return ANYTHING
    lower = LOWEST if condition.lower is None else _point(condition.lower)
    upper = HIGHEST if condition.upper is None else _point(condition.upper)
    return ((lower, upper),) if lower <= upper else ()


def _null(condition: NullFilter, column: str) -> Ranges:
    return ((LOWEST, LOWEST),) if condition.column == column else ANYTHING


def _selector(condition: SelectorFilter, column: str) -> Ranges:
    if condition.dimension != column or condition.extraction_fn is not None:
        return ANYTHING
    return _points([condition.value])


def _in(condition: InFilter, column: str) -> Ranges:
    if condition.dimension != column or condition.extraction_fn is not None:
        return ANYTHING
    return _points(condition.values)


def _and(condition: AndFilter, column: str) -> Ranges:
    found = ANYTHING
    for inner in condition.fields:
        found = _both(found, _ranges(inner, column))
    return found


def _or(condition: OrFilter, column: str) -> Ranges:
    return tuple(r for inner in condition.fields for r in _ranges(inner, column))


def _both(left: Ranges, right: Ranges) -> Ranges:
    return tuple(
        (max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d)
    )  # fmt: skip


_READERS: Mapping[type[DimFilter], Callable[[Any, str], Ranges]] = {
    EqualsFilter: _equals, InTypeFilter: _in_type, RangeFilter: _range, NullFilter: _null, SelectorFilter: _selector,
    InFilter: _in, AndFilter: _and, OrFilter: _or,
}  # fmt: skip
