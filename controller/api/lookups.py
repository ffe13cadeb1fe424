"""Lookups: the Coordinator's configuration of them, what is loaded, and what a loaded one holds.

What is configured here stands in the metadata store and is loaded when the answer comes; those of the server's settings
show in the default tier and are changed there. Other tiers are kept: this process belongs to none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from starlette.responses import Response

from controller.api.errors import json_response
from controller.api.routing import Call, HttpError, delete, get, post
from controller.api.rules import author
from controller.api.users import Role
from controller.lookups import Lookup, LookupSpecError
from controller.metadata.lookups import DEFAULT_TIER, Tiers, change_lookups, newer, stored_lookups
from msq.faults import invalid_input

BASE = "/druid/coordinator/v1/lookups"
_TIER, _ONE = BASE + "/config/{tier}", BASE + "/config/{tier}/{lookup}"
LISTEN, INTROSPECT = "/druid/listen/v1/lookups", "/druid/v1/lookups/introspect"


def _container(lookup: Lookup) -> dict[str, Any]:
    return {"version": lookup.version, "lookupExtractorFactory": dict(lookup.factory)}


def _loaded(call: Call) -> dict[str, Lookup]:
    return {lookup.name: lookup for lookup in call.server.engine.lookups.all()}


def _fixed(call: Call) -> dict[str, Lookup]:
    """Those of the server's settings."""
    return {name: lookup for name, lookup in _loaded(call).items() if lookup.fixed}


def _known(call: Call) -> Tiers | None:
    """What is configured, those of the settings included; they win over stored ones. None: nothing ever."""
    with call.server.engine.store.reading() as connection:
        tiers = stored_lookups(connection)
    fixed = {name: _container(lookup) for name, lookup in _fixed(call).items()}
    if fixed:
        tiers = tiers or {}
        tiers[DEFAULT_TIER] = {**tiers.get(DEFAULT_TIER, {}), **fixed}
    return tiers


def _tiers(call: Call) -> Tiers:
    tiers = _known(call)
    if tiers is None:
        raise HttpError(404, "No lookups found")
    return tiers


def _tier(call: Call) -> dict[str, dict[str, Any]]:
    tier = _tiers(call).get(call.params["tier"])
    if tier is None:
        raise HttpError(404, f"Tier [{call.params['tier']}] not found")
    return tier


def _configured(call: Call) -> dict[str, Any]:
    found = _tier(call).get(call.params["lookup"])
    if found is None:
        raise HttpError(404, f"Lookup [{call.params['lookup']}] not found")
    return found


# -- configuration -----------------------------------------------------------------------------------------------------


@get(f"{BASE}/config")
def tiers(call: Call) -> object:
    if call.true("discover"):
        return sorted({DEFAULT_TIER, *(_known(call) or {})})
    return list(_tiers(call))


@get(f"{BASE}/config/all")
def all_lookups(call: Call) -> object:
    return _tiers(call)


@get(_TIER)
def tier(call: Call) -> object:
    found = _tier(call)
    return found if call.true("detailed") else list(found)


@get(_ONE)
def lookup(call: Call) -> object:
    return _configured(call)


@post(f"{BASE}/config", needs=Role.ADMIN)
def set_lookups(call: Call) -> object:
    """Adds and replaces those of the body, `{tier: {name: container}}`; others stay. All of them or none."""
    given = call.json_object()
    for name, named in given.items():
        if not isinstance(named, dict) or not all(isinstance(c, dict) for c in named.values()):
            raise invalid_input(f"Tier [{name}] must hold an object of lookups by name")
    _put(call, given)
    return json_response(given, 202)


@post(_ONE, needs=Role.ADMIN)
def set_lookup(call: Call) -> object:
    """Adds the lookup or replaces one of an earlier version."""
    _put(call, {call.params["tier"]: {call.params["lookup"]: call.json_object()}})
    return Response(status_code=202)


@delete(_TIER, needs=Role.ADMIN)
def delete_tier(call: Call) -> object:
    return _drop(call, call.params["tier"], None)


@delete(_ONE, needs=Role.ADMIN)
def delete_lookup(call: Call) -> object:
    return _drop(call, call.params["tier"], call.params["lookup"])


def _put(call: Call, given: Mapping[str, Mapping[str, dict[str, Any]]]) -> None:
    engine = call.server.engine
    fixed = _fixed(call)
    for tier_name, named in given.items():
        for name, container in named.items():
            _check(tier_name, name, container, fixed)

    def change(tiers: Tiers) -> None:
        for tier_name, named in given.items():
            kept = tiers.setdefault(tier_name, {})
            for name, container in named.items():
                if not newer(container, kept.get(name)):
                    raise invalid_input(
                        f"Lookup [{name}] of tier [{tier_name}] has version [{kept[name].get('version')}]: the new one "
                        f"must be greater as text, but is [{container.get('version')}]"
                    )
                kept[name] = container

    with engine.store.transaction() as connection:
        change_lookups(connection, change, author(call))
        try:
            # what cannot be loaded is not stored either
            engine.lookups.put_all(given.get(DEFAULT_TIER, {}))
        except LookupSpecError as error:
            raise invalid_input(str(error)) from error


