"""Worker processes against threads, and against kill -9: of workers at any moment, of the server, of the nursery."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controller import events as ev
from controller.engine import Engine, EngineSettings, Outcome, QueryRun
from controller.launch.children import CHILDREN
from controller.launch.local_process import CANCEL_SECONDS
from tests.test_chaos import leftovers

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = 6_000
FILES = 3
SUM = ROWS * (ROWS - 1) // 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An EXTERN table of several files: t, k, n and the list m."""
    folder = tmp_path_factory.mktemp("processes")
    for part in range(FILES):
        with (folder / f"{part}.json").open("w") as out:
            for n in range(part, ROWS, FILES):
                several = ["a", f"b{n % 3}"] if n % 2 else "a"
                row = {"t": f"2024-01-0{n % 4 + 1}", "k": f"k{n % 97}", "n": n, "m": several}
                out.write(json.dumps(row) + "\n")
    files = json.dumps({"type": "local", "baseDir": str(folder), "filter": "*.json"})
    return (
        f"TABLE(EXTERN('{files}', '{{\"type\":\"json\"}}')) EXTEND (t VARCHAR, k VARCHAR, n BIGINT, m VARCHAR)"
    )  # fmt: skip


def ingest(source: str) -> str:
    return (
        "REPLACE INTO t OVERWRITE ALL SELECT TIME_FLOOR(TIME_PARSE(t), 'PT1H') AS __time, k, COUNT(*) AS c, "
        f"SUM(n) AS s FROM {source} GROUP BY 1, 2 PARTITIONED BY DAY CLUSTERED BY k"
    )


def select(source: str) -> str:
    return f"SELECT k, COUNT(*) AS c, SUM(n) AS s FROM {source} GROUP BY k ORDER BY s DESC, k"


def engine_of(folder: Path, kind: str = "process", **settings: Any) -> Engine:
    return Engine(EngineSettings(folder / f"data-{kind}", threads=1, workers=kind, **settings))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 60
    while CHILDREN.busy and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not CHILDREN.busy, "worker processes are still there"


# -- the same as threads ---------------------------------------------------------------------------------------------

STATEMENTS = {
    "group by": select,
    "rows of everywhere": lambda s: f"SELECT n, k, m FROM {s} WHERE n < 500 ORDER BY n",
    "no order": lambda s: f"SELECT COUNT(*), SUM(n), MV_TO_STRING(m, '|') FROM {s} GROUP BY 3",
    "sort merge": lambda s: (
        f"SELECT a.k, COUNT(*), SUM(a.n + b.n) FROM {s} a JOIN {s} b ON a.n = b.n GROUP BY 1 ORDER BY 1"
    ),
    "window": lambda s: f"SELECT k, n, SUM(n) OVER (PARTITION BY k ORDER BY n) FROM {s} WHERE n < 300 ORDER BY k, n",
    "bad": lambda s: f"INSERT INTO t SELECT TIME_PARSE(k) AS __time, n FROM {s} PARTITIONED BY DAY",
    "ingest": ingest,
    "table": lambda _: "SELECT __time, k, c, s FROM t ORDER BY 1, 2",
}


def comparable(report: Any) -> Any:
    """A report without what differs from run to run: times, ids, and which worker took which file."""
    if isinstance(report, dict):
        return {
            k: comparable(v)
            for k, v in report.items()
            if k not in ("cpu", "startTime", "duration", "durationMs", "pendingMs", "queryStartTime", "taskId", "host",
                         "queryId", "sqlQueryId", "exceptionStackTrace", "sortProgress", "workers", "timeNanos")
        }  # fmt: skip
    if isinstance(report, list):
        return [comparable(v) for v in report]
    return report


