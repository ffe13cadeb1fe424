"""Supervisors: nothing streams here, so the registry is empty and says so. O-03..O-18, N-30."""

from __future__ import annotations

from controller.api.routing import Call, HttpError, get, post
from msq.faults import invalid_input

BASE = "/druid/indexer/v1/supervisor"
_ONE = BASE + "/{id}"


@get(BASE)
def supervisors(call: Call) -> object:
    return []


@get(BASE + "/history")
def history(call: Call) -> object:
    return {}


@post(BASE)
def submit(call: Call) -> object:
    """No type of supervisor is there, so each is refused by its name."""
    kind = call.json_object().get("type")
    raise invalid_input(f"Could not resolve type id '{kind}' as a supervisor spec: known type ids = []")


@post(f"{BASE}/suspendAll", f"{BASE}/resumeAll", f"{BASE}/terminateAll")
def on_all(call: Call) -> object:
    """With nothing to do it, succeeds."""
    return {"status": "success"}


@get(_ONE, *(f"{_ONE}/{word}" for word in ("status", "history", "stats", "health", "parseErrors")))
def unknown(call: Call) -> object:
    raise HttpError(404, f"[{call.params['id']}] does not exist")


for _word in (
    "suspend", "resume", "reset", "resetOffsets", "terminate", "shutdown", "taskGroups/handoff",
    "resetToLatestAndBackfill",
):  # fmt: skip
    post(f"{_ONE}/{_word}")(unknown)
