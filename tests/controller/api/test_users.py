"""Users, their roles, and what each role may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.app import load_routes
from controller.api.routing import ROUTES
from controller.api.users import ALL_ROLES, Role, User, UsersError, read_users
from tests.controller.api.conftest import Client, Serving, day_table, extern, poll

PASSWORD = "secret"
USERS = {
    name: User(name, PASSWORD, frozenset(roles))
    for name, roles in {
        "reader": {Role.READ}, "writer": {Role.WRITE}, "loader": {Role.READ, Role.WRITE, Role.EXTERNAL},
        "editor": {Role.READ, Role.WRITE}, "admin": {Role.ADMIN}, "all": ALL_ROLES,
    }.items()
}  # fmt: skip
SQL, TASK, STATEMENTS = "/druid/v2/sql", "/druid/v2/sql/task", "/druid/v2/sql/statements"
COPY = "INSERT INTO copied SELECT __time, n FROM wiki PARTITIONED BY ALL"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Serving(tmp_path_factory.mktemp("guarded"), users=USERS) as client:
        client.http.auth = ("all", PASSWORD)
        client.ingest(day_table("wiki"))
        yield client


def ask(client: Client, user: str, method: str, path: str, body: Any = None) -> httpx.Response:
    return client.http.request(method, path, json=body, auth=(user, PASSWORD))


def lacks(answer: httpx.Response, user: str, role: str) -> bool:
    found = answer.json()
    assert answer.status_code == 403, answer.text
    return bool(found.get("errorMessage") == f"Unauthorized: user [{user}] lacks the role [{role}]")


def test_password_files(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# people\nann:a:b\nbob[read, Write]:x[y]\n")
    file.chmod(0o644)
    with pytest.raises(UsersError, match="chmod 600"):
        read_users(file)
    file.chmod(0o600)
    users = read_users(file)
    assert users == {"ann": User("ann", "a:b"), "bob": User("bob", "x[y]", frozenset({Role.READ, Role.WRITE}))}
    assert "a:b" not in repr(users["ann"])
    for text, problem in {
        "ann\n": r"line \[1\] is not", "ann[read:x\n": "is not", "ann[]:x\n": r"role \[\]", "ann:x\nann:y": "again",
        "ann[reed]:x": r"role \[reed\]: known roles are \[read, write, external, admin\]", "\n#x\n": "names no user",
    }.items():  # fmt: skip
        file.write_text(text)
        with pytest.raises(UsersError, match=problem):
            read_users(file)


@pytest.mark.parametrize(
    ("user", "method", "path", "body", "role"),
    [
        ("writer", "GET", "/druid/indexer/v1/tasks", None, "read"),
        ("writer", "POST", SQL, {"query": "SELECT 1"}, "read"),
        ("writer", "POST", "/druid/indexer/v1/taskStatus", ["x"], "read"),
        ("writer", "GET", f"{STATEMENTS}/x", None, "read"),
        ("reader", "POST", "/druid/coordinator/v1/datasources/wiki/markUnused", {"interval": "2024/2025"}, "write"),
        ("reader", "DELETE", "/druid/coordinator/v1/datasources/wiki", None, "write"),
        ("reader", "DELETE", "/druid/coordinator/v1/datasources/wiki/intervals/2024_2025", None, "write"),
        ("reader", "POST", "/druid/coordinator/v1/rules/wiki", [], "write"),
        ("reader", "POST", "/druid/indexer/v1/task", {"type": "noop"}, "write"),
        ("reader", "POST", "/druid/indexer/v1/task/x/shutdown", None, "write"),
        ("editor", "POST", "/druid/coordinator/v1/config", {"maxSegmentsToMove": 7}, "admin"),
        ("editor", "POST", "/druid/indexer/v1/worker", {}, "admin"),
        ("editor", "POST", "/druid/worker/v1/disable", None, "admin"),
        ("editor", "POST", "/druid/indexer/v1/sampler", {"type": "index_parallel"}, "external"),
    ],
)
def test_routes(guarded: Client, user: str, method: str, path: str, body: Any, role: str) -> None:
    assert lacks(ask(guarded, user, method, path, body), user, role)
    assert ask(guarded, "admin", "HEAD" if method == "GET" else "GET", "/status").status_code == 200


def test_sql_refusals_have_druids_shape(guarded: Client) -> None:
    inner = {
        "error": "druidException", "errorCode": "forbidden", "persona": "USER", "category": "FORBIDDEN",
        "errorMessage": "Unauthorized: user [reader] lacks the role [write]", "context": {},
    }  # fmt: skip
    body = {"query": COPY, "context": {"sqlQueryId": "refused"}}
    answer = ask(guarded, "reader", "POST", TASK, body)
    assert (answer.status_code, answer.json()) == (403, {"taskId": "refused", "state": "FAILED", "error": inner})
    asynchronous = {"query": COPY, "context": {"executionMode": "ASYNC"}}
    answer = ask(guarded, "reader", "POST", STATEMENTS, asynchronous)
    assert (answer.status_code, answer.json()) == (403, inner)
    answer = ask(guarded, "writer", "POST", SQL, {"query": "SELECT 1"})
    assert answer.json() == {**inner, "errorMessage": "Unauthorized: user [writer] lacks the role [read]"}


def test_statements_need_what_they_read_and_write(guarded: Client) -> None:
    external = f"SELECT a FROM {extern([{'a': 1}], a='BIGINT')}"
    export = "INSERT INTO EXTERN(local(exportPath => '/nowhere')) AS CSV SELECT n FROM wiki"

    def refusal(user: str, query: str) -> str:
        answer = ask(guarded, user, "POST", TASK, {"query": query})
        assert answer.status_code == 403, answer.text
        return str(answer.json()["error"]["errorMessage"])

    assert refusal("editor", external).endswith("lacks the role [external]")
    assert refusal("editor", export).endswith("lacks the role [external]")
    assert refusal("reader", day_table("new")).endswith("lacks the roles [write, external]")
    assert refusal("writer", COPY).endswith("lacks the role [read]")
    assert refusal("writer", f"EXPLAIN PLAN FOR {COPY}").endswith("lacks the role [read]")
    assert ask(guarded, "editor", "POST", TASK, {"query": COPY}).status_code == 202
    assert ask(guarded, "loader", "POST", TASK, {"query": day_table("new")}).status_code == 202
    assert ask(guarded, "reader", "POST", TASK, {"query": "SELECT COUNT(*) FROM wiki"}).status_code == 202
    assert ask(guarded, "reader", "POST", SQL, {"query": "SELECT COUNT(*) AS c FROM wiki"}).json() == [{"c": 6}]


def test_the_payload_of_a_task_needs_what_its_statement_needs(guarded: Client) -> None:
    body = {"type": "query_controller", "sqlQuery": day_table("again"), "sqlQueryContext": {}, "id": "query-again"}
    assert lacks(ask(guarded, "editor", "POST", "/druid/indexer/v1/task", body), "editor", "external")
    assert guarded.get("/druid/indexer/v1/task/query-again/status").status_code == 404
    assert ask(guarded, "loader", "POST", "/druid/indexer/v1/task", body).json() == {"task": "query-again"}
    poll(lambda: guarded.state("query-again")["status"], lambda status: status == "SUCCESS")


def test_who_changed_a_rule(guarded: Client) -> None:
    rule = [{"type": "loadForever", "tieredReplicants": {"_default_tier": 1}}]
    assert ask(guarded, "editor", "POST", "/druid/coordinator/v1/rules/wiki", rule).status_code == 200
    history = guarded.get("/druid/coordinator/v1/rules/wiki/history?count=1").json()
    assert history[0]["auditInfo"]["author"] == "editor", json.dumps(history)


def test_routes_without_a_role_decide_by_the_statement_or_ask_nobody() -> None:
    load_routes()
    assert {path for (_, path), r in ROUTES.items() if not r.needs} == {TASK, STATEMENTS}
    assert all(Role.READ in r.needs for (method, _), r in ROUTES.items() if method == "GET")


def test_statements_belong_to_who_submitted_them(guarded: Client) -> None:
    body = {"query": "SELECT 1 AS a", "context": {"executionMode": "ASYNC", "__user": "editor"}}
    answer = ask(guarded, "reader", "POST", STATEMENTS, body)
    path = f"{STATEMENTS}/{answer.json()['queryId']}"
    poll(lambda: ask(guarded, "reader", "GET", path).json()["state"], lambda state: state == "SUCCESS")
    assert ask(guarded, "reader", "GET", f"{path}/results").json() == [{"a": 1}]
    assert ask(guarded, "admin", "GET", f"{path}/results").json() == [{"a": 1}]
    for method, end in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
        assert lacks(ask(guarded, "editor", method, path + end), "editor", "admin")
    assert ask(guarded, "reader", "DELETE", path).status_code == 200
    payload = guarded.get(f"/druid/indexer/v1/task/{answer.json()['queryId']}").json()["payload"]
    assert payload["spec"]["query"]["context"]["__user"] == "reader"
    assert "__user" not in payload["sqlQueryContext"]
