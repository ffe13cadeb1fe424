"""Stages of a group-by: partial aggregation, merge, and a limit. Source: reference msq-engine 3.5."""

from __future__ import annotations

from dataclasses import replace

from msq.datatypes import Column, ColumnType, RowSignature
from msq.faults import MSQError, QueryNotSupportedFault
from msq.frame.keys import KeyColumn
from msq.native.query import AlwaysHaving, DefaultLimitSpec, FilterHaving, GroupByQuery, NoopLimitSpec
from msq.plan.builder import PlanBuilder
from msq.plan.clustering import Key, ordered, segment_granularity
from msq.plan.limit import add_limit
from msq.plan.queries import plans
from msq.plan.shuffles import ResultShuffle, adjustable, limited, single_partition
from msq.plan.sources import plan_source
from msq.plan.subtotals import grand_totals, without_subtotals
from msq.plan.types import final_type, intermediate_type, post_aggregator_type
from msq.processors.group_by import GroupByPostShuffleProcessor, GroupByPreShuffleProcessor
from msq.stage.inputs import StageInputSpec
from msq.stage.shuffle import MixShuffleSpec, ShuffleSpec


@plans(GroupByQuery)
def plan_group_by(builder: PlanBuilder, query: GroupByQuery, result_shuffle: ResultShuffle) -> int:
    _check(query)
    totals = grand_totals(query)
    query = without_subtotals(query)
    source = plan_source(builder, query.data_source, query.intervals)
    query = replace(query, data_source=source.source)
    dimensions = Key(tuple(KeyColumn(d.output_name) for d in query.dimensions))
    offset, limit, order = _limit(query)
    has_limit = bool(offset) or limit is not None
    result_key = Key(order or dimensions.columns, bucketed=not segment_granularity(query.context).is_all)
    resort = result_key != dimensions
    before, after, key = _shuffles(dimensions, result_key, resort, has_limit, limit, offset, result_shuffle)

    partial = partial_signature(query)
    number = builder.add(
        GroupByPreShuffleProcessor(query, totals), source.inputs, source.signatures, partial, before,
        max_workers=source.max_workers, broadcast=source.broadcast,
    )  # fmt: skip
    number = builder.add(
        GroupByPostShuffleProcessor(query), [StageInputSpec(number)], [partial], key.signature(final_signature(query)),
        after,
    )  # fmt: skip
    return add_limit(builder, number, offset, limit, key, result_shuffle) if has_limit else number


def _shuffles(
    dimensions: Key, result: Key, resort: bool, has_limit: bool, limit: int | None, offset: int, shuffle: ResultShuffle
) -> tuple[ShuffleSpec, ShuffleSpec | None, Key]:
    """(shuffle of the partial stage, of the final one, key of the final rows): the cases of 3.5."""
    by_dimensions = dimensions.cluster_by
    if resort:
        key = result.boosted()
        most = None if limit is None else offset + limit
        return adjustable(by_dimensions, True), (limited(most) if has_limit else shuffle)(key.cluster_by, False), key
    if not dimensions.columns:
        return MixShuffleSpec(), MixShuffleSpec(), result
    return (single_partition if has_limit else shuffle)(by_dimensions, True), None, result


def _limit(query: GroupByQuery) -> tuple[int, int | None, tuple[KeyColumn, ...]]:
    """(offset, limit, ordering columns) of the query's limit spec."""
    spec = query.limit_spec
    if not isinstance(spec, DefaultLimitSpec):
        return 0, None, ()
    return spec.offset or 0, spec.limit, ordered((c.dimension, c.direction) for c in spec.columns)


def _check(query: GroupByQuery) -> None:
    supported = (
        isinstance(query.having, (FilterHaving, AlwaysHaving, type(None)))
        and query.granularity.is_all
        and isinstance(query.limit_spec, (NoopLimitSpec, DefaultLimitSpec))
    )
    if not supported:
        raise MSQError(QueryNotSupportedFault())


def partial_signature(query: GroupByQuery) -> RowSignature:
    """Columns between the two stages: dimensions, then aggregators in their intermediate types."""
    return RowSignature([*_dimensions(query), *((a.name, intermediate_type(a)) for a in query.aggregations or ())])


def final_signature(query: GroupByQuery) -> RowSignature:
    """Columns of the query: dimensions, aggregators (final unless the context forbids), post-aggregators."""
    of = final_type if query.context.get("finalize", True) else intermediate_type
    columns: dict[str, ColumnType] = dict(_dimensions(query))
    columns.update((a.name, of(a)) for a in query.aggregations or ())
    for post in query.post_aggregations or ():
        assert post.name is not None
        columns[post.name] = post_aggregator_type(post, RowSignature(columns.items()))
    return RowSignature(Column(name, kind) for name, kind in columns.items())


def _dimensions(query: GroupByQuery) -> list[tuple[str, ColumnType]]:
    return [(d.output_name, d.output_type) for d in query.dimensions]
