"""Trees of queries: SELECT's clauses, set operations, FROM, external tables, and their refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlglot import exp

from msq.datatypes import RowSignature
from msq.faults import DruidException
from msq.sql.dialect import to_sql
from msq.sql.nodes import AppendTable, ExternalTable, JoinedTables, NamedWindow, Pivot, PivotedTable, Unpivot
from msq.sql.query import parse_query


def refusal(sql: str) -> DruidException:
    with pytest.raises(DruidException) as caught:
        parse_query(sql)
    return caught.value


def table(text: str) -> Any:
    return parse_query(f"SELECT * FROM {text}").args["from_"].this


def test_all_clauses() -> None:
    query = parse_query(
        "WITH c (x) AS (SELECT 1) SELECT /*+ sort_merge */ DISTINCT a, t.*, b AS \"B\", 1 two, 2 'three' FROM t "
        "WHERE a > 1 GROUP BY a, 2, ROLLUP(b, c), GROUPING SETS ((a, b), ()), CUBE (d) HAVING COUNT(*) > 1 "
        "WINDOW w AS (ORDER BY a), v AS (w) QUALIFY ROW_NUMBER() OVER w = 1 ORDER BY 1 ASC, b DESC NULLS LAST "
        "LIMIT 3 OFFSET 4"
    )
    assert isinstance(query, exp.Select)
    assert [h.name for h in query.args["hint"].expressions] == ["sort_merge"]
    assert query.args["distinct"] is not None
    assert [e.alias for e in query.expressions] == ["", "", "B", "two", "three"]
    assert isinstance(query.expressions[1].this, exp.Star)
    assert [type(g).__name__ for g in query.args["group"].expressions] == [
        "Column",
        "Literal",
        "Rollup",
        "GroupingSets",
        "Cube",
    ]
    assert [type(w) for w in query.args["windows"]] == [NamedWindow, NamedWindow]
    assert query.args["qualify"] is not None
    assert [(o.args["desc"], o.args["nulls_first"]) for o in query.args["order"].expressions] == [
        (False, None),
        (True, False),
    ]
    assert (query.args["limit"].expression.this, query.args["offset"].expression.this) == ("3", "4")
    cte = query.args["with_"].expressions[0]
    assert (cte.alias, [c.name for c in cte.args["alias"].args["columns"]]) == ("c", ["x"])
    assert to_sql(parse_query(to_sql(query))) == to_sql(query)


@pytest.mark.parametrize(
    ("text", "limit", "offset"),
    [
        ("LIMIT 3", "3", None),
        ("LIMIT 4, 3", "3", "4"),
        ("OFFSET 4", None, "4"),
        ("OFFSET 4 ROWS", None, "4"),
        ("OFFSET 4 ROWS FETCH NEXT 3 ROWS ONLY", "3", "4"),
        ("FETCH FIRST ROW ONLY", "1", None),
        ("LIMIT ALL", None, None),
        ("LIMIT 0", "0", None),
    ],
)
def test_limits(text: str, limit: str | None, offset: str | None) -> None:
    query = parse_query(f"SELECT a FROM t {text}")
    found = [query.args[k].expression.this if query.args.get(k) else None for k in ("limit", "offset")]
    assert found == [limit, offset]


def test_set_operations() -> None:
    query = parse_query("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 EXCEPT SELECT 4 ORDER BY 1")
    assert isinstance(query, exp.Except) and query.args["order"] is not None
    assert isinstance(query.this, exp.Union) and query.this.args["distinct"]
    assert isinstance(query.this.expression, exp.Intersect)
    unions = parse_query(" UNION ALL ".join(f"SELECT {i}" for i in range(1000)))
    assert [s.expressions[0].this for s in unions.find_all(exp.Select, bfs=False)] == [str(i) for i in range(1000)]
    assert not unions.args["distinct"]


def test_parentheses_around_queries() -> None:
    assert isinstance(parse_query("((SELECT 1))"), exp.Select)
    inner = parse_query("(SELECT a FROM t ORDER BY b) LIMIT 3")
    assert inner.args["order"] is not None and inner.args["limit"] is not None
    outer = parse_query("(SELECT a FROM t LIMIT 3) ORDER BY a")
    assert outer.args.get("limit") is None
    assert outer.args["from_"].this.this.args["limit"] is not None
    both = parse_query("(SELECT a FROM t LIMIT 3) UNION ALL (SELECT b FROM u) LIMIT 1")
    assert both.this.args["limit"].expression.this == "3"
    assert both.args["limit"].expression.this == "1"
    values = parse_query("VALUES (1), (2) ORDER BY 1")
    assert isinstance(values.args["from_"].this.this, exp.Values)


def test_tables_and_joins() -> None:
    query = parse_query(
        "SELECT * FROM druid.t AS a (x, y), u LEFT OUTER JOIN v ON u.i = v.i INNER JOIN w USING (i, j) CROSS JOIN "
        "UNNEST(ARRAY[1, 2]) AS n (k) NATURAL FULL JOIN (SELECT 1 AS z) q JOIN (a1 JOIN b1 ON 1 = 1) ON 2 = 2"
    )
    first = query.args["from_"].this
    assert (first.name, first.db, first.alias) == ("t", "druid", "a")
    joins = query.args["joins"]
    assert [(j.args.get("method"), j.args.get("side"), j.args.get("kind")) for j in joins] == [
        (None, None, "CROSS"),
        (None, "LEFT", None),
        (None, None, "INNER"),
        (None, None, "CROSS"),
        ("NATURAL", "FULL", None),
        (None, None, None),
    ]
    assert [i.name for i in joins[2].args["using"]] == ["i", "j"]
    assert isinstance(joins[3].this, exp.Unnest) and joins[3].this.alias == "n"
    assert isinstance(joins[5].this, JoinedTables)
    assert isinstance(table("(VALUES (1, 'a'), ROW(2, 'b')) AS v (i, s)").this, exp.Values)
    assert isinstance(table("LATERAL (SELECT 1) AS l"), exp.Lateral)
    assert isinstance(table("LATERAL UNNEST(a) AS l"), exp.Unnest)
    assert table('TABLE("druid"."t") x').alias == "x"


def test_pivots() -> None:
    pivoted = table("t PIVOT (SUM(c) AS s, COUNT(*) FOR (a, b) IN ((1, 2) AS x, (3, 4))) AS p")
    assert isinstance(pivoted, PivotedTable) and isinstance(pivoted.args["pivot"], Pivot)
    assert pivoted.alias == "p"
    assert [len(v.expressions) for v in pivoted.args["pivot"].args["values"]] == [2, 2]
    unpivoted = table("(SELECT 1 AS a) UNPIVOT INCLUDE NULLS (v FOR n IN (a AS 'x', b))")
    assert isinstance(unpivoted.args["pivot"], Unpivot) and unpivoted.args["pivot"].args["nulls"]


@pytest.mark.parametrize(
    ("sql", "fragment"),
    [
        ("SELECT * FROM a JOIN b", "join requires a condition"),
        ("SELECT * FROM a CROSS JOIN b ON 1 = 1", "following CROSS JOIN"),
        ("SELECT * FROM a NATURAL JOIN b USING (x)", "Cannot specify NATURAL"),
        ("SELECT * FROM ext.t(a => 1)", "Object 'ext.t' not found"),
        ("SELECT * FROM a.b.c.d", "Object 'a.b.c.d' not found"),
        ("SELECT * FROM TABLE(NOSUCH('x')) (a VARCHAR)", "No match found for function signature NOSUCH"),
        ("SELECT * FROM UNNEST(a) WITH ORDINALITY", "ordinality"),
        ("SELECT * FROM t PIVOT (a FOR b IN (1))", "PIVOT expects aggregate functions"),
    ],
)
def test_refusals(sql: str, fragment: str) -> None:
    refused = refusal(sql)
    assert fragment in refused.message
    assert (refused.status, refused.context["sourceType"]) == (400, "sql")


# --- external tables ---

SOURCE = '{"type":"inline","data":"x"}'
FORMAT = '{"type":"json"}'
COLUMNS = "(a VARCHAR, b BIGINT NOT NULL, c DOUBLE PRECISION NULL, d REAL, e VARCHAR ARRAY, f TYPE('COMPLEX<json>'))"


@pytest.mark.parametrize(
    "text",
    [
        f"TABLE(EXTERN('{SOURCE}', '{FORMAT}')) EXTEND {COLUMNS} AS x",
        f"TABLE(EXTERN('{SOURCE}', '{FORMAT}')) {COLUMNS} x",
        f"table(extern(inputSource => '{SOURCE}', inputFormat => '{FORMAT}')) extend {COLUMNS} x",
        f"TABLE(EXTERN(inputFormat => '{FORMAT}', inputSource => '{SOURCE}')) {COLUMNS} x",
        f"TABLE(EXTERN('{SOURCE}', '{FORMAT}', NULL)) {COLUMNS} x",
    ],
)
def test_extern_with_columns(text: str) -> None:
    node = table(text)
    assert isinstance(node, ExternalTable)
    assert (node.source, node.format, node.alias) == (json.loads(SOURCE), json.loads(FORMAT), "x")
    assert str(node.signature) == (
        "RowSignature(a: STRING, b: LONG, c: DOUBLE, d: FLOAT, e: ARRAY<STRING>, f: COMPLEX<json>)"
    )
    assert node.sql_types == ("VARCHAR", "BIGINT", "DOUBLE", "REAL", "VARCHAR ARRAY", "COMPLEX<json>")


@pytest.mark.parametrize("named", [True, False])
def test_extern_with_signature(named: bool) -> None:
    signature = json.dumps(
        [
            {"name": "a", "type": "string"},
            {"name": "b", "type": "LONG"},
            {"name": "c", "type": "array<double>"},
            {"name": "d", "type": "LONG_ARRAY"},
            {"name": "e", "type": "COMPLEX<json>"},
            {"name": "f"},
            {"name": "__time", "type": "long"},
        ]
    )
    names = ("inputSource => ", "inputFormat => ", "signature => ") if named else ("", "", "")
    node = table(f"TABLE(EXTERN({names[0]}'{SOURCE}', {names[1]}'{FORMAT}', {names[2]}'{signature}'))")
    assert [str(c.type) for c in node.signature] == [
        "STRING",
        "LONG",
        "ARRAY<DOUBLE>",
        "ARRAY<LONG>",
        "COMPLEX<json>",
        "STRING",
        "LONG",
    ]
    assert node.sql_types == ("VARCHAR", "BIGINT", "DOUBLE ARRAY", "BIGINT ARRAY", "COMPLEX<json>", "VARCHAR", "BIGINT")


@pytest.mark.parametrize(
    ("text", "message", "context"),
    [
        (f"EXTERN('{SOURCE}', '{FORMAT}'))", "EXTERN requires either a [signature] value or an EXTEND clause", "sql"),
        (
            f"EXTERN('{SOURCE}', '{FORMAT}', '[]')) (a VARCHAR)",
            "EXTERN requires either a [signature] value or an EXTEND clause, but not both",
            "sql",
        ),
        (f"EXTERN('{{', '{FORMAT}')) (a VARCHAR)", "Invalid value for the field [inputSource]. Reason: [", None),
        (
            f"EXTERN('[]', '{FORMAT}')) (a VARCHAR)",
            "Invalid value for the field [inputSource]. Reason: [Expected a JSON object]",
            None,
        ),
        (
            f"EXTERN('{{\"type\":\"nosuch\"}}', '{FORMAT}')) (a VARCHAR)",
            "Invalid value for the field [inputSource].",
            None,
        ),
        (
            f"EXTERN('{SOURCE}', '{{\"type\":\"nosuch\"}}')) (a VARCHAR)",
            "Invalid value for the field [inputFormat].",
            None,
        ),
        (
            f"EXTERN('{SOURCE}', '{FORMAT}', '[{{\"name\":\"\"}}]'))",
            "Invalid value for the field [rowSignature].",
            None,
        ),
        (f"EXTERN('{SOURCE}', '{FORMAT}', 'x'))", "Invalid value for the field [rowSignature].", None),
        (f"EXTERN('{SOURCE}', '{FORMAT}')) (a VARCHAR, a BIGINT)", "Invalid value for the field [columns].", None),
        (f"EXTERN('{SOURCE}', '{FORMAT}')) (a TIMESTAMP)", "Column [a] has an unsupported type: [TIMESTAMP]", "sql"),
        (
            f"EXTERN('{SOURCE}', '{FORMAT}')) (a DECIMAL(5, 1))",
            "Column [a] has an unsupported type: [DECIMAL(5, 1)]",
            "sql",
        ),
        (f"EXTERN('{SOURCE}', '{FORMAT}')) (a.b VARCHAR)", "Column [a.b] must have a simple name", "sql"),
        (
            f"EXTERN('{SOURCE}', '{FORMAT}')) (__time VARCHAR)",
            "EXTERN function with __time column can be used when __time column is of type long. Please change "
            "the column name "
            "to something other than __time",
            None,
        ),
        (f"EXTERN('{SOURCE}')) (a VARCHAR)", "Must provide a value for the [inputFormat] parameter", "sql"),
        (f"EXTERN('{SOURCE}', b)) (a VARCHAR)", "Argument [inputFormat] of function [EXTERN] must be a literal", "sql"),
        (
            f"EXTERN('{SOURCE}', '{FORMAT}', nosuch => 'x')) (a VARCHAR)",
            "Unknown argument [nosuch] of function [EXTERN]",
            "sql",
        ),
        (
            f"EXTERN('{SOURCE}', inputSource => '{SOURCE}')) (a VARCHAR)",
            "Argument [inputSource] of function [EXTERN] is given twice",
            "sql",
        ),
        (
            "INLINE(data => ARRAY['x'], format => 'csv'))",
            "Function requires a schema: TABLE(INLINE(...)) (<col> <type>...)",
            "sql",
        ),
        ("INLINE(data => ARRAY['x'])) (a VARCHAR)", "Must provide a value for the [format] parameter", "sql"),
        (
            "INLINE(data => ARRAY['x'], format => 'xml')) (a VARCHAR)",
            "Format type [xml] for property [format] is not valid",
            "sql",
        ),
        ("INLINE(format => 'csv')) (a VARCHAR)", "Must provide a value for the [data] parameter", "sql"),
        (
            "LOCALFILES(format => 'csv')) (a VARCHAR)",
            "Must provide a value for the [baseDir] or [files] parameter",
            "sql",
        ),
        (
            "LOCALFILES(filter => '*', files => ARRAY['a'], format => 'csv')) (a VARCHAR)",
            "Must provide a value for the [baseDir] parameter when [filter] is given",
            "sql",
        ),
        ("HTTP(format => 'csv')) (a VARCHAR)", "Must provide a value for the [uris] parameter", "sql"),
        (
            "S3(bucket => 'b', format => 'csv')) (a VARCHAR)",
            "Parameters [bucket] and [paths] must be given together",
            "sql",
        ),
        (
            "S3(format => 'csv')) (a VARCHAR)",
            "Must provide exactly one of the parameters [uris], [prefixes] and [bucket]",
            "sql",
        ),
        ("APPEND('a', b))", "All arguments to APPEND should be literal strings. Argument #2 is not string", "sql"),
        ("APPEND())", "No match found for function signature APPEND() (line [1], column [21])", "sql"),
        ("APPEND('a')) (a VARCHAR)", "Function APPEND does not accept an EXTEND clause (or a schema list)", "sql"),
    ],
)
def test_refused_table_functions(text: str, message: str, context: str | None) -> None:
    refused = refusal(f"SELECT * FROM TABLE({text}")
    assert refused.message.startswith(message)
    assert refused.context.get("sourceType") == context
    assert (refused.status, refused.envelope) == (400, True)


@pytest.mark.parametrize(
    ("text", "source", "format_"),
    [
        (
            "INLINE(data => ARRAY['1,a', '2,b'], format => 'csv')",
            {"type": "inline", "data": "1,a\n2,b\n"},
            {"type": "csv", "columns": ["x", "y"], "findColumnsFromHeader": False},
        ),
        (
            "inline(data => ARRAY['1|a'], format => 'TSV', delimiter => '|', skipHeaderRows => TRUE, "
            "listDelimiter => ';')",
            {"type": "inline", "data": "1|a\n"},
            {
                "type": "tsv",
                "columns": ["x", "y"],
                "findColumnsFromHeader": False,
                "listDelimiter": ";",
                "skipHeaderRows": 1,
                "delimiter": "|",
            },
        ),
        (
            "LOCALFILES(baseDir => '/d', format => 'json')",
            {"type": "local", "baseDir": "/d", "filter": "*"},
            {"type": "json"},
        ),
        (
            "LOCALFILES('/d', '*.csv', format => 'csv', skipHeaderRows => 2)",
            {"type": "local", "baseDir": "/d", "filter": "*.csv"},
            {"type": "csv", "columns": ["x", "y"], "findColumnsFromHeader": False, "skipHeaderRows": 2},
        ),
        (
            "LOCALFILES(files => ARRAY['/a', '/b'], format => 'json')",
            {"type": "local", "files": ["/a", "/b"]},
            {"type": "json"},
        ),
        (
            "LOCALFILES(baseDir => '/d/', files => ARRAY['a'], format => 'json')",
            {"type": "local", "files": ["/d/a"]},
            {"type": "json"},
        ),
        (
            "HTTP(uris => ARRAY['http://h/x'], userName => 'u', passwordEnvVar => 'P', format => 'json')",
            {
                "type": "http",
                "uris": ["http://h/x"],
                "httpAuthenticationUsername": "u",
                "httpAuthenticationPassword": {"type": "environment", "variable": "P"},
            },
            {"type": "json"},
        ),
    ],
)
def test_source_functions(text: str, source: Any, format_: Any) -> None:
    node = table(f"TABLE({text}) (x BIGINT, y VARCHAR)")
    assert (node.source, node.format) == (source, format_)
    assert node.signature == RowSignature.from_json([{"name": "x", "type": "LONG"}, {"name": "y", "type": "STRING"}])


def test_s3_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "msq.sql.extern._check", lambda source, format_: None
    )  # whether it can be read is not asked here
    node = table(
        "TABLE(S3(bucket => 'b', paths => ARRAY['p', 'q'], accessKeyId => 'k', secretAccessKey => 's', format "
        "=> 'csv')) (x VARCHAR)"
    )
    assert node.source == {
        "type": "s3",
        "objects": [{"bucket": "b", "path": "p"}, {"bucket": "b", "path": "q"}],
        "properties": {
            "accessKeyId": {"type": "default", "password": "k"},
            "secretAccessKey": {"type": "default", "password": "s"},
        },
    }


def test_append() -> None:
    node = table("TABLE(APPEND('a', 'b')) AS u")
    assert isinstance(node, AppendTable)
    assert [e.this for e in node.expressions] == ["a", "b"]
    assert node.alias == "u"


def test_union_all_of_external_tables() -> None:
    one = f"SELECT a FROM TABLE(EXTERN('{SOURCE}', '{FORMAT}')) (a VARCHAR)"
    assert len(list(parse_query(f"{one} UNION ALL {one}").find_all(ExternalTable))) == 2
