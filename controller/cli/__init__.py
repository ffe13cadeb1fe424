"""The `msq` command: run, plan, report, segment. One file a command; each imports what it needs when it runs."""

from __future__ import annotations

import atexit
import gc

_OBJECTS_BEFORE_COLLECTING = 20_000


def main() -> None:
    """Entry point of the command `msq` and of `python -m msq`."""
    # modules are a million objects that live until the end: looking through them while they are imported, and once more
    # before the interpreter ends, takes a fifth of a short command
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
    atexit.register(gc.freeze)
    from controller.cli.app import app

    app()
