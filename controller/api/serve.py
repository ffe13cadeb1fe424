"""Runs a server: listener first, then the engine, until a signal says to end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from dataclasses import dataclass, replace
from types import FrameType

import uvicorn

from controller.api.app import App
from controller.api.server import LOOPBACK, Server, ServerSettings
from controller.engine import Engine, EngineSettings
from controller.tasks.duties import Duties
from controller.tasks.manager import TaskManager

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 300
"""How long a connection may be idle, as in Druid: longer than clients keep one, so that none is closed in the moment in
which its client uses it again."""
GRACE_SECONDS = 3
"""How long requests that are being answered may go on once the server was told to end."""
CLOSE_SECONDS = 20.0
"""How long tasks that are cancelled may take to end."""
_BACKLOG = 1_024


class ServeError(Exception):
    """The server cannot start as it was asked to; the text says what to do."""


@dataclass
class RunningServer:
    """A server that listens. `run` blocks until it is told to stop; `stop` may come from any thread."""

    server: Server
    listener: socket.socket

    def __post_init__(self) -> None:
        config = uvicorn.Config(
            App(self.server), log_level="warning", access_log=False, server_header=False, lifespan="on",
            timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        self._closing = False

    def run(self) -> None:
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises the signal that ended it once more, for whoever handled it before: that must be somebody
            # who lets `close` be reached
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._told_to_end)
        try:
            self._uvicorn.run(sockets=[self.listener])
        finally:
            self.close()

    def _told_to_end(self, number: int, _frame: FrameType | None) -> None:
        if self._closing:
            # somebody does not want to wait for what is cancelled
            os._exit(128 + number)
        self.stop()

    def stop(self) -> None:
        self._uvicorn.should_exit = True

    def close(self) -> None:
        self._closing = True
        self.server.cancel_interactive()
        self.server.duties.close()
        self.server.tasks.close(CLOSE_SECONDS)
        self.server.engine.close()
        self.listener.close()


def open_server(settings: ServerSettings, engine: EngineSettings) -> RunningServer:
    """Binds the port (0: any free one), opens the data folder, and is ready to `run`. Raises ServeError."""
    if not settings.is_loopback and settings.users is None:
        raise ServeError(
            f"Listening on [{settings.host}] lets others in: give --password-file FILE with a line name:password for "
            f"each user, or listen on one of [{', '.join(LOOPBACK)}]"
        )
    if settings.task_slots < 2:
        raise ServeError(f"[{settings.task_slots}] task slots are too few: a query needs one and each worker another")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # the protocol is named so that connections send at once: asyncio sets TCP_NODELAY by it
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host.strip("[]"), settings.port))
        # from here on callers wait for an answer instead of being turned away
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ServeError(f"Cannot listen on [{settings.host}:{settings.port}]: {error.strerror}") from error
    port = listener.getsockname()[1]
    shown = "localhost" if settings.is_loopback else settings.host
    opened = Engine(replace(
        engine, host=f"{shown}:{port}", location=(shown, port, -1), memory_shares=settings.task_slots,
        kept_columns=engine.memory_bytes // 4,
    ))  # fmt: skip
    tasks = TaskManager(opened, settings.task_slots)
    restored = tasks.restore()
    if restored:
        log.info("took over [%d] tasks that had not begun: [%s]", len(restored), ", ".join(restored))
    return RunningServer(Server(opened, tasks, Duties(tasks), replace(settings, port=port)), listener)
