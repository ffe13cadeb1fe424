"""Aggregates, sketches and windows of the golden function entries, through the whole engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine, EngineSettings
from msq.faults import DruidException, Fault
from msq.intervals import format_instant
from tests.harness.expressions import FOLDER, comparer, entries

MISSES: dict[str, str] = {}
"""Entries that fall short, to the reason; one that passes again must be taken out."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(EngineSettings(data_dir=tmp_path_factory.mktemp("functions"), threads=2)) as made:
        for step in json.loads((Path(FOLDER) / "setup.json").read_text()):
            outcome = made.execute(step["sql"], step.get("context") or {})
            assert outcome.status == "SUCCESS", outcome.fault
        yield made


def answer(engine: Engine, entry: dict[str, Any]) -> dict[str, Any]:
    """What the interactive API would answer, as check.py compares it."""
    try:
        outcome = engine.execute(entry["sql"], entry.get("context") or {})
    except DruidException as refused:
        return {"error": refused.to_json()}
    if outcome.status != "SUCCESS":
        assert outcome.fault is not None
        fault = Fault.from_json(outcome.fault)
        return {"error": {"category": fault.category, "errorMessage": fault.message}}
    results = outcome.report["multiStageQuery"]["payload"]["results"]
    # the header of the API prints the native types of SQL's, which may differ from those of the last stage
    natives = engine.prepare(entry["sql"], entry.get("context") or {}).bound.native_type_names
    names = [column["name"] for column in results["signature"]]
    types = [list(t) for t in zip(names, natives, results["sqlTypeNames"])]
    rows = [[_cell(v, t[2]) for v, t in zip(row, types)] for row in outcome.rows or ()]
    return {"types": types, "rows": rows}


def _cell(value: Any, sql: str) -> Any:
    return format_instant(value) if sql == "TIMESTAMP" and value is not None else value


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("aggregate", 150), ("sketch", 60), ("window", 60)])
def test_golden_functions(engine: Engine, name: str, least: int) -> None:
    short = {}
    tried = entries(name)
    assert len(tried) >= least
    for entry in tried:
        why = comparer().miss(entry, answer(engine, entry))
        if why is not None:
            short[f"{name} {entry['id']}"] = f"{why} | {entry['sql']}"
    unexpected = {k: v for k, v in short.items() if k not in MISSES}
    assert not unexpected, "\n".join(f"{k}: {v}" for k, v in unexpected.items())
    assert not [k for k in MISSES if k.startswith(f"{name} ") and k not in short], "no longer missed"
