"""Plans of statements as reviewed texts in tests/approved/plans: `APPROVE=1 pytest` on this file rewrites them.

A file holds the statement, a line `----` and the plan; a first line `-- context: {..}` sets the context.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from msq.catalog import StaticCatalog, TableSchema
from msq.context import QueryContext
from msq.datatypes import DOUBLE, LONG, STRING, RowSignature, complex_of
from msq.plan.planner import plan
from msq.plan.text import plan_text
from msq.sql.bind import bind
from msq.sql.statement import parse_statement

FOLDER = Path(__file__).parents[2] / "approved" / "plans"
TABLES = {
    "events": RowSignature(
        [("__time", LONG), ("id", LONG), ("country", STRING), ("page", STRING), ("tags", STRING), ("price", DOUBLE)]
    ),
    "countries": RowSignature([("__time", LONG), ("country", STRING), ("region", STRING)]),
    "hourly": RowSignature([("__time", LONG), ("country", STRING), ("cnt", LONG), ("users", complex_of("HLLSketch"))]),
}
CATALOG = StaticCatalog({name: TableSchema(name, signature) for name, signature in TABLES.items()})
CONTEXT = "-- context:"


def planned(sql: str) -> str:
    context = {"sqlQueryId": "approved", "queryId": "approved"}
    first, _, rest = sql.partition("\n")
    if first.startswith(CONTEXT):
        context.update(json.loads(first[len(CONTEXT) :]))
        sql = rest
    settings = QueryContext(context)
    statement = parse_statement(sql, context, ())
    bound = bind(statement, CATALOG, settings, query_id="approved", now_ms=1_767_225_600_000)
    definition = plan(
        bound, query_id="query-approved", context=context, max_workers=settings.value("maxNumTasks") - 1,
        table_signature=TABLES.__getitem__, results_context={"sqlTypeNames": list(bound.sql_type_names)},
    )  # fmt: skip
    return plan_text(definition)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_plan_is_the_approved_one(path: Path) -> None:
    sql, _, approved = path.read_text(encoding="utf-8").partition("\n----\n")
    got = planned(sql)
    if os.environ.get("APPROVE"):
        path.write_text(f"{sql}\n----\n{got}\n", encoding="utf-8")
        return
    assert got == approved.strip(), f"{path.name}: run with APPROVE=1 and review the change"
