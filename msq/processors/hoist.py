"""ISO timestamps parsed by Arrow before DuckDB sees the rows: `timestamp_parse` of a column becomes a column.

The kernel inside DuckDB is Python's and takes many times longer. A batch that Arrow is not sure of goes through the
lowering, so results are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from msq.aggregate import scratch
from msq.aggregate.base import quote
from msq.datatypes import LONG, STRING, RowSignature
from msq.expr.lower import InputColumn, as_output, lower
from msq.expr.nodes import Call, Identifier, Node, transform
from msq.expr.parser import parse
from msq.expr.printer import to_text
from msq.native.virtual import ExpressionVirtualColumn, VirtualColumn
from msq.processors.direct import iso_parse_column, parse_iso

_PREFIX = "__iso_"


@dataclass(frozen=True)
class Hoisted:
    """`virtual_columns` over `signature`: the source's columns and those of `parsed` (name to text column)."""

    virtual_columns: tuple[VirtualColumn, ...]
    signature: RowSignature
    parsed: Mapping[str, str]

    def source_columns(self, reads: Sequence[str]) -> tuple[str, ...]:
        """What must be read of the source for `reads` of `signature`."""
        return tuple(dict.fromkeys(self.parsed.get(name, name) for name in reads))

    def columns(self, batches: Iterator[pa.RecordBatch], reads: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The batches of the source with exactly the columns `reads`, parsed ones made."""
        if not any(name in self.parsed for name in reads):
            yield from batches
            return
        for batch in batches:
            columns = [self._column(batch, name) for name in reads]
            yield pa.record_batch(columns, names=list(reads))

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        source = self.parsed.get(name)
        return batch.column(name) if source is None else _parsed(batch.column(source), source)


def hoist(virtual_columns: Sequence[VirtualColumn], signature: RowSignature) -> Hoisted:
    """The virtual columns with every ISO parse of a text column replaced by a column of its own."""
    computed = {v.output for v in virtual_columns}
    parsed: dict[str, str] = {}

    def change(node: Node) -> Node | None:
        name = iso_parse_column(node) if isinstance(node, Call) else None
        if name is None or name in computed or signature.type_of(name) != STRING:
            return None
        parsed[_PREFIX + name] = name
        return Identifier(_PREFIX + name)

    made = []
    for column in virtual_columns:
        if isinstance(column, ExpressionVirtualColumn):
            node = parse(column.expression)
            changed = transform(node, change)
            if changed != node:
                column = replace(column, expression=to_text(changed))
        made.append(column)
    return Hoisted(tuple(made), RowSignature([*signature, *((name, LONG) for name in parsed)]), parsed)


def _parsed(texts: Any, name: str) -> Any:
    made = parse_iso(texts)
    if made is not None:
        return made
    several = pa.types.is_list(texts.type)
    node = parse(f"timestamp_parse({to_text(Identifier(name))},null,'UTC')")
    lowered = as_output(lower(node, {name: InputColumn(quote(name), STRING, several)}), LONG)
    return scratch.column(lowered.sql, {name: texts}).cast(pa.int64())
