"""Every statement that a real Druid answered is bound and compared with the task it made of it: query, columns, types.

Tables have the columns that the recorded INFORMATION_SCHEMA listed; tables that only a `setup` statement made have the
columns which that statement binds to.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from msq.catalog import StaticCatalog, TableSchema
from msq.codec import encode
from msq.context import QueryContext
from msq.datatypes import ColumnType, RowSignature
from msq.faults import DruidException
from msq.sql.bind import BoundQuery, bind
from msq.sql.statement import parse_statement

GOLDEN = Path(__file__).parents[3] / "golden" / "statements.jsonl.gz"

MASKED = {"queryId", "sqlQueryId", "startTime", "scanSignature", "rowBasedFrameType"}
"""Context keys that differ by run, or between the recorded releases 33 and 37."""

ENGINE_KEYS = {"sqlInsertSegmentGranularity", "sqlReplaceTimeChunks", "__exportFileFormat", "queryId", "sqlQueryId"}

KNOWN = {
    "flt-bad-rows-per-segment": "refused before it runs; the original failed at run time",
    "bad-limit-minus-2": "refused by the context; the original took -2 for -1",
    "ctx-destination-bad": "the enum's Java name and the value EXPORT are not listed",
    "ctx-exact-distinct": "a COUNT beside an exact DISTINCT is 0 over no rows; the original's sum of counts is NULL",
    "ctx-mode-bad": "an enum like any other here, refused with the legacy context error",
    "ctx-mvd-numbers": "refused before it runs; the original failed at run time",
    "ctx-query-id-bad": "the task id is checked when the task is made",
    "end-export-json": "refused with a 400 that names the format",
    "end-export-order": "answered: an export may be ordered",
    "end-export-s3": "refused when the export runs",
    "joi-full-broadcast": "answered with a sort-merge join",
    "joi-non-equi-left": "answered: the condition of an outer join may be any",
    "joi-right-broadcast": "answered with a sort-merge join",
    "sel-window-part": "a syntax error whose list of expected tokens is not reproduced",
}
"""Cases that differ, each with its reason; an entry that agrees again must be taken out."""

_TYPES = {"VARCHAR": "STRING", "BIGINT": "LONG", "TIMESTAMP": "LONG"}


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    with gzip.open(GOLDEN, "rt", encoding="utf-8") as lines:
        return {case["id"]: case for case in map(json.loads, lines)}


def payload_of(case: dict[str, Any]) -> dict[str, Any] | None:
    answer = case.get("payload")
    body = answer.get("body", answer) if isinstance(answer, dict) else None
    return body.get("payload") if isinstance(body, dict) else None


@functools.cache
def recorded_tables() -> dict[str, TableSchema]:
    """Tables by name, as the first case that wrote each of them left it."""
    made: dict[str, TableSchema] = {}
    for case in cases().values():
        payload, columns = payload_of(case), case.get("columns")
        if payload is None or not isinstance(columns, dict) or payload["dataSource"] in made:
            continue
        outputs = [m["outputColumn"] for m in payload["spec"]["columnMappings"]]
        natives = dict(zip(outputs, payload["nativeTypeNames"]))
        rows = columns["body"][3:]
        listed = [(n, natives[n] if t == "ARRAY" else _TYPES.get(t, t)) for n, t in rows]
        if listed:
            signature = RowSignature((n, ColumnType.parse(t)) for n, t in listed)
            made[payload["dataSource"]] = TableSchema(payload["dataSource"], signature)
    return made


def tables_for(case: dict[str, Any]) -> dict[str, TableSchema]:
    tables = dict(recorded_tables())
    for sql, context in case.get("setup") or ():
        target = re.match(r"(?:INSERT|REPLACE) INTO (\w+)", sql)
        assert target is not None
        if target[1] not in tables:
            bound = bind_sql(sql, context, tables)
            columns = zip((m.output_column for m in bound.column_mappings), bound.native_type_names)
            tables[target[1]] = TableSchema(target[1], RowSignature((n, ColumnType.parse(t)) for n, t in columns))
    return tables


def bind_sql(sql: str, context: dict[str, Any], tables: dict[str, TableSchema]) -> BoundQuery:
    statement = parse_statement(sql, context)
    return bind(
        statement, StaticCatalog(tables), QueryContext(statement.context), query_id="some-id", now_ms=1_700_000_000_000
    )


def masked(value: Any) -> Any:
    if isinstance(value, dict):
        shown = {k: masked(v) for k, v in value.items()}
        if isinstance(shown.get("context"), dict):
            shown["context"] = {k: v for k, v in shown["context"].items() if k not in MASKED}
        return shown
    return [masked(v) for v in value] if isinstance(value, list) else value


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in dict.fromkeys([*ours, *theirs]):
            if key not in ours or key not in theirs:
                side = "missing" if key not in ours else "extra"
                found.append(f"{path}.{key} {side}: {json.dumps(theirs.get(key, ours.get(key)))[:300]}")
            else:
                found += differences(ours[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [d for n, (a, b) in enumerate(zip(ours, theirs)) for d in differences(a, b, f"{path}[{n}]")]
    return [] if ours == theirs else [f"{path}: {json.dumps(ours)[:300]} instead of {json.dumps(theirs)[:300]}"]


def compare(case: dict[str, Any]) -> list[str]:
    payload, submit = payload_of(case), case["submit"]
    context = dict(case["context"])
    if payload is not None:
        context = {k: v for k, v in payload["sqlQueryContext"].items() if k not in ENGINE_KEYS}
    try:
        bound = bind_sql(case["sql"], context, tables_for(case))
    except DruidException as refusal:
        if payload is not None:
            return [f"refused: {refusal.message}"]
        error = submit["body"].get("error", submit["body"])
        error = submit["body"] if isinstance(error, str) else error
        keys = ("errorCode", "persona", "category", "errorMessage", "context")
        return differences({k: refusal.to_json()[k] for k in keys}, {k: error[k] for k in keys})
    if payload is None:
        return [] if submit["status"] in (200, 202) else [f"bound, but refused there: {submit['body']}"]
    keys = ("sqlTypeNames", "nativeTypeNames", "sqlResultsContext", "dataSource")
    spec = payload["spec"]
    theirs = {
        "query": masked(spec["query"]), "columnMappings": spec["columnMappings"], "destination": spec["destination"],
        **{k: payload[k] for k in keys},
    }  # fmt: skip
    ours = {
        "query": masked(encode(bound.query)), "columnMappings": encode(bound.column_mappings),
        "destination": encode(bound.destination), "sqlTypeNames": list(bound.sql_type_names),
        "nativeTypeNames": list(bound.native_type_names), "sqlResultsContext": bound.results_context.to_json(),
        "dataSource": bound.data_source,
    }  # fmt: skip
    return differences(ours, theirs)


@pytest.mark.parametrize("case_id", list(cases()))
def test_statement_binds_as_recorded(case_id: str) -> None:
    found = compare(cases()[case_id])
    if case_id in KNOWN:
        assert found, f"[{case_id}] agrees again, take it out of KNOWN"
        return
    assert not found, "\n".join(found)


def test_known_differences_are_cases() -> None:
    assert set(KNOWN) <= set(cases())


def test_key_order_of_queries_is_the_originals() -> None:
    """Reports and payloads print queries; Druid's key order is part of how they read."""
    checked = 0
    for case_id in ("ing-seed-query", "sel-group", "sel-filter-agg", "joi-three", "win-rank", "joi-unnest-filter"):
        case = cases()[case_id]
        payload = payload_of(case)
        assert payload is not None
        context = {k: v for k, v in payload["sqlQueryContext"].items() if k not in ENGINE_KEYS}
        bound = bind_sql(case["sql"], context, tables_for(case))
        ours, theirs = masked(encode(bound.query)), masked(payload["spec"]["query"])
        assert json.dumps(ours) == json.dumps(theirs), case_id
        checked += 1
    assert checked == 6
