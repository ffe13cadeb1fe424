"""A statement: what a SQL text asks for, before names and types are resolved.

`parse_statement` reads `[SET ..;] [EXPLAIN PLAN ..] {SELECT | INSERT | REPLACE}` and checks all that needs neither
tables nor types: clauses and their order, PARTITIONED BY, OVERWRITE, CLUSTERED BY, the context's reserved keys, and
external tables' arguments. The query inside is a tree of the nodes listed in `dialect`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from msq.faults import DruidException, invalid_input, invalid_sql
from msq.intervals import Granularity, Interval
from msq.sql.cursor import too_deep
from msq.sql.dialect import to_message
from msq.sql.nodes import Query
from msq.sql.overwrite import intervals_of
from msq.sql.shell import Destination, Script, StatementGrammar
from msq.sql.temporal import session_zone

_RESERVED_KEYS = """
sqlInsertSegmentGranularity sqlReplaceTimeChunks timestampResultField timestampResultFieldGranularity
timestampResultFieldInOriginalDimensions minTimeArrayOutputName maxTimeArrayOutputName __timeColumn
__exportFileFormat isReindex
"""
RESERVED_CONTEXT_KEYS = frozenset(_RESERVED_KEYS.split())
"""Context keys that the planner sets and no user may."""


EXPORT_ARGUMENTS = {"local": ("exportPath",), "s3": ("bucket", "prefix"), "google": ("bucket", "prefix")}
"""Destinations of an export and their arguments, all of them required."""
_EXPORT_OPTIONS = {"s3": ("assumeRoleArn", "assumeRoleExternalId")}
"""Arguments that may be left out."""


@dataclass(frozen=True)
class TableTarget:
    """The table that an ingest writes. `schema` is the first part of a two-part name, `druid` for a bare one."""

    schema: str
    name: str


@dataclass(frozen=True)
class ExportTarget:
    """Where an export writes: `INSERT INTO EXTERN(type(arguments)) AS format`; the type in lower case."""

    type: str
    arguments: Mapping[str, str]
    format: str


Target = TableTarget | ExportTarget


@dataclass(frozen=True)
class OverwriteAll:
    """OVERWRITE ALL: every segment of the table."""


@dataclass(frozen=True)
class OverwriteWhere:
    """OVERWRITE WHERE: condensed half-open UTC intervals, aligned to PARTITIONED BY."""

    intervals: tuple[Interval, ...]


Overwrite = OverwriteAll | OverwriteWhere


@dataclass(frozen=True)
class Statement:
    """`kind` is SELECT, INSERT or REPLACE, of the explained statement when `explain`.

    `query` never has the statement's own PARTITIONED BY or CLUSTERED BY. `partitioned_by` is None for a SELECT and an
    export. `clustered_by` are expressions, ordinals among them as number literals. `context` is the request's with SET
    on top. `parameters` are the values that stand in the query in place of its `?`.
    """

    kind: str
    explain: bool
    target: Target | None
    query: Query
    partitioned_by: Granularity | None
    clustered_by: tuple[exp.Expr, ...]
    overwrite: Overwrite | None
    context: dict[str, Any]
    parameters: tuple[Any, ...] = ()
    text: str = field(default="", repr=False)


def parse_statement(sql: str, context: Mapping[str, Any], parameters: Sequence[Any] = ()) -> Statement:
    """The statement that `sql` says under a query context.

    `parameters` are the request's, `{"type": "VARCHAR", "value": ..}` each; they take the place of the `?` in order.
    Raises DruidException for everything that is no valid statement.
    """
    try:
        script = StatementGrammar(sql, parameters).script()
    except RecursionError:
        raise too_deep() from None
    merged = {**context, **script.settings}
    for key in merged:
        if key in RESERVED_CONTEXT_KEYS:
            raise invalid_input(f"Query context parameter [{key}] is not allowed", envelope=False)
    return _checked(script, merged, sql, tuple(parameters))


def _checked(script: Script, context: dict[str, Any], sql: str, parameters: tuple[Any, ...]) -> Statement:
    """The statement of a script whose parts fit together."""
    kind = script.kind
    if kind == "SELECT":
        return Statement(kind, script.explain, None, script.query, None, (), None, context, parameters, sql)
    if kind == "UPSERT":
        raise invalid_sql("UPSERT is not supported.")
    if context.get("sqlOuterLimit") is not None:
        raise invalid_sql(f"Context parameter [sqlOuterLimit] cannot be provided on operator [{kind}]")
    if script.columns is not None:
        raise invalid_sql(f"Operation [{kind}] cannot be run with a target column list, given [{script.columns}]")
    if script.destination is not None:
        target: Target = _export(script, script.destination)
        return Statement(kind, script.explain, target, script.query, None, (), None, context, parameters, sql)
    if script.format is not None:
        raise invalid_sql(
            "The AS <format> clause should only be specified while exporting rows into an EXTERN destination."
        )
    target = _table(script.table, kind)
    overwrite: Overwrite | None = None
    if kind == "REPLACE" and script.overwrite is None:
        raise invalid_sql(
            "Missing time chunk information in OVERWRITE clause for REPLACE. Use OVERWRITE WHERE <__time based "
            "condition> or OVERWRITE ALL to overwrite the entire table."
        )
    if script.query.args.get("order") is not None:
        raise invalid_sql(f"Cannot use an ORDER BY clause on a Query of type [{kind}], use CLUSTERED BY instead")
    if script.partitioned_by is None:
        raise invalid_sql(f"Operation [{kind}] requires a PARTITIONED BY to be explicitly defined, but none was found.")
    granularity = script.partitioned_by
    clustered_by = _clustered_by(script)
    if isinstance(script.overwrite, exp.Expr):
        zone = session_zone(context)
        overwrite = OverwriteWhere(intervals_of(script.overwrite, script.overwrite_text, granularity, zone))
    elif script.overwrite is not None:
        overwrite = OverwriteAll()
    return Statement(
        kind, script.explain, target, script.query, granularity, clustered_by, overwrite, context, parameters, sql
    )


def _export(script: Script, destination: Destination) -> ExportTarget:
    if script.kind == "REPLACE":
        raise invalid_sql(
            "REPLACE operations do no support EXTERN destinations. Use INSERT statements to write to an external "
            "destination."
        )
    if script.partitioned_by is not None or script.clustered_by is not None:
        raise DruidException(
            "Export statements do not support a PARTITIONED BY or CLUSTERED BY clause.", error_code="general",
            category="UNSUPPORTED",
        )  # fmt: skip
    if script.format is None:
        raise invalid_sql(
            "Exporting rows into an EXTERN destination requires an AS clause to specify the format, but none was found."
        )
    if script.format.upper() != "CSV":
        raise invalid_sql(f"Format [{script.format}] is not supported for exports, the only format is [CSV]")
    kind = destination.type.lower()
    wanted = EXPORT_ARGUMENTS.get(kind)
    if wanted is None:
        known = ", ".join(EXPORT_ARGUMENTS)
        raise invalid_input(
            f"Could not resolve type id '{destination.type}' as a subtype of [ExportStorageProvider] known type ids = "
            f"[{known}]"
        )
    for key in wanted:
        if key not in destination.arguments:
            raise invalid_sql(f"Missing argument [{key}] of EXTERN destination [{kind}]")
    for key in destination.arguments:
        if key not in (*wanted, *_EXPORT_OPTIONS.get(kind, ())):
            raise invalid_sql(f"Unknown argument [{key}] of EXTERN destination [{kind}]")
    return ExportTarget(kind, destination.arguments, script.format.lower())


def _table(parts: tuple[str, ...], kind: str) -> TableTarget:
    if len(parts) > 2:
        raise invalid_sql(f"Druid does not support 3+ part names: [{'.'.join(parts)}]")
    schema, name = parts if len(parts) == 2 else ("druid", parts[0])
    if schema != "druid":
        raise invalid_sql(
            f"Table [{schema}.{name}] does not support operation [{kind}] because it is not a Druid datasource"
        )
    _check_table_name(name)
    return TableTarget(schema, name)


def _check_table_name(name: str) -> None:
    """Druid's rules for what a datasource, and so a folder, may be called."""
    problem = None
    if not name:
        problem = "must not be null"
    elif name.startswith("."):
        problem = "cannot start with '.'"
    elif "/" in name:
        problem = "cannot contain '/'"
    elif any(c != " " and c.isspace() for c in name):
        problem = "contains illegal whitespace characters. Only space is allowed"
    else:
        for at, c in enumerate(name):
            if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) <= 0xF8FF or ord(c) >= 0xFFF0:
                problem = f"contains illegal UTF8 character [#{ord(c)}] at position [{at}]"
                break
    if problem is not None:
        raise invalid_input(f"Invalid value for field [table]: Value [{name}] {problem}.")


def _clustered_by(script: Script) -> tuple[exp.Expr, ...]:
    out: list[exp.Expr] = []
    for item in script.clustered_by or ():
        inner = item.this
        if item.args.get("desc"):
            raise invalid_sql(f"Invalid CLUSTERED BY clause [{to_message(item)}]: cannot sort in descending order.")
        number = -1 if isinstance(inner, exp.Neg) else 1
        literal = inner.this if isinstance(inner, exp.Neg) else inner
        if isinstance(literal, exp.Literal) and not literal.is_string and number * float(str(literal.this)) < 1:
            raise invalid_sql(
                f"Ordinal [{number * int(float(str(literal.this)))}] specified in the CLUSTERED BY clause is invalid. "
                "It must be a positive integer."
            )
        out.append(inner)
    return tuple(out)