@pytest.mark.parametrize(("memory", "names"), [
    (256 << 20, ("group by", "rows of everywhere", "no order", "sort merge", "bad", "ingest", "table")),
    (16 << 20, ("group by", "window", "sort merge", "ingest")),
], ids=["roomy", "spilling"])  # fmt: skip
def test_reports_are_those_of_threads(source: str, tmp_path: Path, memory: int, names: tuple[str, ...]) -> None:
    context: dict[str, Any] = {"maxNumTasks": 3, "rowsPerSegment": 50, "sqlJoinAlgorithm": "sortMerge"}
    reports: dict[str, dict[str, Any]] = {"thread": {}, "process": {}}
    for kind, found in reports.items():
        with engine_of(tmp_path, kind, memory_bytes=memory, max_batch_rows=500) as engine:
            for name in names:
                given = {**context, "sqlQueryId": name[:5]}
                outcome = engine.execute(STATEMENTS[name](source), given)
                found[name] = comparable(outcome.report)["multiStageQuery"]["payload"]
            assert leftovers(engine) == []
    for name in names:
        ours, theirs = reports["process"][name], reports["thread"][name]
        if name == "bad":
            # how far the other worker came is a matter of time
            ours, theirs = ours["status"]["errorReport"], theirs["status"]["errorReport"]
            assert theirs["error"]["errorCode"] == "InsertTimeNull"
        elif name == "table":
            # segments differ by a few bytes from run to run
            ours, theirs = ours["results"], theirs["results"]
            assert len(theirs["results"]) == 388
        else:
            assert theirs["status"]["status"] == "SUCCESS"
        assert ours == theirs, name


# -- kills -----------------------------------------------------------------------------------------------------------


def run_with_kills(
    engine: Engine, sql: str, context: dict[str, Any], when: Callable[[ev.Progress], bool], rng: random.Random,
    later: float = 0.0,
) -> tuple[Outcome, int]:  # fmt: skip
    """Runs a statement and kills one of its workers: `when` says at which news, `later` how many seconds after it. No
    worker is there before the first ones and behind the last: then it is the next news. Answers how many were killed.
    """
    killed: list[int] = []
    due: list[threading.Timer] = []

    def listen(progress: ev.Progress) -> None:
        if due or not when(progress) or not CHILDREN.busy:
            return
        due.append(threading.Timer(later, kill))
        if later:
            due[0].start()
        else:
            kill()

    def kill() -> None:
        pids = sorted(CHILDREN.busy)
        if pids:
            pid = rng.choice(pids)
            with suppress(ProcessLookupError):  # it may end in this moment
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    run = engine.enrol(engine.prepare(sql, {"maxNumTasks": 3, **context}), listen)
    run.begin()
    outcome = run.outcome()
    if due and later:
        due[0].join()
    return outcome, len(killed)


def news(engine: Engine, sql: str) -> int:
    """How much news there is of a run of the statement that nothing happens to."""
    heard: list[ev.Progress] = []
    run = engine.enrol(engine.prepare(sql, {"maxNumTasks": 3}), heard.append)
    run.begin()
    assert run.outcome().status == "SUCCESS"
    return len(heard)


def from_news(number: int) -> Callable[[ev.Progress], bool]:
    """From the news of that number on."""
    numbers = itertools.count()
    return lambda _: next(numbers) >= number


def phase(stage: int, name: str) -> Callable[[ev.Progress], bool]:
    return lambda p: isinstance(p, ev.StageChanged) and p.stage == stage and p.phase.value == name


