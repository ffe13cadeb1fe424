"""The process itself: version, health, properties, leadership, readiness, the console's proxy paths. S, C-01, N-39."""

from __future__ import annotations

import resource

from starlette.responses import Response

from controller.api.routing import EMPTY, Call, get
from controller.system.state import own_version


@get("/status", "/proxy/coordinator/status", "/proxy/overlord/status")
def status(call: Call) -> object:
    limit = call.server.engine.settings.memory_bytes
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    packages = ("msq", "controller", "worker")
    return {
        "version": own_version(),
        "modules": [{"name": name, "artifact": "msq", "version": own_version()} for name in packages],
        "memory": {
            "maxMemory": limit, "totalMemory": max(limit, used), "freeMemory": max(limit - used, 0), "usedMemory": used,
            "directMemory": -1,
        },
    }  # fmt: skip


@get("/status/health", open=True)
def health(call: Call) -> object:
    return True


@get("/status/ready", open=True)
def ready(call: Call) -> object:
    return True


@get("/status/properties", "/proxy/coordinator/status/properties", "/proxy/overlord/status/properties")
def properties(call: Call) -> object:
    return dict(sorted(call.server.properties.items()))


@get("/status/selfDiscovered/status")
def self_discovered(call: Call) -> object:
    return {"selfDiscovered": True}


@get("/status/selfDiscovered", "/druid/broker/v1/readiness", "/druid/historical/v1/readiness")
def discovered(call: Call) -> Response:
    return EMPTY


@get("/druid/coordinator/v1/leader", "/druid/indexer/v1/leader")
def leader(call: Call) -> Response:
    return Response(call.server.url, media_type="application/json")


@get("/druid/coordinator/v1/isLeader", "/druid/indexer/v1/isLeader")
def is_leader(call: Call) -> object:
    return {"leader": True}


@get("/druid/broker/v1/loadstatus")
def broker_load_status(call: Call) -> object:
    return {"inventoryInitialized": True}


@get("/druid/historical/v1/loadstatus")
def historical_load_status(call: Call) -> object:
    return {"cacheInitialized": True}


@get("/proxy/enabled")
def proxy_enabled(call: Call) -> object:
    return {"enabled": True}


@get("/druid/router/v1/brokers")
def brokers(call: Call) -> object:
    return {"druid/broker": [call.server.node]}
