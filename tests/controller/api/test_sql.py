"""`/druid/v2/sql`: formats byte by byte, headers, values, refusals, cancellation."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.controller.api.conftest import Client, extern, poll, slow_query

TWO_ROWS = "SELECT * FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b)"
NO_ROWS = "SELECT a FROM (VALUES (1)) AS v(a) WHERE a > 1"
HEADERS = {"header": True, "typesHeader": True, "sqlTypesHeader": True}


@pytest.mark.parametrize(
    ("form", "kind", "body", "empty"),
    [
        ("object", "application/json", '[{"a":1,"b":"x"},{"a":2,"b":null}]\n', "[]\n"),
        ("array", "application/json", '[[1,"x"],[2,null]]\n', "[]\n"),
        ("objectLines", "text/plain", '{"a":1,"b":"x"}\n{"a":2,"b":null}\n\n', "\n\n"),
        ("arrayLines", "text/plain", '[1,"x"]\n[2,null]\n\n', "\n\n"),
        ("csv", "text/csv", "1,x\n2,\n\n", "\n"),
    ],
)
def test_formats(client: Client, form: str, kind: str, body: str, empty: str) -> None:
    answer = client.sql(TWO_ROWS, resultFormat=form)
    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert client.sql(NO_ROWS, resultFormat=form).text == empty


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("object", '[{"a":{"type":"LONG","sqlType":"INTEGER"}}]\n'),
        ("array", '[["a"],["LONG"],["INTEGER"]]\n'),
        ("objectLines", '{"a":{"type":"LONG","sqlType":"INTEGER"}}\n\n'),
        ("arrayLines", '["a"]\n["LONG"]\n["INTEGER"]\n\n'),
        ("csv", "a\nLONG\nINTEGER\n\n"),
    ],
)
def test_header_rows(client: Client, form: str, body: str) -> None:
    answer = client.sql(NO_ROWS, resultFormat=form, **HEADERS)
    assert answer.text == body
    assert answer.headers["X-Druid-SQL-Header-Included"] == "yes"


def test_a_header_alone_has_nulls_and_texts_count_as_booleans(client: Client) -> None:
    answer = client.sql("SELECT 1 AS a", header="true")
    assert answer.text == '[{"a":null},{"a":1}]\n'
    assert client.sql("SELECT 1 AS a", header="false").text == '[{"a":1}]\n'
    assert "X-Druid-SQL-Header-Included" not in client.sql("SELECT 1 AS a").headers


def test_csv_quotes_what_it_must(client: Client) -> None:
    answer = client.sql("SELECT * FROM (VALUES ('a,b', 'say \"x\"', 'plain')) AS v(a, b, c)", resultFormat="csv")
    assert answer.text == '"a,b","say ""x""",plain\n\n'
    assert client.sql("SELECT '' AS a", resultFormat="csv").text == '""\n\n'
    lines = "SELECT * FROM (VALUES (U&'a\\000db', U&'c\\000ad', 1.5, TRUE)) AS v(a, b, c, d)"
    assert client.sql(lines, resultFormat="csv").content == b'"a\rb","c\nd",1.5,true\n\n'


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TIMESTAMP '2000-01-02 03:04:05'", "2000-01-02T03:04:05.000Z"),
        ("DATE '2000-01-02'", "2000-01-02T00:00:00.000Z"),
        ("1 = 1", True),
        ("1.5", 1.5),
        ("9007199254740993", 9007199254740993),
        ("ARRAY[1, 2]", "[1,2]"),
        ("CAST(NULL AS VARCHAR)", None),
    ],
)
def test_values(client: Client, expression: str, value: Any) -> None:
    assert client.rows(f"SELECT {expression}") == [[value]]


def test_session_zone_and_real_arrays(client: Client) -> None:
    context = {"sqlTimeZone": "America/Los_Angeles", "sqlStringifyArrays": False}
    rows = client.rows("SELECT TIMESTAMP '2000-07-01 00:00:00', ARRAY[1, 2]", context=context)
    assert rows == [["2000-07-01T00:00:00.000-07:00", [1, 2]]]


