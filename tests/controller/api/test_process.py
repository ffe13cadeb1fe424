"""`msq serve` as a process: it ends cleanly when told to, and a killed one is found out by the next."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.controller.api.conftest import Client, day_table, poll, slow_query

ROOT = Path(__file__).resolve().parents[3]


Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with four slots; what the test leaves behind is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(data_dir: Path, *options: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "msq",
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(data_dir),
            "--task-slots",
            "4",
            *options,
        ]
        environment = {**os.environ, "NO_COLOR": "1"}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        finish(process)


Speak = Callable[[subprocess.Popen[str]], Client]


@pytest.fixture
def speak() -> Iterator[Speak]:
    """Makes clients of servers that have started; they are closed when the test is over."""
    with ExitStack() as clients:

        def client_of(process: subprocess.Popen[str]) -> Client:
            assert process.stderr is not None
            for line in process.stderr:
                found = re.search(r"Serving on (\S+),", line)
                if found:
                    return clients.enter_context(closing(Client(found[1])))
            raise AssertionError("the server did not start")

        yield client_of


def finish(process: subprocess.Popen[str]) -> int:
    _, _ = process.communicate(timeout=120)
    return process.returncode


def test_killed_and_started_again(tmp_path: Path, serve: Serve, speak: Speak) -> None:
    process = serve(tmp_path)
    client = speak(process)
    client.ingest(day_table("kept"))
    task = client.submit(slow_query())
    worker = f"{task}-worker0_0"
    poll(lambda: client.get(f"/druid/indexer/v1/task/{worker}/status").status_code, lambda status: status == 200)
    pending = client.submit("SELECT COUNT(*) AS c FROM kept", maxNumTasks=4)
    poll(lambda: client.state(pending)["runnerStatusCode"], lambda s: s == "PENDING")
    client.close()
    process.kill()
    finish(process)

    process = serve(tmp_path)
    client = speak(process)
    assert client.rows("SELECT COUNT(*) FROM kept") == [[6]]
    status = client.state(task)
    assert (status["status"], status["runnerStatusCode"]) == ("FAILED", "NONE")
    assert "ended with its process" in status["errorMsg"]
    assert client.wait(pending)["status"] == "SUCCESS"
    assert client.state(worker)["status"] == "FAILED"
    finished = client.get("/druid/indexer/v1/tasks?state=complete&datasource=kept&type=query_controller").json()
    assert finished[0]["status"] == "SUCCESS"
    assert client.get(f"/druid/indexer/v1/task/{finished[0]['id']}/reports").status_code == 200
    assert client.get(f"/druid/indexer/v1/task/{finished[0]['id']}/log").status_code == 200

    running = client.submit(slow_query())
    poll(lambda: client.state(running)["runnerStatusCode"], lambda s: s == "RUNNING")
    waiting = client.post("/druid/v2/sql/statements", {
        "query": day_table("kept", rows_per_day=1), "resultFormat": "csv",
        "context": {"executionMode": "ASYNC", "maxNumTasks": 4},
    }).json()["queryId"]  # fmt: skip
    noop = client.post("/druid/indexer/v1/task", {"type": "noop", "runTime": 1}).json()["task"]
    poll(lambda: client.state(noop)["runnerStatusCode"], lambda s: s == "PENDING")
    client.close()
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 0
    assert not list((tmp_path / "tmp").glob("*")) and not list((tmp_path / "run").glob("*.lease"))

    process = serve(tmp_path)
    client = speak(process)
    assert client.wait(waiting)["status"] == client.wait(noop)["status"] == "SUCCESS"
    assert client.rows("SELECT COUNT(*) FROM kept") == [[2]]
    assert client.state(running)["errorMsg"] == "Shutdown request from user"
    client.close()
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 0


def test_what_it_cannot_do_is_said(tmp_path: Path, serve: Serve) -> None:
    for options, text in (
        (("--workers", "fibers"), "fibers"), (("--host", "0.0.0.0"), "--password-file"),
        (("--console-dir", str(tmp_path)), "unified-console.html"),
    ):  # fmt: skip
        process = serve(tmp_path / "data", *options)
        _, error = process.communicate(timeout=120)
        assert (process.returncode, text in error) == (2, True), error
