"""Data sources inside a stage: what becomes an input, what becomes stages of its own. Source: msq-engine 3.6, 3.7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from msq.datatypes import STRING, Column, RowSignature
from msq.faults import MSQError, QueryNotSupportedFault
from msq.frame.keys import ClusterBy, KeyColumn
from msq.native.datasource import (
    DataSource,
    ExternalDataSource,
    FilteredDataSource,
    InlineDataSource,
    InputNumberDataSource,
    JoinDataSource,
    LookupDataSource,
    QueryDataSource,
    TableDataSource,
    UnionDataSource,
    UnnestDataSource,
)
from msq.native.query import IntervalSpec
from msq.plan.builder import MAX_WORKERS, PlanBuilder
from msq.plan.queries import as_subquery, plan_query
from msq.plan.shuffles import adjustable, hashed
from msq.processors.conditions import JoinCondition, plain_columns
from msq.processors.join import SortMergeJoinProcessor
from msq.stage.inputs import (
    ExternalInputSpec,
    InlineInputSpec,
    InputSpec,
    LookupInputSpec,
    StageInputSpec,
    TableInputSpec,
)


@dataclass(frozen=True)
class SourcePlan:
    """A data source as a stage reads it.

    `source`: what stands in the stage's query (tables and subqueries as input numbers, in walk order). `inputs` with
    their `signatures`, by input number. `broadcast`: input numbers that every worker reads whole. `columns`: what the
    whole source offers.
    """

    source: DataSource
    inputs: tuple[InputSpec, ...]
    signatures: tuple[RowSignature, ...]
    broadcast: tuple[int, ...]
    columns: RowSignature

    @property
    def max_workers(self) -> int:
        """1 when nothing is left to split over workers."""
        return 1 if len(self.broadcast) == len(self.inputs) else MAX_WORKERS


@dataclass(frozen=True)
class _Place:
    """Where a source stands: the intervals its tables are read for, its first input number, whether all read it."""

    intervals: IntervalSpec
    first: int = 0
    broadcast: bool = False

    def after(self, plan: SourcePlan, broadcast: bool) -> _Place:
        return _Place(self.intervals, self.first + len(plan.inputs), broadcast)


def plan_source(builder: PlanBuilder, source: DataSource, intervals: IntervalSpec) -> SourcePlan:
    """Plans `source` for the stage that is about to be added; subqueries and merge joins add their stages first."""
    return _plan(builder, source, _Place(intervals))


def _plan(builder: PlanBuilder, source: DataSource, place: _Place) -> SourcePlan:
    planner = _SOURCES.get(type(source))
    if planner is None:
        raise MSQError(QueryNotSupportedFault())
    return planner(builder, source, place)


def _leaf(source: DataSource, spec: InputSpec, columns: RowSignature, place: _Place) -> SourcePlan:
    return SourcePlan(source, (spec,), (columns,), (place.first,) if place.broadcast else (), columns)


def _table(builder: PlanBuilder, source: TableDataSource, place: _Place) -> SourcePlan:
    spec = TableInputSpec(source.name, tuple(str(i) for i in place.intervals.intervals))
    return _leaf(InputNumberDataSource(place.first), spec, builder.table_signature(source.name), place)


def _external(builder: PlanBuilder, source: ExternalDataSource, place: _Place) -> SourcePlan:
    # Druid leaves the external object in the stage's query; its input number is its place in walk order
    spec = ExternalInputSpec(source.input_source, source.input_format, source.signature)
    return _leaf(source, spec, source.signature, place)


def _inline(builder: PlanBuilder, source: InlineDataSource, place: _Place) -> SourcePlan:
    return _leaf(source, InlineInputSpec(source), source.signature, place)


def _lookup(builder: PlanBuilder, source: LookupDataSource, place: _Place) -> SourcePlan:
    columns = RowSignature([("k", STRING), ("v", STRING)])
    return _leaf(source, LookupInputSpec(source.lookup), columns, place)


def _query(builder: PlanBuilder, source: QueryDataSource, place: _Place) -> SourcePlan:
    return _stage_input(builder, plan_query(builder, as_subquery(source.query), adjustable), place)


def _stage_input(builder: PlanBuilder, number: int, place: _Place) -> SourcePlan:
    return _leaf(InputNumberDataSource(place.first), StageInputSpec(number), builder[number].signature, place)


def _filtered(builder: PlanBuilder, source: FilteredDataSource, place: _Place) -> SourcePlan:
    base = _plan(builder, source.base, place)
    return replace(base, source=replace(source, base=base.source))


def _unnest(builder: PlanBuilder, source: UnnestDataSource, place: _Place) -> SourcePlan:
    base = _plan(builder, source.base, place)
    added = Column(source.virtual_column.output, source.virtual_column.column_type)
    columns = RowSignature([*(c for c in base.columns if c.name != added.name), added])
    return replace(base, source=replace(source, base=base.source), columns=columns)


def _union(builder: PlanBuilder, source: UnionDataSource, place: _Place) -> SourcePlan:
    plans: list[SourcePlan] = []
    for child in source.data_sources:
        plans.append(_plan(builder, child, place))
        place = place.after(plans[-1], place.broadcast)
    columns: dict[str, Column] = {}
    for plan in plans:
        for column in plan.columns:
            columns.setdefault(column.name, column)
    return _together(UnionDataSource(tuple(p.source for p in plans)), plans, RowSignature(columns.values()))


def _join(builder: PlanBuilder, source: JoinDataSource, place: _Place) -> SourcePlan:
    keys = merge_keys(source)
    if source.join_algorithm == "sortMerge" and keys is not None and source.left_filter is None:
        number = _sort_merge(builder, source, *keys)
        if number is not None:
            return _stage_input(builder, number, place)
    left = _plan(builder, source.left, place)
    right = _plan(builder, source.right, place.after(left, True))
    joined = replace(source, left=left.source, right=right.source, join_algorithm=None)
    return _together(joined, [left, right], _joined_columns(left.columns, source.right_prefix, right.columns))


def _sort_merge(
    builder: PlanBuilder, source: JoinDataSource, left_keys: tuple[str, ...], right_keys: tuple[str, ...]
) -> int | None:
    """The stage of a sort-merge join; None when a side is no subquery and the join has to be a broadcast one."""
    if not isinstance(source.left, QueryDataSource) or not isinstance(source.right, QueryDataSource):
        return None
    sides = []
    for side, keys in ((source.left, left_keys), (source.right, right_keys)):
        number = plan_query(builder, as_subquery(side.query), adjustable)
        builder.reshuffle(number, hashed(ClusterBy(tuple(KeyColumn(k) for k in keys))))
        sides.append(number)
    signatures = [builder[number].signature for number in sides]
    processor = SortMergeJoinProcessor(source.right_prefix, source.condition, source.join_type)
    columns = _joined_columns(signatures[0], source.right_prefix, signatures[1])
    return builder.add(processor, [StageInputSpec(n) for n in sides], signatures, columns, None)


def _joined_columns(left: RowSignature, prefix: str, right: RowSignature) -> RowSignature:
    return RowSignature([*left, *(Column(prefix + c.name, c.type) for c in right)])


def _together(source: DataSource, plans: list[SourcePlan], columns: RowSignature) -> SourcePlan:
    return SourcePlan(
        source,
        tuple(i for p in plans for i in p.inputs),
        tuple(s for p in plans for s in p.signatures),
        tuple(b for p in plans for b in p.broadcast),
        columns,
    )


def merge_keys(source: JoinDataSource) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Key columns (left, right without prefix) by which both sides of a merge join are partitioned; None where it has
    to be a broadcast join.

    A condition that is a conjunction of equalities of plain columns has them all, a repeated pair once, and `1` none.
    An outer join may have further conditions: its keys are the equalities among them. A RIGHT or FULL join without
    any has one partition, because rows that match nothing are known where all rows are.
    """
    condition = JoinCondition.parse(source.condition, source.right_prefix)
    plain = plain_columns(condition, source.right_prefix)
    pairs: dict[str, str] = {}
    whole = not condition.rest and len(plain) == len(condition.equalities)
    for left, right in dict.fromkeys(plain):
        # a column cannot stand twice in a key
        if left in pairs or right in pairs.values():
            whole = False
        else:
            pairs[left] = right
    one_partition = source.join_type in ("RIGHT", "FULL")
    if whole or one_partition or (source.join_type == "LEFT" and pairs):
        return tuple(pairs), tuple(pairs.values())
    return None


_SOURCES: dict[type[DataSource], Callable[[PlanBuilder, Any, _Place], SourcePlan]] = {
    TableDataSource: _table, ExternalDataSource: _external, InlineDataSource: _inline, LookupDataSource: _lookup,
    QueryDataSource: _query, FilteredDataSource: _filtered, UnnestDataSource: _unnest, UnionDataSource: _union,
    JoinDataSource: _join,
}  # fmt: skip
