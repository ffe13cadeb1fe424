"""The Broker's dynamic configuration: the context that queries start from, and queries that are blocked. N-42."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from controller.api.routing import EMPTY, Call, get, post
from controller.api.rules import author, history_of
from controller.api.users import Role
from controller.metadata.settings import get_config, put_config
from msq.faults import DruidException, invalid_input

CONFIG = "broker.config"
DEFAULTS: dict[str, Any] = {"queryBlocklist": [], "queryContext": {}, "perSegmentTimeoutConfig": {}}
_CRITERIA = ("dataSources", "queryTypes", "contextMatches")
_INNER = ("dataSource", "dataSources", "query", "base", "left", "right")
"""Where a query holds what it reads."""
_PATH = "/druid/coordinator/v1/broker/config"


def broker_config(call: Call) -> dict[str, Any]:
    engine = call.server.engine

    def read() -> dict[str, Any]:
        with engine.store.reading() as connection:
            return get_config(connection, CONFIG, DEFAULTS)

    return engine.snapshots.now().remember(CONFIG, read)


def with_defaults(call: Call, context: Mapping[str, Any]) -> dict[str, Any]:
    """A query's context over the one that all queries start from."""
    return {**broker_config(call)["queryContext"], **context}


def check_blocked(call: Call, query_id: str, query: Callable[[], Any], context: Mapping[str, Any]) -> None:
    """Raises DruidException (403) for a query that a rule blocks: one that meets all the criteria of the rule.

    query: makes the native query as JSON; called when there are rules.
    """
    rules = broker_config(call)["queryBlocklist"]
    if not rules:
        return
    found = query()
    names, types = set(tables_of(found)), set(_types_of(found))
    for rule in rules:
        wanted = rule.get("contextMatches") or {}
        if (
            (not rule.get("dataSources") or names & set(rule["dataSources"]))
            and (not rule.get("queryTypes") or types & set(rule["queryTypes"]))
            and all(key in context and str(context[key]) == str(value) for key, value in wanted.items())
        ):
            raise DruidException(
                f"Query[{query_id}] blocked by rule[{rule['ruleName']}]", error_code="forbidden", category="FORBIDDEN"
            )


def tables_of(query: Any) -> Iterator[str]:
    """Names of the tables that a native query, or a part of one, reads."""
    for part in _parts_of(query):
        if part.get("type") in ("table", "globalTable"):
            yield str(part.get("name"))
        elif isinstance(part.get("dataSource"), str):
            yield part["dataSource"]


def _types_of(query: Any) -> Iterator[str]:
    for part in _parts_of(query):
        if isinstance(part.get("queryType"), str):
            yield part["queryType"]


def _parts_of(query: Any) -> Iterator[dict[str, Any]]:
    """A native query and what it reads: data sources and inner queries."""
    if isinstance(query, list):
        for part in query:
            yield from _parts_of(part)
    if isinstance(query, dict):
        yield query
        for key in _INNER:
            yield from _parts_of(query.get(key))


@get(_PATH)
def config(call: Call) -> object:
    return broker_config(call)


@get(f"{_PATH}/history")
def history(call: Call) -> object:
    return history_of(call, CONFIG)


@post(_PATH, needs=Role.ADMIN)
def set_config(call: Call) -> object:
    """Keys that are left out keep their values."""
    given = {key: value for key, value in call.json_object().items() if key in DEFAULTS}
    _check(given)
    with call.server.engine.store.transaction() as connection:
        put_config(connection, CONFIG, {**get_config(connection, CONFIG, DEFAULTS), **given}, author(call))
    return EMPTY


def _check(given: Mapping[str, Any]) -> None:
    rules = given.get("queryBlocklist", [])
    if not isinstance(rules, list):
        raise invalid_input("[queryBlocklist] must be a list of rules")
    for rule in rules:
        _check_rule(rule)
    names = [rule["ruleName"] for rule in rules]
    if len(set(names)) != len(names):
        raise invalid_input(f"Every [ruleName] of [queryBlocklist] must be another, but they are {names}")
    for key in ("queryContext", "perSegmentTimeoutConfig"):
        if not isinstance(given.get(key, {}), dict):
            raise invalid_input(f"[{key}] must be a JSON object")
    if given.get("perSegmentTimeoutConfig"):
        raise DruidException(
            "This server has no [timeouts for each segment] yet: leave [perSegmentTimeoutConfig] empty",
            error_code="general", persona="OPERATOR", category="UNSUPPORTED",
        )  # fmt: skip


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict) or not isinstance(rule.get("ruleName"), str) or not rule["ruleName"]:
        raise invalid_input("A rule of [queryBlocklist] must be an object with the text [ruleName]")
    where = f"Rule [{rule['ruleName']}] of [queryBlocklist]"
    if rule.get("type", "default") != "default":
        raise invalid_input(f"{where} has type [{rule['type']}]: the known type is [default]")
    for key in ("dataSources", "queryTypes"):
        value = rule.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise invalid_input(f"{where} needs a list of texts as [{key}]")
    if rule.get("contextMatches") is not None and not isinstance(rule["contextMatches"], dict):
        raise invalid_input(f"{where} needs an object as [contextMatches]")
    if not any(rule.get(key) for key in _CRITERIA):
        raise invalid_input(f"{where} would block everything: it needs one of [{', '.join(_CRITERIA)}]")
