"""`msq serve`: the HTTP API of a Druid on one port."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from controller.cli import exits
from controller.cli.console import messages

if TYPE_CHECKING:
    from controller.engine import Engine

WORKER_KINDS = ("thread", "process")


def serve_command(
    host: str, port: int, data_dir: Path, workers: str, task_slots: int | None, memory: str, threads: int | None,
    password_file: Path | None, console_dir: Path | None, input_dirs: list[Path],
    export_dirs: list[Path],
) -> int:  # fmt: skip
    """Serves until a signal ends it; answers the exit code."""
    from controller.api.serve import ServeError, open_server, read_users
    from controller.api.server import ServerSettings
    from controller.engine import EngineSettings
    from msq.context import parse_bytes
    from msq.sources.base import SourceAccess

    console = messages()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        if workers not in WORKER_KINDS:
            known = ", ".join(WORKER_KINDS)
            raise ServeError(f"Workers of kind [{workers}] are not there yet: --workers takes one of [{known}]")
        if console_dir is not None and not (console_dir / "unified-console.html").is_file():
            raise ServeError(f"Console folder [{console_dir}] holds no unified-console.html: name a built web console")
        users = None if password_file is None else read_users(password_file)
        settings = ServerSettings(host, port, task_slots or default_slots(), users=users, console_dir=console_dir)
        folders = None
        if input_dirs or not settings.is_loopback:
            folders = tuple(str(d.resolve()) for d in input_dirs)
        exports = tuple(export_dirs) if export_dirs or not settings.is_loopback else None
        running = open_server(
            settings,
            EngineSettings(
                data_dir=data_dir, memory_bytes=parse_bytes(memory), threads=threads, workers=workers,
                access=SourceAccess(folders=folders, environment=settings.is_loopback), export_folders=exports,
            ),
        )  # fmt: skip
    except (ServeError, ValueError) as error:
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


def default_slots() -> int:
    """A controller and three workers, or a worker for each processor."""
    return max(4, (os.cpu_count() or 1) + 1)
