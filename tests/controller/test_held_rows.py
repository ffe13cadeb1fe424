"""Rows that something stands behind: it goes when they end, fail or are given up, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from controller.held_rows import HeldRows


def held(rows: Iterator[list[int]], log: list[str]) -> HeldRows:
    behind, others = ExitStack(), ExitStack()
    behind.callback(log.append, "own")
    others.callback(log.append, "others")
    made = HeldRows(rows, False, behind)
    made.keep(others)
    return made


def test_what_stands_behind_goes_with_the_last_row() -> None:
    log: list[str] = []
    rows = held(iter([[1], [2]]), log)
    assert next(rows) == [1] and log == []
    assert list(rows) == [[2]]
    assert log == ["own", "others"]
    rows.close()
    assert log == ["own", "others"]


def test_it_goes_when_a_row_fails() -> None:
    log: list[str] = []
    rows = held(([1 // n] for n in (1, 0)), log)
    with pytest.raises(ZeroDivisionError):
        list(rows)
    assert log == ["own", "others"]


def test_it_goes_when_nobody_reads_a_single_row() -> None:
    log: list[str] = []
    rows = held(iter([[1]]), log)
    del rows
    assert log == ["own", "others"]