def test_times_of_any_year(client: Client) -> None:
    query = "SELECT MILLIS_TO_TIMESTAMP(ms) FROM (VALUES (0), (-62167219200001), (253402300800000), (NULL)) AS v(ms)"
    assert client.rows(query) == [
        ["1970-01-01T00:00:00.000Z"], ["-0001-12-31T23:59:59.999Z"], ["10000-01-01T00:00:00.000Z"], [None]
    ]  # fmt: skip
    zoned = client.rows(
        "SELECT MILLIS_TO_TIMESTAMP(ms) FROM (VALUES (1710054000000), (1720000000000)) AS v(ms)",
        context={"sqlTimeZone": "America/New_York"},
    )
    assert zoned == [["2024-03-10T03:00:00.000-04:00"], ["2024-07-03T05:46:40.000-04:00"]]


def test_no_rows_need_no_order(client: Client, wiki: str) -> None:
    assert client.rows("SELECT n FROM wiki ORDER BY n LIMIT 0") == []


def test_parameters_set_and_query_id(client: Client) -> None:
    answer = client.sql(
        "SET sqlTimeZone = 'Asia/Tokyo'; SELECT ? AS a, TIMESTAMP '2000-01-01' AS t",
        parameters=[{"type": "VARCHAR", "value": "x"}], context={"sqlQueryId": "my-id"},
    )  # fmt: skip
    assert answer.json() == [{"a": "x", "t": "2000-01-01T00:00:00.000+09:00"}]
    assert answer.headers["X-Druid-SQL-Query-Id"] == "my-id"


def test_plain_text_and_form_bodies_are_the_statement(client: Client) -> None:
    for kind, body in (("text/plain", "SELECT 1 AS a"), ("application/x-www-form-urlencoded", "SELECT+1+AS+a")):
        answer = client.http.post("/druid/v2/sql/", content=body, headers={"Content-Type": kind})
        assert answer.text == '[{"a":1}]\n'


@pytest.mark.parametrize(
    ("query", "category", "fragment"),
    [
        ("SELEC 1", "INVALID_INPUT", "illegal context"),
        ("SELECT nope FROM wiki", "INVALID_INPUT", "Column 'nope' not found in any table (line [1], column [8])"),
        ("SELECT * FROM nope", "INVALID_INPUT", "Object 'nope' not found"),
        ("INSERT INTO x SELECT 1 PARTITIONED BY ALL", "INVALID_INPUT", "INSERT operations are not supported"),
        ("REPLACE INTO x OVERWRITE ALL SELECT 1 PARTITIONED BY ALL", "INVALID_INPUT", "REPLACE operations"),
        ("SELECT n FROM wiki ORDER BY n", "INVALID_INPUT", "ordering a table by non-time column [[n]]"),
        ("SELECT a FROM " + extern([{"a": 1}], a="BIGINT"), "INVALID_INPUT", "Cannot use [EXTERN]"),
        ("SELECT * FROM sys.nope", "INVALID_INPUT", "Object 'nope' not found within 'sys'"),
        (" ", "INVALID_INPUT", "Empty query"),
    ],
)
def test_refusals(client: Client, wiki: str, query: str, category: str, fragment: str) -> None:
    answer = client.sql(query)
    body = answer.json()
    assert (answer.status_code, body["error"], body["category"]) == (400, "druidException", category)
    assert fragment in body["errorMessage"]


