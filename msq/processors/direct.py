"""Projections that Arrow computes without DuckDB: columns as they are, and ISO-8601 timestamps.

Only where the result is certain to be what the lowering gives; a batch that is not sure is left to DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import LONG, STRING, RowSignature
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.parser import parse
from msq.native.virtual import ExpressionVirtualColumn
from msq.processors.lowering import Projection

Kernel = Callable[[Any], Any | None]
"""Batch -> column, or None when DuckDB must do it."""

_UTC_MS = pa.timestamp("ms", tz="UTC")
_LOCAL_MS = pa.timestamp("ms")


def parse_iso(array: Any) -> Any | None:
    """ms of ISO-8601 texts in UTC or with offsets (int64); None unless Arrow reads every text as Druid does."""
    if pa.types.is_dictionary(array.type):
        values = parse_iso(array.dictionary)
        return None if values is None else values.take(array.indices)
    if not pa.types.is_string(array.type):
        return None
    first = next((v for v in array[:16].to_pylist() if v), None)
    zoned = first is not None and len(first) > 10 and (first[-1] == "Z" or first[-6] in "+-")
    try:
        return pc.cast(array, _UTC_MS if zoned else _LOCAL_MS).cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _column(name: str, kind: Any, wanted: Any) -> Kernel | None:
    return (lambda batch: batch.column(name)) if kind == wanted else None


def iso_parse_column(node: Node) -> str | None:
    """The column that `timestamp_parse(column, null, 'UTC')` parses."""
    if not isinstance(node, Call) or node.function != "timestamp_parse" or not 1 <= len(node.args) <= 3:
        return None
    column, *rest = node.args
    zone = rest[1] if len(rest) > 1 else None
    pattern = rest[0] if rest else None
    if not isinstance(column, Identifier):
        return None
    if pattern is not None and not (isinstance(pattern, Literal) and pattern.value is None):
        return None
    if zone is not None and not (isinstance(zone, Literal) and zone.value in (None, "UTC", "Etc/UTC")):
        return None
    return column.name


@dataclass(frozen=True)
class DirectColumns:
    """Kernels for all outputs of a projection."""

    outputs: RowSignature
    kernels: tuple[Kernel, ...]

    @staticmethod
    def of(plan: Projection) -> DirectColumns | None:
        """None when the projection filters, or computes something that has no kernel here."""
        if plan.condition is not None:
            return None
        virtual = {v.output: v for v in plan.virtuals}
        made: list[Kernel] = []
        for column in plan.outputs:
            kernel = None
            if column.name in virtual:
                expression = virtual[column.name]
                if isinstance(expression, ExpressionVirtualColumn):
                    kernel = _kernel(plan, expression, virtual)
            elif column.name in plan.source:
                kernel = _column(column.name, plan.source.type_of(column.name), column.type)
            if kernel is None:
                return None
            made.append(kernel)
        return DirectColumns(plan.outputs, tuple(made))

    def compute(self, batch: Any) -> Any | None:
        """The outputs of one batch; None when it must go through DuckDB."""
        columns = []
        for kernel in self.kernels:
            column = kernel(batch)
            if column is None:
                return None
            columns.append(column)
        if not columns:
            return batch.select([])
        return pa.RecordBatch.from_arrays(columns, names=list(self.outputs.names))


def _kernel(plan: Projection, column: ExpressionVirtualColumn, virtual: dict[str, Any]) -> Kernel | None:
    node = parse(column.expression)
    if isinstance(node, Identifier) and node.name not in virtual:
        return _column(node.name, plan.source.type_of(node.name), column.column_type)
    name = iso_parse_column(node)
    if name is not None and name not in virtual and column.column_type == LONG and plan.source.type_of(name) == STRING:
        return lambda batch: parse_iso(batch.column(name))
    return None
