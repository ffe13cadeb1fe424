"""The planners of the query kinds, by native query class; each stands in its own file and registers here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msq.faults import MSQError, QueryNotSupportedFault
from msq.native.query import NativeQuery
from msq.plan.builder import PlanBuilder
from msq.plan.clustering import GRANULARITY_KEY
from msq.plan.shuffles import ResultShuffle

QueryPlanner = Callable[[PlanBuilder, Any, ResultShuffle], int]
_PLANNERS: dict[type[NativeQuery], QueryPlanner] = {}
F = TypeVar("F", bound=QueryPlanner)


def plans(kind: type[NativeQuery]) -> Callable[[F], F]:
    """Declares the planner of a query class."""

    def register(function: F) -> F:
        _PLANNERS[kind] = function
        return function

    return register


def plan_query(builder: PlanBuilder, query: NativeQuery, result_shuffle: ResultShuffle) -> int:
    """Adds the stages of `query` and answers the number of the last one, whose rows are the query's.

    `result_shuffle` makes that stage's shuffle of the key of its rows. Raises MSQError(QueryNotSupported).
    """
    planner = _PLANNERS.get(type(query))
    if planner is None:
        raise MSQError(QueryNotSupportedFault())
    return planner(builder, query, result_shuffle)


def as_subquery(query: NativeQuery) -> NativeQuery:
    """`query` with the context of one whose rows are not cut by the statement's PARTITIONED BY."""
    inner: NativeQuery = query.with_context({**query.context, GRANULARITY_KEY: None})
    return inner
