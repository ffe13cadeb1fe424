"""HeldRows: rows of an answer that are read once, and what stands behind them until they are read or given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

Row = Sequence[Any]


class HeldRows(Iterator[Row]):
    """`behind` is closed when the rows have ended, have failed or are not read any more. Not for several threads at
    once. `is_whole`: all rows are in memory, and nothing that happens later can keep them from being read."""

    def __init__(self, rows: Iterator[Row], is_whole: bool = True, behind: ExitStack | None = None) -> None:
        self.is_whole = is_whole
        self._rows = rows
        self._behind = behind or ExitStack()

    def __next__(self) -> Row:
        try:
            return next(self._rows)
        except BaseException:
            # the end, too
            self.close()
            raise

    def keep(self, others: ExitStack) -> None:
        """`others` are closed with what stands behind the rows, after it."""
        both = ExitStack()
        both.push(others)
        both.push(self._behind)
        self._behind = both

    def close(self) -> None:
        """May be called twice."""
        self._behind.pop_all().close()

    def __del__(self) -> None:
        self.close()
