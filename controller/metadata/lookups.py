"""Lookups that are configured while a server runs: `{tier: {name: container}}` in druid_config, as Druid has it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from controller.lookups import LookupSpecError, LookupStore
from controller.metadata.settings import Author, given_config, put_config
from msq.faults import DruidException

log = logging.getLogger(__name__)

CONFIG = "lookups"
DEFAULT_TIER = "__default"
"""The tier whose lookups every process loads."""

Tiers = dict[str, dict[str, dict[str, Any]]]


def stored_lookups(connection: Connection) -> Tiers | None:
    """Containers (`version`, `lookupExtractorFactory`) by tier and name; None where nothing was ever configured."""
    return given_config(connection, CONFIG)


def change_lookups(connection: Connection, change: Callable[[Tiers], None], author: Author) -> None:
    """Lets `change` edit what is stored, in the transaction of `connection`; noted in the audit trail if it did."""
    before = stored_lookups(connection)
    after: Tiers = {tier: dict(named) for tier, named in (before or {}).items()}
    change(after)
    if after != before:
        put_config(connection, CONFIG, after, author)


def load_stored(connection: Connection, lookups: LookupStore) -> None:
    """Loads what is stored for every process; what the settings name already stays. One that cannot be loaded any more
    is logged and left out."""
    for name, container in (stored_lookups(connection) or {}).get(DEFAULT_TIER, {}).items():
        held = lookups.get(name)
        if held is not None and held.fixed:
            continue
        try:
            lookups.put(name, container)
        except (LookupSpecError, DruidException) as error:
            log.warning("lookup [%s] is not loaded: %s", name, error)


def newer(given: Mapping[str, Any], stored: Mapping[str, Any] | None) -> bool:
    """Whether a container may replace another: its version is greater as text, or the two are the same."""
    if stored is None or given == stored:
        return True
    old, new = stored.get("version"), given.get("version")
    return new is not None and (old is None or new > old)
