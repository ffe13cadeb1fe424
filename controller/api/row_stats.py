"""Rows that a running task has read and written so far, as a Peon tells them. P-01, P-02."""

from __future__ import annotations

from controller.api.routing import Call, HttpError, get
from controller.tasks.query import QueryTask
from controller.tasks.row_meters import row_meters

_BASE = "/druid/worker/v1/chat/{task}"


def _live(call: Call) -> QueryTask:
    """The statement that runs under that id: 404 for an unknown one, 503 for one that is over or waits."""
    task_id, manager = call.params["task"], call.server.tasks
    found, task = manager.live(task_id), manager.summary(task_id)
    if task is not None and not call.may_see(task):
        found = task = None
    if found is None:
        if task is None:
            raise HttpError(404, f"Task [{task_id}] does not exist")
        raise HttpError(503, f"Task [{task_id}] does not run any more")
    if not isinstance(found, QueryTask):
        raise HttpError(404, f"Task [{task_id}] reads no rows")
    return found


@get(f"{_BASE}/rowStats")
def row_stats(call: Call) -> object:
    """Totals; there are no moving averages."""
    payload = _live(call).live_report()["multiStageQuery"]["payload"]
    return {"movingAverages": {}, "totals": {"buildSegments": row_meters(payload)}}


@get(f"{_BASE}/unparseableEvents")
def unparseable(call: Call) -> object:
    """Messages of the warnings about rows that do not parse."""
    status = _live(call).live_report()["multiStageQuery"]["payload"].get("status", {})
    texts = [w.get("error", {}).get("errorMessage") for w in status.get("warnings", ())]
    return {"buildSegments": [t for t in texts if t is not None]}
