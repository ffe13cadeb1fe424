"""The report's shape, against reports of a real Druid, and what older readers find on top."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msq.faults import CannotParseExternalDataFault, TooManyWarningsFault
from msq.report import ErrorItem, StageReport, StatusReport, TaskReport, WorkerEntry, counters_json
from msq.report_keys import with_older_keys

GOLDEN = Path(__file__).parents[1] / "golden" / "statements.jsonl.gz"


def _reports() -> Iterator[Any]:
    with gzip.open(GOLDEN, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            report = case.get("report") or {}
            body = report.get("body", report)
            if isinstance(body, dict) and "multiStageQuery" in body:
                yield pytest.param(body, case.get("druid", 37), id=case["id"])


@pytest.mark.parametrize(("document", "druid"), list(_reports()))
def test_a_druid_report_comes_back_whole(document: dict[str, Any], druid: int) -> None:
    made = TaskReport.from_json(document).to_json()
    want = document["multiStageQuery"]["payload"]
    got = made["multiStageQuery"]["payload"]
    assert list(made) == [k for k in ("multiStageQuery", "taskContext") if k in document]
    assert list(want) == list(got)
    if druid == 33:
        for entries in want["status"]["workers"].values():
            for entry in entries:
                entry.setdefault("workerDesc", entry["workerId"])  # printed since 37
    assert got["status"] == want["status"]
    assert list(got["status"]) == list(want["status"])
    assert got["counters"] == want["counters"]
    assert got.get("results") == want.get("results")
    for a, b in zip(want.get("stages") or [], got.get("stages") or [], strict=True):
        assert list(a) == list(b)
        assert {k: v for k, v in a.items() if k != "definition"} == {k: v for k, v in b.items() if k != "definition"}
        assert contains(b["definition"], a["definition"])
    assert made.get("taskContext") == document.get("taskContext")


def contains(more: Any, less: Any) -> bool:
    """Whether `more` is `less`, perhaps with further keys in its objects."""
    if isinstance(less, dict):
        return isinstance(more, dict) and all(k in more and contains(more[k], v) for k, v in less.items())
    if isinstance(less, list):
        return isinstance(more, list) and len(more) == len(less) and all(map(contains, more, less))
    return bool(more == less)


def test_older_keys_stand_beside_todays() -> None:
    definition = {
        "input": [
            {
                "type": "external", "inputSource": {"type": "http", "uris": ["https://h/x"]},
                "inputFormat": {"type": "json"},
            },
            {"type": "external", "inputSource": {"type": "local", "files": ["x"]}, "inputFormat": {"type": "csv"}},
            {"type": "stage", "stage": 0},
        ],
        "processor": {
            "type": "scan",
            "query": {
                "queryType": "scan", "columns": ["b", "a"], "columnTypes": ["LONG", "STRING"], "context": {"z": 1},
            },
        },
    }  # fmt: skip
    before = json.dumps(definition)
    made = with_older_keys(definition)
    assert json.dumps(definition) == before
    assert made["input"][0]["inputSource"] == {
        "type": "http", "uris": ["https://h/x"], "httpAuthenticationUsername": None, "httpAuthenticationPassword": None,
    }  # fmt: skip
    assert made["input"][0]["inputFormat"] == {
        "type": "json", "flattenSpec": None, "featureSpec": {}, "keepNullColumns": False,
    }  # fmt: skip
    assert made["input"][1:] == definition["input"][1:]
    assert made["processor"]["query"]["context"] == {
        "scanSignature": '[{"name":"b","type":"LONG"},{"name":"a","type":"STRING"}]', "z": 1,
    }  # fmt: skip


def test_given_values_win_over_older_defaults() -> None:
    source = {"type": "http", "uris": [], "httpAuthenticationUsername": "me"}
    made = with_older_keys({"input": [{"type": "external", "inputSource": source, "inputFormat": None}]})
    assert made["input"][0]["inputSource"]["httpAuthenticationUsername"] == "me"
    assert made["input"][0]["inputFormat"] is None


def test_a_report_before_there_is_a_plan() -> None:
    report = TaskReport("query-x", StatusReport("FAILED", error=ErrorItem.of("query-x", TooManyWarningsFault(1, "C"))))
    assert report.payload() == {
        "status": {
            "status": "FAILED",
            "errorReport": {
                "taskId": "query-x",
                "error": {
                    "errorCode": "TooManyWarnings", "maxWarnings": 1, "rootErrorCode": "C",
                    "errorMessage": "Too many warnings of type C generated (max = 1)",
                },
            },
            "durationMs": -1, "workers": {}, "pendingTasks": -1, "runningTasks": 1,
        },
        "counters": {},
    }  # fmt: skip


def test_a_stage_that_never_started_has_number_and_definition_alone() -> None:
    assert StageReport(1, {"id": "q_1"}).to_json() == {"stageNumber": 1, "definition": {"id": "q_1"}}


def test_stage_keys_stand_in_druids_order() -> None:
    stage = StageReport(0, {}, "FINISHED", 2, 3, "globalSort", "localStorage", "2024-01-01T00:00:00.000Z", 5, True)
    assert list(stage.to_json()) == [
        "stageNumber", "definition", "phase", "workerCount", "partitionCount", "shuffle", "output", "startTime",
        "duration", "sort",
    ]  # fmt: skip


def test_error_items_know_their_fault() -> None:
    item = ErrorItem.of("w", CannotParseExternalDataFault("bad row"), host="h:1", stage_number=0, trace="t")
    assert item.to_json() == {
        "taskId": "w", "host": "h:1", "stageNumber": 0,
        "error": {"errorCode": "CannotParseExternalData", "errorMessage": "bad row"}, "exceptionStackTrace": "t",
    }  # fmt: skip
    assert item.fault == CannotParseExternalDataFault("bad row")
    assert item.status_message() == "CannotParseExternalData: bad row"
    assert ErrorItem.from_json(item.to_json()) == item
    assert ErrorItem.from_json({"taskId": "w", "error": {"errorCode": "OfTheFuture"}}).status_message() == "OfTheFuture"


def test_counters_are_ordered_and_may_be_cut_to_the_basic_kinds() -> None:
    channel = {"type": "channel", "rows": [1]}
    counters = {1: {0: {}}, 0: {1: {"cpu": {"type": "cpus"}, "output": channel, "input10": channel, "input2": channel}}}
    assert json.dumps(counters_json(counters)) == json.dumps({
        "0": {"1": {"input2": channel, "input10": channel, "output": channel, "cpu": {"type": "cpus"}}},
        "1": {"0": {}},
    })  # fmt: skip
    assert counters_json({0: {0: {"cpu": {"type": "cpus"}}}}, basic=True) == {"0": {"0": {}}}


def test_workers_of_a_running_query() -> None:
    status = StatusReport("RUNNING", workers={1: (WorkerEntry("w1", None, -1, 7),), 0: (WorkerEntry("w0", "RUNNING"),)})
    assert status.to_json()["workers"] == {
        "0": [{"workerId": "w0", "workerDesc": "w0", "state": "RUNNING", "durationMs": -1, "pendingMs": -1}],
        "1": [{"workerId": "w1", "workerDesc": "w1", "state": None, "durationMs": -1, "pendingMs": 7}],
    }  # fmt: skip
    assert StatusReport.from_json(status.to_json()) == status
