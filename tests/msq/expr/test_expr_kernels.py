"""Kernels against Java's answers, and Java wrap-around in SQL against Python's integers."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.binding import evaluate
from msq.expr.jsonpath import parse_path, path_text
from msq.expr.kernels.formats import format_text
from msq.expr.kernels.jsons import dump, leaves, load, merge
from msq.expr.kernels.numbers import round_doubles as run_round
from msq.expr.kernels.regex import compile_java, extract, matches, split, substitute
from msq.expr.kernels.text import index_of, parse_long, round_double, to_long
from msq.expr.nodes import Call, Literal
from msq.expr.printer import double_text
from msq.faults import DruidException

longs = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100))


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


@given(longs, longs)
def test_long_arithmetic_wraps_as_in_java(a: int, b: int) -> None:
    def run(operator: str) -> object:
        return evaluate(Call(operator, (Literal(a, LONG), Literal(b, LONG))))

    assert run("+") == wrapped(a + b)
    assert run("-") == wrapped(a - b)
    assert run("*") == wrapped(a * b)
    if b:
        quotient = wrapped(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))
        assert run("/") == quotient
        assert run("%") == a - abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) * b
    assert evaluate(Call("bitwiseShiftLeft", (Literal(a, LONG), Literal(b, LONG)))) == wrapped(a << (b % 64))
    assert evaluate(Call("bitwiseShiftRight", (Literal(a, LONG), Literal(b, LONG)))) == a >> (b % 64)


def test_division_by_zero_fails() -> None:
    with pytest.raises(DruidException, match=r"^/ by zero$"):
        evaluate(Call("/", (Literal(1, LONG), Literal(0, LONG))))


@given(st.floats())
def test_doubles_become_texts_and_back(value: float) -> None:
    text = evaluate(Call("CAST", (Literal(value, DOUBLE), Literal("STRING", STRING))))
    assert text == double_text(value)
    back = evaluate(Call("CAST", (Literal(text, STRING), Literal("DOUBLE", STRING))))
    assert back == value or (back != back and value != value)


@given(st.text(alphabet="aé😀ß", max_size=6), st.integers(0, 8), st.integers(-1, 8))
def test_positions_count_utf16_units(text: str, start: int, length: int) -> None:
    raw = text.encode("utf-16-le")
    wanted = None
    if start * 2 < len(raw) or (start == 0 and length == 0):
        part = raw[start * 2 :] if length < 0 else raw[start * 2 : (start + length) * 2]
        wanted = part.decode("utf-16-le", "replace")
    node = Call("substring", (Literal(text, STRING), Literal(start, LONG), Literal(length, LONG)))
    assert evaluate(node) == wanted
    assert evaluate(Call("strlen", (Literal(text, STRING),))) == len(raw) // 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.9", 1),
        ("-1.9", -1),
        ("1e3", 1000),
        ("9223372036854775808", 2**63 - 1),
        (" 1", None),
        ("1_0", None),
        ("tRuE", 1),
        ("0x1p3", 8),
        ("", None),
        ("NaN", 0),
        ("-Infinity", -(2**63)),
        ("1.5f", 1),
    ],
)
def test_texts_as_longs(text: str, value: int | None) -> None:
    assert to_long(text) == value
    assert evaluate(Call("CAST", (Literal(text, STRING), Literal("LONG", STRING)))) == value


def test_rounding() -> None:
    assert [round_double(v, d) for v, d in ((1.005, 2), (2.675, 2), (-0.04, 1), (1234.567, -2), (float("nan"), 1))] == [
        1.01,
        2.68,
        0.0,
        1200.0,
        0.0,
    ]


@given(st.one_of(st.floats(-1e12, 1e12), st.floats()), st.integers(-17, 17))
def test_rounding_of_doubles_is_exact(value: float, digits: int) -> None:
    """By SQL where the digits are a constant, and by the kernel for those of a column."""
    wanted = round_double(value, digits)
    assert evaluate(Call("round", (Literal(value, DOUBLE), Literal(digits, LONG)))) == wanted
    assert run_round(pa.array([value, None]), pa.array([digits, 1])).to_pylist() == [wanted, None]


@given(st.integers(-(10**14), 10**14), st.integers(0, 8))
def test_ties_go_away_from_zero(units: int, digits: int) -> None:
    value = (units * 10 + 5) / 10 ** (digits + 1)
    assert evaluate(Call("round", (Literal(value, DOUBLE), Literal(digits, LONG)))) == round_double(value, digits)


@given(longs, st.integers(-22, 2))
def test_rounding_of_longs_wraps(value: int, digits: int) -> None:
    unit = 10 ** max(-digits, 0)
    wanted = wrapped((abs(value) + unit // 2) // unit * unit * (1 if value >= 0 else -1))
    assert evaluate(Call("round", (Literal(value, LONG), Literal(digits, LONG)))) == wanted


@given(longs, st.integers(-70, 130))
def test_shifts_wrap_as_in_java(value: int, count: int) -> None:
    made = evaluate(Call("bitwiseShiftLeft", (Literal(value, LONG), Literal(count, LONG))))
    assert made == wrapped(value << (count & 63))


@pytest.mark.parametrize(
    ("pattern", "kinds", "values", "wanted"),
    [
        ("%05d", "L", ("42",), "00042"),
        ("%,d", "L", ("-1234567",), "-1,234,567"),
        ("%x", "L", ("-1",), "f" * 16),
        ("%.2f", "D", ("3.14159",), "3.14"),
        ("%e", "D", ("12345.678",), "1.234568e+04"),
        ("%c", "L", ("65",), "%c; 65"),
        ("%s %s", "S", ("one",), "%s %s; one"),
        ("%2$s %1$s", "SS", ("a", "b"), "b a"),
        ("%d", "D", ("1.5",), "%d; 1.5"),
        ("%-5s|%5S", "SS", ("ab", "cd"), "ab   |   CD"),
        ("%s %<s %%%n", "S", (None,), "null null %\n"),
        ("%b", "N", (None,), "false"),
        ("%(d %+d % d", "LLL", ("-5", "5", "5"), "(5) +5  5"),
        ("%g", "D", ("0.0001",), "0.000100000"),
        ("%q", "S", ("a",), "%q; a"),
    ],
)
def test_string_format(pattern: str, kinds: str, values: tuple[str | None, ...], wanted: str) -> None:
    assert format_text(pattern, kinds, values) == wanted


def test_java_patterns() -> None:
    assert extract("abab", r"(ab)\1", 0) == "abab"
    assert extract("foo", "(x)?foo", 1) is None
    assert substitute("ab", "(a)(?<n>b)", r"${n}$1\$") == "ba$"
    assert substitute("abc", "", "-") == "-a-b-c-"
    assert split("a,b,,", ",") == ["a", "b"]
    assert split("", ",") == [""]
    assert split("abc", "") == ["a", "b", "c"]
    assert matches("Xy1", r"\p{Alpha}+\d") and not matches("é", r"\w")
    assert compile_java(r"\Q.*\E").search("a.*b") is not None
    with pytest.raises(ValueError, match=r"An invalid pattern \[\(\] was provided"):
        compile_java("(")
    with pytest.raises(ValueError, match=r"Function\[regexp_extract\] has no group \[5\]"):
        extract("a", "a", 5)


def test_parse_long_and_index_of() -> None:
    assert [
        parse_long(t, r) for t, r in (("+12", 10), ("0xff", 16), ("zz", 36), ("12", 1), ("9" * 19, 10), ("1 ", 10))
    ] == [
        12,
        255,
        1295,
        None,
        None,
        None,
    ]
    assert [index_of("a😀ba", "a", s) for s in (0, 1, 5)] == [0, 4, -1]


def test_json() -> None:
    assert dump(load('{"a" : 1e20, "a": [1.0, null, "é\\n", true]}')) == '{"a":[1.0,null,"é\\n",true]}'
    assert leaves('{"a b":{"c.d":1},"e":[[1],[2]],"f":[1,2]}') == ["$.f", "$.a b['c.d']", "$.e[0]", "$.e[1]"]
    assert merge(('{"a":{"x":1}}', '{"a":{"y":2}}')) == '{"a":{"y":2}}'
    assert merge(("[1]", "[2]")) == "[1,2]"
    assert merge(('{"a":1}', None)) is None
    with pytest.raises(ValueError, match="expected object but got array"):
        merge(("{}", "[1]"))


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("$.", ()),
        ("$.a['b.c'][1]", ("a", "b.c", 1)),
        ("$[-1].x", (-1, "x")),
        ("$.a b", ("a b",)),
        ("$.*", ("*",)),
    ],
)
def test_paths(path: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(path) == steps
    assert parse_path(path_text(steps)) == steps


@pytest.mark.parametrize("path", ["a", ".a", "$..a", '$["a"]', "$[x]", "$.a["])
def test_bad_paths(path: str) -> None:
    with pytest.raises(DruidException):
        parse_path(path)


def test_lookups() -> None:
    table: dict[str, str | None] = {"a": "one", "b": None}

    def run(*args: Literal) -> object:
        return evaluate(Call("lookup", (args[0], Literal("t", STRING), *args[1:])), {"t": table})

    other = Literal("other", STRING)
    assert [run(Literal(k, STRING)) for k in ("a", "b", "c")] == ["one", None, None]
    assert [run(Literal(k, STRING), other) for k in ("a", "b", "c")] == ["one", "other", "other"]
    assert run(Literal(None, STRING), other) == "other"
    with pytest.raises(DruidException, match=r"^Lookup \[u\] not found$"):
        evaluate(Call("lookup", (Literal("a", STRING), Literal("u", STRING))), {"t": table})


@pytest.mark.parametrize(("text", "found"), [("ab", True), ("ab\n", True), ("ab\nc", False), ("abc", False)])
def test_the_end_of_a_pattern_allows_a_last_newline(text: str, found: bool) -> None:
    assert evaluate(Call("regexp_like", (Literal(text, STRING), Literal("^ab$", STRING)))) == int(found)
