"""Context parameters: lenient values, Druid's refusals."""

from __future__ import annotations

from typing import Any

import pytest

from msq.context import KEYS, QueryContext, parse_bytes
from msq.faults import DruidException


@pytest.mark.parametrize(
    ("name", "given", "parsed"),
    [
        ("maxNumTasks", "5", 5), ("maxNumTasks", None, 2), ("finalizeAggregations", "FALSE", False),
        ("taskAssignment", "AUTO", "auto"), ("segmentSortOrder", "a, b", ("a", "b")),
        ("segmentSortOrder", '["x"]', ("x",)), ("maxInputBytesPerWorker", "1MiB", 1 << 20), ("rowsInMemory", 7, None),
    ],
)  # fmt: skip
def test_values_are_read_leniently(name: str, given: Any, parsed: Any) -> None:
    if name == "rowsInMemory":
        assert QueryContext({name: given}).value("maxRowsInMemory") == 7
    else:
        assert QueryContext({name: given}).value(name) == parsed


def test_wrong_kind_is_the_legacy_error() -> None:
    with pytest.raises(DruidException) as caught:
        QueryContext({"maxNumTasks": "many"}).validate()
    assert caught.value.to_json() == {
        "error": "Query context parse failed",
        "errorClass": "org.apache.druid.query.BadQueryContextException",
        "host": None,
        "errorCode": "legacyQueryException",
        "persona": "OPERATOR",
        "category": "INVALID_INPUT",
        "errorMessage": "Expected key [maxNumTasks] to be in integer format, but got [many]",
        "context": {
            "host": None,
            "errorClass": "org.apache.druid.query.BadQueryContextException",
            "legacyErrorCode": "Query context parse failed",
        },
    }


@pytest.mark.parametrize(
    ("context", "fragment"),
    [
        ({"maxNumTasks": 1}, "maxNumTasks [1] cannot be less than 2"), ({"rowsPerSegment": -5}, "rowsPerSegment [-5]"),
        ({"mode": "loose"}, "[mode]"), ({"maxParseExceptions": -2}, "maxParseExceptions [-2]"),
        ({"finalizeAggregations": 3}, "boolean format"), ({"maxNumTasks": 2.5}, "integer format"),
    ],
)  # fmt: skip
def test_refused_values(context: dict[str, Any], fragment: str) -> None:
    with pytest.raises(DruidException) as caught:
        QueryContext(context).validate()
    assert fragment in caught.value.message and caught.value.status == 400


def test_mode_decides_parse_exceptions() -> None:
    assert QueryContext({}).max_parse_exceptions == 0
    assert QueryContext({"mode": "nonStrict"}).max_parse_exceptions == -1
    assert QueryContext({"mode": "nonStrict", "maxParseExceptions": 3}).max_parse_exceptions == 3


def test_every_key_says_what_it_does_and_unknown_ones_pass() -> None:
    assert all(key.doc and key.statements in ("A", "S", "I", "R", "IR") for key in KEYS.values())
    QueryContext({"anything": object()}).validate()


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2 << 30), ("512m", 512_000_000), (7, 7), ("1 KiB", 1024)])
def test_byte_sizes(text: Any, size: int) -> None:
    assert parse_bytes(text) == size
