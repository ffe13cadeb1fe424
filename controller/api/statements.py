"""`/druid/v2/sql/statements`: SQL answered later. N-03..N-06, N-08; texts of msq-engine 1.7."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response, StreamingResponse

from controller.api.result_formats import FORMATS
from controller.api.routing import EMPTY, Call, HttpError, delete, get, post
from controller.api.sql import rows_response
from controller.api.sql_request import SqlRequest, format_of
from controller.api.users import Role
from controller.interactive import explained_answer
from controller.statements import ACCEPTED, StatementView
from controller.tasks.query import Submission
from msq.context import QueryContext
from msq.faults import DruidException, invalid_input
from msq.sql.statement import Statement

BASE = "/druid/v2/sql/statements"
_NOT_IN_FILE_NAMES = frozenset('/\\:*?"<>|\0\r\n')


@get(f"{BASE}/enabled", errors="structured")
def statements_enabled(call: Call) -> object:
    return {"enabled": True}


@post(BASE, errors="structured", needs=())
def post_statement(call: Call) -> Any:
    """Accepts a statement; EXPLAIN answers its row."""
    request = SqlRequest.of(call)
    query_id = request.query_id or str(uuid.uuid4())

    def admit(statement: Statement) -> None:
        _check_mode(QueryContext(statement.context))

    asked = Submission(
        request.query, {**request.context, "sqlQueryId": query_id}, request.parameters,
        {"__resultFormat": request.format, **call.own_context},
    )  # fmt: skip
    prepared = call.server.engine.prepare(
        asked.sql, asked.context, asked.parameters, own_context=asked.own_context, admit=admit
    )
    call.require_for(prepared)
    if prepared.explained is not None:
        return rows_response(request, explained_answer(prepared.explained), prepared.query_id)
    task_id = call.server.tasks.submit(prepared, asked)
    answer = StatementView.find(call.server.tasks, task_id).to_json()
    for key in ("result", "errorDetails"):
        answer.pop(key, None)
    return {**answer, "state": ACCEPTED, "durationMs": -1}


@get(BASE + "/{id}", errors="structured")
def statement(call: Call) -> object:
    return _found(call).to_json(call.true("detail"))


@get(BASE + "/{id}/results", errors="structured")
def results(call: Call) -> Response:
    view = _found(call)
    headers = _attachment(call.get("filename"))
    page = _page(call.get("page"))
    form = FORMATS[format_of(call.get("resultFormat"), view.default_format)]
    if view.is_active:
        raise DruidException(
            f"Query[{call.params['id']}] is currently in [{view.state}] state. Please wait for it to complete."
        )
    if view.state == "FAILED":
        raise DruidException(f"Query[{call.params['id']}] failed. Check the status api for more details.")
    if not view.has_rows:
        return Response(status_code=200, headers=headers)
    return StreamingResponse(form.write(view.names, None, view.rows(page)), 200, headers, form.media_type)


@delete(BASE + "/{id}", errors="structured", needs=Role.READ)
def cancel_statement(call: Call) -> Response:
    """202 for one that was ended, 200 for one that had ended already."""
    view = _found(call)
    if view.is_active and call.server.tasks.shutdown(call.params["id"]):
        return Response(status_code=202)
    return EMPTY


def _found(call: Call) -> StatementView:
    """A statement of the user's own; another's takes `admin`."""
    view = StatementView.find(call.server.tasks, call.params["id"])
    if call.user is not None and view.user != call.user.name:
        call.require(Role.ADMIN)
    return view


def _check_mode(context: QueryContext) -> None:
    mode = context.value("executionMode")
    if mode is None:
        raise invalid_input(
            "Execution mode is not provided to the sql statement api. Please set [executionMode] to [ASYNC] in the "
            "query context"
        )
    if mode != "ASYNC":
        raise invalid_input(
            f"The sql statement api currently does not support the provided execution mode [{mode}]. Please set "
            "[executionMode] to [ASYNC] in the query context"
        )


def _page(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise HttpError(404, f"There is no page [{text}]") from None


def _attachment(name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    if not 0 < len(name) <= 255 or _NOT_IN_FILE_NAMES & set(name) or not (name.isascii() and name.isprintable()):
        raise invalid_input(
            f'Invalid file name [{name}]: it must have 1 to 255 plain characters and none of / \\ : * ? " < > |'
        )
    return {"Content-Disposition": f'attachment; filename="{name}"'}
