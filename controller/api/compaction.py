"""Automatic compaction: its configuration, by cluster and table, and what it would do. C-66..C-73, N-25..N-29.

Coordinator and Overlord rows are twins over one configuration; `controller.tasks.compaction` acts on it.
"""

from __future__ import annotations

from typing import Any

from controller.api.datasources import served_of
from controller.api.routing import EMPTY, Call, HttpError, delete, get, post
from controller.api.rules import author, history_of
from controller.api.users import Role
from controller.metadata.compaction import (
    AUDIT,
    CLUSTER,
    TABLE,
    change_compaction,
    check_cluster,
    check_table,
    compaction,
)
from controller.metadata.store import from_payload
from controller.tasks.compaction import progress as progress_of
from msq.faults import invalid_input

_COORDINATOR, _INDEXER = "/druid/coordinator/v1", "/druid/indexer/v1/compaction"
_CONFIG, _CONFIGS = f"{_COORDINATOR}/config/compaction", f"{_INDEXER}/config/datasources"
_DONE = {"success": True}


def _stored(call: Call) -> dict[str, Any]:
    with call.server.engine.store.reading() as connection:
        return compaction(connection)


def _tables(call: Call) -> list[dict[str, Any]]:
    stored = _stored(call)["compactionConfigs"]
    return [{**TABLE, **config} for config in stored if call.may_read(config["dataSource"])]


def _config_of(call: Call, name: str) -> dict[str, Any]:
    for config in _tables(call):
        if config["dataSource"] == name:
            return config
    raise HttpError(404, f"Data source [{name}] has no compaction configuration")


# -- of the cluster ----------------------------------------------------------------------------------------------------


@get(f"{_INDEXER}/config/cluster")
def cluster(call: Call) -> object:
    stored = _stored(call)
    return {key: stored[key] for key in CLUSTER}


@post(f"{_INDEXER}/config/cluster", needs=Role.ADMIN)
def set_cluster(call: Call) -> object:
    return _set_cluster(call, call.json_object())


@post(f"{_CONFIG}/taskslots", needs=Role.ADMIN)
def set_slots(call: Call) -> object:
    """`ratio` and `max`; what is left out stays."""
    given: dict[str, Any] = {}
    if call.get("ratio"):
        try:
            given["compactionTaskSlotRatio"] = float(call.get("ratio") or "")
        except ValueError:
            raise invalid_input(f"Query parameter [ratio] must be a number, but is [{call.get('ratio')}]") from None
    if call.integer("max") is not None:
        given["maxCompactionTaskSlots"] = call.integer("max")
    return _set_cluster(call, given)


def _set_cluster(call: Call, given: dict[str, Any]) -> object:
    given = {key: value for key, value in given.items() if key in CLUSTER}
    check_cluster(given)
    with call.server.engine.store.transaction() as connection:
        change_compaction(connection, lambda stored: {**stored, **given}, author(call))
    return _DONE


# -- of one table ------------------------------------------------------------------------------------------------------


@get(_CONFIG)
def configs(call: Call) -> object:
    return {**_stored(call), "compactionConfigs": _tables(call)}


@get(_CONFIGS)
def configs_only(call: Call) -> object:
    return {"compactionConfigs": _tables(call)}


@get(_CONFIG + "/{datasource}", _CONFIGS + "/{datasource}")
def config(call: Call) -> object:
    return _config_of(call, call.params["datasource"])


@post(_CONFIG, needs=Role.ADMIN)
def set_config(call: Call) -> object:
    return _set_config(call, call.json_object())


@post(_CONFIGS + "/{datasource}", needs=Role.ADMIN)
def set_config_of(call: Call) -> object:
    given, name = call.json_object(), call.params["datasource"]
    if given.get("dataSource") != name:
        raise invalid_input(f"The path names data source [{name}] and the body [{given.get('dataSource')}]")
    return _set_config(call, given)


def _set_config(call: Call, given: dict[str, Any]) -> object:
    config = check_table(given)

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        others = [c for c in stored["compactionConfigs"] if c["dataSource"] != config["dataSource"]]
        return {**stored, "compactionConfigs": sorted([*others, config], key=lambda c: c["dataSource"])}

    with call.server.engine.store.transaction() as connection:
        change_compaction(connection, change, author(call))
    call.server.duties.wake()
    return _DONE


@delete(_CONFIG + "/{datasource}", _CONFIGS + "/{datasource}", needs=Role.ADMIN)
def delete_config(call: Call) -> object:
    name = call.params["datasource"]
    _config_of(call, name)

    def change(stored: dict[str, Any]) -> dict[str, Any]:
        return {**stored, "compactionConfigs": [c for c in stored["compactionConfigs"] if c["dataSource"] != name]}

    with call.server.engine.store.transaction() as connection:
        change_compaction(connection, change, author(call))
    return _DONE


@get(_CONFIG + "/{datasource}/history", _CONFIGS + "/{datasource}/history")
def history(call: Call) -> object:
    """What the table's configuration and the cluster's were after each change of the table's one."""
    name, out, last = call.params["datasource"], [], None
    newest_first = call.interval("interval") is None and call.integer("count") is not None
    entries = history_of(call, AUDIT)
    for entry in reversed(entries) if newest_first else entries:
        state = from_payload(entry["payload"].encode())
        mine = next((c for c in state["compactionConfigs"] if c["dataSource"] == name), None)
        if mine is not None and mine != last:
            out.append({
                "globalConfig": {key: state[key] for key in CLUSTER}, "compactionConfig": {**TABLE, **mine},
                "auditInfo": entry["auditInfo"], "auditTime": entry["auditTime"],
            })  # fmt: skip
        last = mine
    return out[::-1] if newest_first else out


# -- what it would do --------------------------------------------------------------------------------------------------


def _snapshot(call: Call, config: dict[str, Any]) -> dict[str, Any]:
    name = config["dataSource"]
    segments = [s for s in served_of(call, name) if not s.is_tombstone]
    message = call.server.duties.compaction.problems.get(name)
    return {"dataSource": name, "scheduleStatus": "RUNNING", "message": message, **progress_of(config, segments)}


def _snapshot_of(call: Call, name: str) -> dict[str, Any]:
    return _snapshot(call, _config_of(call, name))


@get(f"{_COORDINATOR}/compaction/status", f"{_INDEXER}/status/datasources")
def status(call: Call) -> object:
    name = call.get("dataSource")
    if name:
        return {"latestStatus": [_snapshot_of(call, name)]}
    return {"latestStatus": [_snapshot(call, config) for config in _tables(call)]}


@get(_INDEXER + "/status/datasources/{datasource}", errors="structured")
def status_of(call: Call) -> object:
    return _snapshot_of(call, call.params["datasource"])


@get(f"{_COORDINATOR}/compaction/progress")
def progress(call: Call) -> object:
    name = call.get("dataSource")
    if not name:
        raise invalid_input("No DataSource specified")
    return {"remainingSegmentSize": _snapshot_of(call, name)["bytesAwaitingCompaction"]}


@post(f"{_COORDINATOR}/compaction/compact", needs=Role.ADMIN)
def compact(call: Call) -> object:
    """One pass now."""
    call.server.duties.compact()
    return EMPTY
