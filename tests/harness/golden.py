"""What a real Druid answered (tests/golden/statements.jsonl.gz), and the same statements run through the engine here.

A record has: id, kind (ingest, fault, select), sql, context, setup, submit, report, payload, native (SELECT), segments,
columns, count, sample (ingest); `druid` 33 marks the second set; `better` where Druid fell short.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
MORE = TESTS / "data" / "more"
REAL_DATA = TESTS.parent.parent / "shared" / "data"
"""Druid's sample files (wikipedia.json.gz, wikiticker.json.gz), beside the checkout where they are there."""


@lru_cache(maxsize=1)
def statements() -> tuple[dict[str, Any], ...]:
    """All records, in the order in which they were asked: later ones read tables of earlier ones."""
    with gzip.open(TESTS / "golden" / "statements.jsonl.gz", "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def has_real_data() -> bool:
    return (REAL_DATA / "wikipedia.json.gz").exists() and (REAL_DATA / "wikiticker.json.gz").exists()


def needs_real_data(case: dict[str, Any]) -> bool:
    return "{data}" in json.dumps([case["sql"], case.get("setup", [])])


def fill(text: str, run: Path) -> str:
    """A recorded statement with the folders of this machine."""
    return text.replace("{data}", str(REAL_DATA)).replace("{more}", str(MORE)).replace("{run}", str(run))


def selected(prefixes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Records whose id begins with one of `prefixes`; `GOLDEN_ONLY` in the environment narrows them."""
    only = os.environ.get("GOLDEN_ONLY", "")
    for case in statements():
        if case["id"].startswith(prefixes) and case["id"].startswith(only):
            yield case
