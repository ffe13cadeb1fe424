"""Calls of sketch functions over aggregates as post-aggregators, numbered as Druid numbers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msq.aggregate.post import FieldAccess
from msq.aggregate.quantile_posts import (
    QuantilesToCDF,
    QuantilesToHistogram,
    QuantilesToQuantile,
    QuantilesToQuantiles,
    QuantilesToRank,
    QuantilesToString,
)
from msq.aggregate.singles import single
from msq.aggregate.sketch_posts import (
    HLLSketchEstimate,
    HLLSketchEstimateWithBounds,
    HLLSketchToString,
    HLLSketchUnion,
    ThetaSketchEstimate,
    ThetaSketchSetOp,
)
from msq.aggregate.tuples import ArrayOfDoublesSetOp, ArrayOfDoublesSums
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.native.aggregators import PostAggregator

Operands = list[PostAggregator]
Literals = list[Any]
_MAKERS: dict[str, Callable[[str, Operands, Literals], PostAggregator]] = {
    "hll_sketch_estimate": lambda name, of, more: HLLSketchEstimate(name, of[0], bool(more and more[0])),
    "hll_sketch_estimate_with_error_bounds": lambda name, of, more: HLLSketchEstimateWithBounds(
        name, of[0], int(more[0]) if more else 1
    ),
    "hll_sketch_union": lambda name, of, more: HLLSketchUnion(
        name, tuple(of), int(more[0]) if more else None, str(more[1]) if len(more) > 1 else None
    ),
    "hll_sketch_to_string": lambda name, of, more: HLLSketchToString(name, of[0]),
    "theta_sketch_estimate": lambda name, of, more: ThetaSketchEstimate(name, of[0]),
    "theta_sketch_estimate_with_error_bounds": lambda name, of, more: ThetaSketchEstimate(name, of[0], int(more[0])),
    "theta_sketch_union": lambda name, of, more: _set_operation("UNION", name, of, more),
    "theta_sketch_intersect": lambda name, of, more: _set_operation("INTERSECT", name, of, more),
    "theta_sketch_not": lambda name, of, more: _set_operation("NOT", name, of, more),
    "ds_get_quantile": lambda name, of, more: QuantilesToQuantile(name, of[0], single(more[0])),
    "ds_get_quantiles": lambda name, of, more: QuantilesToQuantiles(name, of[0], tuple(map(float, more))),
    "ds_rank": lambda name, of, more: QuantilesToRank(name, of[0], single(more[0])),
    "ds_cdf": lambda name, of, more: QuantilesToCDF(name, of[0], tuple(map(float, more))),
    "ds_histogram": lambda name, of, more: QuantilesToHistogram(name, of[0], tuple(map(float, more))),
    "ds_tuple_doubles_metrics_sum_estimate": lambda name, of, more: ArrayOfDoublesSums(name, of[0]),
    "ds_tuple_doubles_union": lambda name, of, more: _tuple_operation("UNION", name, of, more),
    "ds_tuple_doubles_intersect": lambda name, of, more: _tuple_operation("INTERSECT", name, of, more),
    "ds_tuple_doubles_not": lambda name, of, more: _tuple_operation("NOT", name, of, more),
    "ds_quantile_summary": lambda name, of, more: QuantilesToString(name, of[0]),
}


def _set_operation(function: str, name: str, of: Operands, more: Literals) -> PostAggregator:
    return ThetaSketchSetOp(name, function, int(more[0]) if more else None, tuple(of))


def _tuple_operation(function: str, name: str, of: Operands, more: Literals) -> PostAggregator:
    return ArrayOfDoublesSetOp(name, function, tuple(of), int(more[0]) if more else None)


def sketch_post_aggregator(node: Node, word: str, counter: int) -> tuple[PostAggregator, str, int] | None:
    """The post-aggregator of a sketch function over aggregate columns, its name `<word><n>`, and the next free number.

    Each column and each function inside takes a number, inner ones first. None for a node that is no such call, or
    whose sketches are computed by anything else.
    """
    made = _operand(node, word, counter)
    if made is None or not isinstance(node, Call):
        return None
    post, counter = made
    assert post.name is not None
    return post, post.name, counter


def _operand(node: Node, word: str, counter: int) -> tuple[PostAggregator, int] | None:
    if isinstance(node, Identifier):
        return FieldAccess(f"{word}{counter}", node.name), counter + 1
    if not isinstance(node, Call) or node.function not in _MAKERS:
        return None
    operands: Operands = []
    literals: Literals = []
    for arg in node.args:
        if isinstance(arg, Literal):
            literals.append(arg.value)
            continue
        made = _operand(arg, word, counter)
        if made is None:
            return None
        operands.append(made[0])
        counter = made[1]
    if not operands:
        return None
    return _MAKERS[node.function](f"{word}{counter}", operands, literals), counter + 1
