"""What a real Druid answered (tests/golden/statements.jsonl.gz), and the same statements run through the engine here.

A record has: id, kind (ingest, fault, select), sql, context, setup, submit, report, payload, native (SELECT), segments,
columns, count, sample (ingest); `druid` 33 marks the second set; `better` where Druid fell short.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from controller.engine import Engine, EngineSettings, Outcome
from msq.faults import DruidException
from msq.intervals import format_instant
from tests.harness.replay_checks import checks

TESTS = Path(__file__).resolve().parent.parent
MORE = TESTS / "data" / "more"
REAL_DATA = TESTS.parent.parent / "shared" / "data"
"""Druid's sample files (wikipedia.json.gz, wikiticker.json.gz), beside the checkout where they are there."""
_WRITTEN = re.compile(r'\b(?:INSERT|REPLACE)\s+INTO\s+"?(\w+)')
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=1)
def statements() -> tuple[dict[str, Any], ...]:
    """All records, in the order in which they were asked: later ones read tables of earlier ones."""
    with gzip.open(TESTS / "golden" / "statements.jsonl.gz", "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def has_real_data() -> bool:
    return (REAL_DATA / "wikipedia.json.gz").exists() and (REAL_DATA / "wikiticker.json.gz").exists()


def needs_real_data(case: dict[str, Any]) -> bool:
    """Whether a statement reads the sample files, or a table that a statement over them writes."""
    text = json.dumps([case["sql"], case.get("setup", [])])
    return "{data}" in text or not _real_tables().isdisjoint(_WORD.findall(text))


@lru_cache(maxsize=1)
def _real_tables() -> frozenset[str]:
    made: set[str] = set()
    for case in statements():
        written = _WRITTEN.search(case["sql"])
        if written is not None and ("{data}" in case["sql"] or not made.isdisjoint(_WORD.findall(case["sql"]))):
            made.add(written.group(1))
    return frozenset(made)


def fill(text: str, run: Path) -> str:
    """A recorded statement with the folders of this machine."""
    return text.replace("{data}", str(REAL_DATA)).replace("{more}", str(MORE)).replace("{run}", str(run))


def selected(prefixes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Records whose id begins with one of `prefixes`; `GOLDEN_ONLY` in the environment narrows them."""
    only = os.environ.get("GOLDEN_ONLY", "")
    for case in statements():
        if case["id"].startswith(prefixes) and case["id"].startswith(only):
            yield case


# How many copies of the seed the SELECTs of the first set saw.
_COPIES = {"ing-seed-query": 3}


def run_all(prefixes: tuple[str, ...], folder: Path) -> list[tuple[str, str, Any, Any]]:
    """Runs the selected statements in order on one engine; answers (id, check, wanted, got) of every check."""
    out: list[tuple[str, str, Any, Any]] = []
    run = folder / "run"
    run.mkdir()
    ready: set[str] = set()
    with Engine(EngineSettings(data_dir=folder / "data", threads=2)) as engine:
        for case in selected(prefixes):
            if needs_real_data(case) and not has_real_data():
                continue
            for sql, context in case.get("setup", []):
                if sql not in ready:
                    ready.add(sql)
                    _submit(engine, fill(sql, run), context)
            record = run_statement(engine, case, run)
            for _ in range(_COPIES.get(case["id"], 1) - 1):
                _submit(engine, fill(case["sql"], run), case["context"])
            # the interactive answer is compared over HTTP, where it is asked
            skipped = () if case.get("native") is None else ("values",)
            out += [(case["id"], *check) for check in checks(case, record) if check[0] not in skipped]
    return out


def _submit(engine: Engine, sql: str, context: dict[str, Any]) -> tuple[dict[str, Any], Outcome | None]:
    try:
        prepared = engine.prepare(sql, {"maxNumTasks": 2, **context})
        if prepared.explained is not None:
            explained = prepared.explained
            return {"status": 200, "body": [dict(zip(explained.names, row)) for row in explained.rows]}, None
        outcome = engine.start(prepared).outcome()
    except DruidException as refused:
        body: dict[str, Any] = refused.to_json()
        if refused.envelope:
            body = {"taskId": "x", "state": "FAILED", "error": body}
        return {"status": refused.status, "body": body}, None
    return {"status": 202, "body": {"taskId": outcome.task_id, "state": "RUNNING"}}, outcome


def run_statement(engine: Engine, case: dict[str, Any], run: Path) -> dict[str, Any]:
    """One statement through the engine, as a record of the golden shape."""
    record: dict[str, Any] = {"id": case["id"], "kind": case["kind"], "sql": case["sql"], "context": case["context"]}
    record["submit"], outcome = _submit(engine, fill(case["sql"], run), case["context"])
    if outcome is None:
        return record
    record["report"] = {"status": 200, "body": outcome.report}
    words = case["sql"].split()
    if case["kind"] == "ingest" and words[0] in ("INSERT", "REPLACE") and not words[2].startswith("EXTERN"):
        table = words[2].strip('"')
        record["segments"] = {"body": [s.to_json() for s in engine.used_segments(table)]}
        header = [["COLUMN_NAME", "DATA_TYPE"], ["STRING", "STRING"], ["VARCHAR", "VARCHAR"]]
        record["columns"] = {"body": header + [list(c) for c in engine.table_columns(table)]}
        counted = _count(engine, table)
        record["count"] = counted
    return record


def _count(engine: Engine, table: str) -> dict[str, Any]:
    try:
        outcome = engine.execute(f"SELECT COUNT(*), MIN(__time), MAX(__time) FROM {table}", {})
    except DruidException as refused:
        return {"status": refused.status, "body": refused.to_json()}
    rows = [[r[0], *(None if v is None else format_instant(v) for v in r[1:])] for r in outcome.rows or ()]
    return {"status": 200, "body": [["EXPR$0"], ["LONG"], ["BIGINT"], *rows]}
