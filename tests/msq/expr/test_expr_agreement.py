"""A condition selects the same rows as a native filter and as an expression, and its text reads back."""

from __future__ import annotations

import random
from typing import Any

import pytest

from msq.expr.binding import BindEnv, Typed, bind_call, column, literal, number_literal
from msq.expr.filtering import to_filter
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn, as_output, lower, lower_condition
from msq.expr.operators import (
    bind_and,
    bind_between,
    bind_distinct,
    bind_in,
    bind_is,
    bind_like,
    bind_not,
    bind_operator,
    bind_or,
)
from msq.expr.parser import parse
from msq.expr.printer import to_text
from msq.expr.sqltypes import BIGINT, TIMESTAMP, VARCHAR, SqlType
from tests.harness.expressions import COLUMNS, INPUTS, SIGNATURE, connection

ENV = BindEnv()
SINGLE = {name: column(name, of) for name, of in COLUMNS if name != "m"}
TEXTS = ("hello", "a", "b", "c", "", "123", "x", "1.9")
LONGS = (1, 2, 0, -1, 5, 100, 1000)
TIMES = (1703980800000, 1703980800001, 1710028800000, -86400000, 0)
DOUBLES = ("1.5", "2.5", "7.0", "1000.0", "123.456", "0.1")
"""No zero: -0.0 equals 0.0 in an expression and not in a filter."""
OPERATORS = ("=", "<>", "<", "<=", ">", ">=")


class Conditions:
    """Random conditions over the columns of `fn`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def any(self, depth: int) -> Typed:
        pick = self.random.random()
        if depth and pick < 0.45:
            terms = [self.any(depth - 1) for _ in range(self.random.choice([2, 3]))]
            return (bind_and if self.random.random() < 0.5 else bind_or)(terms, ENV)
        if depth and pick < 0.6:
            return bind_not(self.any(depth - 1), ENV)
        return self.random.choice([self.compared, self.compared, self.null, self.listed, self.between, self.other])()

    def side(self) -> Typed:
        return SINGLE[self.random.choice(["s", "g", "i", "l", "d", "id", "__time"])]

    def constant(self, of: SqlType) -> Typed:
        if of == VARCHAR:
            return literal(self.random.choice(TEXTS))
        if of == TIMESTAMP:
            return literal(self.random.choice(TIMES), TIMESTAMP)
        return literal(self.random.choice(LONGS)) if of == BIGINT else number_literal(self.random.choice(DOUBLES))

    def compared(self) -> Typed:
        left = self.side()
        sides = [left, self.constant(left.sql_type)]
        if self.random.random() < 0.2:
            sides.reverse()
        return bind_operator(self.random.choice(OPERATORS), sides[0], sides[1], ENV)

    def null(self) -> Typed:
        return bind_is(self.side(), self.random.choice(["NULL", "NOT NULL"]), ENV)

    def listed(self) -> Typed:
        value = self.side()
        items = [self.constant(value.sql_type) for _ in range(self.random.choice([1, 2, 3]))]
        return bind_in(value, items + ([literal(None)] if self.random.random() < 0.2 else []), ENV)

    def between(self) -> Typed:
        value = self.side()
        return bind_between(value, self.constant(value.sql_type), self.constant(value.sql_type), ENV)

    def other(self) -> Typed:
        pick = self.random.randrange(5)
        if pick == 0:
            return bind_like(
                SINGLE[self.random.choice("sg")], literal(self.random.choice(["%l%", "a%", "_", "%"])), None, ENV
            )
        if pick == 1:
            return bind_operator(
                self.random.choice(OPERATORS), bind_call("UPPER", [SINGLE["s"]], ENV), literal("HELLO"), ENV
            )
        if pick == 2:
            what = self.random.choice(["TRUE", "NOT TRUE", "FALSE", "NOT FALSE"])
            return bind_is(bind_operator(">", SINGLE["i"], literal(1), ENV), what, ENV)
        if pick == 3:
            floored = bind_call("TIME_FLOOR", [SINGLE["__time"], literal(self.random.choice(["P1D", "P1M"]))], ENV)
            return bind_operator(self.random.choice(OPERATORS), floored, self.constant(TIMESTAMP), ENV)
        other = self.random.choice([SINGLE["id"], literal(1), literal(None)])
        return bind_distinct(SINGLE["i"], other, ENV, negated=self.random.random() < 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_filters_and_expressions_select_the_same_rows(seed: int) -> None:
    made = Conditions(seed)
    for _ in range(150):
        condition = made.any(made.random.randrange(4)).node
        names: dict[Any, str] = {}
        planned = to_filter(condition, SIGNATURE, lambda n, of: names.setdefault((n, of), f"v{len(names)}"))  # noqa: B023
        inputs = dict(INPUTS)
        for (node, of), name in names.items():
            value = as_output(lower(node, inputs), of)
            inputs[name] = InputColumn(f"({value.sql})", value.type, value.multi_value)
        assert parse(to_text(condition)) == condition
        sql = "SELECT id FROM fn WHERE {} ORDER BY id"
        filtered = connection().execute(sql.format(lower_filter(planned, inputs))).fetchall()
        assert filtered == connection().execute(sql.format(lower_condition(condition, INPUTS))).fetchall(), to_text(
            condition
        )
