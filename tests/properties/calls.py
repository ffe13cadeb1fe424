"""Random calls of every scalar function: any number of arguments of any kind, right ones and wrong ones.

What may become of a call: it is refused when bound, it runs, or rows make it fail by a text that names the function.
Anything else, a Python exception above all, is a defect.
"""

from __future__ import annotations

import re
from random import Random

import duckdb

from msq.expr.binding import BindEnv, Typed, bind_call, column, literal, runtime_message
from msq.expr.lower import LowerEnv, as_output, lower
from msq.expr.operators import bind_array, bind_cast
from msq.expr.registry import sql_functions
from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, TIMESTAMP, VARCHAR
from msq.expr.virtual import filtered_values, lower_virtual
from msq.faults import DruidException
from tests.harness.expressions import COLUMNS, INPUTS, connection, shown

LOOKUPS = {"names": {"a": "b", "hello": None}}
ENV = BindEnv(lookups=LOOKUPS)
TEXTS = (
    "", "a", "é😀", "PT1H", "P1M", "P1Y2M", "PX", "P0D", "-PT1H", "DAY", "hour", "FORTNIGHT", "UTC", "America/New_York",
    "Mars/Olympus", "+05:30", "$.a", "$.a[0]", "a..b", "$[", "$", "$.x[-1]", "[", "(", "(a)(b)", "a{2", "\\", "%d",
    "%q",
    "%", "yyyy-MM-dd", "QQQ", "'", "2024-01-01", "2024-01-01/P1D", "2024/2023", "10.0.0.0/8", "10.0.0.0/99", "::/0",
    "x/y", "BAAA", "YQ==", "!!", "names", "nolookup", "hyperUnique", "HLL_4", "[1", "{}", "[1,2]", "null", "0x1F",
    "1e3",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 12, 37, 64, -64, 2**31, -(2**31), 2**63 - 1, -(2**63), 1e308, -0.0, 0.5, -2.5, 10**9)
NAMED = re.compile(r"Function\[\w+\]|for the \w+ function|^/ by zero$|^Illegal pattern component: |No enum constant ")
"""Texts of run-time failures: they name the function, or are Druid's own words."""

_COLUMNS = [column(n, of, multi_value=n == "m") for n, of in COLUMNS]
_NULLS = [bind_cast(literal(None), of, ENV) for of in (VARCHAR, BIGINT, SQL_DOUBLE, TIMESTAMP)]
_TIME = bind_cast(literal("2024-01-31 00:00:00"), TIMESTAMP, ENV)


def argument(dice: Random) -> Typed:
    """A column, a constant, a typed NULL or an array."""
    form = dice.random()
    if form < 0.45:
        return dice.choice(_COLUMNS)
    if form < 0.82:
        return literal(dice.choice((*TEXTS, *NUMBERS, None, None, True)))
    if form < 0.9:
        return dice.choice((*_NULLS, _TIME))
    values = dice.choice([TEXTS, NUMBERS[:10], (None,)])
    return bind_array([literal(dice.choice(values)) for _ in range(dice.randint(1, 3))], ENV)


def arguments(dice: Random, name: str) -> list[Typed]:
    """As many as the function takes, now and then one more or less."""
    function = sql_functions()[name]
    most = function.minimum + 3 if function.maximum is None else function.maximum
    count = dice.randint(function.minimum, min(most, function.minimum + 4))
    count = max(0, count + dice.choice((-1, 1))) if dice.random() < 0.05 else count
    return [argument(dice) for _ in range(count)]


def outcome(name: str, args: list[Typed]) -> str:
    """`refused`, `ran` or `failed`. Raises AssertionError for a text that tells too little, and whatever went wrong."""
    try:
        bound = bind_call(name, args, ENV, (1, 1, 1, 1))
    except DruidException as refusal:
        assert refusal.message and "Error:" not in refusal.message and "Traceback" not in refusal.message, refusal
        return "refused"
    planned = filtered_values(bound.node, "v")
    env = LowerEnv(LOOKUPS)
    made = lower_virtual(planned, INPUTS, env) if planned is not None else lower(bound.node, INPUTS, env)
    try:
        rows = connection().execute(f"SELECT {as_output(made, bound.native_type).sql} FROM fn").fetchall()
    except duckdb.Error as error:
        told = runtime_message(error)
        assert NAMED.search(told), told
        return "failed"
    for (value,) in rows:
        shown(value, bound.sql_type, "UTC")
    return "ran"
