"""Large expressions: what is held instead of copied is held by one lambda, whatever the number of arguments."""

from __future__ import annotations

import duckdb

from msq.datatypes import DOUBLE
from msq.expr.lower import InputColumn, lower
from msq.expr.parser import parse
from msq.expr.prepare import prepare

X = {"x": InputColumn('"x"', DOUBLE)}
WHOLE = """CAST(("x" + 1), 'LONG')"""


def values(text: str) -> tuple[str, list[object]]:
    """The SQL of an expression and its values over three rows."""
    sql = lower(parse(text), X).sql
    connection = prepare(duckdb.connect())
    rows = connection.execute(f'SELECT {sql} FROM (VALUES (0.5), (41.0), (NULL)) AS t("x")').fetchall()
    return sql, [row[0] for row in rows]


def test_conditions_side_by_side_are_not_held() -> None:
    sql, made = values(" && ".join(f"({WHOLE} > {-n})" for n in range(60)))
    assert "lambda" not in sql
    assert made == [True, True, None]


def test_many_held_arguments_stand_in_one_lambda() -> None:
    nested = WHOLE
    for n in range(4):
        nested = f"nvl(CAST(CAST({nested}, 'DOUBLE') + {n}, 'LONG'), 0)"
    sql, made = values("greatest(" + ", ".join(f"nvl({nested}, {n}) + {n}" for n in range(24)) + ")")
    assert sql.startswith("(list_transform([struct_pack(v0 := ") and sql.count("struct_pack") == 1
    assert made == [30, 71, 29]
