"""`/druid/v2`: native JSON queries. B-08."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from typing import Any

from starlette.responses import Response

from controller.api.brokers import check_blocked, tables_of, with_defaults
from controller.api.columns import located
from controller.api.routing import JSON_TYPE, Call, HttpError, header_text, post
from controller.api.sql import listed
from controller.api.streamed import StreamedRows
from controller.api.users import Role
from controller.native import rows, search, segments, series, times  # noqa: F401  (each declares its query types)
from controller.native.answers import query_type
from controller.native.errors import JSON_CLASS, legacy, refused
from controller.native.reading import intervals_of
from controller.native.session import Session
from msq.faults import DruidException, MSQError

_PIECE = 64 << 10
"""Characters that are sent at once."""


@post("/druid/v2", errors="structured", long=True, needs=Role.READ)
def post_native(call: Call) -> Response:
    """Nothing is sent before the query has ended well, or has answered many rows."""
    try:
        with ExitStack() as behind:
            return _answered(call, behind)
    except (DruidException, MSQError) as error:
        raise legacy(error) from error
    except ValueError as error:
        # what runs reports its failures as faults; this is a value that no part of a query can be made of
        raise refused(str(error)) from error


def _answered(call: Call, behind: ExitStack) -> Response:
    """`behind` holds what is to be closed here, unless the answer takes it over."""
    body = _body(call)
    context = body.get("context") or {}
    if not isinstance(context, Mapping):
        raise refused("[context] must be a JSON object")
    context = with_defaults(call, context)
    query_id = str(context.get("queryId") or uuid.uuid4())
    found = query_type(body)
    check_blocked(call, query_id, lambda: body, context)
    settings = call.server.settings
    session = Session(
        call.server.engine, query_id, context, lambda c: listed(call, query_id, c), settings.max_rows,
        settings.max_query_ms, lambda table: call.require_table(Role.READ, table), behind,
    )  # fmt: skip
    elements = found.answer(session, body)
    first = list(_taken(elements))
    write = _pretty if call.flag("pretty") else _compact
    headers = {"X-Druid-Query-Id": header_text(query_id)}
    pieces = _in_pieces(write(chain(first, elements)))
    if not session.streams:
        return Response("".join(pieces), 200, headers, JSON_TYPE)
    return StreamedRows(pieces, headers, JSON_TYPE, behind.pop_all().close, call.hangup)


@post("/druid/v2/candidates", errors="structured", needs=Role.READ)
def candidates(call: Call) -> object:
    """Where the segments are that a native query on one table would read; the query itself is not checked further."""
    try:
        body = _body(call)
        query_type(body)
        tables = list(tables_of(body.get("dataSource"))) if isinstance(body.get("dataSource"), dict) else None
        name = str(body.get("dataSource")) if tables is None else tables[0] if len(tables) == 1 else None
        if not body.get("dataSource") or name is None:
            raise refused("Candidates are those of a query that reads one table")
        call.require_table(Role.READ, name)
        wanted = intervals_of(body.get("intervals")).intervals
    except DruidException as error:
        raise legacy(error) from error
    return located(call, name, wanted)


def _taken(elements: Iterator[Any]) -> Iterator[Any]:
    """The first element, so that what fails while it is made is an error and no answer cut short."""
    for element in elements:
        yield element
        return


def _body(call: Call) -> Mapping[str, Any]:
    if call.media_type != JSON_TYPE:
        raise HttpError(415, f"Unsupported Content-Type [{call.media_type or 'none'}]: this path takes [{JSON_TYPE}]")
    try:
        body = call.parsed()
    except DruidException as error:
        raise refused(error.message, JSON_CLASS) from None
    if not isinstance(body, Mapping):
        raise refused("A native query must be a JSON object", JSON_CLASS)
    return body


def _in_pieces(texts: Iterator[str]) -> Iterator[str]:
    """The same text in pieces of some size: each piece costs a change of threads."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _PIECE:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def _compact(elements: Iterator[Any]) -> Iterator[str]:
    yield "["
    for n, element in enumerate(elements):
        yield ("," if n else "") + json.dumps(element, ensure_ascii=False, separators=(",", ":"))
    yield "]"


def _pretty(elements: Iterator[Any]) -> Iterator[str]:
    """As Jackson indents: a blank on both sides of a colon, elements of the list side by side."""
    yield "[ "
    for n, element in enumerate(elements):
        yield (", " if n else "") + json.dumps(element, ensure_ascii=False, indent=2, separators=(",", " : "))
    yield " ]"
