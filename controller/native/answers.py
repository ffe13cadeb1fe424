"""The query types that this server answers: each is declared where it is written, by its `queryType`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.native.errors import TYPE_CLASS, refused
from controller.native.reading import Json
from controller.native.session import Session
from msq.native.query import NativeQuery

Answer = Callable[[Session, Json], Iterator[Any]]
AsNative = Callable[[Session, Json], NativeQuery]


@dataclass(frozen=True)
class QueryType:
    """`answer` yields the elements of the answer's list; it has run the query when it returns its iterator.

    `native`: the query as a subquery; None for a type that cannot be one.
    """

    answer: Answer
    native: AsNative | None


TYPES: dict[str, QueryType] = {}


def answers(name: str, native: AsNative | None = None) -> Callable[[Answer], Answer]:
    def declare(answer: Answer) -> Answer:
        TYPES[name] = QueryType(answer, native)
        return answer

    return declare


def query_type(body: Json) -> QueryType:
    """Raises DruidException (400) for an unknown `queryType`."""
    name = body.get("queryType")
    found = TYPES.get(name) if isinstance(name, str) else None
    if found is None:
        known = ", ".join(sorted(TYPES))
        if name is None:
            raise refused(f"Missing type id property 'queryType': known type ids = [{known}]", TYPE_CLASS)
        raise refused(
            f"Could not resolve type id '{name}' as a subtype of [Query]: known type ids = [{known}]", TYPE_CLASS
        )
    return found


def subquery(session: Session, body: Json) -> NativeQuery:
    """A query inside a data source."""
    found = query_type(body)
    if found.native is None:
        raise refused(f"A query of type [{body.get('queryType')}] cannot be a data source")
    return found.native(session, body)
