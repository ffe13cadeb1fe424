"""The command line as a user meets it: output, exit codes, files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli import exits
from controller.cli.app import app

ROOT = Path(__file__).resolve().parent.parent.parent
INGEST = """REPLACE INTO t OVERWRITE ALL
SELECT TIME_PARSE(ts) AS __time, k, n
FROM TABLE(INLINE(data => ARRAY['2024-01-01T01:00:00Z,a,1','2024-01-02T01:00:00Z,b,2'], format => 'csv'))
  (ts VARCHAR, k VARCHAR, n BIGINT)
PARTITIONED BY DAY"""


@pytest.fixture
def msq(tmp_path: Path):
    def call(*words: str, text: str | None = None):
        return CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path / "data")], input=text)

    return call


def test_ingest_then_query_then_look(msq, tmp_path: Path) -> None:
    report = tmp_path / "out" / "report.json"
    done = msq("run", "-", "--report", str(report), text=INGEST)
    assert done.exit_code == exits.SUCCESS
    assert "2 rows in 2 segments" in done.stderr
    payload = json.loads(report.read_text())["multiStageQuery"]["payload"]
    assert payload["status"]["status"] == "SUCCESS" and len(payload["stages"]) == 2

    rows = msq("run", "-", "--format", "csv", "--quiet", text="SELECT k, n FROM t ORDER BY n DESC")
    assert rows.exit_code == exits.SUCCESS and rows.stdout == "k,n\nb,2\na,1\n"

    shown = msq("report", str(report))
    assert shown.exit_code == exits.SUCCESS
    assert "segmentGenerator" in shown.stdout and "SUCCESS" in shown.stdout
    by_task = msq("report", json.loads(report.read_text())["multiStageQuery"]["taskId"])
    assert by_task.exit_code == exits.SUCCESS and "scan" in by_task.stdout

    table = msq("segment", "t")
    assert table.exit_code == exits.SUCCESS and "2 rows in all" in table.stdout
    dumped = msq("segment", "t", "--dump", "--columns", "k,n", "--limit", "1")
    assert json.loads(dumped.stdout) == {"k": "a", "n": 1}
    facts = json.loads(msq("segment", str(tmp_path / "data" / "segments"), "--json").stdout)
    assert [f["rows"] for f in facts] == [1, 1]


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("csv", "a,b\n1,x\n"), ("tsv", "a\tb\n1\tx\n"), ("json", '[{"a": 1, "b": "x"}]\n'),
        ("jsonl", '{"a": 1, "b": "x"}\n'), ("auto", "a,b\n1,x\n"),
    ],
)  # fmt: skip
def test_formats_of_rows(msq, form: str, printed: str) -> None:
    assert msq("run", "-", "-f", form, "-q", text="SELECT 1 AS a, 'x' AS b").stdout == printed


def test_plan_shows_stages_and_runs_nothing(msq, tmp_path: Path) -> None:
    text = msq("plan", "-", text=INGEST)
    assert text.exit_code == exits.SUCCESS and "stage 1: segmentGenerator" in text.stdout
    stages = json.loads(msq("plan", "-", "--json", text=INGEST).stdout)
    assert [s["processor"]["type"] for s in stages] == ["scan", "segmentGenerator"]
    assert not (tmp_path / "data" / "segments").exists() or not list(
        (tmp_path / "data" / "segments").rglob("version.bin")
    )


def test_explain_prints_the_native_plan(msq) -> None:
    done = msq("run", "-", "-f", "json", text=f"EXPLAIN PLAN FOR {INGEST}")
    (row,) = json.loads(done.stdout)
    assert json.loads(row["PLAN"])[0]["query"]["queryType"] == "scan"
    assert json.loads(row["ATTRIBUTES"])["targetDataSource"] == "t"


@pytest.mark.parametrize(
    ("words", "text", "code", "fragment"),
    [
        (["run", "-"], "SELECT * FROM nosuch", exits.REFUSED, "nosuch"),
        (["run", "-"], "SELEC 1", exits.REFUSED, "INVALID_INPUT"),
        (["plan", "-"], "SELECT NOSUCH(1)", exits.REFUSED, "NOSUCH"),
        (["run", "-", "-c", "maxNumTasks=1"], "SELECT 1", exits.REFUSED, "maxNumTasks"),
        (["run", "-"], INGEST.replace("TIME_PARSE(ts)", "TIME_PARSE(k)"), exits.FAILED, "InsertTimeNull"),
        (["run", "/no/such/file.sql"], None, exits.USAGE, "Cannot read"),
        (["run", "-", "-c", "novalue"], "SELECT 1", exits.USAGE, "no key=value pair"),
        (["run", "-", "--memory", "lots"], "SELECT 1", exits.USAGE, "byte size"),
        (["run", "-", "--format", "xml"], "SELECT 1", exits.USAGE, "xml"),
        (["report", "/no/such/report"], None, exits.USAGE, "/no/such/report"),
        (["segment", "nosuch"], None, exits.USAGE, "nosuch"),
    ],
)
def test_what_goes_wrong_has_its_exit_code_and_says_why(
    msq, words: list[str], text: str, code: int, fragment: str
) -> None:
    done = msq(*words, text=text)
    assert done.exit_code == code, done.output
    assert fragment in done.output


def test_a_failed_run_still_writes_its_report(msq, tmp_path: Path) -> None:
    report = tmp_path / "failed.json"
    done = msq("run", "-", "-r", str(report), text=INGEST.replace("TIME_PARSE(ts)", "TIME_PARSE(k)"))
    assert done.exit_code == exits.FAILED
    assert "nothing was published" in done.stderr and "time format" in done.stderr
    assert json.loads(report.read_text())["multiStageQuery"]["payload"]["status"]["status"] == "FAILED"


def test_interrupt_cancels_cleanly(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text("".join(f'{{"t":"2024-01-01T00:00:00Z","k":"k{n}"}}\n' for n in range(400_000)))
    files = json.dumps({"type": "local", "files": [str(rows)]})
    sql = tmp_path / "big.sql"
    sql.write_text(
        f"REPLACE INTO t OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, UPPER(k) AS a FROM TABLE(EXTERN('{files}', "
        '\'{"type":"json"}\')) EXTEND (t VARCHAR, k VARCHAR) PARTITIONED BY DAY CLUSTERED BY k'
    )
    data = tmp_path / "data"
    child = subprocess.Popen(
        [sys.executable, "-m", "msq", "run", str(sql), "--data-dir", str(data)], cwd=ROOT,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # the task's row tells that it runs
    deadline = time.monotonic() + 120
    while not list((data / "tmp").glob("*/query-*")) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode in (exits.CANCELLED, exits.SUCCESS), said
    if child.returncode == exits.CANCELLED:
        assert "nothing was published" in said and not list((data / "segments").rglob("version.bin"))
    assert not list((data / "tmp").glob("*/*"))
