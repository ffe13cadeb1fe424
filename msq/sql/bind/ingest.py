"""INSERT and REPLACE: rules for their output columns, CLUSTERED BY, and the destination they write to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from msq.catalog import Catalog
from msq.context import QueryContext
from msq.datatypes import STRING, ColumnType
from msq.expr.binding import refuse
from msq.expr.sqltypes import of_native
from msq.faults import DruidException, invalid_input, invalid_sql
from msq.intervals import ETERNITY
from msq.sql.bind.relation import Column, Sort
from msq.sql.bind.scope import Bound
from msq.sql.dialect import to_sql
from msq.sql.granularity import described
from msq.sql.nodes import position_of
from msq.sql.statement import ExportTarget, OverwriteAll, OverwriteWhere, Statement, TableTarget
from msq.stage.destination import (
    DataSourceDestination,
    Destination,
    DurableStorageDestination,
    ExportDestination,
    TaskReportDestination,
)  # fmt: skip


@dataclass(frozen=True)
class ClusterKey:
    """A CLUSTERED BY column: `output` is the output column it is, None for a hidden (computed, unselected) one."""

    column: Column
    output: str | None


def check_output(statement: Statement, bound: Bound) -> None:
    """Names and types of what an ingest writes. Raises invalid SQL."""
    names = [c.name for c in bound.columns]
    for at, name in enumerate(names):
        if name.startswith("EXPR$") and name == f"EXPR${at}":
            _refuse_unnamed(statement, at)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise invalid_sql(f"Duplicate field in SELECT: [{name}]")
        seen.add(name)
    if not isinstance(statement.target, TableTarget):
        return
    for column in bound.columns:
        if column.name == "__time" and column.type.name != "TIMESTAMP":
            raise invalid_sql(f"Field[__time] was the wrong type[{column.type}], expected TIMESTAMP")


def _refuse_unnamed(statement: Statement, at: int) -> None:
    node: exp.Expr = statement.query
    items = node.expressions if isinstance(node, exp.Select) else []
    position = position_of(items[at]) if at < len(items) else None
    refuse(
        "Insertion requires columns to be named, but at least one of the columns was unnamed.  This is usually the "
        "result of applying a function without having an AS clause, please ensure that all function calls are named "
        'with an AS clause as in "func(X) as myColumn".',
        position,
    )


def check_limits(statement: Statement) -> None:
    """LIMIT only with PARTITIONED BY ALL, OFFSET never."""
    granularity = statement.partitioned_by
    if granularity is None:
        return
    if statement.query.args.get("offset") is not None:
        raise invalid_sql("INSERT and REPLACE queries cannot have an OFFSET.")
    if statement.query.args.get("limit") is not None and not granularity.is_all:
        raise invalid_sql('INSERT and REPLACE queries cannot have a LIMIT unless PARTITIONED BY is "ALL".')


def check_time(statement: Statement, bound: Bound) -> None:
    """Without `__time` only PARTITIONED BY ALL."""
    granularity = statement.partitioned_by
    if granularity is None or granularity.is_all or any(c.name == "__time" for c in bound.columns):
        return
    raise invalid_input(
        f"The granularity [{described(granularity)}] specified in the PARTITIONED BY clause of the INSERT query is "
        "different from ALL. Therefore, the query must specify a time column (named __time)."
    )


def ordered_query(statement: Statement) -> exp.Expr:
    """The statement's query with CLUSTERED BY as its ORDER BY, which is what it means."""
    if not statement.clustered_by:
        return statement.query
    items = []
    for node in statement.clustered_by:
        item = exp.Ordered(this=node.copy())
        item.meta.update(node.meta)
        items.append(item)
    query: exp.Expr = statement.query.copy()
    query.set("order", exp.Order(expressions=items))
    return query


def cluster_keys(bound: Bound) -> tuple[ClusterKey, ...]:
    """The columns that the rows are clustered by, in order."""
    if not isinstance(bound.relation, Sort):
        return ()
    keys = []
    for key in bound.relation.keys:
        column = bound.relation.column(key.column)
        output = next((c.name for c in bound.columns if c.id == key.column), None)
        keys.append(ClusterKey(column, output))
    return tuple(keys)


def shown(key: ClusterKey, node: exp.Expr) -> str:
    """A CLUSTERED BY item as EXPLAIN shows it."""
    return key.output if key.output is not None else to_sql(node)


def outer_limit(statement: Statement) -> DruidException:
    return invalid_sql(f"Context parameter [sqlOuterLimit] cannot be provided on operator [{statement.kind}]")


def check_arrays(context: QueryContext, bound: Bound) -> None:
    """Arrays of numbers have no multi-value form."""
    if context.value("arrayIngestMode") != "mvd":
        return
    for column in bound.columns:
        element = column.native.element
        if element is not None and element.kind != "STRING":
            raise invalid_input(
                "Numeric arrays can only be ingested when 'arrayIngestMode' is set to 'array'. Current value of the "
                "parameter is[mvd]"
            )


