"""From text to Statement: clauses, targets, granularities, time chunks, context, parameters, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import exp

from msq.faults import DruidException
from msq.intervals import ETERNITY, Granularity, Interval
from msq.sql.dialect import to_sql
from msq.sql.nodes import TemporalLiteral
from msq.sql.statement import (
    RESERVED_CONTEXT_KEYS,
    ExportTarget,
    OverwriteAll,
    OverwriteWhere,
    Statement,
    TableTarget,
    parse_statement,
)


def parsed(sql: str, context: dict[str, Any] | None = None, parameters: list[Any] | None = None) -> Statement:
    return parse_statement(sql, context or {}, parameters or [])


def refusal(sql: str, context: dict[str, Any] | None = None, parameters: list[Any] | None = None) -> DruidException:
    with pytest.raises(DruidException) as caught:
        parsed(sql, context, parameters)
    return caught.value


def test_select() -> None:
    statement = parsed("SELECT a, b FROM t WHERE a > 1 LIMIT 5", {"k": 1})
    assert (statement.kind, statement.explain, statement.target) == ("SELECT", False, None)
    assert (statement.partitioned_by, statement.clustered_by, statement.overwrite) == (None, (), None)
    assert statement.context == {"k": 1}
    assert isinstance(statement.query, exp.Select)


def test_insert() -> None:
    statement = parsed('INSERT INTO "w" SELECT a AS x, b FROM t PARTITIONED BY DAY CLUSTERED BY x, 2, CEIL("m2") ASC;')
    assert (statement.kind, statement.target) == ("INSERT", TableTarget("druid", "w"))
    assert (statement.partitioned_by, statement.overwrite) == (Granularity("DAY"), None)
    assert [to_sql(c) for c in statement.clustered_by] == ['"x"', "2", 'CEIL("m2")']
    assert to_sql(statement.query) == 'SELECT "a" AS "x", "b" FROM "t"'


def test_replace() -> None:
    statement = parsed(
        "replace into druid.w overwrite all with q as (select 1 as x) select * from q partitioned by all time"
    )
    assert (statement.kind, statement.target) == ("REPLACE", TableTarget("druid", "w"))
    assert (statement.partitioned_by, statement.overwrite) == (Granularity("ALL"), OverwriteAll())


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS x",
        "WITH q AS (SELECT 1 AS x) SELECT * FROM q",
        "VALUES (1, 2)",
        "(SELECT 1 AS x)",
        "SELECT 1 AS x UNION ALL SELECT 2 AS x",
        "SELECT a FROM t LIMIT 3 OFFSET 2",
        "TABLE t",
    ],
)
def test_queries_of_ingests(query: str) -> None:
    assert parsed(f"INSERT INTO w {query} PARTITIONED BY ALL").partitioned_by == Granularity("ALL")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("HOUR", "HOUR"),
        ("day", "DAY"),
        ("MONTH", "MONTH"),
        ("YEAR", "YEAR"),
        ("ALL", "ALL"),
        ("ALL TIME", "ALL"),
        ("'day'", "DAY"),
        ('"Five_Minute"', "FIVE_MINUTE"),
        ("'none'", "NONE"),
        ("'all'", "ALL"),
        ("week", "WEEK"),
        ("'PT5M'", "FIVE_MINUTE"),
        ('"PT1S"', "SECOND"),
        ("'P3M'", "QUARTER"),
        ("'PT8H'", "EIGHT_HOUR"),
        ("TIME_FLOOR(__time, 'PT1H')", "HOUR"),
        ("time_floor(\"__time\", 'P1W')", "WEEK"),
        ("FLOOR(__time TO DAY)", "DAY"),
        ("FLOOR(__time TO QUARTER)", "QUARTER"),
        ("FLOOR(__time TO SECOND)", "SECOND"),
    ],
)
@pytest.mark.parametrize("rest", ["", " CLUSTERED BY x"])
def test_granularities(text: str, name: str, rest: str) -> None:
    statement = parsed(f"INSERT INTO w SELECT 1 AS x PARTITIONED BY {text}{rest}")
    assert statement.partitioned_by == Granularity(name)
    assert len(statement.clustered_by) == bool(rest)


DAY_1, DAY_2, DAY_3 = (Interval.parse(f"2000-01-0{d}/P1D") for d in (1, 2, 3))
LATE = Interval.parse("2000-01-01T08:00/2000-01-02T08:00")


@pytest.mark.parametrize(
    ("condition", "zone", "granularity", "intervals"),
    [
        ("__time >= TIMESTAMP '2000-01-01' AND __time < TIMESTAMP '2000-01-02'", "UTC", "DAY", (DAY_1,)),
        (
            "__time >= TIMESTAMP '2000-01-01 00:00:00' AND __time < TIMESTAMP '2000-01-03 00:00:00.000'",
            None,
            "DAY",
            (Interval(DAY_1.start, DAY_2.end),),
        ),
        (
            "(__time >= TIMESTAMP '2000-01-01' AND __time < TIMESTAMP '2000-01-02') OR (__time >= TIMESTAMP "
            "'2000-01-03' "
            "AND __time < TIMESTAMP '2000-01-04')",
            "UTC",
            "DAY",
            (DAY_1, DAY_3),
        ),
        ("__time BETWEEN TIMESTAMP '2000-01-01' AND TIMESTAMP '2000-01-01 23:59:59.999'", "UTC", "DAY", (DAY_1,)),
        (
            "NOT (__time < TIMESTAMP '2000-01-01' OR __time > TIMESTAMP '2000-01-01 23:59:59.999')",
            "UTC",
            "DAY",
            (DAY_1,),
        ),
        (
            "__time > TIMESTAMP '1999-12-31 23:59:59.999' AND __time <= TIMESTAMP '2000-01-01 23:59:59.999'",
            "UTC",
            "DAY",
            (DAY_1,),
        ),
        (
            "__time >= TIMESTAMP '2000-01-01' AND __time < TIMESTAMP '2000-01-02'",
            "America/Los_Angeles",
            "HOUR",
            (LATE,),
        ),
        ("\"__time\" >= TIMESTAMP '2000-01-01' AND \"__time\" < TIMESTAMP '2000-01-02'", "-08:00", "HOUR", (LATE,)),
        ("__time >= TIMESTAMP '2000-01-01' OR __time < TIMESTAMP '2000-01-01'", "UTC", "ALL", (ETERNITY,)),
        ("__time >= TIMESTAMP '2000-01-01'", "UTC", "ALL", (Interval(DAY_1.start, ETERNITY.end),)),
    ],
)
def test_overwrite_where(condition: str, zone: str | None, granularity: str, intervals: tuple[Interval, ...]) -> None:
    sql = f"REPLACE INTO w OVERWRITE WHERE {condition} SELECT __time, a FROM t PARTITIONED BY {granularity}"
    assert parsed(sql, {"sqlTimeZone": zone} if zone else {}).overwrite == OverwriteWhere(intervals)


def test_time_zone_of_set_applies_to_overwrite() -> None:
    sql = (
        "SET sqlTimeZone = 'America/Los_Angeles'; REPLACE INTO w OVERWRITE WHERE __time >= TIMESTAMP '2000-01-01' AND "
        "__time < TIMESTAMP '2000-01-02' SELECT __time FROM t PARTITIONED BY HOUR"
    )
    assert parsed(sql, {"sqlTimeZone": "UTC"}).overwrite == OverwriteWhere((LATE,))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "__time = TIMESTAMP '2000-01-01'",
            "Invalid OVERWRITE WHERE clause [`__time` = TIMESTAMP '2000-01-01']: Unsupported operation [=] in "
            "OVERWRITE "
            "WHERE clause.",
        ),
        (
            "__time LIKE '2000%'",
            "Invalid OVERWRITE WHERE clause [`__time` LIKE '2000%']: Unsupported operation [LIKE] in "
            "OVERWRITE WHERE clause.",
        ),
        (
            "__time > '2000-01-01'",
            "Invalid OVERWRITE WHERE clause [`__time` > '2000-01-01']: Cannot get a timestamp from sql expression "
            "['2000-01-01']",
        ),
        (
            "TIMESTAMP '2000-01-01' < __time",
            "Invalid OVERWRITE WHERE clause [TIMESTAMP '2000-01-01' < `__time`]: "
            "Expressions must be of the form __time <operator> TIMESTAMP",
        ),
        (
            "dim1 > TIMESTAMP '2000-01-01'",
            "OVERWRITE WHERE clause only supports filtering on the __time column, got [`dim1` > TIMESTAMP "
            "'2000-01-01']",
        ),
        (
            "__time > TIMESTAMP '2000-01-01' AND __time < TIMESTAMP '2000-01-01'",
            "The OVERWRITE WHERE clause [`__time` > TIMESTAMP '2000-01-01' AND `__time` < TIMESTAMP "
            "'2000-01-01'] produced "
            "no time intervals, are the bounds overly restrictive?",
        ),
        (
            "__time >= TIMESTAMP '2000-01-01 12:00:00' AND __time < TIMESTAMP '2000-01-02'",
            "OVERWRITE WHERE clause identified interval [2000-01-01T12:00:00.000Z/2000-01-02T00:00:00.000Z] "
            "which is not "
            "aligned with PARTITIONED BY granularity [{type=period, period=P1D, timeZone=UTC, origin=null}]",
        ),
        (
            "__time >= TIMESTAMP '2000-01-01'",
            "OVERWRITE WHERE clause identified interval [2000-01-01T00:00:00.000Z/146140482-04-24T15"
            ":36:27.903Z] which is "
            "not aligned with PARTITIONED BY granularity [{type=period, period=P1D, timeZone=UTC, origin=null}]",
        ),
    ],
)
def test_overwrite_where_refusals(condition: str, message: str) -> None:
    refused = refusal(f"REPLACE INTO w OVERWRITE WHERE {condition} SELECT __time FROM t PARTITIONED BY DAY")
    assert refused.message == message
    assert refused.to_json()["context"] == {"sourceType": "sql"}
    assert refused.envelope


def test_a_timestamp_that_is_none() -> None:
    refused = refusal("REPLACE INTO w OVERWRITE WHERE __time > TIMESTAMP '2000-02-30' SELECT 1 AS x PARTITIONED BY DAY")
    assert refused.message.startswith("Illegal TIMESTAMP literal '2000-02-30': not in format 'yyyy-MM-dd HH:mm:ss'")


EXPECTED = (
    "Expected 'SECOND', 'MINUTE', 'FIVE_MINUTE', 'TEN_MINUTE', 'FIFTEEN_MINUTE', 'THIRTY_MINUTE', 'HOUR', 'SIX_HOUR', "
    "'EIGHT_HOUR', 'DAY', 'MONTH', 'QUARTER', 'YEAR', 'ALL', ALL TIME, FLOOR() or TIME_FLOOR()"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'bogus'", f"Invalid granularity['bogus'] specified after PARTITIONED BY clause. {EXPECTED}"),
        ("bogus", f"Invalid granularity['bogus'] specified after PARTITIONED BY clause. {EXPECTED}"),
        ("'P2D'", f"Invalid granularity['P2D'] specified after PARTITIONED BY clause. {EXPECTED}"),
        (
            "TIME_FLOOR(__time, 'PT2H')",
            f"Invalid granularity['PT2H'] specified after PARTITIONED BY clause. {EXPECTED}",
        ),
        (
            "CEIL(__time TO DAY)",
            "Invalid operator[CEIL] specified. PARTITIONED BY clause only supports "
            "FLOOR(__time TO <unit>) and TIME_FLOOR(__time, period) functions.",
        ),
        ("TIME_FLOOR(__time)", "TIME_FLOOR in PARTITIONED BY clause must have 2 arguments, but only [1] provided."),
        (
            "TIME_FLOOR(__time, 'P1D', NULL, 'UTC')",
            "TIME_FLOOR in PARTITIONED BY clause must have 2 arguments, but only [4] provided.",
        ),
        (
            "FLOOR(dim1 TO DAY)",
            "Invalid argument[dim1] provided. The first argument to FLOOR in PARTITIONED BY clause must be __time.",
        ),
        (
            "TIME_FLOOR(__time, 1)",
            "Invalid argument[1] provided. The second argument to TIME_FLOOR in PARTITIONED BY "
            "clause must be a period like 'PT1H'.",
        ),
        ("TIME_FLOOR(__time, 'PX')", "granularity['PX'] is an invalid period literal."),
        ("FLOOR(__time TO DECADE)", "DECADE is not a valid period granularity for ingestion."),
    ],
)
def test_bad_granularities(text: str, message: str) -> None:
    refused = refusal(f"INSERT INTO w SELECT 1 AS x PARTITIONED BY {text}")
    assert refused.message == message
    assert (refused.status, refused.error_code, refused.persona) == (400, "invalidInput", "USER")
    assert refused.context == {"sourceType": "sql"}
    assert not refused.envelope


def test_a_first_argument_that_is_no_name() -> None:
    refused = refusal("INSERT INTO w SELECT 1 AS x PARTITIONED BY TIME_FLOOR(1 + 1, 'P1D')")
    assert "The first argument to TIME_FLOOR in PARTITIONED BY clause must be __time." in refused.message


@pytest.mark.parametrize(
    ("sql", "message", "envelope"),
    [
        (
            "INSERT INTO w SELECT 1 AS x",
            "Operation [INSERT] requires a PARTITIONED BY to be explicitly defined, but none was found.",
            True,
        ),
        (
            "REPLACE INTO w OVERWRITE ALL SELECT 1 AS x",
            "Operation [REPLACE] requires a PARTITIONED BY to be explicitly defined, but none was found.",
            True,
        ),
        (
            "INSERT INTO w SELECT 1 AS x CLUSTERED BY x",
            "CLUSTERED BY found before PARTITIONED BY, CLUSTERED BY must come after the PARTITIONED BY clause",
            False,
        ),
        (
            "INSERT INTO w SELECT 1 AS x CLUSTERED BY x PARTITIONED BY DAY",
            "CLUSTERED BY found before PARTITIONED BY, CLUSTERED BY must come after the PARTITIONED BY clause",
            False,
        ),
        (
            "INSERT INTO w SELECT 1 AS x PARTITIONED BY DAY CLUSTERED BY x, y DESC",
            "Invalid CLUSTERED BY clause [`y` DESC]: cannot sort in descending order.",
            True,
        ),
        (
            "INSERT INTO w SELECT 1 AS x PARTITIONED BY DAY CLUSTERED BY 0",
            "Ordinal [0] specified in the CLUSTERED BY clause is invalid. It must be a positive integer.",
            True,
        ),
        (
            "INSERT INTO w SELECT 1 AS x PARTITIONED BY DAY CLUSTERED BY -1",
            "Ordinal [-1] specified in the CLUSTERED BY clause is invalid. It must be a positive integer.",
            True,
        ),
        (
            "INSERT INTO w SELECT 1 AS x ORDER BY x PARTITIONED BY DAY",
            "Cannot use an ORDER BY clause on a Query of type [INSERT], use CLUSTERED BY instead",
            True,
        ),
        (
            "REPLACE INTO w OVERWRITE ALL SELECT 1 AS x UNION ALL SELECT 2 ORDER BY 1 PARTITIONED BY DAY",
            "Cannot use an ORDER BY clause on a Query of type [REPLACE], use CLUSTERED BY instead",
            True,
        ),
        (
            'INSERT INTO dst (a, "b") SELECT 1, 2 PARTITIONED BY ALL',
            "Operation [INSERT] cannot be run with a target column list, given [dst (`a`, `b`)]",
            True,
        ),
        ("UPSERT INTO w SELECT 1 AS x PARTITIONED BY ALL", "UPSERT is not supported.", True),
        (
            "INSERT INTO w OVERWRITE ALL SELECT 1 AS x PARTITIONED BY ALL",
            "An OVERWRITE clause is not allowed with INSERT statements. Use REPLACE statements if overwriting existing "
            "segments is required or remove the OVERWRITE clause.",
            False,
        ),
        (
            "REPLACE INTO w SELECT 1 AS x PARTITIONED BY ALL",
            "Missing time chunk information in OVERWRITE clause for REPLACE. Use OVERWRITE WHERE <__time based "
            "condition> "
            "or OVERWRITE ALL to overwrite the entire table.",
            True,
        ),
        (
            "REPLACE INTO w OVERWRITE SELECT 1 AS x PARTITIONED BY ALL",
            "Missing time chunk information in OVERWRITE clause for REPLACE. Use OVERWRITE WHERE <__time based "
            "condition> "
            "or OVERWRITE ALL to overwrite the entire table.",
            True,
        ),
        (
            "REPLACE INTO EXTERN(local(exportPath => '/x')) AS CSV OVERWRITE ALL SELECT 1 AS x",
            "REPLACE operations do no support EXTERN destinations. Use INSERT statements to write to an external "
            "destination.",
            True,
        ),
        (
            "INSERT INTO EXTERN(local(exportPath => '/x')) SELECT 1 AS x",
            "Exporting rows into an EXTERN destination requires an AS clause to specify the format, but none "
            "was found.",
            True,
        ),
        (
            "INSERT INTO w AS CSV SELECT 1 AS x PARTITIONED BY ALL",
            "The AS <format> clause should only be specified while exporting rows into an EXTERN destination.",
            True,
        ),
        (
            "INSERT INTO sys.x SELECT 1 AS x PARTITIONED BY ALL",
            "Table [sys.x] does not support operation [INSERT] because it is not a Druid datasource",
            True,
        ),
        ("INSERT INTO a.b.c SELECT 1 AS x PARTITIONED BY ALL", "Druid does not support 3+ part names: [a.b.c]", True),
        (
            "INSERT INTO EXTERN(local()) AS CSV SELECT 1 AS x",
            "Missing argument [exportPath] of EXTERN destination [local]",
            True,
        ),
        (
            "INSERT INTO EXTERN(s3(bucket => 'b', prefix => 'p', path => 'q')) AS CSV SELECT 1 AS x",
            "Unknown argument [path] of EXTERN destination [s3]",
            True,
        ),
        (
            "SELECT 1; SELECT 2",
            "Only SET statements can appear before the final statement in a statement list, but found "
            "non-SET statement[SELECT 1]",
            False,
        ),
        ("SET a = 1;", "Statement list is missing a non-SET statement to execute", False),
        ("SET a = 1 + 1; SELECT 1", "Assigned value must be a literal for SET statement[SET a = 1 + 1]", False),
        ("", "SQL query text is empty", False),
        ("-- nothing\n", "SQL query text is empty", False),
        ("SELEC 1", "Non-query expression encountered in illegal context", False),
        ("INSERT INTO w SELEC 1 PARTITIONED BY DAY", "Non-query expression encountered in illegal context", False),
        ("DELETE FROM w", "Unsupported SQL statement [DELETE]", False),
        ("DROP TABLE w", "Unsupported SQL statement [DROP]", False),
        ("SELECT ?", "No value bound for parameter (position [1])", True),
        (
            "SELECT 7 % 2",
            "Percent remainder '%' is not allowed under the current SQL conformance level, use MOD",
            False,
        ),
    ],
)
def test_refusals(sql: str, message: str, envelope: bool) -> None:
    refused = refusal(sql)
    assert refused.message == message
    assert refused.to_json() == {
        "error": "druidException",
        "errorCode": "invalidInput",
        "persona": "USER",
        "category": "INVALID_INPUT",
        "errorMessage": message,
        "context": {"sourceType": "sql"},
    }
    assert refused.envelope == envelope


def test_sql_outer_limit() -> None:
    refused = refusal("INSERT INTO w SELECT 1 AS x PARTITIONED BY ALL", {"sqlOuterLimit": 5})
    assert refused.message == "Context parameter [sqlOuterLimit] cannot be provided on operator [INSERT]"
    assert parsed("SELECT 1", {"sqlOuterLimit": 5}).context == {"sqlOuterLimit": 5}


@pytest.mark.parametrize("key", sorted(RESERVED_CONTEXT_KEYS))
def test_reserved_context_keys(key: str) -> None:
    for refused in (refusal("SELECT 1", {key: "x"}), refusal(f"SET {key} = 'x'; SELECT 1")):
        assert refused.message == f"Query context parameter [{key}] is not allowed"
        assert refused.context == {}
        assert not refused.envelope


def test_an_export_may_take_on_a_role() -> None:
    role = "assumeRoleArn => 'arn:aws:iam::1:role/x', assumeRoleExternalId => 'e'"
    sql = f"INSERT INTO EXTERN(s3(bucket => 'b', prefix => 'p', {role})) AS CSV SELECT 1 AS x"
    target = parse_statement(sql, {}, ()).target
    assert isinstance(target, ExportTarget)
    assert target.arguments == {
        "bucket": "b", "prefix": "p", "assumeRoleArn": "arn:aws:iam::1:role/x", "assumeRoleExternalId": "e",
    }  # fmt: skip


def test_export_with_partitions_is_unsupported() -> None:
    sql = "INSERT INTO EXTERN(local(exportPath => '/x')) AS CSV SELECT 1 AS x PARTITIONED BY ALL"
    refused = refusal(sql)
    assert refused.message == "Export statements do not support a PARTITIONED BY or CLUSTERED BY clause."
    assert (refused.status, refused.category) == (501, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("destination", "target"),
    [
        ("local(exportPath => '/out')", ExportTarget("local", {"exportPath": "/out"}, "csv")),
        ("LOCAL(\"exportPath\" => '/out')", ExportTarget("local", {"exportPath": "/out"}, "csv")),
        ("S3(bucket => 'b', prefix => 'p/q')", ExportTarget("s3", {"bucket": "b", "prefix": "p/q"}, "csv")),
    ],
)
def test_exports(destination: str, target: ExportTarget) -> None:
    statement = parsed(f"INSERT INTO EXTERN({destination}) AS CSV SELECT a FROM t ORDER BY a")
    assert statement.target == target
    assert statement.query.args["order"] is not None


def test_unknown_export_destination() -> None:
    refused = refusal("INSERT INTO EXTERN(ftp(host => 'h')) AS CSV SELECT 1 AS x")
    assert "Could not resolve type id 'ftp'" in refused.message
    assert refused.status == 400


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "must not be null"),
        (".x", "cannot start with '.'"),
        ("a/b", "cannot contain '/'"),
        ("a\tb", "contains illegal whitespace characters. Only space is allowed"),
        ("a\U0001f600", "contains illegal UTF8 character [#128512] at position [1]"),
        ("a\x01", "contains illegal UTF8 character [#1] at position [1]"),
    ],
)
def test_table_names(name: str, problem: str) -> None:
    refused = refusal(f'INSERT INTO "{name}" SELECT 1 AS x PARTITIONED BY ALL')
    assert refused.message == f"Invalid value for field [table]: Value [{name}] {problem}."


def test_table_names_that_are_fine() -> None:
    for name in ("a b", "wäsche", "a.b", "t-1", "日本"):
        assert parsed(f'INSERT INTO "{name}" SELECT 1 AS x PARTITIONED BY ALL').target == TableTarget("druid", name)


@pytest.mark.parametrize(
    "words",
    [
        "PLAN FOR",
        "PLAN INCLUDING ATTRIBUTES FOR",
        "PLAN INCLUDING ALL ATTRIBUTES FOR",
        "PLAN EXCLUDING ATTRIBUTES FOR",
        "PLAN WITH TYPE FOR",
        "PLAN WITHOUT IMPLEMENTATION FOR",
        "PLAN WITH IMPLEMENTATION AS JSON FOR",
        "PLAN AS XML FOR",
    ],
)
def test_explain(words: str) -> None:
    for sql, kind in (("SELECT 1", "SELECT"), ("INSERT INTO w SELECT 1 AS x PARTITIONED BY ALL", "INSERT")):
        statement = parsed(f"EXPLAIN {words} {sql}")
        assert (statement.explain, statement.kind) == (True, kind)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'text'", "text"),
        ("5", 5),
        ("-5", -5),
        ("5.0", 5),
        ("1.5", 1.5),
        ("TRUE", True),
        ("false", False),
        ("NULL", None),
        ("TIMESTAMP '2020-01-02 03:04:05'", "2020-01-02T03:04:05.000Z"),
        ("DATE '2020-01-02'", "2020-01-02T00:00:00.000Z"),
    ],
)
def test_set(literal: str, value: Any) -> None:
    statement = parsed(f"SET k = {literal}; SET other = 'x'; SELECT 1;", {"k": "old", "kept": 1})
    assert statement.context == {"k": value, "kept": 1, "other": "x"}
    assert type(statement.context["k"]) is type(value)


def test_empty_statements_are_nothing() -> None:
    assert parsed("SET a = 1; ;; SELECT 1 ;; ;").context == {"a": 1}


def test_set_takes_no_dots() -> None:
    assert "unexpected token [.]" in refusal("SET a.b = 1; SELECT 1").message


def test_parameters_stand_where_they_were_asked() -> None:
    parameters = [
        {"type": "VARCHAR", "value": "it's"},
        {"type": "BIGINT", "value": -7},
        {"type": "DOUBLE", "value": 2.5},
        {"type": "BOOLEAN", "value": True},
        {"type": "TIMESTAMP", "value": 946684800000},
        {"type": "DATE", "value": "2000-01-01"},
        {"type": "ARRAY", "value": ["a", 1, None]},
        {"type": "VARCHAR", "value": None},
        {"type": "DOUBLE", "value": 1e300},
    ]
    statement = parsed("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?", parameters=parameters)
    assert to_sql(statement.query) == (
        "SELECT 'it''s', -7, 2.5e0, TRUE, TIMESTAMP '2000-01-01 00:00:00.000', DATE '2000-01-01', ARRAY['a', 1, NULL], "
        "CAST(NULL AS VARCHAR), 1e+300"
    )
    assert isinstance(statement.query.expressions[4], TemporalLiteral)
    assert statement.parameters == tuple(parameters)


@pytest.mark.parametrize(
    "parameter", [{"type": "BIGINT", "value": "x"}, {"type": "ARRAY", "value": 1}, {"type": "NOSUCH", "value": 1}, 5]
)
def test_bad_parameters(parameter: Any) -> None:
    assert refusal("SELECT ?", parameters=[parameter]).message.startswith("Invalid query parameter")


def test_external_table_of_parameters() -> None:
    values = ['{"type":"inline","data":"1"}', '{"type":"json"}', '[{"name":"a","type":"long"}]']
    parameters = [{"type": "VARCHAR", "value": v} for v in values]
    statement = parsed("SELECT * FROM TABLE(EXTERN(?, ?, ?))", parameters=parameters)
    assert statement.query.args["from_"].this.source == {"type": "inline", "data": "1"}


def test_unknown_time_zone() -> None:
    sql = "REPLACE INTO w OVERWRITE WHERE __time >= TIMESTAMP '2000-01-01' SELECT 1 AS x PARTITIONED BY ALL"
    assert refusal(sql, {"sqlTimeZone": "Mars/Base"}).message == "The datetime zone id 'Mars/Base' is not recognised"


def test_overwrite_where_on_the_day_clocks_change() -> None:
    sql = (
        "REPLACE INTO w OVERWRITE WHERE __time >= TIMESTAMP '2024-03-10 02:30:00' AND __time < TIMESTAMP "
        "'2024-11-03 01:30:00' SELECT 1 AS x PARTITIONED BY MINUTE"
    )
    overwrite = parsed(sql.replace("MINUTE", "'minute'"), {"sqlTimeZone": "America/Los_Angeles"}).overwrite
    assert overwrite == OverwriteWhere((Interval.parse("2024-03-10T10:30:00Z/2024-11-03T08:30:00Z"),))
