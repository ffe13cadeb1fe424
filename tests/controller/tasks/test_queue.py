"""The queue: order, slots, locks, cancellation. Tasks here are values whose end the test decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from controller.tasks.queue import PENDING, RUNNING, WAITING, TaskQueue


@dataclass
class Fake:
    """A task that ends when the test says so."""

    task_id: str
    slots: int = 2
    ready: bool = True
    fails: bool = False
    begun: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)
    ended: Callable[[], None] | None = None

    def is_ready(self) -> bool:
        return self.ready

    def begin(self, ended: Callable[[], None]) -> None:
        if self.fails:
            raise RuntimeError("cannot")
        self.ended = ended
        self.begun.set()

    def end(self) -> None:
        # it is shown as running before it has begun
        assert self.begun.wait(120) and self.ended is not None
        self.ended()

    def cancel(self) -> None:
        self.log.append("cancel")

    def discard(self) -> None:
        self.log.append("discard")

    def leave(self) -> None:
        self.log.append("leave")


@pytest.fixture
def queue() -> Iterator[TaskQueue]:
    made = TaskQueue(4)
    yield made
    made.close(0)


def settled(queue: TaskQueue, **states: str | None) -> None:
    """Waits until the tasks have these states."""
    end = time.monotonic() + 60
    while {name: queue.state(name) for name in states} != states:
        assert time.monotonic() < end, (queue.states(), states)
        time.sleep(0.002)


def test_a_task_takes_all_its_slots_or_waits(queue: TaskQueue) -> None:
    a, b, c = Fake("a"), Fake("b", slots=3), Fake("c", slots=1)
    for task in (a, b, c):
        queue.submit(task)
    # c would fit beside a, but comes behind b, which would wait for ever if others passed it
    settled(queue, a=RUNNING, b=PENDING, c=PENDING)
    assert queue.used == 2
    a.end()
    settled(queue, a=None, b=RUNNING, c=RUNNING)
    assert queue.used == 4


def test_one_that_waits_for_a_lock_lets_others_pass(queue: TaskQueue) -> None:
    locked, free = Fake("locked", ready=False), Fake("free")
    queue.submit(locked)
    queue.submit(free)
    settled(queue, locked=WAITING, free=RUNNING)
    assert queue.task("locked") is locked and queue.task("nope") is None
    locked.ready = True
    settled(queue, locked=RUNNING)


def test_wider_than_the_queue_runs_alone(queue: TaskQueue) -> None:
    a, wide = Fake("a", slots=1), Fake("wide", slots=99)
    queue.submit(a)
    queue.submit(wide)
    settled(queue, a=RUNNING, wide=PENDING)
    a.end()
    settled(queue, wide=RUNNING)
    assert queue.used == 4
    wide.end()
    settled(queue, wide=None)
    assert queue.used == 0


def test_cancelling(queue: TaskQueue) -> None:
    running, pending = Fake("running", slots=4), Fake("pending")
    queue.submit(running)
    queue.submit(pending)
    settled(queue, running=RUNNING, pending=PENDING)
    assert queue.cancel("pending") and queue.cancel("running") and not queue.cancel("nope")
    assert (pending.log, running.log) == (["discard"], ["cancel"])
    assert not queue.wait_gone(["pending", "running"], 0.01)
    running.end()
    assert queue.wait_gone(["pending", "running"], 60) and not queue.cancel("running")
    assert not pending.begun.is_set()


def test_disabled_it_starts_nothing(queue: TaskQueue) -> None:
    queue.enable(False)
    task = Fake("a")
    queue.submit(task)
    settled(queue, a=PENDING)
    queue.enable(True)
    settled(queue, a=RUNNING)


def test_one_that_cannot_begin_frees_its_slots(queue: TaskQueue) -> None:
    bad, good = Fake("bad", slots=4, fails=True), Fake("good", slots=4)
    queue.submit(bad)
    queue.submit(good)
    settled(queue, bad=None, good=RUNNING)
    assert bad.log == ["discard"]


def test_closing_leaves_what_waits(queue: TaskQueue) -> None:
    running, pending = Fake("running", slots=4), Fake("pending")
    queue.submit(running)
    queue.submit(pending)
    settled(queue, running=RUNNING, pending=PENDING)
    queue.close(0)
    assert (running.log, pending.log) == (["cancel"], ["leave"])
    late = Fake("late")
    queue.submit(late)
    assert (late.log, queue.state("late")) == (["leave"], None)
