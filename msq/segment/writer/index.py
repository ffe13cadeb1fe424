"""`index.drd` and `metadata.drd`: the roles of the columns, the interval, and what made the segment."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import Any

from msq.intervals import Interval
from msq.segment.schema import TIME
from msq.segment.writer.generic import compact_json, name_list, str4

_TIMESTAMP_SPEC = {"column": TIME, "format": "millis", "missingValue": None}


def index_file(
    metrics: Sequence[str], dimensions: Sequence[str], null_only: Collection[str], interval: Interval
) -> bytes:
    """`metrics` and `dimensions` in the order of the file; `null_only` names the dimensions without any value."""
    names = [*metrics, *dimensions]

    def stored(listed: Sequence[str]) -> bytes:
        return name_list([n for n in listed if n not in null_only])

    def everything(listed: Sequence[str]) -> bytes:
        return name_list([n if n in null_only else None for n in listed])

    return b"".join([
        stored(names), stored(dimensions), struct.pack(">qq", interval.start, interval.end),
        str4('{"type":"roaring"}'), everything(names), everything(dimensions),
    ])  # fmt: skip


def metadata_file(
    aggregators: Sequence[dict[str, Any]], query_granularity: Any, rollup: bool, ordering: Sequence[str]
) -> bytes:
    """`ordering` names the columns the rows are really sorted by, all ascending."""
    return compact_json({
        "container": {},
        "aggregators": list(aggregators),
        "timestampSpec": _TIMESTAMP_SPEC,
        "queryGranularity": query_granularity,
        "rollup": rollup,
        "ordering": [{"columnName": n, "order": "ascending"} for n in ordering],
    }).encode()  # fmt: skip
