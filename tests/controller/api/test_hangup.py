"""Interactive queries end when their client goes away, and when they are cancelled by their id."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.api.hangup import Hangup
from controller.api.users import Role, User
from tests.controller.api.conftest import Client, Serving, day_table, poll

SLOW = (
    "SELECT COUNT(*) AS c FROM wiki a CROSS JOIN wiki b CROSS JOIN wiki c CROSS JOIN wiki d CROSS JOIN wiki e "
    "WHERE MOD(a.n * b.n + c.n * d.n, 7) = 3"
)
USERS = {name: User(name, "x", frozenset({Role.READ})) for name in ("ann", "bob")} | {"all": User("all", "x")}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with a table over which SLOW takes long."""
    with Serving(tmp_path_factory.mktemp("slow"), users=USERS) as client:
        client.http.auth = ("all", "x")
        client.ingest(day_table("wiki", 28, 9))
        yield client


def running(client: Client) -> list[str]:
    return [str(q["sqlQueryId"]) for q in client.get("/druid/v2/sql/queries").json()["queries"]]


def test_a_client_that_goes_away(slow: Client) -> None:
    body = json.dumps({"query": SLOW, "context": {"sqlQueryId": "left-alone"}}).encode()
    url = slow.http.base_url
    head = (
        f"POST /druid/v2/sql HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic YWxsOng=\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(head.encode() + body)
        poll(lambda: running(slow), lambda ids: "left-alone" in ids)
    poll(lambda: running(slow), lambda ids: "left-alone" not in ids)
    assert slow.rows("SELECT 1") == [[1]]


def test_cancelling_by_id_and_who_may(slow: Client) -> None:
    answers: list[Any] = []

    def ask() -> None:
        body = {"query": SLOW, "context": {"sqlQueryId": "cancelled"}}
        answers.append(slow.http.post("/druid/v2/sql", json=body, auth=("ann", "x")))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        poll(lambda: running(slow), lambda ids: "cancelled" in ids)
        for path in ("/druid/v2/sql/cancelled", "/druid/v2/cancelled"):
            refused = slow.http.delete(path, auth=("bob", "x"))
            assert refused.status_code == 403 and "lacks the role [write]" in refused.json()["errorMessage"]
        assert slow.http.delete("/druid/v2/sql/cancelled", auth=("ann", "x")).status_code == 202
    finally:
        slow.delete("/druid/v2/sql/cancelled")
        asking.join()
    assert (answers[0].status_code, answers[0].json()["category"]) == (500, "CANCELED")
    assert slow.delete("/druid/v2/sql/cancelled").status_code == 404


def test_hangup_before_during_and_after() -> None:
    hangup, ended = Hangup(), []
    with hangup.ends(lambda: ended.append("during")):
        hangup.happened()
    with hangup.ends(lambda: ended.append("before")):
        pass
    hangup.happened()
    assert ended == ["during", "before"]


def test_explain_shows_only_the_given_context(client: Client, wiki: str, tmp_path: Path) -> None:
    def context(**given: Any) -> dict[str, Any]:
        rows = client.rows(f"EXPLAIN PLAN FOR SELECT COUNT(*) FROM {wiki}", context={"sqlQueryId": "e", **given})
        return dict(json.loads(rows[0][0])[0]["query"]["context"])

    assert not {"maxNumTasks", "selectDestination", "timeout"} & set(context())
    assert context(maxNumTasks=3, selectDestination="taskReport") == {
        **context(), "maxNumTasks": 3, "selectDestination": "taskReport"
    }  # fmt: skip
