"""A multi-stage query engine that speaks Apache Druid.

`msq.run(sql, ...)` runs one statement in this process: see `controller.library.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.library import Result as Result
    from controller.library import run as run

__all__ = ["Result", "run"]


def __getattr__(name: str) -> Any:
    # loaded on first use: the vocabulary below this package must not depend on the engine above it
    if name in __all__:
        from controller import library

        return getattr(library, name)
    raise AttributeError(f"module 'msq' has no attribute '{name}'")
