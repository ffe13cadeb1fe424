"""Tokens, their places, and refusals that point at them."""

from __future__ import annotations

import pytest

from msq.faults import DruidException
from msq.sql.lexer import END, HINT, NUMBER, QUOTED, RESERVED, STRING, SYMBOL, UNICODE, WORD, Source, tokenize
from msq.sql.nodes import position_of
from msq.sql.query import parse_query


def kinds(text: str) -> list[tuple[int, str]]:
    return [(t.kind, t.text) for t in tokenize(Source(text))][:-1]


def refusal(text: str) -> DruidException:
    with pytest.raises(DruidException) as caught:
        parse_query(text)
    return caught.value


def test_kinds() -> None:
    text = """a "b""c" 'd''e' 1 1.5 .5 1e5 2.E-3 => <> != <= || U&'f' _g h$1 été"""
    assert kinds(text) == [
        (WORD, "a"),
        (QUOTED, 'b"c'),
        (STRING, "d'e"),
        (NUMBER, "1"),
        (NUMBER, "1.5"),
        (NUMBER, ".5"),
        (NUMBER, "1e5"),
        (NUMBER, "2.E-3"),
        (SYMBOL, "=>"),
        (SYMBOL, "<>"),
        (SYMBOL, "!="),
        (SYMBOL, "<="),
        (SYMBOL, "||"),
        (UNICODE, "f"),
        (WORD, "_g"),
        (WORD, "h$1"),
        (WORD, "été"),
    ]


def test_comments_and_hints() -> None:
    assert kinds("a -- b\n/* c \n d */ e // f\n/*+ sort_merge */ g") == [
        (WORD, "a"),
        (WORD, "e"),
        (HINT, "sort_merge"),
        (WORD, "g"),
    ]


def test_the_last_token_is_the_end() -> None:
    assert [t.kind for t in tokenize(Source(""))] == [END]


def test_positions_count_lines_of_every_kind_and_utf16_units() -> None:
    source = Source("a\nbc\r\nd\re\U0001f600f")
    assert [source.at(source.text.index(c)) for c in "abcdef"] == [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1), (4, 4)]
    assert source.span(2, 4) == (2, 1, 2, 2)


def test_every_reserved_word_needs_quotes_as_a_name() -> None:
    for word in RESERVED:
        refused = refusal(f"SELECT 1 AS {word.lower()}")
        assert f'quote it as ["{word.lower()}"]' in refused.message, word
        assert refused.message.startswith(f"Incorrect syntax near the keyword '{word.lower()}' at line 1, column 13.")
        assert refused.context == {"sourceType": "sql"}
        assert not refused.envelope
        assert parse_query(f'SELECT "{word}" FROM "{word}" AS "{word}"') is not None


@pytest.mark.parametrize("word", ["timestamp", "value", "user", "position", "count", "year", "rank", "language"])
def test_reserved_words_as_columns(word: str) -> None:
    for sql in (f"SELECT {word} FROM t", f"SELECT a FROM t WHERE {word} = 1", f"SELECT t.{word} FROM t"):
        if word == "user" and "t." not in sql:
            continue
        assert f'quote it as ["{word}"]' in refusal(sql).message, sql


@pytest.mark.parametrize("word", ["overwrite", "extern", "type", "key", "json", "plan", "replace", "first", "format"])
def test_words_that_are_not_reserved(word: str) -> None:
    assert parse_query(f"SELECT {word}, t.{word} AS {word} FROM {word} {word}") is not None


@pytest.mark.parametrize(
    ("sql", "token", "line", "column"),
    [
        ("SELECT '12'::BIGINT", ":", 1, 12),
        ("SELECT 1 +", "<EOF>", 1, 10),
        ("SELECT", "<EOF>", 1, 6),
        ("SELECT a\nFROM t WHERE )", ")", 2, 14),
        ("SELECT (1", "<EOF>", 1, 9),
        ("SELECT 'open", "'open", 1, 8),
        ("SELECT a FROM t LIMIT -1", "-", 1, 23),
        ("SELECT a FROM t ^", "^", 1, 17),
        ("SELECT {d '2000-01-01'}", "{", 1, 8),
        ("SELECT a b c", "c", 1, 12),
        ("SELECT a FROM t WHERE a BETWEEN 1 OR 2", "OR", 1, 35),
        ("SELECT CASE WHEN a THEN 1", "<EOF>", 1, 25),
        ("SELECT CASE END", "END", 1, 13),
        ("SELECT f(a,)", ")", 1, 12),
        ("SELECT CAST(a BIGINT)", "BIGINT", 1, 15),
        ("SELECT `a`", "`", 1, 8),
    ],
)
def test_unexpected_tokens(sql: str, token: str, line: int, column: int) -> None:
    refused = refusal(sql)
    near = f"Incorrect syntax near the keyword '{token}' at line {line}, column {column}."
    received = f"Received an unexpected token [{token}] (line [{line}], column [{column}]), acceptable options: ["
    assert refused.message.startswith((near, received))
    assert refused.context["sourceType"] == "sql"
    assert (refused.status, refused.error_code, refused.envelope) == (400, "invalidInput", False)
    if refused.message.startswith("Received"):
        assert (refused.context["line"], refused.context["column"]) == (str(line), str(column))


def test_positions_of_nodes() -> None:
    tree = parse_query("SELECT a.b,\n  SUM(c) FILTER (WHERE d > 1) AS e,\n 'x' || 'yz'\nFROM s.t AS a")
    first, second, third = tree.expressions
    assert position_of(first) == (1, 8, 1, 10)
    assert position_of(first.this) == (1, 10, 1, 10)
    assert position_of(second) == (2, 3, 2, 34)
    assert position_of(second.this) == (2, 3, 2, 29)
    assert position_of(third) == (3, 2, 3, 12)
    assert position_of(third.expression) == (3, 9, 3, 12)
    assert position_of(tree.args["from_"].this) == (4, 6, 4, 13)
    assert position_of(tree) == (1, 1, 4, 13)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("U&'fo\\00F6'", "foö"),
        ("U&'\\d83d\\de00'", "\U0001f600"),
        ("U&'a\\\\b'", "a\\b"),
        ("u&'!00e4' UESCAPE '!'", "ä"),
        ("U&'it''s'", "it's"),
        ("'a'\n'b' -- c\n\n'd'", "abd"),
        ("'\\n'", "\\n"),
    ],
)
def test_text_literals(sql: str, value: str) -> None:
    literal = parse_query(f"SELECT {sql}").expressions[0]
    assert literal.is_string and literal.this == value


@pytest.mark.parametrize("sql", ["U&'\\00g0'", "U&'\\'", "U&'x' UESCAPE 'ab'", "U&'x' UESCAPE '+'", "'a' 'b'", "X'41'"])
def test_bad_text_literals(sql: str) -> None:
    assert refusal(f"SELECT {sql}").status == 400


def test_numbers() -> None:
    tree = parse_query("SELECT 9223372036854775807, 1.50, 1e5, 007")
    assert [e.this for e in tree.expressions] == ["9223372036854775807", "1.50", "1e5", "007"]
    refused = refusal("SELECT 9223372036854775808")
    assert refused.message == "Numeric literal '9223372036854775808' out of range (line [1], column [8])"
    assert refused.context["endColumn"] == "26"
    assert "out of range" in refusal("SELECT " + "9" * 100_000).message
