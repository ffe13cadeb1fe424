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


def test_held_arguments_of_one_function_stand_in_one_lambda() -> None:
    large = " + ".join(f"nvl({WHOLE}, {n})" for n in range(8))
    sql, made = values(f"notdistinctfrom(({large}), ({large} + 1))")
    assert "(list_transform([struct_pack(v0 := " in sql
    assert made == [False, False, False]
    assert values(f"notdistinctfrom(({large}), ({large}))")[1] == [True, True, True]
