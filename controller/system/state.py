"""What system tables tell of: the engine, its tasks, and the process that serves them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from controller.engine import Engine
from controller.metadata.task_list import TaskSummary
from controller.tasks.manager import TaskManager

ROLES = ("coordinator", "overlord", "router", "broker", "historical", "indexer")
"""The parts of a Druid that this one process plays."""
TIER = "_default_tier"


def own_version() -> str:
    """The installed version of this project."""
    try:
        return version("msq")
    except PackageNotFoundError:
        return "0.1.0"


@dataclass(frozen=True)
class SystemState:
    """`started`: ISO time. `properties`: the effective configuration under Druid's names.

    may_read, may_see: whether whoever asks may know of a table, or of a task.
    """

    engine: Engine
    tasks: TaskManager
    started: str
    properties: dict[str, str]
    may_read: Callable[[str], bool] = lambda table: True
    may_see: Callable[[TaskSummary], bool] = lambda task: True

    @property
    def node(self) -> str:
        host, port, _ = self.engine.settings.location
        return f"{host}:{port}"

    @property
    def cache_limit(self) -> int:
        """Bytes of the file system that holds the data folder: what segments may take at most."""
        stat = os.statvfs(self.engine.data_dir)
        return stat.f_frsize * stat.f_blocks
