"""GROUPING SETS in one pass: every row is read once for each set, with the keys that the set leaves out as nulls.

Druid's MSQ refuses `subtotalsSpec`; here the source is joined with the numbers of the sets, the number becomes one more
dimension (so that a null key and a left-out one stay apart), and GROUPING(..) is computed of it.
"""

from __future__ import annotations

from dataclasses import replace

from msq.aggregate.post import ExpressionPostAggregator
from msq.aggregate.wrappers import GroupingAggregator
from msq.datatypes import LONG
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.printer import to_text
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.datasource import InlineDataSource, JoinDataSource
from msq.native.query import DefaultDimensionSpec, GroupByQuery
from msq.native.virtual import ExpressionVirtualColumn, VirtualColumn

SET = "__subtotal"
"""The dimension that tells the sets apart; output column of the query's stages, never of the statement."""

_PREFIX = "__set."
_NUMBER = Identifier(f"{_PREFIX}n")


def without_subtotals(query: GroupByQuery) -> GroupByQuery:
    """The same query without `subtotalsSpec`: further virtual columns, one more dimension, GROUPING as expressions."""
    if query.subtotals_spec is None:
        return query
    sets = query.subtotals_spec
    numbers = InlineDataSource(("n",), (LONG,), tuple((n,) for n in range(len(sets))))
    source = JoinDataSource(query.data_source, numbers, _PREFIX, "1", "INNER")
    virtual: list[VirtualColumn] = list(query.virtual_columns or ())
    dimensions = []
    for number, dimension in enumerate(query.dimensions):
        member = [dimension.output_name in one for one in sets]
        if not all(member):
            name = f"{SET}{number}"
            value = _when(_NUMBER, [n for n, there in enumerate(member) if there], Identifier(dimension.dimension))
            virtual.append(ExpressionVirtualColumn(name, to_text(value), dimension.output_type))
            dimension = replace(dimension, dimension=name)
        dimensions.append(dimension)
    dimensions.append(DefaultDimensionSpec(_NUMBER.name, SET, LONG))
    aggregators: list[Aggregator] = []
    posts: list[PostAggregator] = []
    for aggregator in query.aggregations or ():
        if isinstance(aggregator, GroupingAggregator):
            posts.append(_grouping(query, aggregator))
        else:
            aggregators.append(aggregator)
    return replace(
        query, data_source=source, virtual_columns=tuple(virtual) or None, dimensions=tuple(dimensions),
        aggregations=tuple(aggregators) or None, post_aggregations=(*posts, *(query.post_aggregations or ())) or None,
        subtotals_spec=None,
    )  # fmt: skip


def grand_totals(query: GroupByQuery) -> tuple[int, ...]:
    """The numbers of the sets without keys: each has one row, even over no rows at all."""
    return tuple(n for n, one in enumerate(query.subtotals_spec or ()) if not one)


def _when(number: Node, sets: list[int], value: Node) -> Node:
    """`value` in the sets of these numbers, null in others."""
    tests: Node | None = None
    for one in sets:
        test = Call("==", (number, Literal(one, LONG)))
        tests = test if tests is None else Call("||", (tests, test))
    return Call("case_searched", (tests or Literal(0, LONG), value, Literal(None, None)))


def _grouping(query: GroupByQuery, aggregator: GroupingAggregator) -> ExpressionPostAggregator:
    """One bit for each column asked about, the first most significant: 1 where the set leaves it out."""
    assert query.subtotals_spec is not None
    outputs = {d.dimension: d.output_name for d in query.dimensions}
    args: list[Node] = []
    for number, one in enumerate(query.subtotals_spec):
        bits = 0
        for name in aggregator.groupings:
            bits = bits * 2 + (outputs.get(name, name) not in one)
        args += [Call("==", (Identifier(SET), Literal(number, LONG))), Literal(bits, LONG)]
    return ExpressionPostAggregator(aggregator.name, to_text(Call("case_searched", (*args, Literal(0, LONG)))), LONG)
