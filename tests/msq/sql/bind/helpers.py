"""A small catalog and short ways to bind statements over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from msq.catalog import StaticCatalog, TableSchema
from msq.codec import encode
from msq.context import QueryContext
from msq.datatypes import DOUBLE, JSON, LONG, STRING, STRING_ARRAY, RowSignature
from msq.faults import DruidException
from msq.intervals import ETERNITY
from msq.sql.bind import BoundQuery, bind
from msq.sql.statement import parse_statement

NOW = 1_700_000_000_000
CATALOG = StaticCatalog(
    {
        "t": TableSchema(
            "t",
            RowSignature([
                ("__time", LONG), ("k", STRING), ("g", STRING), ("v", LONG), ("d", DOUBLE), ("tags", STRING),
                ("j", JSON), ("arr", STRING_ARRAY),
            ]),
            frozenset({"tags"}),
        ),
        "u": TableSchema("u", RowSignature([("__time", LONG), ("k", STRING), ("w", LONG)])),
        "t2": TableSchema("t2", RowSignature([("__time", LONG), ("k", STRING), ("g", STRING), ("v", LONG)])),
    },
    {"codes": {"a": "Alpha"}},
)  # fmt: skip
EXTERN = (
    """TABLE(EXTERN('{"type":"inline","data":"x"}', '{"type":"json"}')) """
    "EXTEND (a VARCHAR, b BIGINT, c DOUBLE, tags VARCHAR, arr VARCHAR ARRAY)"
)


def bind_text(sql: str, context: Mapping[str, Any] | None = None) -> BoundQuery:
    """The bound statement; EXTERN in its text stands for an external table of five columns."""
    statement = parse_statement(sql.replace("EXTERN", EXTERN), dict(context or {}))
    return bind(statement, CATALOG, QueryContext(statement.context), query_id="some-id", now_ms=NOW)


def query_of(sql: str, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The native query as JSON without contexts, intervals of all time, and what never varies."""
    return bare(encode(bind_text(sql, context).query))


def bare(value: Any) -> Any:
    if isinstance(value, list):
        return [bare(v) for v in value]
    if not isinstance(value, dict):
        return value
    dropped = {"context", "resultFormat", "granularity", "legacy", "leafOperators", "columnTypes"}
    made = {k: bare(v) for k, v in value.items() if k not in dropped}
    spec = made.get("intervals")
    if isinstance(spec, dict) and spec["intervals"] == [str(ETERNITY)]:
        del made["intervals"]
    return made


def outputs(sql: str, context: Mapping[str, Any] | None = None) -> list[str]:
    """`query column>output name` of every mapping."""
    return [f"{m.query_column}>{m.output_column}" for m in bind_text(sql, context).column_mappings]


def refusal(sql: str, context: Mapping[str, Any] | None = None) -> DruidException:
    with pytest.raises(DruidException) as caught:
        bind_text(sql, context)
    return caught.value
