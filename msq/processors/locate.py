"""Where a computed column failed: the row and the column, found again after the statement as a whole has failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from msq.datatypes import RowSignature
from msq.faults import DruidExceptionFault, InvalidFieldFault, MSQError
from msq.native.datasource import DataSource, ExternalDataSource
from msq.processors.lowering import Projection, project
from msq.protocol import ExecutionContext


def describe_source(ctx: ExecutionContext, source: DataSource) -> str:
    """How Druid's messages name where rows come from."""
    leaf = next(s for s in source.walk() if not s.children())
    if isinstance(leaf, ExternalDataSource):
        from msq.sources.base import parse_input_source

        return f"external input source: {parse_input_source(leaf.input_source).describe()}"
    spec = ctx.stage.input[0] if ctx.stage.input else None
    table = getattr(spec, "data_source", None)
    if isinstance(table, str):
        return f"table[{table}]"
    return f"stage[{getattr(spec, 'stage', ctx.stage.number)}]"


def invalid_field(
    ctx: ExecutionContext, source: DataSource, plan: Projection, batches: Iterator[Any], error: MSQError
) -> MSQError:
    """The InvalidField error for the first row and column of `batches` (the piece that failed, read anew) that fails;
    `error` itself when it cannot be found again."""
    before = 0
    connection = ctx.connection()
    virtual = {v.output for v in plan.virtuals}
    computed = [c for c in plan.outputs if c.name in virtual]
    plans = [(c.name, replace(plan, outputs=RowSignature([c]))) for c in computed]
    for batch in batches:
        ctx.check_cancelled()
        found: tuple[int, str, str] | None = None
        for name, one in plans:
            hit = _first_failure(connection, one, batch)
            if hit is not None and (found is None or hit[0] < found[0]):
                found = (hit[0], name, hit[1])
        if found is not None:
            row, name, message = found
            where = describe_source(ctx, source)
            at = before + row + 1
            text = f"Error[{message}] while writing a field for source[{where}], rowNumber[{at}], column[{name}]."
            return MSQError(InvalidFieldFault(where, name, at, message, text))
        before += batch.num_rows
    return error


def _first_failure(connection: Any, plan: Projection, batch: Any) -> tuple[int, str] | None:
    """The first row of `batch` for which the projection fails, and what it says."""
    message = _failure(connection, plan, batch)
    if message is None:
        return None
    low, high = 0, batch.num_rows  # the first failing row is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        said = _failure(connection, plan, batch.slice(low, middle - low))
        if said is None:
            low = middle
        else:
            high, message = middle, said
    return low, message


def _failure(connection: Any, plan: Projection, batch: Any) -> str | None:
    try:
        for _ in project(connection, plan, iter([batch]), batch.num_rows):
            pass
    except MSQError as error:
        if isinstance(error.fault, DruidExceptionFault):
            return error.fault.error_message
        raise
    return None