@pytest.fixture(scope="module")
def engine(source: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that holds the table `t` already."""
    with engine_of(tmp_path_factory.mktemp("kills")) as made:
        assert made.execute(ingest(source), {"maxNumTasks": 3}).status == "SUCCESS"
        yield made


def total(engine: Engine) -> Any:
    return engine.execute("SELECT SUM(c), SUM(s) FROM t", {}).rows


def test_kills_at_random_moments_are_survived_under_fault_tolerance(source: str, engine: Engine) -> None:
    rng = random.Random(3)
    expected = engine.execute(select(source), {"maxNumTasks": 3}).rows
    statements = (select(source), ingest(source))
    counts = [news(engine, sql) for sql in statements]
    replaced = 0
    for n in range(10):
        at, later = from_news(rng.randrange(counts[n % 2])), n % 4 // 2 * rng.random() * 0.05
        outcome, _ = run_with_kills(engine, statements[n % 2], {"faultTolerance": True}, at, rng, later)
        assert outcome.status == "SUCCESS", outcome.fault
        if n % 2 == 0:
            assert outcome.rows == expected
        status = outcome.report["multiStageQuery"]["payload"]["status"]
        replaced += sum(not w["workerId"].endswith("_0") for found in status["workers"].values() for w in found)
        assert leftovers(engine) == []
    assert total(engine) == [[ROWS, SUM]]
    assert replaced > 0


def test_kills_at_random_moments_fail_cleanly(source: str, engine: Engine) -> None:
    rng = random.Random(7)
    failed = 0
    expected = engine.execute(select(source), {"maxNumTasks": 3}).rows
    count = news(engine, select(source))
    for n in range(10):
        at, later = from_news(rng.randrange(count)), n % 2 * rng.random() * 0.05
        outcome, killed = run_with_kills(engine, select(source), {}, at, rng, later)
        if outcome.status == "FAILED":
            assert killed and (outcome.fault or {})["errorCode"] == "WorkerFailed", outcome.fault
            failed += 1
        else:
            assert outcome.rows == expected
        assert leftovers(engine) == []
    assert failed > 0


MOMENTS = [(0, "READING_INPUT"), (1, "READING_INPUT"), (1, "POST_READING"), (2, "READING_INPUT")]


@pytest.mark.parametrize(("stage", "name"), MOMENTS)
def test_a_kill_fails_an_ingest_and_leaves_the_old_state(source: str, engine: Engine, stage: int, name: str) -> None:
    before = {s.id for s in engine.used_segments("t")}
    outcome, killed = run_with_kills(engine, ingest(source), {}, phase(stage, name), random.Random(stage))
    assert killed == 1
    assert outcome.status == "FAILED"
    fault = outcome.fault or {}
    assert fault["errorCode"] == "WorkerFailed", fault
    assert fault["errorMsg"] == "its process was killed by signal [9]"
    assert {s.id for s in engine.used_segments("t")} == before
    assert leftovers(engine) == []


# -- ends ------------------------------------------------------------------------------------------------------------


def reading(engine: Engine, sql: str) -> QueryRun:
    """A run whose workers have begun to read, one of them stopped by a signal so that it cannot do anything."""
    begun = threading.Event()

    def listen(progress: ev.Progress) -> None:
        if phase(0, "READING_INPUT")(progress) and not begun.is_set():
            os.kill(min(CHILDREN.busy), signal.SIGSTOP)
            begun.set()

    run = engine.enrol(engine.prepare(sql, {"maxNumTasks": 3}), listen)
    run.begin()
    assert begun.wait(120)
    return run


def test_a_cancel_ends_a_worker_that_does_not_listen(
    source: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    run = reading(engine, ingest(source))
    own = int(Path("/proc/self/oom_score_adj").read_text())
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in CHILDREN.busy]
    assert len(scores) == 2 and all(score > own for score in scores), "the system would end the server first"
    run.cancel()
    outcome = run.outcome()
    # it was given up as soon as one that is cancelled may be
    (waited,) = re.findall(r"did not stop within \[([0-9.]+)\] seconds and is killed", caplog.text)
    assert float(waited) <= CANCEL_SECONDS
    assert (outcome.fault or {})["errorCode"] == "Canceled"
    assert not CHILDREN.busy
    assert leftovers(engine) == []


def test_a_nursery_that_was_killed_is_replaced(engine: Engine) -> None:
    nursery = CHILDREN._nursery
    assert nursery is not None
    nursery._process.kill()
    nursery._process.wait()
    assert total(engine) == [[ROWS, SUM]]
    assert CHILDREN._nursery is not nursery


SERVER = """
import sys, time
from pathlib import Path
from controller import events as ev
from controller.engine import Engine, EngineSettings
from controller.launch.children import CHILDREN

def listen(progress):
    if isinstance(progress, ev.StageChanged) and progress.phase.value == "READING_INPUT":
        print(*CHILDREN.busy, CHILDREN._nursery._process.pid, flush=True)
        time.sleep(60)

engine = Engine(EngineSettings(Path(sys.argv[1]), threads=1, workers="process"))
run = engine.enrol(engine.prepare(sys.argv[2], {"maxNumTasks": 3}), listen)
run.begin()
run.outcome()
"""


def test_workers_end_with_their_server(source: str, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "data-process"), ingest(source)], cwd=ROOT,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with server:
        assert server.stdout is not None
        pids = [int(p) for p in server.stdout.readline().split()]
        assert len(pids) == 3
        assert all(is_alive(pid) for pid in pids)
        server.kill()
    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if is_alive(pid)]
    with engine_of(tmp_path) as engine:
        assert leftovers(engine) == []


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