def test_a_failure_while_it_runs(client: Client) -> None:
    answer = client.sql("SELECT CAST(a AS BIGINT) / 0 FROM (VALUES (1), (2)) AS v(a)")
    assert answer.status_code >= 400
    assert "by zero" in answer.json()["errorMessage"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 400),
        (b'{"query":1}', {"Content-Type": "application/json"}, 400),
        (b'{"query":"SELECT 1","context":[]}', {"Content-Type": "application/json"}, 400),
        (b'{"query":"SELECT 1","resultFormat":"xml"}', {"Content-Type": "application/json"}, 400),
        (b'{"query":"SELECT 1","typesHeader":true}', {"Content-Type": "application/json"}, 400),
        (b'{"query":"SELECT 1","timeout":NaN}', {"Content-Type": "application/json"}, 400),
        (b"<query/>", {"Content-Type": "text/xml"}, 415),
        (b"SELECT 1", {"Content-Type": ""}, 400),
    ],
)
def test_bodies_of_the_wrong_shape(client: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    assert client.http.post("/druid/v2/sql", content=body, headers=headers).status_code == status


def test_cancel_by_id(client: Client) -> None:
    answers: list[httpx.Response] = []
    numbers = ",".join(f"({n})" for n in range(1_000))
    source = f"(VALUES {numbers})"
    query = (
        f"SELECT COUNT(*) FROM {source} AS x(a) CROSS JOIN {source} AS y(a) CROSS JOIN {source} AS z(a) "
        f"CROSS JOIN {source} AS w(a) WHERE MOD(x.a * y.a + z.a * w.a, 7) = 3"
    )
    thread = threading.Thread(target=lambda: answers.append(client.sql(query, context={"sqlQueryId": "to-cancel"})))
    thread.start()
    poll(lambda: client.delete("/druid/v2/sql/to-cancel").status_code, lambda status: status == 202)
    thread.join()
    assert answers[0].status_code == 500
    assert answers[0].json()["category"] == "CANCELED"
    assert client.delete("/druid/v2/sql/to-cancel").status_code == 404


def test_a_timeout_ends_a_task(client: Client) -> None:
    status = client.wait(client.submit(slow_query(), timeout=300))
    assert (status["status"], status["errorMsg"].partition(":")[0]) == ("FAILED", "Canceled")


def test_reads_what_was_written_and_orders_by_time(client: Client, wiki: str) -> None:
    assert client.rows("SELECT COUNT(*), MIN(__time), MAX(n) FROM wiki") == [[6, "2024-01-01T00:00:00.000Z", 2]]
    assert client.rows("SELECT __time, page FROM wiki ORDER BY __time DESC LIMIT 1") == [
        ["2024-01-02T02:00:00.000Z", "p2"]
    ]
    assert client.rows("SELECT page, COUNT(*) FROM druid.wiki GROUP BY 1 ORDER BY 1 LIMIT 1") == [["p0", 2]]


def test_task_settings_do_not_matter(client: Client, wiki: str) -> None:
    context = {"maxNumTasks": 5_000, "faultTolerance": False}
    assert client.rows("SELECT COUNT(*) FROM wiki", context=context) == [[6]]


def test_many_rows_wait_on_disk_and_leave_nothing(client: Client, wiki: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from controller import engine

    monkeypatch.setattr(engine, "ROWS_IN_MEMORY", 4)
    for form in ("array", "csv"):
        answer = client.sql("SELECT __time, n, page FROM wiki", resultFormat=form)
        assert answer.status_code == 200 and answer.text.count("2024-01-0") == 6
    assert sorted(client.rows("SELECT n FROM wiki")) == [[0], [0], [1], [1], [2], [2]]
    data = client.rows("SELECT \"value\" FROM sys.server_properties WHERE property = 'msq.dataDir'")[0][0]
    poll(lambda: list(Path(data).glob("tmp/*/*")), lambda found: found == [])


@pytest.mark.parametrize(
    ("expression", "context", "native", "sql_type"),
    [
        ("DS_HLL(a)", {}, "COMPLEX<HLLSketch>", "OTHER"),
        ("DS_THETA(a)", {"sqlFinalizeOuterSketches": True}, "COMPLEX<thetaSketch>", "OTHER"),
        ("APPROX_COUNT_DISTINCT_DS_THETA(a)", {}, "LONG", "BIGINT"),
        ("DS_GET_QUANTILES(DS_QUANTILES_SKETCH(a), 0.5)", {}, "COMPLEX", "OTHER"),
    ],
)
def test_native_types_are_the_statements_own(
    client: Client, expression: str, context: dict[str, Any], native: str, sql_type: str
) -> None:
    query = f"SELECT {expression} AS r FROM (VALUES (1), (2)) AS v(a)"
    head = client.sql(query, resultFormat="array", context=context, **HEADERS).json()[:3]
    assert head == [["r"], [native], [sql_type]]
