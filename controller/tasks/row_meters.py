"""Rows and bytes that a statement has taken so far, as native ingestion counts them. Source: http-api P-01, RP-12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def row_meters(payload: Mapping[str, Any]) -> dict[str, int]:
    """From a report's payload, live or final. Rows that were read and not kept are thrown away, where rows are kept as
    they are; a stage that groups takes them all. Rows that do not parse are those that were warned of."""
    first = payload.get("counters", {}).get("0", {})
    read = _sum(first, "input0", "rows")
    kept = max(_sum(first, name, "rows") for name in ("output", "shuffle"))
    stages = payload.get("stages") or [{}]
    scans = stages[0].get("definition", {}).get("processor", {}).get("type") == "scan"
    processed = kept if scans else read
    return {
        "processed": processed, "processedBytes": _sum(first, "input0", "bytes"), "processedWithError": 0,
        "thrownAway": max(read - processed, 0), "unparseable": _sum(first, "warnings", "CannotParseExternalData"),
    }  # fmt: skip


def _sum(workers: Mapping[str, Any], name: str, field: str) -> int:
    """The sum of a counter's field over workers and partitions."""
    total = 0
    for named in workers.values():
        value = named.get(name, {}).get(field, 0)
        total += sum(value) if isinstance(value, list) else value
    return total
