"""Hoisted ISO parses give what the lowered expression gives, for sure texts and for doubtful ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from msq.datatypes import LONG, STRING, RowSignature
from msq.expr.lower import InputColumn
from msq.expr.virtual import lower_virtual
from msq.native.virtual import ExpressionVirtualColumn
from msq.processors.hoist import hoist
from tests.harness.processors import shared_connection

SIGNATURE = RowSignature([("t", STRING), ("n", LONG)])
FLOOR = ExpressionVirtualColumn("v0", "timestamp_floor(timestamp_parse(\"t\",null,'UTC'),'PT1H',null,'UTC')", LONG)


def evaluate(column: ExpressionVirtualColumn, batch: pa.RecordBatch, types: RowSignature) -> list[Any]:
    multi = {f.name: pa.types.is_list(f.type) for f in batch.schema}
    inputs = {c.name: InputColumn(f'"{c.name}"', c.type, multi[c.name]) for c in types if c.name in multi}
    sql = lower_virtual(column, inputs).sql
    made = shared_connection()
    made.register("hoisted", batch)
    return [row[0] for row in made.sql(f"SELECT {sql} FROM hoisted").fetchall()]


@pytest.mark.parametrize("texts", [
    ["2024-03-10T05:59:59.999Z", None, "2016-06-27T00:00:11Z"],
    ["2024-03-10T05:59:59.999", "2024-03-10"],
    ["2024-03-10T05:59:59+05:30", "2024-03-10T05:59:59-08:00"],
    ["2024-03-10", "not a time", "", "2024-W10-3", " 2024-03-10", "2024-02-30", "-0001-01-01", "1710050399000"],
    [],
])  # fmt: skip
@pytest.mark.parametrize("layout", ["plain", "dictionary", "list"])
def test_hoisting_changes_no_value(texts: list[str | None], layout: str) -> None:
    column: Any = pa.array(texts, pa.string())
    if layout == "dictionary":
        column = column.dictionary_encode()
    if layout == "list":
        column = pa.array([None if t is None else [t] for t in texts], pa.list_(pa.string()))
    batch = pa.record_batch([column], names=["t"])
    made = hoist([FLOOR], SIGNATURE)
    (changed,) = made.virtual_columns
    assert isinstance(changed, ExpressionVirtualColumn)
    reads = ("__iso_t",)
    assert made.source_columns(reads) == ("t",)
    (hoisted,) = made.columns(iter([batch]), reads)
    assert evaluate(changed, hoisted, made.signature) == evaluate(FLOOR, batch, SIGNATURE)


def test_only_plain_iso_parses_of_text_columns_are_hoisted() -> None:
    for text in (
        "timestamp_parse(\"t\",'yyyy','UTC')", "timestamp_parse(\"t\",null,'Asia/Kolkata')",
        "timestamp_parse(\"n\",null,'UTC')", "timestamp_parse(\"v1\",null,'UTC')",
        "timestamp_parse(upper(\"t\"),null,'UTC')",
    ):  # fmt: skip
        columns = [ExpressionVirtualColumn("v0", text, LONG), ExpressionVirtualColumn("v1", 'upper("t")', STRING)]
        made = hoist(columns, SIGNATURE)
        assert made.virtual_columns == tuple(columns)
        assert made.signature == SIGNATURE
