"""Retention rules and their history. C-51..C-58."""

from __future__ import annotations

from typing import Any

from controller.api.routing import EMPTY, Call, get, post
from controller.metadata.settings import DEFAULT_RULES, Author, all_rules, history, put_rules
from controller.metadata.store import now_ms
from controller.retention import check_rules
from msq.faults import invalid_input
from msq.intervals import format_instant

BASE = "/druid/coordinator/v1/rules"
_WEEK_MS = 7 * 86_400_000


def author(call: Call) -> Author:
    """From X-Druid-Author and X-Druid-Comment."""
    user = "" if call.user is None else call.user.name
    return Author(call.headers.get("x-druid-author", user), call.headers.get("x-druid-comment", ""))


def history_of(call: Call, kind: str, key: str | None = None) -> list[dict[str, Any]]:
    """By `interval` (the last week by default) or by `count`."""
    count, interval = call.integer("count"), call.interval("interval")
    if count is not None and count < 1:
        raise invalid_input(f"Query parameter [count] must be 1 or more, but is [{count}]")
    with call.server.engine.store.reading() as connection:
        if interval is not None:
            span = format_instant(interval.start), format_instant(interval.end)
            return history(connection, kind, key, within=span)
        if count is not None:
            return history(connection, kind, key, count=count)
        now = now_ms()
        return history(connection, kind, key, within=(format_instant(now - _WEEK_MS), format_instant(now + 1)))


@get(BASE)
def rules(call: Call) -> object:
    with call.server.engine.store.reading() as connection:
        found = all_rules(connection)
    return {name: listed for name, listed in found.items() if name == DEFAULT_RULES or call.may_read(name)}


@get(BASE + "/history")
def all_history(call: Call) -> object:
    found = history_of(call, "rules")
    return [entry for entry in found if entry["key"] == DEFAULT_RULES or call.may_read(entry["key"])]


@get(BASE + "/{datasource}")
def rules_of(call: Call) -> object:
    name = call.params["datasource"]
    with call.server.engine.store.reading() as connection:
        found = all_rules(connection)
    own = found.get(name, [])
    return [*own, *found[DEFAULT_RULES]] if call.flag("full") and name != DEFAULT_RULES else own


@get(BASE + "/{datasource}/history")
def history_of_one(call: Call) -> object:
    return history_of(call, "rules", call.params["datasource"])


@post(BASE + "/{datasource}")
def set_rules(call: Call) -> object:
    name, value = call.params["datasource"], check_rules(call.json())
    if name == DEFAULT_RULES and not value:
        raise invalid_input(f"[{DEFAULT_RULES}] must keep a rule: without one nothing would be loaded")
    with call.server.engine.store.transaction() as connection:
        put_rules(connection, name, value, author(call))
    call.server.duties.wake()
    return EMPTY
