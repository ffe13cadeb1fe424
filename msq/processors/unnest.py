"""UNNEST: one row for each element of an array or of the several values of a string."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msq.datatypes import RowSignature, array_of
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn, Lowered, LowerEnv, as_array, as_output, lower
from msq.expr.virtual import virtual_node
from msq.native.datasource import UnnestDataSource
from msq.processors.lowering import framed, groups, input_columns, quoted, stream_query, with_columns
from msq.protocol import ExecutionContext


def unnest(
    ctx: ExecutionContext, connection: Any, source: UnnestDataSource, base: RowSignature, columns: Sequence[str],
    batches: Iterator[Any], stored: bool,
) -> Iterator[Any]:  # fmt: skip
    """Batches of `columns`, which may hold the unnested one, from batches of `base`.

    A row without elements gives no row; over a `stored` multi-value column it gives one null, as in Druid.
    """
    env = LowerEnv(ctx.services.get("lookups") or {})
    output = source.virtual_column.output
    element = source.virtual_column.column_type.element or source.virtual_column.column_type
    made = RowSignature((n, element if n == output else _type(base, n)) for n in columns)
    for schema, members in groups(with_columns(batches)):
        scope = input_columns(schema, base)
        values = as_array(lower(virtual_node(source.virtual_column), scope, env))
        values = as_output(values, array_of(element))
        lists = _with_nulls(values) if stored and not source.virtual_column.column_type.is_array else values.sql
        inner = [c.sql_name for n, c in scope.items() if n != output]
        select = ", ".join([*inner, f"unnest({lists}) AS {quoted(output)}"])
        where = ""
        if source.unnest_filter is not None:
            # the filter may also read columns of the base
            below = {n: c for n, c in scope.items() if n != output}
            below[output] = InputColumn(quoted(output), element)
            where = f" WHERE {lower_filter(source.unnest_filter, below, env)}"
        outs = ", ".join(quoted(n) for n in columns) or "1 AS __row"
        sql = f"SELECT {outs} FROM (SELECT {select} FROM __input){where}"
        for batch in stream_query(connection, sql, schema, members, ctx.max_batch_rows):
            yield framed(batch, made) if columns else batch


def _type(base: RowSignature, name: str) -> Any:
    kind = base.type_of(name)
    if kind is None:
        raise LookupError(f"Column [{name}] is not among the columns that UNNEST reads")
    return kind


def _with_nulls(values: Lowered) -> str:
    return f"(CASE WHEN len({values.sql}) > 0 THEN {values.sql} ELSE [NULL] END)"
