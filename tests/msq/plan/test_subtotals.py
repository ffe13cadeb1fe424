"""Grouping sets become one more dimension over a product with the numbers of the sets."""

from __future__ import annotations

from msq.aggregate.post import ExpressionPostAggregator
from msq.aggregate.wrappers import GroupingAggregator
from msq.codec import encode
from msq.datatypes import LONG, STRING
from msq.native.aggregators import Aggregator
from msq.native.datasource import JoinDataSource, TableDataSource
from msq.native.query import DefaultDimensionSpec, GroupByQuery
from msq.plan.subtotals import SET, without_subtotals

K, G = DefaultDimensionSpec("k", "d0", STRING), DefaultDimensionSpec("g", "d1", LONG)


def query(*sets: tuple[str, ...], aggregations: tuple[Aggregator, ...] = ()) -> GroupByQuery:
    return GroupByQuery(TableDataSource("t"), dimensions=(K, G), aggregations=aggregations, subtotals_spec=sets)


def test_query_without_sets_is_left_alone() -> None:
    plain = GroupByQuery(TableDataSource("t"), dimensions=(K, G))
    assert without_subtotals(plain) is plain


def test_keys_left_out_of_a_set_are_null_there() -> None:
    made = without_subtotals(query(("d0", "d1"), ("d0",)))
    assert made.subtotals_spec is None
    assert isinstance(made.data_source, JoinDataSource)
    assert encode(made.data_source.right)["rows"] == [[0], [1]]
    assert made.dimensions == (
        K, DefaultDimensionSpec("__subtotal1", "d1", LONG), DefaultDimensionSpec("__set.n", SET, LONG)
    )  # fmt: skip
    assert [encode(v)["expression"] for v in made.virtual_columns or ()] == ['case_searched(("__set.n" == 0),"g",null)']


def test_equal_sets_stay_apart() -> None:
    made = without_subtotals(query(("d0", "d1"), ("d0", "d1")))
    assert made.virtual_columns is None
    assert made.dimensions[-1].output_name == SET


def test_grouping_is_computed_of_the_set() -> None:
    made = without_subtotals(query(("d0", "d1"), ("d0",), (), aggregations=(GroupingAggregator("a0", ("g", "k")),)))
    assert made.aggregations is None
    (post,) = made.post_aggregations or ()
    assert isinstance(post, ExpressionPostAggregator)
    assert (post.name, post.expression) == (
        "a0", 'case_searched(("__subtotal" == 0),0,("__subtotal" == 1),2,("__subtotal" == 2),3,0)'
    )  # fmt: skip
