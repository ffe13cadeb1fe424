"""Every case file, under the default settings and under each configuration of tests/configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.casefile import CaseRunner

HERE = Path(__file__).resolve().parent
FILES = sorted((HERE / "cases").rglob("*.test"))
CONFIGS = {p.stem: json.loads(p.read_text()) for p in sorted((HERE / "configs").glob("*.json"))}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HERE / "cases")))
@pytest.mark.parametrize("config", ["default", *CONFIGS])
def test_case(path: Path, config: str, tmp_path: Path) -> None:
    settings = CONFIGS.get(config, {"settings": {}})
    reason = settings.get("skip", {}).get(str(path.relative_to(HERE / "cases")))
    if reason is not None:
        pytest.skip(reason)
    assert CaseRunner(path, tmp_path, settings["settings"]).run() > 0
