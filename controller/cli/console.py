"""Consoles of the command line: tables keep their width in a pipe, messages are never wrapped there."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 160


def output() -> Console:
    """For what a command answers."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def messages() -> Console:
    """For progress, summaries and errors: standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)
