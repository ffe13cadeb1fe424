"""Segments of a real Druid, and a schema and table builder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).parents[2] / "data" / "segments"
TABLES = sorted(p.name for p in RECORDED.iterdir() if p.is_dir())


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What the real Druid answered about its own segments, by table."""
    found: dict[str, Any] = json.loads((RECORDED / "expected.json").read_text("utf-8"))
    return found
