"""A finished level with aggregation as a groupBy query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msq.aggregate.counts import CountAggregator
from msq.aggregate.registry import with_shared
from msq.datatypes import LONG, RowSignature
from msq.datatypes import Column as NativeColumn
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers, rename
from msq.intervals import Granularity
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.query import (
    DefaultDimensionSpec,
    DefaultLimitSpec,
    FilterHaving,
    GroupByQuery,
    LimitSpec,
    NoopLimitSpec,
    OrderByColumnSpec,
)  # fmt: skip
from msq.sql.bind.aggregates import native_aggregate, post_aggregators
from msq.sql.bind.level import Finished, Level
from msq.sql.bind.naming import VirtualColumns, unused_prefix
from msq.sql.bind.predicates import filter_of
from msq.sql.bind.relation import AggregateCall
from msq.sql.bind.scan import filtered


def finish_grouping(
    level: Level, wanted: Sequence[str], context: dict[str, Any], settings: Mapping[str, Any]
) -> Finished:
    """The groupBy query that computes the `wanted` ids; its columns are keys, aggregates and post-aggregators.

    `settings`: the statement's context, which decides what some aggregates become.
    """
    assert level.keys is not None
    registry = VirtualColumns(level.signature)
    clauses = filtered(level, registry)
    taken = level.signature.names
    prefix = {word: unused_prefix(word, taken) for word in "daps"}
    names: dict[str, str] = {}
    columns: list[NativeColumn] = []

    _order_unused_keys(level, wanted)
    dimensions: list[DefaultDimensionSpec] = []
    for column, node in level.keys:
        source = registry.column(rename(node, level.names), column.native, column.apart)
        names[column.id] = f"{prefix['d']}{len(dimensions)}"
        dimensions.append(DefaultDimensionSpec(source, names[column.id], column.native))
        columns.append(NativeColumn(names[column.id], column.native))

    aggregators: list[Aggregator] = []
    posts: list[PostAggregator] = []
    for number, call in enumerate(_used_calls(level, wanted)):
        name = f"{prefix['a']}{number}"
        dimension_names = {c.id: d.dimension for (c, _), d in zip(level.keys, dimensions)}
        made = with_shared(native_aggregate(call, name, registry, level.names, dimension_names, settings), aggregators)
        names[call.column.id] = made.output
        aggregators.extend(made.aggregators)
        posts.extend(made.posts)
        columns.append(NativeColumn(made.output, call.column.native))
    if not dimensions and not aggregators:
        # a query of neither would have no row where there is no input
        aggregators.append(CountAggregator(f"{prefix['a']}0"))
        columns.append(NativeColumn(f"{prefix['a']}0", LONG))

    having = filter_of([rename(n, names) for n in level.having], RowSignature(columns), None)
    by_value = any(not isinstance(node, (Identifier, Literal)) for _, node, _ in level.sort)
    sorted_first = (bool(level.sort) or level.limited) and not by_value
    word = prefix["s" if sorted_first else "p"]
    outputs: dict[Node, str] = {}
    counter = 0
    for wanted_id in [*wanted, *(column.id for column, _, _ in level.sort)]:
        node = _output(level, wanted_id)
        if isinstance(node, Identifier):
            names[wanted_id] = names[node.name]
            continue
        if node not in outputs:
            kind = level.native_type(wanted_id)
            post, name, counter = post_aggregators(rename(node, names), kind, word, counter, RowSignature(columns))
            posts.append(post)
            outputs[node] = name
            columns.append(NativeColumn(name, kind))
        names[wanted_id] = outputs[node]

    query = GroupByQuery(
        data_source=level.close_source(),
        virtual_columns=registry.used,
        dimensions=tuple(dimensions),
        aggregations=tuple(aggregators),
        post_aggregations=tuple(posts),
        having=FilterHaving(having) if having is not None else None,
        limit_spec=_limit_spec(level, names, RowSignature(columns)),
        subtotals_spec=_subtotals(level, dimensions),
        context=dict(sorted({**context, **_time_result(level, dimensions)}.items())),
        **clauses,
    )
    return Finished(query, {i: names[i] for i in [*wanted, *(c.id for c, _, _ in level.sort)]}, RowSignature(columns))


def _order_unused_keys(level: Level, wanted: Sequence[str]) -> None:
    """Plain keys that nothing above reads stand in the source's order, as Druid's planner has them."""
    assert level.keys is not None
    nodes = [level.outputs[i] for i in wanted] + level.having + [n for _, n, _ in level.sort]
    used = {i for n in nodes for i in identifiers(n)}
    if level.sets is not None or any(c.id in used or not isinstance(n, Identifier) for c, n in level.keys):
        return
    place = {name: n for n, name in enumerate(level.signature.names)}
    level.keys.sort(key=lambda k: place[level.names[k[1].name]])  # type: ignore[attr-defined]


def _output(level: Level, column_id: str) -> Node:
    """What a wanted or sorted id is over keys and calls."""
    if column_id in level.outputs:
        return level.outputs[column_id]
    return next(node for column, node, _ in level.sort if column.id == column_id)


def _used_calls(level: Level, wanted: Sequence[str]) -> list[AggregateCall]:
    nodes = [level.outputs[i] for i in wanted] + level.having + [n for _, n, _ in level.sort]
    used = {i for n in nodes for i in identifiers(n)}
    return [c for c in level.calls if c.column.id in used]


def _limit_spec(level: Level, names: dict[str, str], signature: RowSignature) -> LimitSpec:
    if not level.sort and not level.limited:
        return NoopLimitSpec()
    columns = []
    for column, node, descending in level.sort:
        if isinstance(node, Literal):
            continue
        name = names[column.id]
        kind = signature.type_of(name)
        assert kind is not None
        words = {"STRING": "lexicographic", "ARRAY": "natural", "COMPLEX": "natural"}
        order = {"type": words.get(kind.kind, "numeric")}
        columns.append(OrderByColumnSpec(name, "descending" if descending else "ascending", order))
    return DefaultLimitSpec(tuple(columns), level.offset or None, level.limit)


def _subtotals(level: Level, dimensions: Sequence[DefaultDimensionSpec]) -> tuple[tuple[str, ...], ...] | None:
    if level.sets is None:
        return None
    return tuple(tuple(dimensions[i].output_name for i in one) for one in level.sets)


def _time_result(level: Level, dimensions: Sequence[DefaultDimensionSpec]) -> dict[str, Any]:
    """Context keys of a query that groups by one floor of `__time` (DruidQuery.toGroupByQuery)."""
    assert level.keys is not None
    found = []
    for number, (_, node) in enumerate(level.keys):
        granularity = _floor_of_time(rename(node, level.names))
        if granularity is not None:
            found.append((number, granularity))
    if len(found) != 1:
        return {}
    number, granularity = found[0]
    return {
        "timestampResultField": dimensions[number].output_name,
        "timestampResultFieldGranularity": json.dumps(granularity, separators=(",", ":")),
        "timestampResultFieldInOriginalDimensions": number,
    }


def _floor_of_time(node: Node) -> Any:
    """The granularity JSON of `timestamp_floor("__time", period, origin, zone)`, None for other nodes."""
    if not isinstance(node, Call) or node.function != "timestamp_floor" or node.args[0] != Identifier("__time"):
        return None
    period, origin, zone = (a.value if isinstance(a, Literal) else None for a in (*node.args[1:], *[None] * 3)[:3])
    if not isinstance(period, str):
        return None
    if zone in (None, "UTC") and origin is None:
        try:
            return Granularity.of_period(period).to_json()
        except ValueError:
            return None
    return {"type": "period", "period": period, "timeZone": zone or "UTC", "origin": origin}
