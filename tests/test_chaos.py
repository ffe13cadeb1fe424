"""Whatever happens to a run, nothing is half-published or left behind: cancels, faults, full disks, kills."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from controller import events as ev
from controller.engine import Engine, EngineSettings
from controller.phases import StagePhase
from worker.chaos import PLACES, Chaos
from worker.shuffle.sorter import Sorter

ROWS = 5_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chaos") / "rows.json"
    with path.open("w") as out:
        for n in range(ROWS):
            out.write(json.dumps({"t": f"2024-01-0{n % 4 + 1}T00:00:00Z", "k": f"k{n % 97}", "n": n}) + "\n")
    return path


def statement(source: Path, verb: str = "REPLACE INTO t OVERWRITE ALL") -> str:
    files = json.dumps({"type": "local", "files": [str(source)]})
    return (
        f"{verb} SELECT TIME_FLOOR(TIME_PARSE(t), 'PT1H') AS __time, k, COUNT(*) AS c, SUM(n) AS s "
        f"FROM TABLE(EXTERN('{files}', '{{\"type\":\"json\"}}')) EXTEND (t VARCHAR, k VARCHAR, n BIGINT) "
        "GROUP BY 1, 2 PARTITIONED BY DAY CLUSTERED BY k"
    )


def leftovers(engine: Engine) -> list[str]:
    """Temporary files, unpublished segments and locks that a run should have taken with it."""
    from controller.metadata.locks import locks_of
    from controller.metadata.schema import pending_segments

    found = [str(p) for p in (engine.data_dir / "tmp").rglob("*") if p.is_file()]
    known = {s.load_spec["path"].rstrip("/") for s in engine.used_segments("t") if s.load_spec.get("path")}
    stored = engine.data_dir / "segments"
    found += [str(p) for p in stored.rglob("version.bin") if str(p.parent) not in known]
    with engine.store.reading() as connection:
        found += [f"lock {lock}" for lock in locks_of(connection)]
        found += [f"pending {row.id}" for row in connection.execute(pending_segments.select())]
    return found


def count(engine: Engine) -> Any:
    outcome = engine.execute("SELECT SUM(c), SUM(s) FROM t", {})
    assert outcome.rows is not None
    return outcome.rows[0]


EXPECTED = [ROWS, ROWS * (ROWS - 1) // 2]
PHASES = [
    (stage, phase)
    for stage in range(3)
    for phase in (
        StagePhase.READING_INPUT,
        StagePhase.MERGING_STATISTICS,
        StagePhase.POST_READING,
        StagePhase.RESULTS_READY,
    )
]


@pytest.mark.parametrize(("stage", "phase"), PHASES, ids=lambda v: str(getattr(v, "name", v)))
def test_cancel_at_every_phase_leaves_the_old_state(
    source: Path, tmp_path: Path, stage: int, phase: StagePhase
) -> None:
    with Engine(EngineSettings(tmp_path / "data")) as engine:
        assert engine.execute(statement(source), {}).status == "SUCCESS"
        before = {s.id for s in engine.used_segments("t")}
        struck = []

        def listen(event: ev.Progress) -> None:
            if isinstance(event, ev.StageChanged) and (event.stage, event.phase) == (stage, phase) and not struck:
                struck.append(event)
                run.cancel()

        run = engine.enrol(engine.prepare(statement(source), {"maxNumTasks": 3}), listen)
        run.begin()
        outcome = run.outcome()
        if struck:
            assert outcome.status == "FAILED" and (outcome.fault or {})["errorCode"] == "Canceled"
            assert {s.id for s in engine.used_segments("t")} == before
        else:
            assert outcome.status == "SUCCESS"  # the stage does not pass through that phase
        assert count(engine) == EXPECTED
        assert leftovers(engine) == []


@pytest.mark.parametrize("verb", ["REPLACE INTO t OVERWRITE ALL", "INSERT INTO t"])
@pytest.mark.parametrize("place", PLACES)
def test_a_worker_that_fails_publishes_nothing(source: Path, tmp_path: Path, place: str, verb: str) -> None:
    with Engine(EngineSettings(tmp_path / "data", chaos=Chaos(seed=3, probability={place: 1.0}))) as engine:
        outcome = engine.execute(statement(source, verb), {})
        assert outcome.status == "FAILED"
        assert "Injected failure" in str((outcome.fault or {}).get("errorMessage"))
        assert engine.used_segments("t") == [] and leftovers(engine) == []


def test_a_later_attempt_succeeds_under_fault_tolerance(source: Path, tmp_path: Path) -> None:
    chaos = Chaos(seed=5, probability={"write": 0.5, "start": 0.3}, max_attempt=0)
    with Engine(EngineSettings(tmp_path / "data", chaos=chaos)) as engine:
        outcome = engine.execute(statement(source), {"faultTolerance": True, "maxNumTasks": 3})
        assert outcome.status == "SUCCESS", outcome.fault
        assert count_without_chaos(tmp_path / "data") == EXPECTED
        assert leftovers(engine) == []


def count_without_chaos(data: Path) -> Any:
    with Engine(EngineSettings(data)) as engine:
        return count(engine)


def test_a_full_disk_is_a_fault_that_says_so(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Engine(EngineSettings(tmp_path / "data", memory_bytes=1 << 24, max_batch_rows=100)) as engine:
        monkeypatch.setattr(Sorter, "write", full)
        outcome = engine.execute(statement(source), {})
        assert outcome.status == "FAILED"
        assert (outcome.fault or {})["errorCode"] == "NotEnoughTemporaryStorageFault"
        assert "Free disk space" in (outcome.fault or {})["errorMessage"]
        assert engine.used_segments("t") == [] and leftovers(engine) == []


@pytest.mark.parametrize("delay", [0.9, 1.1, 1.3, 1.6, 2.0])
def test_a_killed_process_leaves_the_old_or_the_new_state(source: Path, tmp_path: Path, delay: float) -> None:
    data = tmp_path / "data"
    sql = tmp_path / "job.sql"
    sql.write_text(statement(source))
    with Engine(EngineSettings(data)) as engine:
        assert engine.execute(statement(source), {}).status == "SUCCESS"
        old = {s.id for s in engine.used_segments("t")}
    child = subprocess.Popen(
        [sys.executable, "-m", "msq", "run", str(sql), "--data-dir", str(data), "--quiet"],
        cwd=Path(__file__).resolve().parent.parent, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with Engine(EngineSettings(data)) as engine:
        now = {s.id for s in engine.used_segments("t")}
        assert now == old or (now > old and len(now) == 2 * len(old))
        assert count(engine) == EXPECTED
        assert leftovers(engine) == []
        assert not any((data / "segments" / "intermediate_pushes").glob("*"))
        assert sorted(os.listdir(data / "tmp")) in ([], [engine.lease_name])
