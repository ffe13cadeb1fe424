"""Stages of a scan: one, or two with LIMIT/OFFSET. Source: reference msq-engine 3.4."""

from __future__ import annotations

from dataclasses import replace

from msq.native.query import ScanQuery
from msq.plan.builder import PlanBuilder
from msq.plan.clustering import Key, ordered, segment_granularity
from msq.plan.limit import add_limit
from msq.plan.queries import plans
from msq.plan.shuffles import ResultShuffle, limited
from msq.plan.sources import plan_source
from msq.processors.scan import ScanProcessor
from msq.stage.shuffle import MixShuffleSpec


def scan_order(query: ScanQuery) -> tuple[tuple[str, str], ...]:
    """The ordering columns of a scan: those of `order_by`, or `__time` for `order`."""
    if query.order_by:
        return tuple((c.column_name, c.order) for c in query.order_by)
    if query.order is not None and query.order != "none":
        return (("__time", query.order),)
    return ()


@plans(ScanQuery)
def plan_scan(builder: PlanBuilder, query: ScanQuery, result_shuffle: ResultShuffle) -> int:
    source = plan_source(builder, query.data_source, query.intervals)
    order = ordered(scan_order(query))
    key = Key(order, bucketed=not segment_granularity(query.context).is_all).boosted()
    signature = key.signature(query.signature)
    offset, limit = query.offset or 0, query.limit
    has_limit = bool(offset) or limit is not None
    if not has_limit:
        shuffle = result_shuffle(key.cluster_by, False)
    elif not order:
        shuffle = MixShuffleSpec()
    else:
        shuffle = limited(None if limit is None else offset + limit)(key.cluster_by, False)
    number = builder.add(
        ScanProcessor(replace(query, data_source=source.source)), source.inputs, source.signatures, signature, shuffle,
        max_workers=source.max_workers, broadcast=source.broadcast,
    )  # fmt: skip
    return add_limit(builder, number, offset, limit, key, result_shuffle) if has_limit else number
