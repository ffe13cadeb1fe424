"""Where DuckDB computes what a kernel defines: both give the same, over texts and patterns that try to differ."""

from __future__ import annotations

import itertools
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pytest

from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.kernels import jsons, network, regex
from msq.expr.kernels.text import decode_base64
from msq.expr.lower import InputColumn, lower, quote
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.prepare import prepare

TEXTS = (
    "", "a", "aa", "ab", "abab", "a1b22c", "1a", "22", "a,b,,", ",,", ",a", "a b\tc\n", "é1😀2", "x\\y$1", "A.b",
    "ab\n",
    "[x]", "a-b_c", "aXbXX",
)  # fmt: skip
PATTERNS = ("[0-9]+", "a", "a|b", "(a)(b)", "[a-c]", "\\d", "\\s+", "X+", ",", "[,.]", "a{2}", "\\\\", "(a|ab)(b|c)?",
            "a*", "x$", "^a", ".", "b?a", "(?=a)b", "\\w+")  # fmt: skip
CONNECTION = prepare(duckdb.connect())


def lowered(node: Node) -> str:
    return lower(node, {"x": InputColumn("x", STRING), "t": InputColumn("t", LONG), "n": InputColumn("n", LONG)}).sql


def over(node: Node, texts: Any) -> list[Any]:
    """The value of the expression for each text, in order."""
    rows = CONNECTION.execute(f"SELECT {lowered(node)} FROM unnest(?) AS u(x)", [list(texts)]).fetchall()
    return [row[0] for row in rows]


def text(value: str) -> Literal:
    return Literal(value, STRING)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str) -> None:
    x = Identifier("x")
    for by in ("", "#", "<$0>", "\\$1", "a\\\\b"):
        made = over(Call("regexp_replace", (x, text(pattern), text(by))), TEXTS)
        assert made == [regex.substitute(t, pattern, by) for t in TEXTS], by
    assert over(Call("string_to_array", (x, text(pattern))), TEXTS) == [regex.split(t, pattern) for t in TEXTS]
    whole = over(Call("regexp_matches_all", (x, text(pattern))), TEXTS)
    assert [bool(v) for v in whole] == [regex.matches(t, pattern) for t in TEXTS]


def test_common_patterns_are_duckdbs_own() -> None:
    for node in (
        Call("regexp_replace", (Identifier("x"), text("([a-z]+)[0-9]+"), text("$1#"))),
        Call("string_to_array", (Identifier("x"), text("[0-9]+"))),
        Call("regexp_matches_all", (Identifier("x"), text("a[0-9]"))),
    ):
        assert "py_" not in lowered(node)


def test_addresses() -> None:
    parts = ("0", "7", "10", "99", "100", "199", "249", "255", "256", "01", "", "a", " 1")
    texts = [".".join(p) for p in itertools.product(parts[:9], ("1",), parts, ("0", "255"))]
    texts += ["1.2.3", "1.2.3.4.5", "1.2.3.4 ", "::1", "é"]
    assert over(Call("ipv4_parse", (Identifier("x"),)), texts) == [network.parse_v4(t) for t in texts]


def test_base64() -> None:
    texts = ["", "YQ==", "YQ", "YWI=", "YWJj", "w6nwn5iA", "gICA", "YWJjZA==", "////", "AAAA"]
    assert over(Call("decode_base64_utf8", (Identifier("x"),)), texts) == [decode_base64(t) for t in texts]


def test_json_texts() -> None:
    texts = ["1", "1.50", "1e3", "-0", "-0.0", '{"a":1}', '{"a": 1}', '"e.5"', '"a b"', '"\\u00e9"', "[1,2.0]", "true",
             '{"a":"1.5"}', "12345678.9", '"-0"', "[]"]  # fmt: skip
    made = CONNECTION.execute("SELECT d_json_of(x) FROM unnest(?) AS u(x)", [texts]).fetchall()
    assert [row[0] for row in made] == [jsons.normal(t) for t in texts]


@pytest.mark.parametrize("period", ["P1M", "P1Y", "P3M", "P1M2DT3H", "P1D", "PT1S", "P1W", "P100Y"])
@pytest.mark.parametrize("tz", ["UTC", "+05:30"])
def test_shifted_times(period: str, tz: str) -> None:
    times = [0, 1_706_659_200_000, 1_709_164_799_999, -62_135_596_800_000, 253_402_300_799_999, -1, 951_782_400_000]
    steps = [0, 1, -1, 13, -25, None, 100, 20_000]
    node = Call("timestamp_shift", (Identifier("t"), text(period), Identifier("n"), text(tz)))
    quick = lowered(node)
    rows = CONNECTION.execute(
        f"SELECT {quick}, py_time_shift(t, '{period}', n, '{tz}') FROM unnest(?) AS u(t), unnest(?) AS v(n)",
        [times, steps],
    ).fetchall()
    assert len(rows) == len(times) * len(steps)
    assert [r[0] for r in rows] == [r[1] for r in rows]