def _check(tier: str, name: str, container: Mapping[str, Any], fixed: Collection[str]) -> None:
    if not tier or not name:
        raise invalid_input("A lookup needs a tier and a name")
    if not isinstance(container.get("lookupExtractorFactory"), dict):
        raise invalid_input(f"Lookup [{name}] needs an object [lookupExtractorFactory]")
    if container.get("version") is not None and not isinstance(container["version"], str):
        raise invalid_input(f"The [version] of lookup [{name}] must be a text")
    if tier == DEFAULT_TIER:
        _check_not_fixed(name, fixed)


def _check_not_fixed(name: str, fixed: Collection[str]) -> None:
    if name in fixed:
        raise invalid_input(f"Lookup [{name}] comes from the server's settings and is changed there")


def _drop(call: Call, tier_name: str, name: str | None) -> Response:
    """`name` None: all of the tier."""
    engine, gone = call.server.engine, set[str]()
    if tier_name == DEFAULT_TIER and name is not None:
        _check_not_fixed(name, _fixed(call))

    def change(tiers: Tiers) -> None:
        if name is None:
            gone.update(tiers.pop(tier_name, {}))
        elif tiers.get(tier_name, {}).pop(name, None) is not None:
            gone.add(name)

    with engine.store.transaction() as connection:
        known = tier_name in (stored_lookups(connection) or {})
        change_lookups(connection, change, author(call))
    if not (gone if name is not None else known):
        raise HttpError(404, f"There is no lookup [{name}] in tier [{tier_name}]" if name else f"No tier [{tier_name}]")
    if tier_name == DEFAULT_TIER:
        for one in gone:
            held = engine.lookups.get(one)
            if held is not None and not held.fixed:
                engine.lookups.remove(one)
    return Response(status_code=202)


# -- what is loaded ----------------------------------------------------------------------------------------------------


def _status(call: Call, tier_name: str, name: str, container: Mapping[str, Any]) -> dict[str, Any]:
    """`loaded` for each process of the tier: this one for the default tier, none for any other."""
    if tier_name != DEFAULT_TIER:
        return {"loaded": True, "pendingNodes": []} if call.true("detailed") else {"loaded": True}
    held = call.server.engine.lookups.get(name)
    loaded = held is not None and (held.fixed or held.version == (container.get("version") or held.version))
    if not call.true("detailed"):
        return {"loaded": loaded}
    return {"loaded": loaded, "pendingNodes": [] if loaded else [call.server.node]}


@get(f"{BASE}/status")
def status(call: Call) -> object:
    return {t: {n: _status(call, t, n, c) for n, c in named.items()} for t, named in _tiers(call).items()}


@get(BASE + "/status/{tier}")
def tier_status(call: Call) -> object:
    return {n: _status(call, call.params["tier"], n, c) for n, c in _tier(call).items()}


@get(BASE + "/status/{tier}/{lookup}")
def lookup_status(call: Call) -> object:
    return _status(call, call.params["tier"], call.params["lookup"], _configured(call))


def _node_state(call: Call) -> dict[str, Any]:
    """What this process has and what it is still to load."""
    held = _loaded(call)
    waiting = {n: c for n, c in (_known(call) or {}).get(DEFAULT_TIER, {}).items() if n not in held}
    return {"current": {n: _container(lookup) for n, lookup in held.items()}, "toLoad": waiting, "toDrop": []}


@get(f"{BASE}/nodeStatus")
def node_status(call: Call) -> object:
    others: dict[str, Any] = {tier_name: {} for tier_name in _known(call) or {}} if not call.true("discover") else {}
    return {**others, DEFAULT_TIER: {call.server.node: _node_state(call)}}


@get(BASE + "/nodeStatus/{tier}")
def node_status_of_tier(call: Call) -> object:
    return {call.server.node: _node_state(call)} if call.params["tier"] == DEFAULT_TIER else {}


@get(BASE + "/nodeStatus/{tier}/{host}")
def node_status_of_host(call: Call) -> object:
    if (call.params["tier"], call.params["host"]) != (DEFAULT_TIER, call.server.node):
        raise HttpError(404, f"There is no process [{call.params['host']}] in tier [{call.params['tier']}]")
    return _node_state(call)


@get(LISTEN)
def own_lookups(call: Call) -> object:
    return _node_state(call)


def _held(call: Call) -> Lookup:
    held = call.server.engine.lookups.get(call.params["lookup"])
    if held is None:
        raise HttpError(404, f"Lookup [{call.params['lookup']}] is not loaded")
    return held


@get(LISTEN + "/{lookup}")
def own_lookup(call: Call) -> object:
    return _container(_held(call))


@get(INTROSPECT + "/{lookup}")
def introspect(call: Call) -> object:
    return dict(_held(call).table)


@get(INTROSPECT + "/{lookup}/keys")
def keys(call: Call) -> object:
    return list(_held(call).table)


@get(INTROSPECT + "/{lookup}/values")
def values(call: Call) -> object:
    return list(_held(call).table.values())


@get(INTROSPECT + "/{lookup}/version")
def version(call: Call) -> object:
    return {"version": _held(call).version}
