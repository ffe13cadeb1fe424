"""The registry: every entry is documented, unknown names are refused, nested calls stay of bounded size."""

from __future__ import annotations

import duckdb
import pytest

from msq.expr.binding import BindEnv, bind_call, column, literal
from msq.expr.lower import lower
from msq.expr.operators import bind_operator
from msq.expr.prepare import prepare
from msq.expr.registry import documentation, native_functions, sql_functions
from msq.expr.size import expanded_size
from msq.expr.sqltypes import BIGINT, VARCHAR
from msq.faults import DruidException
from tests.harness.expressions import INPUTS, connection


def test_every_entry_has_a_doc_line() -> None:
    rows = documentation()
    assert len(rows) == len(native_functions()) + len(sql_functions())
    assert [r for r in rows if not r[2].endswith((".", "`")) or len(r[2]) > 110] == []


def test_unknown_functions_are_refused_by_name() -> None:
    with pytest.raises(DruidException) as caught:
        bind_call("SPLIT_PART", [literal("a"), literal(1)], BindEnv(), (1, 8, 1, 20))
    assert caught.value.message == (
        "No match found for function signature SPLIT_PART(<CHARACTER>, <NUMERIC>) (line [1], column [8])"
    )


@pytest.mark.parametrize("depth", [2, 12, 40])
def test_nested_calls_stay_small(depth: int) -> None:
    """Macros copy their arguments; without a bound the SQL of nested calls would grow by powers."""
    env = BindEnv()
    value, total = column("s", VARCHAR), column("l", BIGINT)
    for _ in range(depth):
        value = bind_call("LPAD", [bind_call("SUBSTRING", [value, literal(1), literal(9)], env), literal(12)], env)
        total = bind_operator("+", total, column("l", BIGINT), env)
    text, number = lower(value.node, INPUTS), lower(total.node, INPUTS)
    assert expanded_size(text.sql) < 2_000 * depth + 20_000
    assert expanded_size(number.sql) < 500 * depth + 20_000
    expected = "hello"
    for _ in range(depth):
        expected = expected[:9].rjust(12)
    rows = connection().execute(f"SELECT {text.sql}, {number.sql} FROM fn WHERE id IN (1, 9) ORDER BY id").fetchall()
    assert rows[0][0] == expected
    assert rows[1][1] == 123 * (depth + 1)


def test_cursors_of_a_prepared_connection_are_prepared() -> None:
    made = prepare(duckdb.connect())
    cursor = prepare(made.cursor())
    assert cursor.execute("SELECT d_add(9223372036854775807, 1), py_left('abc', 2)").fetchone() == (-(2**63), "ab")
