"""Retention rules, dynamic configuration and the audit trail: druid_rules, druid_config, druid_audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from controller.metadata.schema import audit, config, rules
from controller.metadata.store import from_payload, now_iso, to_payload

DEFAULT_RULES = "_default"
_SHIPPED_RULES = [{"type": "loadForever", "tieredReplicants": {"_default_tier": 1}, "useDefaultTierForNull": True}]
COORDINATOR = "coordinator.config"
"""Name of the Coordinator's configuration, and type of its audit entries."""
COORDINATOR_DEFAULTS: dict[str, Any] = {
    "millisToWaitBeforeDeleting": 900_000, "maxSegmentsToMove": 100, "replicantLifetime": 15,
    "replicationThrottleLimit": 500, "balancerComputeThreads": 1, "killDataSourceWhitelist": [],
    "killTaskSlotRatio": 0.1, "maxKillTaskSlots": 2_147_483_647, "killPendingSegmentsSkipList": [],
    "maxSegmentsInNodeLoadingQueue": 500, "decommissioningNodes": [], "pauseCoordination": False,
    "replicateAfterLoadTimeout": False, "useRoundRobinSegmentAssignment": True, "smartSegmentLoading": True,
    "debugDimensions": None, "turboLoadingNodes": [], "cloneServers": {},
}  # fmt: skip


@dataclass(frozen=True)
class Author:
    """Who changes something, and why, as the request's headers say."""

    name: str = ""
    comment: str = ""
    ip: str = ""

    def to_json(self) -> dict[str, str]:
        return {"author": self.name, "comment": self.comment, "ip": self.ip}


# -- rules -------------------------------------------------------------------------------------------------------------


def all_rules(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """The newest list of each table that ever had one; `_default` always."""
    found: dict[str, tuple[str, Any]] = {DEFAULT_RULES: ("", _SHIPPED_RULES)}
    for row in connection.execute(select(rules.c.dataSource, rules.c.version, rules.c.payload)):
        if row.version >= found.get(row.dataSource, ("",))[0]:
            found[row.dataSource] = (row.version, from_payload(row.payload))
    return {name: value for name, (_, value) in sorted(found.items())}


def put_rules(connection: Connection, name: str, value: list[dict[str, Any]], author: Author) -> None:
    """Replaces the list of a table; nothing happens when it is that already."""
    if all_rules(connection).get(name) == value:
        return
    now = now_iso()
    connection.execute(delete(rules).where(rules.c.dataSource == name))
    row = {"id": f"{name}_{now}", "dataSource": name, "version": now, "payload": to_payload(value)}
    connection.execute(insert(rules).values(**row))
    note(connection, name, "rules", value, author)


# -- configuration -----------------------------------------------------------------------------------------------------


def get_config(connection: Connection, name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with what was never set at its default."""
    return {**defaults, **(given_config(connection, name) or {})}


def given_config(connection: Connection, name: str) -> dict[str, Any] | None:
    """A configuration as it was put; None for one that never was."""
    row = connection.execute(select(config.c.payload).where(config.c.name == name)).first()
    return None if row is None else dict(from_payload(row.payload))


def put_config(connection: Connection, name: str, value: Mapping[str, Any], author: Author) -> None:
    connection.execute(delete(config).where(config.c.name == name))
    connection.execute(insert(config).values(name=name, payload=to_payload(dict(value))))
    note(connection, name, name, dict(value), author)


# -- audit -------------------------------------------------------------------------------------------------------------


def note(connection: Connection, key: str, kind: str, value: Any, author: Author) -> None:
    now = now_iso()
    entry = {
        "key": key, "type": kind, "auditInfo": author.to_json(), "payload": to_payload(value).decode(),
        "auditTime": now,
    }  # fmt: skip
    connection.execute(insert(audit).values(
        audit_key=key, type=kind, author=author.name[:255], comment=author.comment[:2048], created_date=now,
        payload=to_payload(entry),
    ))  # fmt: skip


def history(
    connection: Connection, kind: str, key: str | None = None, *, within: tuple[str, str] | None = None,
    count: int | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Audit entries: those within a half-open pair of ISO texts, oldest first; or the last `count`, newest first."""
    query = select(audit.c.payload).where(audit.c.type == kind)
    if key is not None:
        query = query.where(audit.c.audit_key == key)
    if within is not None:
        query = query.where(audit.c.created_date >= within[0], audit.c.created_date < within[1])
        query = query.order_by(audit.c.id)
    else:
        query = query.order_by(audit.c.id.desc()).limit(count)
    return [from_payload(row.payload) for row in connection.execute(query)]
