"""Whatever the text: a statement, or a refusal that is a DruidException; in time that grows with its length."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from msq.faults import DruidException
from msq.sql.cursor import MAX_DEPTH, MAX_NESTING
from msq.sql.dialect import DruidDialect, to_message, to_sql
from msq.sql.lexer import RESERVED
from msq.sql.nodes import position_of
from msq.sql.query import parse_query
from msq.sql.statement import parse_statement

SEEDS = [
    "SELECT a.b AS c, COUNT(DISTINCT d) FILTER (WHERE e IN (1, 'x')) OVER (PARTITION BY f ORDER BY g DESC) FROM t, u",
    "SELECT CASE WHEN a IS NOT NULL THEN CAST(b AS VARCHAR ARRAY) ELSE ARRAY['x'] END FROM (VALUES (1, 2)) AS v (a, b)",
    "REPLACE INTO w OVERWRITE WHERE __time >= TIMESTAMP '2000-01-01' AND __time < TIMESTAMP '2000-01-02' SELECT "
    "__time, "
    'TRIM(BOTH \' \' FROM x) AS x FROM TABLE(EXTERN(\'{"type":"inline","data":"1"}\', \'{"type":"json"}\')) EXTEND '
    "(__time BIGINT, x VARCHAR) PARTITIONED BY FLOOR(__time TO HOUR) CLUSTERED BY x, 1",
    "WITH q AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM q LEFT JOIN UNNEST(ARRAY[1]) AS n (i) ON q.a = n.i GROUP BY "
    "ROLLUP (a), 2 HAVING SUM(x) > 1 ORDER BY 1 NULLS FIRST LIMIT 5 OFFSET 2",
    "SET a = 'b'; EXPLAIN PLAN FOR INSERT INTO EXTERN(local(exportPath => '/x')) AS CSV SELECT JSON_VALUE(j, '$.a' "
    "RETURNING BIGINT) || U&'\\00e4' FROM t WHERE EXTRACT(DAY FROM __time) BETWEEN 1 AND 2 OR NOT EXISTS (SELECT 1)",
]
PIECES = re.compile(r"\w+|'[^']*'|\"[^\"]*\"|\s+|.", re.DOTALL)
TOKENS = (
    sorted(RESERVED)
    + [p for seed in SEEDS for p in PIECES.findall(seed)]
    + ["?", "*", "::", "%", "'", '"', "/*", "\U0001f600"]
)
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.sampled_from(TOKENS)), max_size=6)


def tried(text: str) -> exp.Expr | None:
    try:
        return parse_statement(text, {"sqlTimeZone": "Europe/Berlin"}, [{"type": "VARCHAR", "value": "p"}]).query
    except DruidException as refusal:
        assert refusal.status in (400, 501)
        return None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), edits)
def test_edited_statements(seed: str, changes: list[tuple[float, int, str]]) -> None:
    pieces = PIECES.findall(seed)
    for where, removed, token in changes:
        at = int(where * len(pieces))
        pieces[at : at + removed] = [f" {token} "]
    query = tried("".join(pieces))
    if query is not None:
        printed = to_sql(query)
        assert to_message(query)
        assert to_sql(parse_query(printed)) == printed


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join) | st.text(max_size=60))
def test_any_tokens(text: str) -> None:
    tried(text)
    tried(f"SELECT {text}")


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: str) -> None:
    query = tried(seed)
    assert query is not None
    for node in query.walk():
        if isinstance(node, (exp.Column, exp.Identifier, exp.Literal, exp.Table)):
            position = position_of(node)
            assert position is not None and position[:2] <= position[2:]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "(" * 100_000,
        "SELECT " + "f(" * 3000 + "1" + ")" * 3000,
        "SELECT * FROM " + "(SELECT * FROM " * 3000 + "t" + ")" * 3000,
        "SELECT * FROM " + "(" * 3000 + "t" + ")" * 3000,
        "SELECT " + "NOT " * 5000 + "a",
        "SELECT " + "- " * 5000 + "a",
        "SELECT " + " + ".join(["1"] * 5000),
        "SELECT " + "CASE WHEN a THEN " * 3000 + "1" + " END" * 3000,
        "SELECT a" + " IS NULL" * 3000,
        "SELECT a" + "[1]" * 3000,
        "SELECT CAST(a AS BIGINT" + " ARRAY" * 3000 + ")",
        "SELECT * FROM t WHERE a IN " + "(SELECT a FROM t WHERE a IN " * 500 + "(1)" + ")" * 500,
        " UNION ".join(["SELECT 1"] * 3000),
        "WITH a AS (" * 500 + "SELECT 1" + ") SELECT 1" * 500,
    ],
    ids=lambda text: text[:24],
)
def test_deep_texts(text: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_statement(text, {})
    assert caught.value.message.startswith(f"Statement is nested too deeply: more than [{MAX_NESTING}] levels")
    assert f"[{MAX_DEPTH}]" in caught.value.message
    assert not caught.value.envelope


def test_depth_within_the_limits() -> None:
    for text in ("SELECT " + "(" * 90 + "1" + ")" * 90, "SELECT " + " + ".join(["1"] * 250)):
        assert to_sql(parse_statement(text, {}).query)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE x IN (" + ",".join(f"'value {i}'" for i in range(10_000)) + ")",
        "SELECT * FROM t WHERE " + " OR ".join(f"(x = {i} AND y > 2)" for i in range(5_000)),
        "SELECT '" + "x" * 2_000_000 + "'",
        "VALUES " + ", ".join("(1, 'a', 2.5)" for _ in range(10_000)),
        "SELECT '\U0001f600' FROM t WHERE x IN (" + ",".join(f"'\U0001f600{i}'" for i in range(20_000)) + ")",
    ],
    ids=["in", "or", "text", "values", "wide characters"],
)
def test_long_texts(text: str) -> None:
    started = time.perf_counter()
    parse_statement(text, {})
    assert time.perf_counter() - started < 5


def test_sqlglot_reads_and_writes_through_the_dialect() -> None:
    import sqlglot

    tree = sqlglot.parse_one("SELECT STRPOS(a, 'b'), 7/2 FROM t", dialect=DruidDialect)
    assert tree.sql(dialect=DruidDialect) == "SELECT STRPOS(a, 'b'), 7 / 2 FROM t"
