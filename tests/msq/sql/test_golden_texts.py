"""Every statement that a real Druid was asked parses here, or is refused as it was there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msq.faults import DruidException
from msq.sql.dialect import to_sql
from msq.sql.query import parse_query
from msq.sql.statement import parse_statement

TESTS = Path(__file__).resolve().parents[2]

LATER = {
    "flt-bad-context",
    "flt-duplicate-columns",
    "flt-maxtasks-1",
    "flt-no-time",
    "flt-unknown-column",
    "sel-info-columns",
    "sel-sys-segments",
    "ctx-destination-bad",
    "ctx-infinite-literal",
    "ctx-mode-bad",
    "ctx-query-id-bad",
    "end-export-order",
    "end-export-s3",
    "end-system-table",
    "joi-full-broadcast",
    "joi-non-equi-left",
    "joi-right-broadcast",
    "rol-max-string",
    "seg-sort-order-bad",
    "seg-sort-order-no-time",
}
"""Refusals that need names, types or the context's values: made when the statement is bound or planned."""

BETTER = {"end-export-json": "Format [JSON] is not supported for exports, the only format is [CSV]"}
"""Where Druid fails inside."""


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


STATEMENTS = list(_lines(TESTS / "golden" / "statements.jsonl.gz"))
FUNCTIONS = list(_lines(TESTS / "data" / "sql" / "functions.jsonl.gz"))


@pytest.mark.parametrize("case", STATEMENTS, ids=lambda case: case["id"])
def test_statements(case: dict[str, Any]) -> None:
    submit = case.get("submit") or {"status": 200}
    refused = submit["status"] not in (200, 202)
    try:
        parse_statement(case["sql"], case.get("context") or {})
    except DruidException as refusal:
        assert refused, refusal.message
        if case["id"] in BETTER:
            assert refusal.message == BETTER[case["id"]]
            assert refusal.status == 400
            return
        body = submit["body"]
        error = body["error"] if isinstance(body["error"], dict) else body
        assert refusal.envelope == ("taskId" in body)
        assert refusal.status == submit["status"]
        # which tokens Calcite would have taken is not told
        ours, theirs = refusal.to_json(), error
        if "Was expecting" in theirs["errorMessage"]:
            assert ours["errorMessage"].startswith("Incorrect syntax near the keyword")
            ours, theirs = ({k: v for k, v in e.items() if k != "errorMessage"} for e in (ours, theirs))
        assert ours == theirs
    else:
        assert not refused or case["id"] in LATER


def test_refusals_that_come_later_are_recorded() -> None:
    assert {case["id"] for case in STATEMENTS} >= LATER


def test_function_statements() -> None:
    """All texts over which functions were tried: what Druid answered parses and prints to a text of the same tree; what
    is refused here was refused there, in the same words."""
    words = (
        "No match found",
        "Incorrect syntax",
        "Received an unexpected",
        "Unknown identifier",
        "Numeric literal",
        "Cannot handle literal",
        "Non-query expression",
        "Invalid",
        "Illegal",
        "Percent",
    )
    for sql, error in FUNCTIONS:
        try:
            tree = parse_query(sql)
        except DruidException as refusal:
            assert error is not None, f"{sql}: {refusal.message}"
            syntax = ("Incorrect syntax", "Received an unexpected")
            if not (error.startswith(syntax) and refusal.message.startswith(syntax)):
                same = next((w for w in words if error.startswith(w)), error)
                assert refusal.message.startswith(same), f"{sql}: {refusal.message} is not {error}"
        else:
            assert to_sql(parse_query(to_sql(tree))) == to_sql(tree)
            assert error is None or not error.startswith(("Incorrect syntax", "Received an unexpected")), sql
