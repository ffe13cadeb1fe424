"""search: values of dimensions that hold a text, with the number of their rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

from controller.native.answers import answers, subquery
from controller.native.errors import TYPE_CLASS, refused, unsupported
from controller.native.filters import filter_of, search_filter
from controller.native.granularity import Buckets
from controller.native.grouping import Groups, dimension_of
from controller.native.reading import Json, items, number, obj
from controller.native.series import first_time
from controller.native.session import Session
from controller.native.sources import Base, base_of
from msq.aggregate.counts import CountAggregator

LIMIT = 1000
Hit = tuple[str, str, int]
"""Dimension, value, rows."""


def _number(value: str) -> tuple[int, float]:
    try:
        return 1, float(value)
    except ValueError:
        return 0, 0.0


_KEYS: dict[str, Callable[[Hit], Any]] = {
    "lexicographic": lambda h: (h[1], h[0]), "strlen": lambda h: (len(h[1]), h[1], h[0]),
    "numeric": lambda h: (_number(h[1]), h[1], h[0]),
}  # fmt: skip


@answers("search")
def search(session: Session, body: Json) -> Iterator[Any]:
    if not Buckets.of(body.get("granularity")).is_all:
        raise unsupported("Searches of another granularity than [all] are not supported")
    query = obj(body.get("query"), "query")
    search_filter("x", query)
    limit = number(body.get("limit"), "limit") or LIMIT
    key = _KEYS.get(_sort(body))
    if key is None:
        raise refused(f"Unknown sort [{_sort(body)}]: known are {', '.join(_KEYS)}", TYPE_CLASS)
    base = base_of(session, body, subquery)
    listed = items(body.get("searchDimensions"), "searchDimensions")
    if not listed:
        listed = [c.name for c in base.columns if c.name != "__time" and not (c.type.is_complex or c.type.is_array)]
    hits: list[Hit] = []
    for dimension in listed:
        hits = heapq.nsmallest(limit, _each(hits, _hits(session, base, dimension, query)), key)
    result = [{"dimension": d, "value": v, "count": n} for d, v, n in hits]
    if not result and not session.segments(base.source, base.intervals.intervals):
        return iter(())
    return iter([{"timestamp": first_time(session, base), "result": result}])


def _sort(body: Json) -> str:
    given = body.get("sort") or "lexicographic"
    return str(given.get("type") or "lexicographic" if isinstance(given, dict) else given)


def _each(held: list[Hit], more: Iterator[Hit]) -> Iterator[Hit]:
    yield from held
    yield from more


def _hits(session: Session, base: Base, dimension: Any, query: Json) -> Iterator[Hit]:
    own = Base(base.source, base.intervals, base.filter, base.columns, list(base.virtual))
    spec = dimension_of(own, dimension)
    groups = Groups(own, None, [spec], (CountAggregator("__count"),))
    groups.having = filter_of(search_filter(spec.output_name, query))
    for value, count in session.ask(groups.query(), groups.signature()):
        yield spec.output_name, "" if value is None else str(value), count
