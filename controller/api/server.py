"""Server: what the handlers of one listener share: engine, tasks, interactive queries, users and its own address."""

from __future__ import annotations

import base64
import hmac
import mimetypes
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse, Response

from controller.api.routing import HttpError
from controller.api.users import User
from controller.controller import Controller
from controller.engine import Engine
from controller.metadata.store import now_iso
from controller.system.state import TIER, SystemState
from controller.tasks.duties import Duties
from controller.tasks.manager import TaskManager

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that address."""
    return host in LOOPBACK


@dataclass(frozen=True)
class ServerSettings:
    """host, port: as bound. users: by name; None: nobody is asked who he is. console_dir: a built console.

    max_json_depth: levels of nesting in a body. max_rows: that an interactive query may answer, max_query_ms: that it
    may run; None: no limit.
    """

    host: str = "127.0.0.1"
    port: int = 8888
    task_slots: int = 4
    max_body_bytes: int = 64 << 20
    max_json_depth: int = 200
    max_rows: int | None = None
    max_query_ms: int | None = None
    users: Mapping[str, User] | None = None
    console_dir: Path | None = None

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass
class Server:
    """One running server. `interactive` holds the queries of `/druid/v2/sql` that run now, by their sqlQueryId."""

    engine: Engine
    tasks: TaskManager
    duties: Duties
    settings: ServerSettings
    started: str = field(default_factory=now_iso)
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    interactive: dict[str, list[Controller]] = field(default_factory=dict)
    askers: dict[str, set[str]] = field(default_factory=dict)
    """Users whose queries of that id run now."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> SystemState:
        """What system tables tell of."""
        return SystemState(self.engine, self.tasks, self.started, self.properties)

    @property
    def properties(self) -> dict[str, str]:
        """The effective configuration under Druid's names; no secrets."""
        host, port, _ = self.engine.settings.location
        segments = self.engine.settings.deep_storage or {
            "type": "local", "storageDirectory": str(self.engine.data_dir / "segments")
        }  # fmt: skip
        return {
            "druid.host": str(host), "druid.plaintextPort": str(port), "druid.service": "druid/router",
            "druid.metadata.storage.type": self.engine.store.engine.dialect.name,
            "druid.router.managementProxy.enabled": "true", "druid.storage.type": str(segments.get("type")),
            "druid.storage.storageDirectory": str(segments.get("storageDirectory", "")),
            "druid.worker.capacity": str(self.tasks.queue.capacity),
            "druid.indexer.logs.type": "metadata", "file.encoding": "UTF-8", "user.timezone": "UTC",
            "msq.dataDir": str(self.engine.data_dir), "msq.memoryBytes": str(self.engine.settings.memory_bytes),
        }  # fmt: skip

    @property
    def node(self) -> str:
        """`host:port`, the name of this process in every role."""
        host, port, _ = self.engine.settings.location
        return f"{host}:{port}"

    @property
    def metadata(self) -> dict[str, Any]:
        """This process as a data server: ServerMetadata of http-api 0.5."""
        return {
            "name": self.node, "host": self.node, "hostAndTlsPort": None, "maxSize": self.state.cache_limit,
            "type": "historical", "tier": TIER, "priority": 0,
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://{self.node}"

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server. Only a loopback listener knows all its names."""
        if not self.settings.is_loopback or not host:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in LOOPBACK

    def authenticate(self, header: str | None) -> User | None:
        """The user of an Authorization header; None where users are not asked for. Raises 401."""
        users = self.settings.users
        if users is None:
            return None
        refused = HttpError(401, "Give a user and password", {"WWW-Authenticate": 'Basic realm="msq"'})
        kind, _, given = (header or "").partition(" ")
        if kind.lower() != "basic":
            raise refused
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            raise refused from None
        known = users.get(name)
        if not hmac.compare_digest(("" if known is None else known.password).encode(), password.encode()):
            raise refused
        if known is None:
            raise refused
        return known

    def cancel_interactive(self, query_id: str | None = None) -> int:
        """Cancels the interactive queries of that id, or all of them; answers how many."""
        with self.lock:
            ids = list(self.interactive) if query_id is None else [query_id]
            running = [c for i in ids for c in self.interactive.get(i, ())]
        for controller in running:
            controller.cancel("USER_REQUEST")
        return len(running)

    # -- the console's files ------------------------------------------------------------------------------------------

    def static_file(self, path: str) -> Response | None:
        """A file of the console folder; None when there is no such folder or file."""
        folder = self.settings.console_dir
        if folder is None:
            return None
        if path in ("/", "/index.html", "/console.html", "/old-console.html"):
            return Response(status_code=307, headers={"Location": "/unified-console.html"})
        root = folder.resolve()
        file = (root / path.lstrip("/")).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return None
        return FileResponse(file, media_type=mimetypes.guess_type(file.name)[0] or "application/octet-stream")
