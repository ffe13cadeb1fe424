"""Pages of results: whole or not at all, in order, gone when they are discarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.result_pages import ResultPages


def rows(count: int) -> list[list[Any]]:
    return [[n, f"é{n}\n", None, [1.5]] for n in range(count)]


def test_pages_hold_their_rows(tmp_path: Path) -> None:
    pages = ResultPages(tmp_path / "q")
    assert pages.partitions() == []
    for partition, count in ((11, 2_500), (2, 1), (3, 0)):
        assert list(pages.write(partition, rows(count))) == rows(count)
    assert pages.partitions() == [2, 11]
    assert list(pages.read(11)) == rows(2_500)
    with pytest.raises(FileNotFoundError):
        list(pages.read(3))
    pages.discard()
    pages.discard()
    assert not (tmp_path / "q").exists()


def test_a_page_that_is_not_finished_does_not_appear(tmp_path: Path) -> None:
    def failing() -> Iterator[list[Any]]:
        yield from rows(5_000)
        raise OSError("disk")

    pages = ResultPages(tmp_path)
    with pytest.raises(OSError, match="disk"):
        list(pages.write(0, failing()))
    assert pages.partitions() == []
