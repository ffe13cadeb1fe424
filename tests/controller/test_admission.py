"""Turns of interactive queries: order, room, threads; and queries that end while they wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller import interactive
from controller.admission import ROWS_A_THREAD, SHORT_SECONDS, Admission, Turn
from controller.engine import Engine
from controller.settings import EngineSettings
from msq.faults import DruidException


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def joined(admission: Admission, names: str, priority: int = 0) -> dict[str, tuple[Turn, list[str]]]:
    """A turn for each letter, and what its wake has noted."""
    made = {}
    for name in names:
        woken: list[str] = []
        made[name] = admission.join(priority, lambda name=name, woken=woken: woken.append(name)), woken  # type: ignore[misc]
    return made


def test_those_that_wait_are_let_in_by_priority_and_then_by_arrival() -> None:
    admission = Admission(1, 8, Clock())
    turns = joined(admission, "abc") | joined(admission, "u", 5)
    assert [bool(woken) for _, woken in turns.values()] == [True, False, False, False]
    order = []
    for _ in range(4):
        name = next(n for n, (turn, _) in turns.items() if n not in order and turn.pause() is None)
        order.append(name)
        turns[name][0].leave()
    assert order == ["a", "u", "b", "c"]
    assert admission.counts == (0, 0)


def test_as_many_short_queries_run_as_there_are_processors() -> None:
    admission = Admission(2, 8, Clock())
    turns = joined(admission, "abcd")
    assert admission.counts == (2, 2)
    turns["a"][0].leave()
    turns["a"][0].leave()
    assert admission.counts == (2, 1)
    assert turns["c"][1] == ["c"] and turns["d"][1] == []


def test_queries_that_take_long_are_joined_by_others_up_to_the_most() -> None:
    clock = Clock()
    admission = Admission(1, 2, clock)
    turns = joined(admission, "abc")
    clock.now = SHORT_SECONDS / 4
    assert turns["b"][0].pause() == SHORT_SECONDS * 3 / 4
    clock.now = SHORT_SECONDS
    assert turns["b"][0].pause() is None
    clock.now = SHORT_SECONDS * 9
    assert turns["c"][0].pause() is not None
    assert admission.counts == (2, 1)


def test_one_that_looks_lets_the_first_in_and_not_itself() -> None:
    clock = Clock()
    admission = Admission(1, 8, clock)
    turns = joined(admission, "abc")
    clock.now = SHORT_SECONDS
    assert turns["c"][0].pause() is not None
    assert turns["b"][1] == ["b"]


def test_who_leaves_the_queue_is_not_let_in() -> None:
    admission = Admission(1, 1, Clock())
    turns = joined(admission, "abcde")
    turns["b"][0].leave()
    turns["d"][0].leave()
    turns["a"][0].leave()
    assert turns["b"][1] == [] and turns["c"][1] == ["c"]
    turns["c"][0].leave()
    assert turns["d"][1] == [] and turns["e"][1] == ["e"]


def test_threads_follow_the_rows_and_those_that_run() -> None:
    admission = Admission(4, 8, Clock())
    alone = joined(admission, "a")
    assert [admission.threads(4, rows) for rows in (0, 1, ROWS_A_THREAD, ROWS_A_THREAD + 1, 10**9)] == [1, 1, 1, 2, 4]
    assert admission.threads(4, None) == 4
    assert admission.threads(1, 10**9) == 1
    joined(admission, "b")
    assert admission.threads(4, 10**9) == 2
    joined(admission, "cd")
    assert admission.threads(4, None) == 1
    assert alone["a"][0].pause() is None


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(EngineSettings(tmp_path, threads=1, max_queries=1)) as engine:
        yield engine


class Asked:
    """A query on a thread of its own that waits for the turn of somebody else."""

    def __init__(self, engine: Engine, sql: str, **context: Any) -> None:
        self.before = engine.admission.join(0, lambda: None)
        prepared = interactive.prepare(engine, sql, context, (), None)
        self.controller = interactive.controller_of(engine, prepared)
        self.rows: list[Any] | None = None
        self.error: DruidException | None = None
        self._thread = threading.Thread(target=lambda: self._ask(prepared))
        self._thread.start()
        while engine.admission.counts[1] == 0 and self._thread.is_alive():
            time.sleep(0.001)

    def _ask(self, prepared: Any) -> None:
        try:
            self.rows = list(interactive.ask(prepared, self.controller).rows)
        except DruidException as error:
            self.error = error

    def end(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


INGEST = (
    "INSERT INTO t SELECT TIME_PARSE('2024-01-01') AS __time, x FROM "
    """TABLE(EXTERN('{"type":"inline","data":"1\\n2"}','{"type":"csv","columns":["x"]}')) EXTEND (x BIGINT) """
    "PARTITIONED BY ALL"
)


def test_a_query_that_waits_can_be_cancelled(engine: Engine) -> None:
    asked = Asked(engine, "SELECT 1")
    asked.controller.cancel("USER_REQUEST")
    asked.end()
    assert asked.error is not None and asked.error.category == "CANCELED"
    assert engine.admission.counts == (1, 0)


def test_waiting_counts_against_the_timeout(engine: Engine) -> None:
    asked = Asked(engine, "SELECT 1", timeout=1)
    asked.end()
    assert asked.error is not None and asked.error.category == "TIMEOUT"
    assert engine.admission.counts == (1, 0)


def test_a_query_that_waited_reads_what_is_there_when_it_runs(engine: Engine) -> None:
    assert engine.execute(INGEST).status == "SUCCESS"
    asked = Asked(engine, "SELECT SUM(x) FROM t")
    assert engine.execute(INGEST).status == "SUCCESS"
    asked.before.leave()
    asked.end()
    assert asked.rows == [[6]]
    assert engine.admission.counts == (0, 0)
