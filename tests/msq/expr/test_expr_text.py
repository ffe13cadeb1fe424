"""The native language's text: parsing, precedence, escapes, and printing as Druid prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.datatypes import DOUBLE, LONG, LONG_ARRAY, STRING, STRING_ARRAY
from msq.expr.nodes import Call, Identifier, Lambda, Literal, Node, identifiers, rename
from msq.expr.parser import parse
from msq.expr.printer import double_text, to_text
from msq.faults import DruidException

SEEN = (
    """timestamp_parse("timestamp",null,'UTC')""",
    """timestamp_floor(timestamp_parse("timestamp",null,'UTC'),'P1D',null,'UTC')""",
    """regexp_extract("channel",'#(..)\\u005C.',1)""",
    """substring("channel", 1, 2)""",
    """lpad(CAST(strlen("channel"), 'STRING'),4,'0')""",
    """div(("__time" - 1466985600000),3600000)""",
    """(CAST(case_searched(("w1" > 0),"w2",null), 'DOUBLE') / "w1")""",
    """(cast(cast("d" * 1,'long'),'double') / 1)""",
    """json_value("v1",'$.d[0]', 'STRING')""",
    """array('a',null)""",
    """(scalar_in_array("i",array(1,2)) || null)""",
    """log((-1.0 * "d"))""",
    """timestamp_format("__time",'yyyy-MM-dd\\u0027T\\u0027HH:mm:ss.SSSZZ','UTC')""",
    """notdistinctfrom("dept","j0.dept")""",
    """filter((x) -> array_contains(array('a'),"x"),"m")""",
)


@pytest.mark.parametrize("text", SEEN)
def test_texts_of_plans_print_as_they_were_read(text: str) -> None:
    assert to_text(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("2 ^ 3 ^ 2", "(2 ^ (3 ^ 2))"),
        ("a || b && c == d + 1", '("a" || ("b" && ("c" == ("d" + 1))))'),
        ("-x ^ 2", '((- "x") ^ 2)'),
        ("!a && !(b < 1)", '((! "a") && (! ("b" < 1)))'),
        ("a.b.c > -1.5", '("a.b.c" > -1.5)'),
        ("(1)", "1"),
        ("1e3 + .5 + 5.", "((1000.0 + 0.5) + 5.0)"),
        ("if(array_length(o) == 0, null, 'x')", """if((array_length("o") == 0),null,'x')"""),
        ("fold((x, acc) -> x + acc, [1, 2], 0)", 'fold((x, acc) -> ("x" + "acc"),ARRAY<LONG>[1, 2],0)'),
    ],
)
def test_precedence(text: str, same: str) -> None:
    assert to_text(parse(text)) == same


def test_array_literals_have_types() -> None:
    assert parse("ARRAY<LONG>[]") == Literal((), LONG_ARRAY)
    assert parse("['a', null]") == Literal(("a", None), STRING_ARRAY)
    assert parse("ARRAY<DOUBLE>[1, null]") == Literal((1.0, None), parse("ARRAY<DOUBLE>[]").type)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "1 +", "(1", "f(", "'open", "a b", "x ->", "9223372036854775809", "[1,", "#"])
def test_malformed_texts_are_refused(text: str) -> None:
    with pytest.raises(DruidException, match="malformed"):
        parse(text)


def test_lambda_parameters_are_no_columns() -> None:
    node = parse("map((x) -> x + y, z)")
    assert identifiers(node) == ("y", "z")
    assert rename(node, {"x": "q", "y": "b"}) == parse("map((x) -> x + b, z)")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e20, "1.0E20"),
        (1e7, "1.0E7"),
        (123456789.0, "1.23456789E8"),
        (1.5e-4, "1.5E-4"),
        (0.001, "0.001"),
        (1e-5, "1.0E-5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (2.0**60, "1.15292150460684698E18"),
        (-1.234e300, "-1.234E300"),
    ],
)
def test_doubles_print_as_in_java(value: float, text: str) -> None:
    assert double_text(value) == text


leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(Identifier, st.text(min_size=1, max_size=6).filter(lambda t: max(t) < "\ud800" or max(t) > "\udfff")),
    st.builds(lambda v: Literal(v, LONG), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: Literal(v, DOUBLE), st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(lambda v: Literal(v, STRING), st.text(max_size=8)),
    st.just(Literal(None, None)),
)
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda f, a: Call(f, tuple(a)),
            st.sampled_from(["nvl", "concat", "CAST", "f_1"]),
            st.lists(inner, max_size=3),
        ),
        st.builds(
            lambda o, a, b: Call(o, (a, b)), st.sampled_from(["+", "-", "&&", "||", "==", "<=", "^"]), inner, inner
        ),
        st.builds(lambda a, b: Call("filter", (Lambda(("x",), a), b)), inner, inner),
    ),
    max_leaves=8,
)


@given(nodes)
def test_every_node_is_read_back(node: Node) -> None:
    assert parse(to_text(node)) == node


def test_long_chains_are_one_call() -> None:
    text = " || ".join(f"x == {i}" for i in range(5000))
    node = parse(text)
    assert isinstance(node, Call) and len(node.args) == 5000
    assert parse(to_text(node)) == node
    assert to_text(parse("(a && b) && c && d")) == '(("a" && "b") && "c" && "d")'
