"""`/druid/v2/sql/task`: a statement as a task. T-01, N-07."""

from __future__ import annotations

import uuid

from starlette.responses import Response

from controller.api.errors import json_response
from controller.api.routing import Call, get, header_text, post
from controller.api.sql import rows_response
from controller.api.sql_request import SqlRequest
from controller.interactive import explained_answer
from controller.tasks.query import Submission
from msq.faults import DruidException


@post("/druid/v2/sql/task", errors="structured", needs=())
def post_task(call: Call) -> Response:
    """202 with the task's id; EXPLAIN answers its row; a refusal stands in an envelope once the statement has an id."""
    request = SqlRequest.of(call)
    query_id = request.query_id or str(uuid.uuid4())
    try:
        asked = Submission(
            request.query, {**request.context, "sqlQueryId": query_id}, request.parameters, call.own_context
        )
        prepared = call.server.engine.prepare(asked.sql, asked.context, asked.parameters, own_context=asked.own_context)
        call.require_for(prepared)
        if prepared.explained is not None:
            return rows_response(request, explained_answer(prepared.explained), prepared.query_id)
        task_id = call.server.tasks.submit(prepared, asked)
    except DruidException as error:
        if not error.envelope:
            raise
        body = {"taskId": query_id, "state": "FAILED", "error": error.to_json()}
        return json_response(body, error.status, {"X-Druid-SQL-Query-Id": header_text(query_id)})
    headers = {"X-Druid-SQL-Query-Id": header_text(prepared.query_id)}
    return json_response({"taskId": task_id, "state": "RUNNING"}, 202, headers)


@get("/druid/v2/sql/task/enabled", errors="structured")
def task_enabled(call: Call) -> object:
    return {"enabled": True}
