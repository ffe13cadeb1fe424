"""This process as a data server, a cluster, a worker. C-74, C-75, N-19..N-24, N-31, N-32, O-21, M-01..M-05."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from controller.api.datasources import served
from controller.api.routing import Call, HttpError, get, post
from controller.api.server import Server
from controller.api.users import Role
from controller.metadata.task_list import TaskFilter
from controller.system.state import ROLES, TIER, own_version
from controller.tasks.views import EPOCH, runner_status
from msq.segment.identity import DataSegment

_CATEGORY = "_default_worker_category"


def _segments(call: Call) -> list[DataSegment]:
    return [s for segments in served(call).values() for s in segments]


def _described(call: Call, full: bool) -> dict[str, Any]:
    segments = _segments(call)
    out: dict[str, Any] = {
        "host": call.server.node, "tier": TIER, "type": "historical", "priority": 0,
        "currSize": sum(s.size for s in segments), "maxSize": call.server.state.cache_limit,
    }  # fmt: skip
    if full:
        out["segments"] = {s.id: s.to_json() for s in segments}
    return out


@get("/druid/coordinator/v1/servers")
def servers(call: Call) -> object:
    if call.flag("full") or call.flag("simple"):
        return [_described(call, call.flag("full"))]
    return [call.server.node]


def _own(call: Call) -> None:
    if call.params["name"] != call.server.node:
        raise HttpError(404, f"There is no server [{call.params['name']}]")


@get("/druid/coordinator/v1/servers/{name}")
def server(call: Call) -> object:
    _own(call)
    return _described(call, not call.flag("simple"))


@get("/druid/coordinator/v1/servers/{name}/segments")
def server_segments(call: Call) -> object:
    _own(call)
    return [s.to_json() if call.flag("full") else s.id for s in _segments(call)]


@get("/druid/coordinator/v1/servers/{name}/segments/{id}")
def server_segment(call: Call) -> object:
    _own(call)
    for s in _segments(call):
        if s.id == call.params["id"]:
            return s.to_json()
    raise HttpError(404, f"Segment [{call.params['id']}] is not served by [{call.server.node}]")


@get("/druid/coordinator/v1/tiers")
def tiers(call: Call) -> object:
    if call.flag("simple"):
        size = sum(s.size for s in _segments(call))
        return {TIER: {"currSize": size, "maxSize": call.server.state.cache_limit}}
    return [TIER]


@get("/druid/coordinator/v1/tiers/{tier}")
def tier(call: Call) -> object:
    if call.params["tier"] != TIER:
        return {} if call.flag("simple") else []
    found = served(call)
    if not call.flag("simple"):
        return list(found)
    out: dict[str, dict[str, dict[str, int]]] = {}
    for name, segments in found.items():
        for s in segments:
            entry = out.setdefault(name, {}).setdefault(s.interval, {"size": 0, "count": 0})
            entry["size"] += s.size
            entry["count"] += 1
    return out


def _node(server: Server, role: str) -> dict[str, Any]:
    host, port, _ = server.engine.settings.location
    return {"host": host, "service": f"druid/{role}", "plaintextPort": port}


@get("/druid/coordinator/v1/cluster")
def cluster(call: Call) -> object:
    return {role: _nodes(call, role) for role in ROLES}


@get("/druid/coordinator/v1/cluster/{role}")
def cluster_role(call: Call) -> object:
    return _nodes(call, call.params["role"]) if call.params["role"] in ROLES else []


def _nodes(call: Call, role: str) -> list[dict[str, Any]]:
    node = _node(call.server, role)
    if not call.true("full"):
        return [node]
    return [{"druidNode": node, "nodeType": role, "services": {}, "startTime": call.server.started}]


# -- as a worker -------------------------------------------------------------------------------------------------------


@get("/druid/indexer/v1/totalWorkerCapacity")
def capacity(call: Call) -> object:
    queue = call.server.tasks.queue
    return {
        "currentClusterCapacity": queue.capacity, "maximumCapacityWithAutoScale": -1, "usedClusterCapacity": queue.used
    }  # fmt: skip


@get("/druid/indexer/v1/workers")
def workers(call: Call) -> object:
    manager = call.server.tasks
    states = manager.queue.states()
    active = [t for t in manager.summaries(TaskFilter(active=True)) if call.may_see(t)]
    running = [t for t in active if runner_status(t, states) == "RUNNING"]
    done = manager.summaries(TaskFilter(active=False), 1)
    host, port, _ = call.server.engine.settings.location
    return [{
        "worker": {
            "scheme": "http", "host": f"{host}:{port}", "ip": host, "capacity": manager.queue.capacity,
            "version": own_version() if manager.queue.enabled else "", "category": _CATEGORY,
        },
        "currCapacityUsed": manager.queue.used, "currParallelIndexCapacityUsed": 0,
        "availabilityGroups": sorted({t.group_id for t in running}), "runningTasks": [t.id for t in running],
        "lastCompletedTaskTime": done[0].created if done else EPOCH, "blacklistedUntil": None,
    }]  # fmt: skip


@get("/druid/indexer/v1/scaling")
def scaling(call: Call) -> object:
    return Response(status_code=200)


@get("/druid/worker/v1/enabled")
def enabled(call: Call) -> object:
    return {call.server.node: call.server.tasks.queue.enabled}


@post("/druid/worker/v1/enable", needs=Role.ADMIN)
def enable(call: Call) -> object:
    return _switch(call, True)


@post("/druid/worker/v1/disable", needs=Role.ADMIN)
def disable(call: Call) -> object:
    return _switch(call, False)


@post("/druid/indexer/v1/worker/{host}/enable", needs=Role.ADMIN)
def enable_host(call: Call) -> object:
    return _switch(_for_host(call), True)


@post("/druid/indexer/v1/worker/{host}/disable", needs=Role.ADMIN)
def disable_host(call: Call) -> object:
    return _switch(_for_host(call), False)


def _for_host(call: Call) -> Call:
    if call.params["host"] != call.server.node:
        raise HttpError(404, f"There is no worker [{call.params['host']}]")
    return call


def _switch(call: Call, on: bool) -> dict[str, str]:
    call.server.tasks.queue.enable(on)
    return {call.server.node: "enabled" if on else "disabled"}
