"""Dynamic configurations that are kept and read back: Coordinator and workers. C-63..C-65, O-19..O-23, N-36, N-41."""

from __future__ import annotations

from typing import Any

from controller.api.routing import EMPTY, Call, get, post
from controller.api.rules import author, history_of
from controller.api.users import Role
from controller.metadata.settings import COORDINATOR, COORDINATOR_DEFAULTS, get_config, put_config
from msq.faults import invalid_input

WORKERS: dict[str, Any] = {"type": "default", "selectStrategy": {"type": "equalDistribution"}, "autoScaler": None}


def _read(call: Call, name: str, defaults: dict[str, Any]) -> dict[str, Any]:
    with call.server.engine.store.reading() as connection:
        return get_config(connection, name, defaults)


def _write(call: Call, name: str, defaults: dict[str, Any]) -> None:
    """Keys that are left out keep their values; unknown ones are not kept, values of another kind are refused."""
    given = {key: value for key, value in call.json_object().items() if key in defaults}
    for key, value in given.items():
        known = defaults[key]
        if known is not None and not _same_kind(known, value):
            raise invalid_input(f"Configuration key [{key}] takes a value such as [{known}], not [{value}]")
    with call.server.engine.store.transaction() as connection:
        put_config(connection, name, {**get_config(connection, name, defaults), **given}, author(call))


def _same_kind(known: Any, value: Any) -> bool:
    if isinstance(known, bool) or isinstance(value, bool):
        return type(known) is type(value)
    if isinstance(known, (int, float)):
        return isinstance(value, (int, float))
    return isinstance(value, type(known)) or value is None


@get("/druid/coordinator/v1/config")
def coordinator_config(call: Call) -> object:
    return _read(call, COORDINATOR, COORDINATOR_DEFAULTS)


@post("/druid/coordinator/v1/config", needs=Role.ADMIN)
def set_coordinator_config(call: Call) -> object:
    _write(call, COORDINATOR, COORDINATOR_DEFAULTS)
    call.server.duties.wake()
    return EMPTY


@get("/druid/coordinator/v1/config/history")
def coordinator_config_history(call: Call) -> object:
    return history_of(call, COORDINATOR)


@get("/druid/coordinator/v1/duties")
def duties(call: Call) -> object:
    return {"dutyGroups": call.server.duties.groups()}


@get("/druid/coordinator/v1/config/cloneStatus")
def clone_status(call: Call) -> object:
    return {"cloneStatus": []}


@get("/druid/coordinator/v1/config/syncedBrokers")
def synced_brokers(call: Call) -> object:
    return {"syncedBrokers": []}


@get("/druid/indexer/v1/worker")
def worker_config(call: Call) -> object:
    return _read(call, "worker.config", WORKERS)


@post("/druid/indexer/v1/worker", needs=Role.ADMIN)
def set_worker_config(call: Call) -> object:
    if call.json_object().get("type", "default") != "default":
        raise invalid_input("A worker configuration must have the type [default]")
    _write(call, "worker.config", WORKERS)
    return EMPTY


@get("/druid/indexer/v1/worker/history")
def worker_config_history(call: Call) -> object:
    return history_of(call, "worker.config")
