"""Tasks that wait before they run: they read and replace what is there then, not what was there when they came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine, EngineSettings
from controller.tasks.batch import BatchSubmission, prepare_batch, with_id
from tests.controller.api.conftest import day_table, extern

COMPACT = {
    "type": "compact", "dataSource": "t",
    "ioConfig": {"type": "compact", "inputSpec": {"type": "interval", "interval": "2024-01-01/2024-01-03"}},
}  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(EngineSettings(data_dir=tmp_path, memory_bytes=1 << 29)) as engine:
        assert engine.execute(day_table("t")).status == "SUCCESS"
        yield engine


def rows(engine: Engine, what: str = "COUNT(*)") -> list[Any]:
    report = engine.execute(f"SELECT {what} FROM t").report
    return list(report["multiStageQuery"]["payload"]["results"]["results"])


@pytest.mark.parametrize("how", ["replace", "compact"])
def test_rows_that_come_before_a_replace_has_its_locks_are_kept(engine: Engine, how: str) -> None:
    if how == "compact":
        prepared = prepare_batch(engine, BatchSubmission(with_id(COMPACT, "t"), {}))
    else:
        prepared = engine.prepare("REPLACE INTO t OVERWRITE ALL SELECT * FROM t PARTITIONED BY DAY")
    run = engine.enrol(prepared)
    assert engine.execute(day_table("t", verb="INSERT")).status == "SUCCESS"
    run.begin()
    assert run.outcome().status == "SUCCESS"
    assert rows(engine) == [[12]]


def test_a_select_that_waited_sees_what_came_meanwhile(engine: Engine) -> None:
    run = engine.enrol(engine.prepare("SELECT COUNT(*) FROM t"))
    assert engine.execute(day_table("t", verb="INSERT")).status == "SUCCESS"
    run.begin()
    assert run.outcome().report["multiStageQuery"]["payload"]["results"]["results"] == [[12]]


def test_a_compaction_does_not_drop_a_column_that_came_meanwhile(engine: Engine) -> None:
    run = engine.enrol(prepare_batch(engine, BatchSubmission(with_id(COMPACT, "t"), {})))
    source = extern([{"t": "2024-01-01", "late": "x"}], t="VARCHAR", late="VARCHAR")
    insert = f"INSERT INTO t SELECT TIME_PARSE(t) AS __time, late FROM {source} PARTITIONED BY DAY"
    assert engine.execute(insert).status == "SUCCESS"
    run.begin()
    outcome = run.outcome()
    assert outcome.status == "FAILED" and outcome.fault is not None
    assert "changed while the task waited" in outcome.fault["errorMessage"]
    assert rows(engine, "COUNT(*), COUNT(late)") == [[7, 1]]
