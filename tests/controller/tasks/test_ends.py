"""Ends of tasks: who is told of one finds all of it, however slow what comes behind the record is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.engine import Engine, EngineSettings
from controller.metadata.tasks import LOG, REPORT, get_file, task
from controller.tasks.manager import TaskManager
from controller.tasks.noop import noop_payload, noop_task
from controller.tasks.query import Submission
from controller.tasks.queue import TaskQueue
from tests.controller.api.conftest import day_table, poll


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[TaskManager]:
    with Engine(EngineSettings(tmp_path, memory_bytes=1 << 29)) as engine:
        made = TaskManager(engine, 4)
        yield made
        made.close(60)


@pytest.mark.parametrize("kind", ["query", "job"])
def test_an_end_is_told_when_its_slots_are_free(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    recorded, go = threading.Event(), threading.Event()
    ended = TaskQueue._ended

    def late(self: TaskQueue, task_id: str) -> None:
        recorded.set()
        assert go.wait(120)
        ended(self, task_id)

    monkeypatch.setattr(TaskQueue, "_ended", late)
    engine = manager.engine
    if kind == "query":
        asked = Submission(day_table("t"), {"sqlQueryId": "x"})
        name = manager.submit(engine.prepare(asked.sql, asked.context), asked)
    else:
        name = manager.add(noop_task(engine, noop_payload("noop", "t", 0)))
    assert recorded.wait(120)
    with engine.store.reading() as connection:
        found, kept = task(connection, name), get_file(connection, name, LOG)
        assert found is not None and (found.status.status, found.active) == ("SUCCESS", False)
        assert kept is not None and kept.endswith(b"ended: SUCCESS\n")
        assert get_file(connection, name, REPORT) is not None
    assert manager.queue.used > 0 and manager.live(name) is not None
    threading.Timer(0.05, go.set).start()
    told = manager.summary(name)
    assert told is not None and not told.active
    assert manager.queue.used == 0 and manager.live(name) is None and not manager.shutdown(name)
    assert manager.log(name) == kept


def test_a_task_that_comes_when_the_queue_is_closed_is_left_to_the_next_process(tmp_path: Path) -> None:
    asked = Submission(day_table("t"), {"sqlQueryId": "x"})
    with Engine(EngineSettings(tmp_path, memory_bytes=1 << 29)) as engine:
        manager = TaskManager(engine, 4)
        manager.close(60)
        assert manager.submit(engine.prepare(asked.sql, asked.context), asked) == "query-x"
    with Engine(EngineSettings(tmp_path, memory_bytes=1 << 29)) as engine:
        manager = TaskManager(engine, 4)
        assert manager.restore() == ["query-x"]
        told = poll(lambda: manager.summary("query-x"), lambda found: not found.active)
        assert told.status.status == "SUCCESS"
        manager.close(60)


def test_a_run_that_nobody_begins_does_not_keep_an_engine_open(tmp_path: Path) -> None:
    with Engine(EngineSettings(tmp_path)) as engine:
        run = engine.enrol(engine.prepare("SELECT 1 AS a", {"sqlQueryId": "x"}))
    with pytest.raises(RuntimeError, match="was let go before it began"):
        run.begin()
    with Engine(EngineSettings(tmp_path)) as engine, engine.store.reading() as connection:
        found = task(connection, "query-x")
        assert found is not None and (found.status.status, found.active) == ("FAILED", False)