def human_readable(value: int, precision: int, base: int, unit: str) -> str:
    """What Druid writes: an exact quotient, half away from zero; beyond 1000 its far digits are cut off before."""
    size = abs(value)
    if size < base:
        return f"{value} {unit}".strip()
    power = 0
    if base == 1024:
        power = (size.bit_length() - 1) // 10
        number, suffix = Decimal(value) / 1024**power, f"{'KMGTPE'[power - 1]}i{unit}"
    else:
        while size >= 1_000_000:
            size, power = size // 1000, power + 1
        number, suffix = Decimal(size if value > 0 else -size) / 1000, "KMGTPE"[power] + unit
    return f"{number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)} {suffix}"


@pytest.mark.parametrize(
    ("function", "base", "unit"),
    [
        ("human_readable_binary_byte_format", 1024, "B"),
        ("human_readable_decimal_byte_format", 1000, "B"),
        ("human_readable_decimal_format", 1000, ""),
    ],
)
@pytest.mark.parametrize("precision", [0, 1, 2, 3])
def test_sizes_for_people(function: str, base: int, unit: str, precision: int) -> None:
    near = [b**n + d for b in (1000, 1024) for n in range(1, 7) for d in (-1, 0, 1, 499, 512, 5000)]
    values = [0, 1, 999, 1023, 1125, 1500, 1050, 2**63 - 1, -(2**63), 10**18, 10**15, 1_152_921_504_606_846_976, *near]
    values += [-v for v in values if v != -(2**63)] + [v * 9 // 8 for v in near]
    # once over a column, and once over an expression that is computed once
    for source in (Identifier("n"), Call("cast", (Identifier("x"), text("LONG")))):
        sql = lowered(Call(function, (source, Literal(precision, LONG))))
        rows = CONNECTION.execute(
            f"SELECT {sql} FROM (SELECT unnest(?) AS n, CAST(n AS VARCHAR) AS x)", [[*values, None]]
        )
        assert [r[0] for r in rows.fetchall()] == [*(human_readable(v, precision, base, unit) for v in values), None]


def test_numbers_are_rounded_and_shifted_by_duckdb() -> None:
    """What decides is SQL; a kernel sees only what may be a tie."""
    calls = [
        Call("human_readable_decimal_format", (Identifier("n"),)),
        Call("bitwiseShiftLeft", (Identifier("n"), Identifier("t"))),
        Call("round", (Identifier("n"), Literal(-2, LONG))),
    ]
    assert not any("py_" in lowered(c) for c in calls)
    assert lowered(Call("round", (Literal(2.5, DOUBLE), Literal(1, LONG)))).startswith("d_round_at(")


@pytest.mark.parametrize("pattern", ["%s-%05d", "%d%%", "%03d|%s|%d", "x", "%s", "%5d", "%-5s", "%d %d", "%s %s %s %s"])
def test_plain_formats(pattern: str) -> None:
    texts, numbers = ["a", "é", None], [0, 7, -7, 123456, -123456, None]
    node = Call("format", (text(pattern), Identifier("x"), Identifier("n")))
    swapped = Call("format", (text(pattern), Identifier("n"), Identifier("x")))
    for call, order in ((node, "[x, CAST(n AS VARCHAR)]"), (swapped, "[CAST(n AS VARCHAR), x]")):
        kinds = "SL" if call is node else "LS"
        rows = CONNECTION.execute(
            f"SELECT {lowered(call)}, py_format('{pattern}', '{kinds}', {order}) "
            "FROM unnest(?) AS u(x), unnest(?) AS v(n)",
            [texts, numbers],
        ).fetchall()
        assert [r[0] for r in rows] == [r[1] for r in rows]


def test_merged_json() -> None:
    pairs = [('{"a":1}', '{"a":2,"b":"é\\n"}'), ("[1]", "[2.5,null]"), ('{"a":1.0}', '{"b":1e20}'), ('{"a":1}', None),
             ('{"n":12345678901234567890123}', "{}"), ('{"a":12345678.25}', '{"c":true}')]  # fmt: skip
    for one, two in pairs:
        both = None if two is None else jsons.dump({**jsons.load(one), **jsons.load(two)} if one[0] == "{" else
                                                   jsons.load(one) + jsons.load(two))  # fmt: skip
        assert jsons.merge((one, two)) == both


@pytest.mark.parametrize("separator", ["", ",", "'; "])
def test_joined_lists(separator: str) -> None:
    lists = [["a", "b"], ["a", None, ""], [None], [], None, ["", ""], [None, None], ["x"]]
    rows = CONNECTION.execute(
        f"SELECT d_joined(x, {quote(separator)}), d_join(x, {quote(separator)}) FROM unnest(?) AS u(x)",
        [lists],
    ).fetchall()
    assert [r[0] for r in rows] == [r[1] for r in rows]
