"""Conditions become the filters Druid plans, and filters select the rows Druid selects."""

from __future__ import annotations

from typing import Any

import pytest

from msq.codec import encode
from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.filtering import to_filter
from msq.expr.filters import lower_filter
from msq.expr.parser import parse
from msq.native.filters import (
    AndFilter,
    BoundFilter,
    ColumnComparisonFilter,
    DimFilter,
    EqualsFilter,
    ExpressionFilter,
    FalseFilter,
    InFilter,
    IntervalFilter,
    InTypeFilter,
    IsFalseFilter,
    IsTrueFilter,
    LikeFilter,
    NotFilter,
    NullFilter,
    OrFilter,
    RangeFilter,
    RegexFilter,
    SelectorFilter,
    TrueFilter,
)
from tests.harness.expressions import INPUTS, SIGNATURE, connection


def planned(text: str) -> tuple[Any, list[str]]:
    names: list[str] = []

    def virtual(node: Any, of: Any) -> str:
        names.append(f"{of}")
        return f"v{len(names) - 1}"

    return encode(to_filter(parse(text), SIGNATURE, virtual)), names


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(\"s\" == 'x')", {"type": "equals", "column": "s", "matchValueType": "STRING", "matchValue": "x"}),
        ('(100 < "i")', {"type": "range", "column": "i", "matchValueType": "LONG", "lower": 100, "lowerOpen": True}),
        (
            '(("i" >= 1) && ("i" < 5))',
            {"type": "range", "column": "i", "matchValueType": "LONG", "lower": 1, "upper": 5, "upperOpen": True},
        ),
        (
            "(\"s\" != 'x')",
            {"type": "not", "field": {"type": "equals", "column": "s", "matchValueType": "STRING", "matchValue": "x"}},
        ),
        ('notnull("l")', {"type": "not", "field": {"type": "null", "column": "l"}}),
        (
            "like(\"s\",'#e%')",
            {"type": "like", "dimension": "s", "pattern": "#e%", "escape": None, "extractionFn": None},
        ),
        (
            "scalar_in_array(\"s\",array('k2','k1'))",
            {"type": "inType", "column": "s", "matchValueType": "STRING", "sortedValues": ["k1", "k2"]},
        ),
        (
            "((\"s\" == 'b') || (\"s\" == 'a'))",
            {"type": "inType", "column": "s", "matchValueType": "STRING", "sortedValues": ["a", "b"]},
        ),
        ("mv_contains(\"m\",'x')", {"type": "equals", "column": "m", "matchValueType": "STRING", "matchValue": "x"}),
        (
            "array_contains(\"sa\",'x')",
            {
                "type": "arrayContainsElement",
                "column": "sa",
                "elementMatchValueType": "STRING",
                "elementMatchValue": "x",
            },
        ),
        (
            "(\"sa\" == array('x','y'))",
            {"type": "equals", "column": "sa", "matchValueType": "ARRAY<STRING>", "matchValue": ["x", "y"]},
        ),
        ('("i" < "id")', {"type": "expression", "expression": '("i" < "id")'}),
        (
            "(timestamp_floor(\"__time\",'P1D',null,'UTC') == 1703980800000)",
            {
                "type": "range",
                "column": "__time",
                "matchValueType": "LONG",
                "lower": 1703980800000,
                "upper": 1704067200000,
                "upperOpen": True,
            },
        ),
        (
            "(timestamp_floor(\"__time\",'P1D',null,'UTC') > 1703980800001)",
            {"type": "range", "column": "__time", "matchValueType": "LONG", "lower": 1704067200000},
        ),
        ("(CAST(\"s\", 'LONG') == 2)", {"type": "equals", "column": "s", "matchValueType": "LONG", "matchValue": 2}),
        ("null", {"type": "expression", "expression": "null"}),
    ],
)
def test_conditions_become_filters(text: str, wanted: Any) -> None:
    made, names = planned(text)
    assert made == wanted
    assert names == []


def test_expressions_are_compared_through_virtual_columns() -> None:
    made, names = planned("(upper(\"s\") == 'X')")
    assert (made["column"], names) == ("v0", ["STRING"])
    without = to_filter(parse("(upper(\"s\") == 'X')"), SIGNATURE, None)
    assert without == ExpressionFilter("(upper(\"s\") == 'X')")


def ids(condition: DimFilter) -> list[int]:
    rows = connection().execute(f"SELECT id FROM fn WHERE {lower_filter(condition, INPUTS)} ORDER BY id").fetchall()
    return [r[0] for r in rows]


X = EqualsFilter("m", STRING, "x")


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (X, [1, 2, 14, 18, 20, 21]),
        (NotFilter(X), [7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 22, 23]),
        (NullFilter("m"), [3, 4, 5, 6, 19, 20, 24]),
        (AndFilter((X, NullFilter("m"))), [20]),
        (OrFilter((FalseFilter(), EqualsFilter("id", LONG, 3))), [3]),
        (IsTrueFilter(EqualsFilter("g", STRING, "c")), [7, 11, 12, 17, 20, 24]),
        (NotFilter(IsFalseFilter(EqualsFilter("g", STRING, "c"))), [6, 7, 11, 12, 14, 17, 20, 22, 24]),
        (EqualsFilter("d", LONG, 0), [1]),
        (RangeFilter("d", LONG, upper=0, upper_open=True), [2, 6, 10, 16, 21, 24]),
        (EqualsFilter("f", DOUBLE, 1.9), [11]),
        (RangeFilter("i", DOUBLE, lower=9.5, upper=11.5), [14, 15]),
        (EqualsFilter("i", DOUBLE, 1.5), []),
        (InTypeFilter("i", LONG, (7, 8)), [11, 12]),
        (InFilter("g", (None, "c")), [6, 7, 11, 12, 14, 17, 20, 22, 24]),
        (SelectorFilter("g"), [6, 14, 22]),
        (SelectorFilter("l", "123"), [9]),
        (BoundFilter("s", lower="x", ordering="lexicographic"), [6, 17, 21]),
        (BoundFilter("s", lower="100", upper="1000", ordering="numeric"), [9, 12]),
        (LikeFilter("s", "x!%y%", "!"), [17]),
        (RegexFilter("m", "^[hH]el"), [11]),
        (IntervalFilter("__time", ("2024-03-10T00:00:00.000Z/2024-03-10T06:00:00.000Z",)), [17, 18]),
        (ExpressionFilter('("m" == "s")'), [8, 15, 17, 18, 22, 23, 24]),
        (ColumnComparisonFilter(("i", "id")), [1, 2]),
        (EqualsFilter("nowhere", STRING, "x"), []),
        (NullFilter("nowhere"), list(range(1, 25))),
        (TrueFilter(), list(range(1, 25))),
    ],
)
def test_filters_select(condition: DimFilter, wanted: list[int]) -> None:
    assert ids(condition) == wanted