def check_types(target: TableTarget, catalog: Catalog, context: QueryContext, bound: Bound) -> None:
    """A column may not hold arrays in some segments and multi-value strings in others (unless the context lets it)."""
    table = catalog.table(target.name)
    spared = set(context.value("skipTypeVerification") or ())
    mode = context.value("arrayIngestMode").lower()
    for column in bound.columns if table is not None else ():
        assert table is not None
        old, new = table.signature.type_of(column.name), column.native
        if old is None or column.name == "__time" or column.name in spared:
            continue
        stored_as_array = new.is_array and mode == "array"
        if not (stored_as_array and old == STRING) and not (old.is_array and not stored_as_array and _is_text(new)):
            continue
        shown = str(column.type)
        message = (
            f"Cannot write into field[{column.name}] using type[{shown}] and arrayIngestMode[{mode}], since the "
            f"existing type is[{of_native(old)}]"
        )
        if stored_as_array:
            message += f'. Try wrapping this field using ARRAY_TO_MV(...) AS "{column.name}"'
        elif new.is_array:
            message += f". Try setting arrayIngestMode to[array] to retain the SQL type[{shown}]"
        else:
            change = " setting arrayIngestMode to[array] and" if mode == "mvd" else ""
            message += f". Try{change} adjusting your query to make this column an ARRAY instead of VARCHAR"
        raise invalid_sql(message + _TYPE_HELP)


def _is_text(kind: ColumnType) -> bool:
    return kind == STRING or (kind.element is not None and kind.element == STRING)


def check_sort_order(context: QueryContext, keys: Sequence[ClusterKey], bound: Bound) -> None:
    """`segmentSortOrder` and CLUSTERED BY against `forceSegmentSortByTime`."""
    by_time = context.value("forceSegmentSortByTime")
    order = tuple(context.value("segmentSortOrder") or ())
    names = [c.name for c in bound.columns]
    for name in order:
        if name not in names:
            raise invalid_sql(
                f"Column[{name}] from context parameter[segmentSortOrder] does not appear in the query output"
            )
    if by_time and order and order[0] != "__time":
        raise invalid_sql(
            "Context parameter[segmentSortOrder] must start with[__time] unless context parameter"
            "[forceSegmentSortByTime] is set to[false]. " + _SORT_WARNING
        )
    if by_time and not order:
        for at, key in enumerate(keys):
            if at > 0 and key.output == "__time":
                raise invalid_sql(
                    f"Sort order (CLUSTERED BY) cannot include[__time] in position[{at}] unless context parameter"
                    "[forceSegmentSortByTime] is set to[false]. " + _SORT_WARNING
                )


_TYPE_HELP = (
    ". See https://druid.apache.org/docs/latest/querying/arrays#arrayingestmode for more details about this check and "
    "how to override it if needed."
)

_SORT_WARNING = (
    "Warning: support for segments not sorted by[__time] is experimental. Such segments are not readable by older "
    "version of Druid, and certain queries cannot run on them. See "
    "https://druid.apache.org/docs/latest/ingestion/partitioning#sorting for details before setting "
    "forceSegmentSortByTime to[false]."
)


def ingest_keys(statement: Statement) -> dict[str, Any]:
    """The context keys that an ingest or export adds."""
    keys: dict[str, Any] = {}
    if statement.partitioned_by is not None:
        keys["sqlInsertSegmentGranularity"] = json.dumps(statement.partitioned_by.to_json(), separators=(",", ":"))
    if isinstance(statement.overwrite, OverwriteAll):
        keys["sqlReplaceTimeChunks"] = "all"
    elif isinstance(statement.overwrite, OverwriteWhere):
        keys["sqlReplaceTimeChunks"] = ",".join(str(i) for i in statement.overwrite.intervals)
    if isinstance(statement.target, ExportTarget):
        keys["__exportFileFormat"] = statement.target.format.upper()
    return keys


def destination_of(statement: Statement, context: QueryContext) -> Destination:
    """Where the statement's rows go."""
    target = statement.target
    if isinstance(target, ExportTarget):
        return ExportDestination({"type": target.type, **target.arguments}, target.format)
    if target is None:
        durable = context.value("selectDestination").lower() == "durablestorage"
        return DurableStorageDestination() if durable else TaskReportDestination()
    chunks: tuple[str, ...] | None = None
    if isinstance(statement.overwrite, OverwriteAll):
        chunks = (str(ETERNITY),)
    elif isinstance(statement.overwrite, OverwriteWhere):
        chunks = tuple(str(i) for i in statement.overwrite.intervals)
    assert statement.partitioned_by is not None
    order = tuple(context.value("segmentSortOrder") or ())
    return DataSourceDestination(target.name, statement.partitioned_by, order, chunks)
