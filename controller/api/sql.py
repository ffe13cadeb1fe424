"""`/druid/v2/sql`: interactive SQL, its cancellation, and what the console asks about engines. N-01, N-02, N-38."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from starlette.responses import Response

from controller import interactive
from controller.api.brokers import check_blocked
from controller.api.hangup import Hangup
from controller.api.result_formats import FORMATS, Header
from controller.api.routing import Call, delete, get, header_text, post
from controller.api.sql_request import SqlRequest
from controller.api.streamed import StreamedRows
from controller.api.users import Role
from controller.controller import Controller
from controller.system.tables import SystemTableReader
from msq.codec import encode


@post("/druid/v2/sql", errors="structured", long=True, needs=Role.READ)
def post_sql(call: Call) -> Response:
    request = SqlRequest.of(call)
    query_id = request.query_id or str(uuid.uuid4())
    server = call.server
    state = replace(server.state, may_read=call.may_read, may_see=call.may_see)
    prepared = interactive.prepare(
        server.engine, request.query, {**request.context, "sqlQueryId": query_id}, request.parameters,
        SystemTableReader(state), server.settings.max_query_ms,
    )  # fmt: skip
    call.require_for(prepared)
    check_blocked(call, prepared.query_id, lambda: encode(prepared.bound.query), prepared.context.raw)
    most = server.settings.max_rows
    # an answer that may be refused for its length is not begun before its length is known
    controller = interactive.controller_of(server.engine, prepared, streams=most is None)
    with ExitStack() as asking:
        asking.enter_context(listed(call, prepared.query_id, controller))
        answer = interactive.ask(prepared, controller, most)
        if not answer.rows.is_whole:
            answer.rows.keep(asking.pop_all())
    return rows_response(request, answer, prepared.query_id, call.hangup)


def rows_response(
    request: SqlRequest, answer: interactive.Answer, query_id: str, hangup: Hangup | None = None
) -> Response:
    """The rows in the format and with the header rows that were asked for."""
    header = None
    headers = dict.fromkeys(("X-Druid-SQL-Query-Id", "X-Druid-Query-Id"), header_text(query_id))
    if request.header:
        header = Header(
            answer.names, answer.types if request.types_header else None,
            answer.sql_types if request.sql_types_header else None,
        )  # fmt: skip
        headers["X-Druid-SQL-Header-Included"] = "yes"
    form = FORMATS[request.format]
    pieces = form.write(answer.names, header, answer.rows)
    if answer.rows.is_whole:
        return Response("".join(pieces), 200, headers, form.media_type)
    return StreamedRows(pieces, headers, form.media_type, answer.rows.close, hangup or Hangup())


@contextmanager
def listed(call: Call, query_id: str, controller: Controller) -> Iterator[None]:
    """The query can be cancelled by its id meanwhile, and is when its client goes away."""
    server = call.server
    with server.lock:
        server.interactive.setdefault(query_id, []).append(controller)
        if call.user is not None:
            server.askers.setdefault(query_id, set()).add(call.user.name)
    try:
        with call.hangup.ends(lambda: controller.cancel("USER_REQUEST")):
            yield
    finally:
        with server.lock:
            left = [c for c in server.interactive.pop(query_id) if c is not controller]
            if left:
                server.interactive[query_id] = left
            else:
                server.askers.pop(query_id, None)


@delete("/druid/v2/sql/{id}", errors="structured", needs=Role.READ)
def cancel_sql(call: Call) -> Response:
    """Cancels all running queries of that id."""
    check_canceller(call)
    return Response(status_code=202 if call.server.cancel_interactive(call.params["id"]) else 404)


def check_canceller(call: Call) -> None:
    """Everybody may cancel his own query; another's takes `write`."""
    if call.user is None:
        return
    with call.server.lock:
        askers = call.server.askers.get(call.params["id"], set())
    if askers - {call.user.name}:
        call.require(Role.WRITE)


@get("/druid/v2/sql/engines", errors="structured")
def engines(call: Call) -> object:
    return {"engines": [{"name": "native"}, {"name": "msq-task"}]}


@get("/druid/v2/sql/queries", errors="structured")
def queries(call: Call) -> object:
    """Interactive queries that run now."""
    with call.server.lock:
        limited = call.user is not None and call.user.is_limited(Role.READ)
        mine = {i for i, names in call.server.askers.items() if call.user is not None and call.user.name in names}
        ids = [i for i in call.server.interactive if not limited or i in mine]
    return {"queries": [{"engine": "native", "id": i, "sqlQueryId": i, "state": "RUNNING"} for i in ids]}
