"""The configuration of automatic compaction in druid_config, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from controller.metadata.settings import Author, get_config, put_config
from msq.faults import invalid_input
from msq.intervals import Period

AUDIT = "coordinator.compaction.config"
"""Name of the row, and type of its audit entries."""
CLUSTER: dict[str, Any] = {
    "compactionTaskSlotRatio": 0.1, "maxCompactionTaskSlots": 2_147_483_647, "compactionPolicy": None,
    "useSupervisors": False, "engine": "msq", "storeCompactionStatePerSegment": True,
}  # fmt: skip
TABLE: dict[str, Any] = {
    "dataSource": None, "taskPriority": 25, "inputSegmentSizeBytes": 100_000_000_000_000, "maxRowsPerSegment": None,
    "skipOffsetFromLatest": "P1D", "tuningConfig": None, "granularitySpec": None, "dimensionsSpec": None,
    "metricsSpec": None, "transformSpec": None, "ioConfig": None, "taskContext": None, "engine": None,
}  # fmt: skip
_OBJECTS = ("tuningConfig", "granularitySpec", "dimensionsSpec", "transformSpec", "ioConfig", "taskContext")


def compaction(connection: Connection) -> dict[str, Any]:
    """The whole configuration: `compactionConfigs` by table, and the cluster's keys."""
    return get_config(connection, AUDIT, {"compactionConfigs": [], **CLUSTER})


def change_compaction(
    connection: Connection, change: Callable[[dict[str, Any]], dict[str, Any]], author: Author
) -> None:
    """Replaces the configuration by what `change` makes of it, in the transaction of `connection`."""
    before = compaction(connection)
    after = change(before)
    if after != before:
        put_config(connection, AUDIT, after, author)


def check_cluster(given: Mapping[str, Any]) -> None:
    """Raises DruidException (400) for a value of the wrong kind."""
    ratio, slots = given.get("compactionTaskSlotRatio", 0), given.get("maxCompactionTaskSlots", 0)
    if not _is_number(ratio) or ratio < 0:
        raise invalid_input(f"[compactionTaskSlotRatio] must be 0 or more, but is [{ratio}]")
    if type(slots) is not int or slots < 0:
        raise invalid_input(f"[maxCompactionTaskSlots] must be a whole number from 0 on, but is [{slots}]")
    _check_engine(given)
    for name in ("useSupervisors", "storeCompactionStatePerSegment"):
        if not isinstance(given.get(name, False), bool):
            raise invalid_input(f"[{name}] must be true or false, but is [{given[name]}]")
    if given.get("compactionPolicy") is not None and not isinstance(given["compactionPolicy"], dict):
        raise invalid_input("[compactionPolicy] must be a JSON object")


def check_table(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a table's configuration: the keys that there are. Raises DruidException (400) for a bad one."""
    name = given.get("dataSource")
    if not isinstance(name, str) or not name:
        raise invalid_input("A compaction configuration needs the text [dataSource]")
    for key in _OBJECTS:
        if given.get(key) is not None and not isinstance(given[key], dict):
            raise invalid_input(f"[{key}] must be a JSON object")
    for key in ("taskPriority", "inputSegmentSizeBytes", "maxRowsPerSegment"):
        if given.get(key) is not None and type(given[key]) is not int:
            raise invalid_input(f"[{key}] must be a whole number, but is [{given[key]}]")
    if given.get("metricsSpec") is not None and not isinstance(given["metricsSpec"], list):
        raise invalid_input("[metricsSpec] must be a list")
    _check_engine(given)
    offset = given.get("skipOffsetFromLatest") or TABLE["skipOffsetFromLatest"]
    try:
        Period.parse(str(offset))
    except ValueError as error:
        raise invalid_input(f"[skipOffsetFromLatest] must be a period, but is [{offset}]: {error}") from None
    return {key: value for key, value in given.items() if key in TABLE and value is not None}


def _check_engine(given: Mapping[str, Any]) -> None:
    if given.get("engine") not in (None, "native", "msq"):
        raise invalid_input(f"[engine] must be native or msq, but is [{given['engine']}]")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
