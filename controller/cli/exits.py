"""Exit codes of the command line, in one place."""

SUCCESS = 0
FAILED = 1
"""The run failed: a fault; its report tells which."""
USAGE = 2
"""Wrong options or a file that cannot be read (click's own code)."""
REFUSED = 3
"""The statement was refused before anything ran."""
CANCELLED = 130
"""Ctrl-C or SIGTERM; nothing was published."""
