"""Aggregate calls of a relation as native aggregators; expressions over aggregates as post-aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from msq.aggregate.post import ExpressionPostAggregator
from msq.aggregate.registry import BoundAggregate, bind_aggregate, renamed
from msq.aggregate.single import SingleValueAggregator
from msq.aggregate.sketch_calls import sketch_post_aggregator
from msq.datatypes import ColumnType, RowSignature
from msq.expr.nodes import Node, rename
from msq.expr.printer import to_text
from msq.native.aggregators import Aggregator, PostAggregator
from msq.sql.bind.naming import VirtualColumns
from msq.sql.bind.predicates import filter_of
from msq.sql.bind.relation import SINGLE_VALUE, AggregateCall, WindowCall


def native_aggregate(
    call: AggregateCall, name: str, registry: VirtualColumns, names: Mapping[str, str], dimensions: Mapping[str, str],
    context: Mapping[str, Any],
) -> BoundAggregate:  # fmt: skip
    """The aggregators of a call whose value is to be column `name`; `names`: native names of the ids it reads."""
    args = tuple(replace(a, node=rename(a.node, names), source=None) for a in call.args)
    if call.name == SINGLE_VALUE:
        (arg,) = args
        single = SingleValueAggregator(name, registry.column(arg.node, arg.native_type), arg.native_type)
        return BoundAggregate((single,), (), name, arg.sql_type)
    condition = None
    if call.filter is not None:
        condition = filter_of([rename(call.filter, names)], registry.signature, registry)
    return bind_aggregate(
        call.name, args, output=name, column=registry.column, distinct=call.distinct, filter=condition, context=context,
        groupings=tuple(dimensions[g] for g in call.groupings), has_time="__time" in registry.signature,
        position=call.position,
    )  # fmt: skip


def native_window_aggregate(
    call: WindowCall, name: str, signature: RowSignature, names: Mapping[str, str], context: Mapping[str, Any]
) -> tuple[Aggregator, ...]:
    """The aggregator of an aggregate over a frame, called `name`; its arguments are columns."""
    registry = VirtualColumns(signature)
    args = tuple(replace(a, node=rename(a.node, names), source=None) for a in call.args)
    made = bind_aggregate(call.name, args, output=name, column=registry.column, context=context, position=call.position)
    return tuple(renamed(a, name) for a in made.aggregators)


def post_aggregators(
    node: Node, kind: ColumnType, word: str, counter: int, signature: RowSignature
) -> tuple[PostAggregator, str, int]:
    """The post-aggregator of a node over aggregate columns, its name, and the next free number.

    Every column that a sketch function reads takes a number too, as Druid numbers them.
    """
    made = sketch_post_aggregator(node, word, counter)
    if made is not None:
        return made
    name = f"{word}{counter}"
    del signature
    return ExpressionPostAggregator(name, to_text(node), kind), name, counter + 1
