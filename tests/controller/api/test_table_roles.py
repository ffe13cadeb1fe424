"""Users whose roles are limited to some tables: what they may do, and that they learn nothing of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.app import load_routes
from controller.api.routing import ROUTES
from controller.api.users import Role, User, UsersError, read_users
from tests.controller.api.conftest import Client, Serving, day_table

FILE = """root:pw
web[read(web_*|shop),write(web_*)]:pw
loader[read(web_*),write(web_*),external]:pw
boss[read(web_*),admin]:pw
reader[read(none)]:pw
"""
SQL, TASK = "/druid/v2/sql", "/druid/v2/sql/task"
SECRET = "salaries"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("limited")
    file = folder / "users"
    file.write_text(FILE)
    file.chmod(0o600)
    with Serving(folder / "data", users=read_users(file)) as client:
        client.http.auth = ("root", "pw")
        for name in ("web_clicks", "shop", SECRET):
            client.ingest(day_table(name))
        client.ingest(f"SELECT page FROM {SECRET}", sqlQueryId="secret-rows")
        yield client


def ask(client: Client, user: str, method: str, path: str, body: Any = None) -> httpx.Response:
    return client.http.request(method, path, json=body, auth=(user, "pw"))


def refused(answer: httpx.Response, role: str, table: str = SECRET) -> bool:
    assert answer.status_code == 403, answer.text
    return f"lacks the role [{role}] for data source [{table}]" in answer.text


def test_patterns_in_the_password_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.touch(0o600)
    file.write_text("ann[ read( a_* | b ) , external ]:x\n")
    ann = read_users(file)["ann"]
    assert ann == User("ann", "x", frozenset({Role.READ, Role.EXTERNAL}), {Role.READ: ("a_*", "b")})
    assert [ann.may(Role.READ, t) for t in ("a_1", "b", "A_1", "c", "ab")] == [True, True, False, False, False]
    assert not ann.may(Role.WRITE, "b")
    for bad in ("external(x)", "admin(x)", "read()", "read(a|)", "read(a", "read(a)b", "reed(a)"):
        file.write_text(f"ann[{bad}]:x\n")
        with pytest.raises(UsersError, match="has role"):
            read_users(file)


def test_statements(guarded: Client) -> None:
    def sql(user: str, query: str, path: str = SQL) -> httpx.Response:
        return ask(guarded, user, "POST", path, {"query": query})

    assert sql("web", "SELECT COUNT(*) AS c FROM web_clicks CROSS JOIN shop").json() == [{"c": 36}]
    assert refused(sql("web", f"SELECT COUNT(*) FROM web_clicks CROSS JOIN {SECRET}"), "read")
    assert refused(sql("web", f"EXPLAIN PLAN FOR SELECT * FROM {SECRET}"), "read")
    assert refused(sql("web", f"SELECT 1 WHERE EXISTS (SELECT 1 FROM {SECRET})"), "read")
    copy = "INSERT INTO {} SELECT __time, n FROM {} PARTITIONED BY ALL"
    assert sql("web", copy.format("web_copy", "shop"), TASK).status_code == 202
    assert refused(sql("web", copy.format("web_copy", SECRET), TASK), "read")
    assert refused(sql("web", copy.format("shop", "web_clicks"), TASK), "write", "shop")
    assert sql("boss", f"SELECT COUNT(*) AS c FROM {SECRET}").json() == [{"c": 6}]
    source = json.dumps({"type": "druid", "dataSource": SECRET, "interval": "2024/2025"})
    through = f"""SELECT n FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND (n BIGINT)"""
    assert refused(sql("loader", through, TASK), "read")
    assert sql("loader", through.replace(SECRET, "web_clicks"), TASK).status_code == 202


@pytest.mark.parametrize("source", [
    SECRET, {"type": "table", "name": SECRET}, {"type": "globalTable", "name": SECRET},
    {"type": "union", "dataSources": ["web_clicks", SECRET]},
    {"type": "query", "query": {"queryType": "scan", "dataSource": SECRET, "intervals": "2024/2025"}},
    {"type": "filter", "base": {"type": "table", "name": SECRET}, "filter": {"type": "true"}},
])  # fmt: skip
def test_native_queries(guarded: Client, source: Any) -> None:
    body = {"queryType": "scan", "dataSource": source, "intervals": "2024/2025", "columns": ["n"]}
    assert refused(ask(guarded, "web", "POST", "/druid/v2", body), "read")
    for kind in ("segmentMetadata", "timeBoundary", "dataSourceMetadata"):
        if isinstance(source, str):
            assert refused(ask(guarded, "web", "POST", "/druid/v2", {"queryType": kind, "dataSource": source}), "read")
    if isinstance(source, str):
        assert refused(ask(guarded, "web", "POST", "/druid/v2/candidates", body), "read")
        assert ask(guarded, "web", "POST", "/druid/v2", {**body, "dataSource": "shop"}).status_code == 200


def test_every_path_of_a_table_is_closed(guarded: Client) -> None:
    load_routes()
    own = [(method, path) for method, path in ROUTES if "{datasource}" in path]
    assert len(own) > 40
    for method, path in own:
        filled = path.format(datasource=SECRET, id="x", interval="2024_2025")
        answer = ask(guarded, "web", method, filled, {})
        needs = ROUTES[method, path].needs
        role = "admin" if Role.ADMIN in needs else "write" if Role.WRITE in needs else "read"
        assert answer.status_code == 403 and f"[{role}]" in answer.text, (method, path, answer.text)
    assert ask(guarded, "web", "GET", "/druid/coordinator/v1/datasources/shop").status_code == 200
    assert refused(ask(guarded, "web", "DELETE", "/druid/coordinator/v1/datasources/shop"), "write", "shop")


def test_nothing_that_is_read_names_another_table(guarded: Client) -> None:
    """Every GET without parameters, with the flags that make it tell more; and the system tables."""
    guarded.post("/druid/coordinator/v1/config/compaction", {"dataSource": SECRET, "skipOffsetFromLatest": "P9Y"})
    rule = [{"type": "loadForever", "tieredReplicants": {"_default_tier": 1}}]
    guarded.post(f"/druid/coordinator/v1/rules/{SECRET}", rule)
    load_routes()
    more = ("full", "simple", "includeUnused", "includeOvershadowedStatus", "count=50", f"dataSource={SECRET}")
    flags = ("", *(f"?{word}" for word in more))
    for (method, path), route in ROUTES.items():
        if method != "GET" or "{" in path or Role.ADMIN in route.needs:
            continue
        for flag in flags:
            answer = ask(guarded, "web", "GET", path + flag)
            known = answer.text.replace(f"Data source [{SECRET}] has no compaction", "")
            assert SECRET not in known and "secret-rows" not in known, path + flag
    node = guarded.get("/druid/coordinator/v1/servers").json()[0]
    for path in (f"servers/{node}?full", f"servers/{node}/segments?full", "tiers/_default_tier?simple",
                 "intervals/2024_2025?full"):  # fmt: skip
        assert SECRET not in ask(guarded, "web", "GET", f"/druid/coordinator/v1/{path}").text
    for table in ("sys.segments", "sys.tasks", "sys.server_segments", "INFORMATION_SCHEMA.TABLES",
                  "INFORMATION_SCHEMA.COLUMNS"):  # fmt: skip
        answer = ask(guarded, "web", "POST", SQL, {"query": f"SELECT * FROM {table}"})
        assert answer.status_code == 200 and SECRET not in answer.text and "secret-rows" not in answer.text
        assert "web_clicks" in answer.text
        assert SECRET in ask(guarded, "root", "POST", SQL, {"query": f"SELECT * FROM {table}"}).text
    locks = [{"datasource": SECRET}, {"datasource": "shop"}]
    for path in ("lockedIntervals/v2", "activeLocks"):
        assert SECRET not in ask(guarded, "web", "POST", f"/druid/indexer/v1/{path}", locks).text


def test_tasks_of_others_are_not_there(guarded: Client) -> None:
    ids = [t["id"] for t in guarded.get("/druid/indexer/v1/tasks").json() if t["dataSource"] == SECRET]
    assert len(ids) >= 2
    for task in (*ids, "query-secret-rows"):
        for end in ("", "/status", "/reports", "/log", "/segments"):
            assert ask(guarded, "web", "GET", f"/druid/indexer/v1/task/{task}{end}").status_code == 404
        assert ask(guarded, "web", "POST", f"/druid/indexer/v1/task/{task}/shutdown", {}).status_code == 404
        assert ask(guarded, "web", "GET", f"/druid/worker/v1/chat/{task}/rowStats").status_code == 404
    assert ask(guarded, "web", "POST", "/druid/indexer/v1/taskStatus", ids).json() == {}
    own = ask(guarded, "web", "POST", TASK, {"query": "SELECT page FROM shop"}).json()["taskId"]
    guarded.wait(own)
    assert ask(guarded, "web", "GET", f"/druid/indexer/v1/task/{own}/reports").status_code == 200
    assert ask(guarded, "reader", "GET", f"/druid/indexer/v1/task/{own}/reports").status_code == 404
    assert ask(guarded, "root", "GET", f"/druid/indexer/v1/task/{own}/reports").status_code == 200


def test_tasks_over_tables_that_he_may_not_change(guarded: Client) -> None:
    post = "/druid/indexer/v1/task"
    kill = {"type": "kill", "dataSource": SECRET, "interval": "2024/2025"}
    assert refused(ask(guarded, "web", "POST", post, kill), "write")
    inner = {"type": "interval", "interval": "2024/2025"}
    compact = {"type": "compact", "dataSource": SECRET, "ioConfig": {"type": "compact", "inputSpec": inner}}
    answer = ask(guarded, "web", "POST", post, compact)
    assert answer.status_code == 403 and f"[{SECRET}]" in answer.text
    assert ask(guarded, "web", "POST", post, {**compact, "dataSource": "web_clicks"}).status_code == 200
