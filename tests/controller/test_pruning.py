"""Pruning by range shard specs: what is left out can hold no row, whatever else the filter says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.pruning import prune
from msq.datatypes import LONG, STRING, RowSignature
from msq.intervals import ETERNITY, Interval
from msq.native.datasource import DataSource, FilteredDataSource, InputNumberDataSource, UnnestDataSource
from msq.native.filters import (
    AndFilter,
    DimFilter,
    EqualsFilter,
    ExpressionFilter,
    InTypeFilter,
    NotFilter,
    NullFilter,
    OrFilter,
    RangeFilter,
)
from msq.native.query import ScanQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.processors.scan import ScanProcessor
from msq.segment.identity import DataSegment, NumberedShardSpec, RangeShardSpec, ShardSpec
from msq.stage.inputs import TableInputSpec
from msq.stage.query import StageDefinition


@dataclass(frozen=True)
class Shown:
    segment: DataSegment
    intervals: tuple[Interval, ...] = ()


def shown(spec: ShardSpec) -> Shown:
    return Shown(DataSegment("t", str(ETERNITY), "v", {}, (), (), spec))


def ranges(*cuts: tuple[str | None, ...], dimensions: tuple[str, ...] = ("a",)) -> list[Shown]:
    """Segments of a chunk cut at `cuts`: one more than there are cuts."""
    ends = [None, *cuts, None]
    return [shown(RangeShardSpec(dimensions, ends[n], ends[n + 1], n, len(ends) - 1)) for n in range(len(ends) - 1)]


def kept(
    condition: DimFilter | None, segments: list[Shown], source: DataSource | None = None, **more: Any
) -> list[int]:
    query = ScanQuery(source or InputNumberDataSource(0), filter=condition, columns=(), column_types=(), **more)
    stage = StageDefinition(0, (TableInputSpec("t", (str(ETERNITY),)),), ScanProcessor(query), RowSignature())
    left = prune(stage, segments)
    return [n for n, s in enumerate(segments) if s in left]


def equals(column: str, value: Any) -> DimFilter:
    return EqualsFilter(column, STRING, value)


CUTS = ranges(("g",), ("p",))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, [0, 1, 2]),
        (equals("a", "b"), [0]),
        (equals("a", "g"), [0, 1]),
        (equals("a", "z"), [2]),
        (InTypeFilter("a", STRING, ("b", "x")), [0, 2]),
        (NullFilter("a"), [0]),
        (RangeFilter("a", STRING, lower="h", upper="k"), [1]),
        (RangeFilter("a", STRING, lower="q"), [2]),
        (RangeFilter("a", STRING, lower="k", upper="h"), []),
        (AndFilter((equals("a", "b"), equals("a", "z"))), []),
        (AndFilter((equals("a", "b"), ExpressionFilter("x > 1"))), [0]),
        (OrFilter((equals("a", "b"), equals("a", "z"))), [0, 2]),
        (OrFilter((equals("a", "b"), equals("c", "z"))), [0, 1, 2]),
        (NotFilter(equals("a", "b")), [0, 1, 2]),
        (equals("c", "b"), [0, 1, 2]),
        (EqualsFilter("a", LONG, 5), [0, 1, 2]),
    ],
)
def test_conditions(condition: DimFilter | None, expected: list[int]) -> None:
    assert kept(condition, CUTS) == expected


def test_the_second_dimension_decides_where_the_first_is_one_value() -> None:
    segments = ranges(("x", "d"), ("x", "m"), dimensions=("a", "b"))
    both = AndFilter((equals("a", "x"), equals("b", "f")))
    assert kept(both, segments) == [0, 1, 2]
    assert kept(AndFilter((equals("a", "x"), equals("b", "q"))), segments) == [0, 2]


def test_other_shard_specs_stay() -> None:
    assert kept(equals("a", "b"), [shown(NumberedShardSpec(0, 1)), *CUTS]) == [0, 1]


def test_a_virtual_column_of_the_same_name_is_another_column() -> None:
    virtual = (ExpressionVirtualColumn("a", "upper(c)", STRING),)
    assert kept(equals("a", "b"), CUTS, virtual_columns=virtual) == [0, 1, 2]


def test_filters_below_count_and_unnested_tables_are_left_alone() -> None:
    table = InputNumberDataSource(0)
    assert kept(None, CUTS, FilteredDataSource(table, equals("a", "b"))) == [0]
    unnest = UnnestDataSource(table, ExpressionVirtualColumn("u", '"x"', STRING))
    assert kept(equals("a", "b"), CUTS, unnest) == [0, 1, 2]


texts = st.one_of(st.none(), st.text("abc", max_size=2))


def matches(condition: DimFilter, value: str | None) -> bool:
    if isinstance(condition, EqualsFilter):
        return value == condition.match_value
    if isinstance(condition, NullFilter):
        return value is None
    if isinstance(condition, RangeFilter):
        return value is not None and condition.lower <= value <= condition.upper
    if isinstance(condition, AndFilter):
        return all(matches(f, value) for f in condition.fields)
    assert isinstance(condition, OrFilter)
    return any(matches(f, value) for f in condition.fields)


simple = st.one_of(
    st.builds(lambda v: equals("a", v), st.text("abc", max_size=2)),
    st.just(NullFilter("a")),
    st.builds(lambda a, b: RangeFilter("a", STRING, a, b), st.text("abc", max_size=2), st.text("abc", max_size=2)),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda f: AndFilter(tuple(f)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda f: OrFilter(tuple(f)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)


@given(conditions, st.lists(st.text("abc", max_size=2), max_size=4, unique=True), texts)
def test_the_segment_of_a_matching_value_is_always_kept(
    condition: DimFilter, cuts: list[str], value: str | None
) -> None:
    cuts = sorted(cuts)
    segments = ranges(*((c,) for c in cuts))
    home = sum(value is not None and c <= value for c in cuts)
    if matches(condition, value):
        assert home in kept(condition, segments)
