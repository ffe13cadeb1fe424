"""The `msq` command: run, plan, report, segment. One file a command; each imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the command `msq` and of `python -m msq`."""
    from controller.cli.app import app

    app()
