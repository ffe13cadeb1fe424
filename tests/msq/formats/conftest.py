"""Fixtures over `tests.harness.reading`: one call reads a small input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from msq.faults import Fault
from tests.harness.reading import DATA, Reading, fault_of, read_rows


@pytest.fixture
def read() -> Callable[..., Reading]:
    return read_rows


@pytest.fixture
def fault() -> Callable[..., Fault]:
    return fault_of


@pytest.fixture
def data() -> Path:
    return DATA
