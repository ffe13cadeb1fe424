"""Calls over a pipe: order, answers, faults, and what happens when the other side goes away."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from msq.faults import CannotParseExternalDataFault, MSQError, UnknownFault
from worker.remote.endpoint import Endpoint, EndpointClosed


@pytest.fixture
def pair() -> Iterator[tuple[Endpoint, Endpoint, dict[str, Any]]]:
    """Two ends that serve each other on threads; the handlers of the second may be filled by the test."""
    ours, theirs = multiprocessing.Pipe()
    handlers: dict[str, Any] = {}
    here = Endpoint(ours, {"back": lambda value: value * 2})
    there = Endpoint(theirs, handlers, frozenset({"slow"}))
    threads = [threading.Thread(target=end.serve, daemon=True) for end in (here, there)]
    for thread in threads:
        thread.start()
    yield here, there, handlers
    here.close()
    there.close()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


def test_calls_come_in_the_order_in_which_they_were_sent(pair: Any) -> None:
    here, _, handlers = pair
    seen: list[int] = []
    handlers["note"] = seen.append
    handlers["all"] = lambda: list(seen)
    for number in range(100):
        here.tell("note", number)
    assert here.ask("all", timeout=120) == list(range(100))


def test_faults_are_raised_where_the_call_was_made(pair: Any) -> None:
    here, _, handlers = pair

    def refuse() -> None:
        raise MSQError(CannotParseExternalDataFault("bad row"))

    def broken() -> None:
        raise KeyError("x")

    handlers.update(refuse=refuse, broken=broken)
    with pytest.raises(MSQError) as error:
        here.ask("refuse", timeout=120)
    assert error.value.fault == CannotParseExternalDataFault("bad row")
    with pytest.raises(MSQError) as error:
        here.ask("broken", timeout=120)
    assert error.value.fault == UnknownFault("KeyError: 'x'")
    with pytest.raises(MSQError):
        here.ask("nothing of that name", timeout=120)


def test_a_failed_message_does_not_end_the_connection(pair: Any) -> None:
    here, _, handlers = pair
    handlers["broken"] = lambda: 1 // 0
    handlers["ok"] = lambda: "ok"
    here.tell("broken")
    assert here.ask("ok", timeout=120) == "ok"


def test_a_handler_may_ask_back_when_it_stands_apart(pair: Any) -> None:
    here, there, handlers = pair
    handlers["slow"] = lambda: there.ask("back", 21, timeout=120)
    assert here.ask("slow", timeout=120) == 42


def test_an_answer_that_is_late(pair: Any) -> None:
    here, _, handlers = pair
    go = threading.Event()
    handlers["slow"] = lambda: go.wait(120)
    with pytest.raises(TimeoutError):
        here.ask("slow", timeout=0.02)
    go.set()
    handlers["ok"] = lambda: "ok"
    assert here.ask("ok", timeout=120) == "ok"


def test_closing_wakes_who_waits_on_both_sides(pair: Any) -> None:
    here, there, handlers = pair
    begun, closed = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert closed.wait(120)

    handlers["slow"] = wait
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            here.ask("slow")
        except EndpointClosed as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(120)
    there.close()
    closed.set()
    thread.join(120)
    assert len(failed) == 1
    with pytest.raises(EndpointClosed):
        here.ask("slow")
