"""Answers that are sent while their rows are made: their end, their failures, cancels and clients that go away."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller import engine, interactive
from controller.api import result_formats
from controller.engine import Engine
from controller.settings import EngineSettings
from msq.faults import MSQError
from tests.controller.api.conftest import Client, Serving, day_table, poll

MANY = "SELECT a.n, b.page FROM wiki a CROSS JOIN wiki b CROSS JOIN wiki c CROSS JOIN wiki d"
"""Some 4 billion rows."""
FAILS_LATE = "SELECT 1 / (TIME_EXTRACT(__time, 'DAY') - 20) FROM wiki"
"""Fails at the rows of the 20th day."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose table `wiki` has 252 rows in 28 segments."""
    with Serving(tmp_path_factory.mktemp("many")) as client:
        client.ingest(day_table("wiki", 28, 9))
        yield client


@pytest.fixture
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ROWS_IN_MEMORY", 4)


def running(client: Client) -> list[str]:
    return [str(q["sqlQueryId"]) for q in client.get("/druid/v2/sql/queries").json()["queries"]]


def left(client: Client) -> list[Path]:
    """Temporary files of the server."""
    data = client.rows("SELECT \"value\" FROM sys.server_properties WHERE property = 'msq.dataDir'")[0][0]
    return list(Path(data).glob("tmp/*/*"))


def nothing_left(client: Client) -> None:
    poll(lambda: running(client), lambda ids: ids == [])
    poll(lambda: left(client), lambda found: found == [])


@pytest.mark.usefixtures("few_in_memory")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n, page FROM wiki",
        "SELECT n + 1, page FROM wiki WHERE n >= 0",
        "SELECT a.n, b.page FROM wiki a JOIN (SELECT n, page FROM wiki GROUP BY 1, 2) b ON a.n = b.n",
        "SELECT w.n, x FROM wiki w CROSS JOIN UNNEST(ARRAY[1]) AS u(x)",
        "SELECT n, page FROM wiki UNION ALL SELECT n, page FROM wiki",
    ],
)
def test_whole_answers(many: Client, sql: str) -> None:
    count = many.rows(f"SELECT COUNT(*) FROM ({sql})")[0][0]
    for form in ("object", "array", "objectLines", "arrayLines", "csv"):
        answer = many.sql(sql, resultFormat=form)
        assert answer.status_code == 200 and answer.headers["transfer-encoding"] == "chunked"
        if form in ("object", "array"):
            assert len(answer.json()) == count
        else:
            assert answer.text.count("\n") == count + 1 and answer.text.endswith("\n\n")
    nothing_left(many)


def test_a_short_answer_is_sent_at_once(many: Client) -> None:
    answer = many.sql("SELECT n FROM wiki LIMIT 3", resultFormat="array")
    assert len(answer.json()) == 3 and "transfer-encoding" not in answer.headers


def test_rows_come_before_the_query_has_ended(many: Client) -> None:
    body = {"query": MANY, "resultFormat": "csv", "context": {"sqlQueryId": "endless"}}
    with many.http.stream("POST", "/druid/v2/sql", json=body) as answer:
        lines = answer.iter_lines()
        assert [next(lines).count(",") for _ in range(30_000)] == [1] * 30_000
        assert running(many) == ["endless"]
        assert many.delete("/druid/v2/sql/endless").status_code == 202
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in lines:
                pass
    nothing_left(many)


def test_a_client_that_goes_away_in_the_middle(many: Client) -> None:
    url = many.http.base_url
    for path, body in (
        ("/druid/v2/sql", {"query": MANY, "resultFormat": "csv"}),
        (
            "/druid/v2",
            {"queryType": "scan", "dataSource": join_of("wiki", 4), "intervals": ["2000/2100"], "columns": []},
        ),
    ):
        text = json.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\n"
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
            assert len(running(many)) == 1
        nothing_left(many)


def join_of(table: str, times: int) -> dict[str, Any]:
    """A native data source: the table joined with itself again and again, all rows with all rows."""
    source: dict[str, Any] = {"type": "table", "name": table}
    for n in range(times - 1):
        inner = {"queryType": "scan", "dataSource": table, "intervals": ["2000/2100"], "columns": ["n"]}
        source = {
            "type": "join", "left": source, "right": {"type": "query", "query": inner}, "rightPrefix": f"j{n}.",
            "condition": "1", "joinType": "INNER",
        }  # fmt: skip
    return source


@pytest.mark.usefixtures("few_in_memory")
@pytest.mark.parametrize(("form", "row"), [("array", "[0],"), ("arrayLines", "[0]\n"), ("csv", "0\n")])
def test_a_failure_cuts_the_answer_short(many: Client, monkeypatch: pytest.MonkeyPatch, form: str, row: str) -> None:
    monkeypatch.setattr(result_formats, "ROWS_PER_PIECE", 1)
    got = ""
    with many.http.stream("POST", "/druid/v2/sql", json={"query": FAILS_LATE, "resultFormat": form}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            for text in answer.iter_text():
                got += text
    # a row for each of the nine hours of the days before, but for what is cut off
    assert got.startswith("[" + row if form == "array" else row)
    assert not got.endswith({"array": "]\n"}.get(form, "\n\n"))
    nothing_left(many)


def test_a_failure_among_the_first_rows_is_an_error(many: Client) -> None:
    answer = many.sql(FAILS_LATE)
    assert answer.status_code >= 400 and answer.json()["error"] == "druidException"
    nothing_left(many)


def test_a_limit_of_rows_is_told_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ROWS_IN_MEMORY", 4)
    with Serving(tmp_path, max_rows=10) as client:
        client.ingest(day_table("wiki", 4, 3))
        assert client.sql("SELECT n FROM wiki").status_code == 400
        assert len(client.rows("SELECT n FROM wiki LIMIT 9")) == 9
        nothing_left(client)


def test_a_timeout_ends_a_query_whatever_it_does(many: Client) -> None:
    answer = many.sql(f"SELECT COUNT(*) FROM ({MANY}) WHERE n + 1 > 0", context={"timeout": 100})
    assert answer.json()["category"] == "TIMEOUT"
    nothing_left(many)


def test_the_worker_makes_rows_only_as_they_are_read(tmp_path: Path) -> None:
    """Of the library: what is left of a query that was cancelled between two rows, and that was closed."""
    with Engine(EngineSettings(tmp_path, threads=1, max_batch_rows=3)) as opened:
        assert opened.execute(day_table("wiki", 10, 9)).status == "SUCCESS"

        def asked() -> tuple[Any, interactive.Answer]:
            prepared = interactive.prepare(opened, "SELECT n FROM wiki", {}, (), None)
            controller = interactive.controller_of(opened, prepared, streams=True)
            return controller, interactive.ask(prepared, controller)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "ROWS_IN_MEMORY", 4)
            controller, answer = asked()
            assert not answer.rows.is_whole and controller.is_open
            assert opened.admission.counts == (0, 0)
            assert [next(answer.rows) for _ in range(5)] == [[0], [1], [2], [3], [4]]
            controller.cancel("USER_REQUEST")
            with pytest.raises(MSQError, match="cancel"):
                list(answer.rows)
            _, answer = asked()
            answer.rows.close()
            _, answer = asked()
            assert len(list(answer.rows)) == 90
        assert [p.name for p in tmp_path.glob("tmp/*/*")] == []
