"""The benchmarks' jobs at a few rows: both sides run, agree on the rows, and their results compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import compare, jobs
from bench.child import run_duckdb, run_ours

ROWS = 2_000
JOBS = [pytest.param(make, id=make.__name__) for make in (*jobs.SMALL, *jobs.LARGE)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench-data")


@pytest.mark.parametrize("make", JOBS)
def test_both_sides_write_the_same_rows(make: Callable[[Path, int], jobs.Job], data: Path, tmp_path: Path) -> None:
    job = make(data, ROWS)
    ours = run_ours(job, tmp_path / "ours", "256MiB")
    theirs = run_duckdb(job, tmp_path / "duckdb", "256MiB")
    assert ours["rows"] == theirs["rows"] > 0
    assert ours["files"] == theirs["files"] > 0
    assert ours["cpu_seconds"] > 0
    assert ours["phases"]["segmentGenerator"] >= 0


def test_two_results_make_a_table(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps([{"job": "j", "rows": 1000, "ratio": 2.0, "seconds": 4.0}, {"segments": 1}]))
    new.write_text(json.dumps([{"job": "j", "rows": 1000, "ratio": 1.5}, {"job": "other", "rows": 5, "ratio": 1.0}]))
    head, line = compare.table(compare.read(old), compare.read(new))
    assert head.split() == ["job", "rows", "measure", "before", "after", "change"]
    assert line.split() == ["j", "1,000", "ratio", "2.00×", "1.50×", "-25%"]
