"""`msq serve`: the HTTP API of a Druid on one port."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape

from controller.cli import exits
from controller.cli.console import messages
from controller.cli.inputs import UsageError, lookups_of
from controller.cli.serve_settings import ServeSettings, SettingError, read_settings, unknown_variables

if TYPE_CHECKING:
    from controller.api.server import ServerSettings
    from controller.engine import Engine
    from controller.settings import EngineSettings


def serve_command(options: Mapping[str, str | list[str] | None]) -> int:
    """Serves until a signal ends it; answers the exit code. `options`: what the command line gave, by setting."""
    from controller.api.serve import ServeError, open_server
    from controller.api.users import UsersError
    from msq import extensions
    from msq.faults import DruidException

    console = messages()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in unknown_variables(os.environ):
        console.print(f"[yellow]Variable {escape(name)} is no setting and is left alone[/]")
    try:
        extensions.load()
    except DruidException as error:
        console.print(f"[red]{escape(error.message)}[/]")
        return exits.FAILED
    try:
        settings = read_settings(options)
        running = open_server(server_settings(settings), engine_settings(settings))
    except (ServeError, SettingError, UsersError, UsageError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE
    server = running.server
    console.print(
        f"Serving on [bold]{escape(server.url)}[/], data in {escape(str(server.engine.data_dir))}, "
        f"{server.tasks.queue.capacity} task slots. Ctrl-C ends it."
    )
    threading.Thread(target=_load_ahead, args=(server.engine,), name="load-ahead", daemon=True).start()
    running.run()
    return exits.SUCCESS


def _load_ahead(engine: Engine) -> None:
    """Plans a statement that nobody asked for, so that the first one that somebody does finds all code loaded."""
    try:
        engine.prepare("SELECT 1").definition()
    except Exception:
        logging.getLogger(__name__).debug("nothing was loaded ahead", exc_info=True)


def server_settings(given: ServeSettings) -> ServerSettings:
    """Raises ServeError for a console folder that is none, UsersError for a password file that cannot be used."""
    from controller.api.serve import ServeError
    from controller.api.server import ServerSettings
    from controller.api.users import read_users

    console = given.console_dir
    if console is not None and not (console / "unified-console.html").is_file():
        raise ServeError(f"Console folder [{console}] holds no unified-console.html: name a built web console")
    return ServerSettings(
        given.host, given.port, given.task_slots or _default_slots(), max_body_bytes=given.limits_body,
        max_json_depth=given.limits_json_depth, max_rows=given.limits_rows,
        max_query_ms=given.limits_time, console_dir=console,
        users=None if given.password_file is None else read_users(given.password_file),
    )  # fmt: skip


def engine_settings(given: ServeSettings) -> EngineSettings:
    """A listener that others can reach reads and writes nothing outside what was named; on loopback, nothing is barred
    that was not named either."""
    from controller.api.server import is_loopback
    from controller.settings import EngineSettings
    from msq.sources.base import SourceAccess

    local = is_loopback(given.host)
    nothing: tuple[()] | None = None if local else ()
    hosts = given.access_hosts
    access = SourceAccess(
        folders=nothing if given.access_folders is None else tuple(str(f.resolve()) for f in given.access_folders),
        hosts=nothing if hosts is None else None if "*" in hosts else hosts,
        databases=nothing if given.access_databases is None else given.access_databases,
        schemes=tuple(s.lower() for s in given.access_schemes),
        headers=tuple(h.lower() for h in given.access_headers), environment=local, stores=_stores(given),
    )  # fmt: skip
    return EngineSettings(
        data_dir=given.data_dir, memory_bytes=given.memory, threads=given.threads, workers=given.workers,
        access=access, lookups=lookups_of(given.lookups, access), max_queries=given.limits_queries,
        export_folders=nothing if given.access_exports is None else given.access_exports,
        deep_storage=_deep_storage(given.storage_deep), durable_storage=given.storage_durable,
    )  # fmt: skip


def _stores(given: ServeSettings) -> dict[str, dict[str, str]]:
    """How object stores are reached, as msq.storage.stores reads it; credentials are left to the environment."""
    said = {
        "s3": {"endpointUrl": given.s3_endpoint, "region": given.s3_region},
        "google": {"endpointUrl": given.google_endpoint},
        "azure": {"endpointUrl": given.azure_endpoint, "account": given.azure_account},
    }
    stores = {kind: {k: v for k, v in values.items() if v is not None} for kind, values in said.items()}
    return {kind: values for kind, values in stores.items() if values}


def _deep_storage(place: str | None) -> Mapping[str, str] | None:
    """Raises ServeError for a place that can hold no segments."""
    from controller.api.serve import ServeError

    if place is None:
        return None
    scheme, separator, rest = place.partition("://")
    if not separator:
        return {"type": "local", "storageDirectory": place}
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ServeError(f"Deep storage [{place}] is neither a folder nor s3://bucket/prefix")
    return {"type": "s3", "bucket": bucket, "baseKey": key}


def _default_slots() -> int:
    """A controller and three workers, or a worker for each processor."""
    return max(4, (os.cpu_count() or 1) + 1)
