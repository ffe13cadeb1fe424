"""Extension packages: each names a module under the entry point group `msq.functions`, which is imported here.

Importing it declares functions by the doors of msq.extend, as the modules of msq.expr.functions and msq.aggregate do.
Every registry loads extensions behind its own members, in whatever process it stands.
"""

from __future__ import annotations

import threading

from msq.faults import DruidException

GROUP = "msq.functions"

_lock = threading.RLock()
_done = False
_loading = ""
_failure: DruidException | None = None


def load() -> None:
    """Imports every extension, once. Raises DruidException, the same each time, which names the one that fails."""
    global _done, _failure
    with _lock:
        if _failure is not None:
            raise _failure
        if _done or _loading:
            return
        try:
            _load_all()
        except DruidException as error:
            _failure = error
            raise
        _done = True


def loading() -> str:
    """Name of the extension that is being imported, empty when none is."""
    return _loading


def _load_all() -> None:
    global _loading
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        _loading = entry.name
        try:
            entry.load()
        # an import runs whatever the package holds; any failure of it must name the extension
        except Exception as error:
            package = entry.dist.name if entry.dist is not None else "?"
            raise DruidException(
                f"Extension [{entry.name}] ({entry.value} of package [{package}]) cannot be loaded: "
                f"{type(error).__name__}: {error}",
                category="UNCATEGORIZED", persona="OPERATOR",
            ) from error  # fmt: skip
        finally:
            _loading = ""
