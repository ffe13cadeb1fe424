"""flattenSpec: paths and jq programs over one record, beside what Druid's own flattener made of them (33.0.0).

`tests/data/flatten.json`: for each text what it `is`, or that Druid `refused` it, or `fails` when a row is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msq.codec import CodecError
from msq.faults import MSQError
from msq.formats.jq import compile_jq
from msq.formats.jsonpath import compile_path
from tests.harness.reading import read_rows

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "flatten.json").read_text())
RECORD = GOLDEN["record"]
REFUSED_HERE = {
    "$.a[", "$.text.length().x", "$.store.book.last().author", "$.store.book[?(@.category type 'string')].author",
    "$.store.book[?(@.category exists true)].author", "$.store.book[?(@.isbn exists true)].author",
    "$.store.book[?(@.isbn exists false)].author", "$.store.book[?(@.tags all ['a','b'])].author",
    "$.nums.append('z')",
}  # fmt: skip
"""Paths that mean nothing, to which Druid answers with nulls or empty lists."""
OTHERWISE = {"[paths] | length": 54}
"""jq programs where jq itself and the library that Druid uses differ."""


def _doubles(value: Any) -> Any:
    """Integers beyond 64 bits are doubles to Druid."""
    if isinstance(value, dict):
        return {k: _doubles(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_doubles(v) for v in value]
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


@pytest.mark.parametrize(("path", "druid"), GOLDEN["path"], ids=[p for p, _ in GOLDEN["path"]])
def test_paths(path: str, druid: dict[str, Any]) -> None:
    if "refused" in druid or path in REFUSED_HERE:
        with pytest.raises(CodecError):
            compile_path(path)
        return
    if "fails" in druid:
        # what fails a query there is answered here, or refused when it is planned
        try:
            compile_path(path)(RECORD)
        except CodecError as refused:
            assert "is not supported at" in str(refused)
        return
    assert _doubles(compile_path(path)(RECORD)) == druid["is"]


@pytest.mark.parametrize(("program", "druid"), GOLDEN["jq"], ids=[p for p, _ in GOLDEN["jq"]])
def test_jq(program: str, druid: dict[str, Any]) -> None:
    if program == '[splits("a")]?':
        assert compile_jq("x", program)(RECORD) is None
    elif "refused" in druid:
        with pytest.raises(CodecError, match="is no jq program"):
            compile_jq("x", program)
    elif druid.get("fails") == "IndexOutOfBoundsException":
        assert compile_jq("x", program)(RECORD) is None
    elif "fails" in druid:
        with pytest.raises(MSQError, match="Unable to evaluate jq program"):
            compile_jq("x", program)(RECORD)
    else:
        assert _doubles(compile_jq("x", program)(RECORD)) == OTHERWISE.get(program, druid["is"])


@pytest.mark.parametrize(
    "program",
    [
        "env", "$ENV.HOME", "[env.HOME]", "input", "[inputs]", 'import "a" as a; .', 'include "a"; .', "def f: f; f",
        "repeat(1)", "[range(1e12)]", "[range(1000000000)]", "until(false; .)", "recurse(.)", ". as $x | env", "debug",
        '"\\(env.HOME)"', "$__prog_args", "halt", "input_filename", "get_search_list",
    ],
)  # fmt: skip
def test_programs_that_reach_out_or_never_end(program: str) -> None:
    with pytest.raises(CodecError, match="is not supported in a jq program"):
        compile_jq("x", program)


def test_fields_of_every_kind_in_one_spec() -> None:
    fields = [
        {"type": "jq", "name": "most", "expr": ".n | max"}, {"type": "path", "name": "last", "expr": "$.n.last()"},
        {"type": "tree", "name": "deep", "nodes": ["o", "p"]}, {"type": "root", "name": "all", "expr": "n"}, "env",
        {"type": "jq", "name": "word", "expr": ".env"},
    ]  # fmt: skip
    text = '{"n":[3,1,2],"o":{"p":"x"},"env":"e"}\n{"n":[5]}\n'
    signature = {"most": "LONG", "last": "LONG", "deep": "STRING", "all": "STRING", "env": "STRING", "word": "STRING"}
    for discovery in (True, False):
        spec = {"useFieldDiscovery": discovery, "fields": fields}
        done = read_rows(text, {"type": "json", "flattenSpec": spec}, signature)
        assert done.rows == [[3, 2, "x", ["3", "1", "2"], "e", "e"], [5, 5, None, ["5"], None, None]]


def test_a_program_that_fails_for_a_record_is_a_fault() -> None:
    spec = {"fields": [{"type": "jq", "name": "x", "expr": ".a.b"}]}
    with pytest.raises(MSQError) as caught:
        read_rows('{"a":"text"}\n', {"type": "json", "flattenSpec": spec}, {"x": "STRING"})
    assert caught.value.fault.code == "CannotParseExternalData"
