"""`bench functions` at a few rows: every function's example runs, and every peer is of a function that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import function_peers as peers
from bench import functions as bench
from bench.functions import Sample, Timed, measure, show
from msq.sql.functions import FunctionInfo, functions

TIMED = [f for f in functions() if f.kind in ("scalar", "aggregate", "operator") and f.name != "EXISTS"]


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample(300)


@pytest.mark.parametrize("f", TIMED, ids=lambda f: f"{f.kind}-{f.name}")
def test_examples_and_peers_run(sample: Sample, f: FunctionInfo) -> None:
    found = measure(sample, f, 1)
    assert found is not None and found.seconds > 0
    listed = peers.AGGREGATE if f.kind == "aggregate" else peers.SCALAR if f.kind == "scalar" else peers.OPERATORS
    assert (found.ratio is not None) == (f.name in listed)


def test_windows_run(sample: Sample, tmp_path: Path) -> None:
    (one,) = bench.windows(tmp_path, sample, [f for f in functions() if f.name == "ROW_NUMBER"], 1)
    assert one.seconds > 0 and one.peer_seconds is not None


def test_no_peer_is_left_over() -> None:
    names = {kind: {f.name for f in functions() if f.kind == kind} for kind in ("scalar", "aggregate", "operator")}
    assert set(peers.SCALAR) <= names["scalar"]
    assert set(peers.AGGREGATE) <= names["aggregate"]
    assert set(peers.OPERATORS) == names["operator"] - {"EXISTS"}


def test_the_slowest_stand_first_and_slow_ones_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    show(1000, [Timed("A", "scalar", 0.001, 0.001), Timed("B", "scalar", 0.1, 0.01), Timed("C", "scalar", 0.05, None)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["B", "C", "A"]
    assert lines[1].split()[2:] == ["10,000", "100,000", "10.0×", "!"]
    assert lines[2].split()[2:] == ["20,000"]
    assert lines[-1] == "3 functions, 1 more than 5× slower than DuckDB's"
