"""Trees of expressions: precedence, forms with words, windows, and the nodes that the binder tells apart."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import exp

from msq.faults import DruidException
from msq.sql.dialect import to_message, to_sql
from msq.sql.nodes import (
    Call,
    FrameBound,
    IntervalLiteral,
    NamedArgument,
    Option,
    TemporalLiteral,
    TypeName,
    WindowFrame,
    WindowOver,
)
from msq.sql.query import parse_query


def tree(text: str) -> Any:
    return parse_query(f"SELECT {text}").expressions[0]


def shape(node: Any) -> Any:
    """Operators as nested tuples: (class, operands ..); names, literals and everything else as text."""
    if isinstance(node, exp.Paren):
        return shape(node.this)
    if isinstance(node, (exp.Binary, exp.Unary, exp.Between, exp.In)):
        return (type(node).__name__, *(shape(c) for c in node.iter_expressions()))
    return to_sql(node).replace('"', "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a OR b AND c", ("Or", "a", ("And", "b", "c"))),
        ("NOT a = b AND c", ("And", ("Not", ("EQ", "a", "b")), "c")),
        ("NOT NOT a", ("Not", ("Not", "a"))),
        ("a + b * c - d", ("Sub", ("Add", "a", ("Mul", "b", "c")), "d")),
        ("a - b - c", ("Sub", ("Sub", "a", "b"), "c")),
        ("(a + b) * c", ("Mul", ("Add", "a", "b"), "c")),
        ("a || b + c", ("Add", ("DPipe", "a", "b"), "c")),
        ("-a * b", ("Mul", ("Neg", "a"), "b")),
        ("- -a", ("Neg", ("Neg", "a"))),
        ("+a", "a"),
        ("a = b IS NULL", ("Is", ("EQ", "a", "b"), "NULL")),
        ("a IS NOT TRUE", ("Not", ("Is", "a", "TRUE"))),
        ("a IS UNKNOWN", ("Is", "a", "NULL")),
        ("a IS DISTINCT FROM b OR c", ("Or", ("NullSafeNEQ", "a", "b"), "c")),
        ("a IS NOT DISTINCT FROM b", ("NullSafeEQ", "a", "b")),
        ("a BETWEEN b + 1 AND c AND d", ("And", ("Between", "a", ("Add", "b", "1"), "c"), "d")),
        ("a NOT BETWEEN b AND c", ("Not", ("Between", "a", "b", "c"))),
        ("a = b BETWEEN c AND d", ("EQ", "a", ("Between", "b", "c", "d"))),
        ("a IN (1, 2)", ("In", "a", "1", "2")),
        ("a NOT IN (1)", ("Not", ("In", "a", "1"))),
        ("a LIKE 'x' OR b", ("Or", ("Like", "a", "'x'"), "b")),
        ("a NOT LIKE 'x' ESCAPE '!'", ("Not", ("Escape", ("Like", "a", "'x'"), "'!'"))),
        ("a SIMILAR TO 'x'", ("SimilarTo", "a", "'x'")),
        ("a ILIKE 'x'", ("ILike", "a", "'x'")),
        ("a <> b", ("NEQ", "a", "b")),
        ("a != b", ("NEQ", "a", "b")),
        ("a <= b AND a >= c AND d > 1", ("And", ("And", ("LTE", "a", "b"), ("GTE", "a", "c")), ("GT", "d", "1"))),
        ("a[1] + 2", ("Add", "a[1]", "2")),
    ],
)
def test_operators(text: str, expected: Any) -> None:
    assert shape(tree(text)) == expected


def test_in_query_and_quantifiers() -> None:
    assert isinstance(tree("a IN (SELECT b FROM t)").args["query"], exp.Subquery)
    assert isinstance(tree("a = ANY (SELECT b FROM t)").expression, exp.Any)
    assert isinstance(tree("a > ALL (1, 2)").expression.this, exp.Tuple)
    assert isinstance(tree("EXISTS (SELECT 1)").this, exp.Subquery)
    assert isinstance(tree("(SELECT 1)"), exp.Subquery)
    assert isinstance(tree("(SELECT 1) + 1"), exp.Add)
    assert isinstance(tree("((SELECT 1) + 1)").this, exp.Add)
    assert isinstance(tree("((SELECT 1) UNION ALL (SELECT 2))"), exp.Subquery)


def test_runs_of_associative_operators_are_flat() -> None:
    for operator, kind in (("AND", exp.And), ("OR", exp.Or), ("||", exp.DPipe)):
        node = tree(f" {operator} ".join(f"c{i}" for i in range(1000)))
        depth = 0
        while isinstance(node, kind):
            node, depth = node.this, depth + 1
        assert depth == 10
    flat = tree(" AND ".join(f"c{i}" for i in range(9)))
    assert [c.name for c in flat.find_all(exp.Column, bfs=False)] == [f"c{i}" for i in range(9)]


def test_literals() -> None:
    literal = tree("TIMESTAMP '2000-01-01 00:00:00'")
    assert isinstance(literal, TemporalLiteral)
    assert (literal.args["kind"], literal.this) == ("TIMESTAMP", "2000-01-01 00:00:00")
    assert tree("DATE '2000-01-01'").args["kind"] == "DATE"
    interval = tree("INTERVAL -'1 02:03' DAY(3) TO MINUTE")
    assert isinstance(interval, IntervalLiteral)
    assert [interval.args[k] for k in ("this", "negative", "unit", "to", "precision")] == [
        "1 02:03",
        True,
        "DAY",
        "MINUTE",
        3,
    ]
    assert tree("INTERVAL '1' DAYS").args["unit"] == "DAY"
    assert isinstance(tree("UNKNOWN"), exp.Null)
    assert tree("TRUE").this is True
    assert isinstance(tree("ROW(1, 2)"), exp.Tuple)
    assert isinstance(tree("(1, 2)"), exp.Tuple)
    assert tree("ARRAY[]").expressions == []
    assert len(tree("ARRAY['a', 'b']").expressions) == 2


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("EXTRACT(day FROM x)", "EXTRACT", ["DAY", '"x"']),
        ("FLOOR(x TO month)", "FLOOR", ['"x"', "MONTH"]),
        ("Ceil(x)", "Ceil", ['"x"']),
        ("POSITION('a' IN x FROM 2)", "POSITION", ["'a'", '"x"', "2"]),
        ("SUBSTRING(x FROM 2 FOR 3)", "SUBSTRING", ['"x"', "2", "3"]),
        ("SUBSTRING(x, 2)", "SUBSTRING", ['"x"', "2"]),
        ("TRIM(x)", "TRIM", ['"x"']),
        ("TRIM(BOTH 'c' FROM x)", "TRIM", ["BOTH", "'c'", '"x"']),
        ("TRIM(LEADING FROM x)", "TRIM", ["LEADING", "' '", '"x"']),
        ("TRIM('c' FROM x)", "TRIM", ["BOTH", "'c'", '"x"']),
        ("BTRIM(x, 'c')", "BTRIM", ['"x"', "'c'"]),
        ("OVERLAY(x PLACING 'y' FROM 2 FOR 1)", "OVERLAY", ['"x"', "'y'", "2", "1"]),
        ("TIMESTAMPADD(DAY, 1, x)", "TIMESTAMPADD", ["DAY", "1", '"x"']),
        ("timestampdiff(month, x, y)", "timestampdiff", ["MONTH", '"x"', '"y"']),
        ("LEFT(x, 1)", "LEFT", ['"x"', "1"]),
        ("MOD(a, b)", "MOD", ['"a"', '"b"']),
        ("COUNT(*)", "COUNT", ["*"]),
        ("DIV(a, b)", "DIV", ['"a"', '"b"']),
        ("ANY_VALUE(a, 10, TRUE)", "ANY_VALUE", ['"a"', "10", "TRUE"]),
        ("STRPOS(a, 'b')", "STRPOS", ['"a"', "'b'"]),
        ("NVL(a, 1)", "NVL", ['"a"', "1"]),
        ('"weird name"(1)', "weird name", ["1"]),
        ("JSON_OBJECT('a' : 1, KEY 'b' VALUE x, 'c' VALUE 2)", "JSON_OBJECT", ["'a'", "1", "'b'", '"x"', "'c'", "2"]),
        ("JSON_OBJECT('a', 1)", "JSON_OBJECT", ["'a'", "1"]),
        ("JSON_OBJECT(key : value1)", "JSON_OBJECT", ['"key"', '"value1"']),
        ("JSON_ARRAY(1, 2)", "JSON_ARRAY", ["1", "2"]),
        ("LOOKUP(x, 'name')", "LOOKUP", ['"x"', "'name'"]),
        ("f()", "f", []),
    ],
)
def test_calls(text: str, name: str, arguments: list[str]) -> None:
    node = tree(text)
    assert isinstance(node, Call)
    assert node.name == name
    assert [to_sql(a) for a in node.expressions] == arguments
    assert to_sql(tree(to_sql(node))) == to_sql(node)


def test_modifiers_of_calls() -> None:
    node = tree("COUNT(DISTINCT a, b) FILTER (WHERE c > 1)")
    assert node.args["distinct"] is True
    assert to_sql(node.args["filter"]) == '"c" > 1'
    assert tree("SUM(ALL a)").args.get("distinct") is None
    ordered = tree("LISTAGG(a, ',') WITHIN GROUP (ORDER BY b DESC NULLS LAST)").args["order"].expressions[0]
    assert (ordered.args["desc"], ordered.args["nulls_first"]) == (True, False)
    assert tree("ARRAY_AGG(a, 10 ORDER BY b)").args["order"].expressions[0].args["desc"] is None
    nulls = tree("LAG(a) IGNORE NULLS OVER (ORDER BY b)").args["nulls"]
    assert nulls.this == "IGNORE NULLS"
    named = tree("f(a => 1, b => 'x')").expressions
    assert [(type(n), n.this.name) for n in named] == [(NamedArgument, "a"), (NamedArgument, "b")]


def test_json_clauses() -> None:
    node = tree("JSON_VALUE(j, '$.a' RETURNING BIGINT DEFAULT 5 ON EMPTY NULL ON ERROR)")
    assert str(node.args["returning"]) == "BIGINT"
    assert [(type(o), o.this) for o in node.args["options"]] == [
        (Option, "DEFAULT ON EMPTY"),
        (Option, "NULL ON ERROR"),
    ]
    assert to_sql(node.args["options"][0].args["expression"]) == "5"
    assert to_sql(tree(to_sql(node))) == to_sql(node)
    wrapped = tree("JSON_QUERY(j, '$.a' WITH UNCONDITIONAL ARRAY WRAPPER EMPTY OBJECT ON ERROR)")
    assert [o.this for o in wrapped.args["options"]] == ["WITH UNCONDITIONAL ARRAY WRAPPER", "EMPTY OBJECT ON ERROR"]
    assert [o.this for o in tree("JSON_OBJECT('a': 1 ABSENT ON NULL)").args["options"]] == ["ABSENT ON NULL"]


def test_words_without_parentheses() -> None:
    for word in ("CURRENT_TIMESTAMP", "current_date", "LOCALTIMESTAMP"):
        node = tree(word)
        assert isinstance(node, Call) and node.args["bare"] and node.name == word
    assert [to_sql(a) for a in tree("CURRENT_TIMESTAMP(3)").expressions] == ["3"]


@pytest.mark.parametrize("word", ["user", "USER", "current_user", "session_user", "CURRENT_ROLE"])
def test_words_of_sessions_are_columns(word: str) -> None:
    """Druid has no such functions, so its `SELECT user FROM wikipedia` reads a column."""
    node = tree(word)
    assert isinstance(node, exp.Column)
    assert (node.name, node.args.get("table")) == (word, None)
    with pytest.raises(DruidException):
        tree(f"1 AS {word}")


def test_windows() -> None:
    over = tree("SUM(a) OVER (w PARTITION BY b, c ORDER BY d DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)").args[
        "over"
    ]
    assert isinstance(over, WindowOver)
    assert over.this.name == "w"
    assert len(over.args["partition_by"]) == 2
    frame = over.args["frame"]
    assert isinstance(frame, WindowFrame) and frame.this == "ROWS"
    start, end = frame.args["start"], frame.args["end"]
    assert isinstance(start, FrameBound)
    assert (start.this, to_sql(start.args["expression"]), end.this) == ("PRECEDING", "1", "CURRENT ROW")
    alone = tree("SUM(a) OVER (ORDER BY b RANGE UNBOUNDED PRECEDING)").args["over"].args["frame"]
    assert (alone.args["start"].args.get("expression"), alone.args.get("end")) == (None, None)
    assert isinstance(tree("SUM(a) OVER w").args["over"], exp.Identifier)


@pytest.mark.parametrize(
    ("text", "name", "printed"),
    [
        ("VARCHAR", "VARCHAR", "VARCHAR"),
        ("varchar(10)", "VARCHAR", "VARCHAR(10)"),
        ("INT", "INTEGER", "INTEGER"),
        ("DEC(10, 2)", "DECIMAL", "DECIMAL(10, 2)"),
        ("CHARACTER VARYING", "VARCHAR", "VARCHAR"),
        ("CHAR", "CHAR", "CHAR"),
        ("DOUBLE PRECISION", "DOUBLE", "DOUBLE"),
        ("TIMESTAMP(3)", "TIMESTAMP", "TIMESTAMP(3)"),
        ("TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP", "TIMESTAMP"),
        ("BIGINT ARRAY", "BIGINT", "BIGINT ARRAY"),
        ("VARCHAR ARRAY ARRAY", "VARCHAR", "VARCHAR ARRAY ARRAY"),
        ("TYPE('COMPLEX<json>')", "TYPE", "COMPLEX<json>"),
        ("REAL", "REAL", "REAL"),
        ("BOOLEAN", "BOOLEAN", "BOOLEAN"),
        ("DATE", "DATE", "DATE"),
    ],
)
def test_types(text: str, name: str, printed: str) -> None:
    to = tree(f"CAST(a AS {text})").args["to"]
    assert isinstance(to, TypeName)
    assert (to.args["this"], str(to)) == (name, printed)


def test_unknown_type() -> None:
    with pytest.raises(DruidException) as caught:
        tree("CAST('x' AS STRING)")
    assert caught.value.message == "Unknown identifier 'STRING' (line [1], column [20])"
    assert caught.value.context["endColumn"] == "25"


def test_case() -> None:
    node = tree("CASE a WHEN 1 THEN 'x' WHEN 2, 3 THEN 'y' ELSE 'z' END")
    assert node.this.name == "a"
    assert [type(i.this) for i in node.args["ifs"]] == [exp.Literal, exp.Tuple]
    assert node.args["default"].this == "z"
    assert tree("CASE WHEN a THEN 1 END").args.get("default") is None


def test_printing_in_messages_uses_back_quotes() -> None:
    assert to_message(tree('"a".b + CEIL("c d")')) == "`a`.`b` + CEIL(`c d`)"
