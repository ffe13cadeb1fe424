"""Inline rows and lookups as inputs: both are small tables made in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from msq.catalog import Lookups
from msq.counters import ChannelCounter
from msq.datatypes import STRING, RowSignature, arrow_type
from msq.native.datasource import InlineDataSource
from worker.inputs.base import Piece, PieceInput, limited

LOOKUP_SIGNATURE = RowSignature([("k", STRING), ("v", STRING)])


def inline_batch(source: InlineDataSource) -> Any:
    """The rows of an inline data source in frame layout."""
    columns = []
    for at, column in enumerate(source.signature):
        values: list[Any] = [row[at] for row in source.rows]
        lists = column.type.kind == "STRING" and any(isinstance(v, (list, tuple)) for v in values)
        if lists:
            values = [v if v is None or isinstance(v, (list, tuple)) else [v] for v in values]
        elif column.type.kind in ("DOUBLE", "FLOAT"):
            # JSON has no words for these numbers: they travel as texts
            values = [None if v is None else float(v) for v in values]
        elif column.type.kind == "LONG":
            values = [None if v is None else int(v) for v in values]
        columns.append(pa.array(values, arrow_type(column.type, lists)))
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(source.rows), pa.struct([])))
    return pa.RecordBatch.from_arrays(columns, names=list(source.column_names))


def open_table(batch: Any, signature: RowSignature, counter: ChannelCounter | None) -> PieceInput:
    """One piece that is `batch`; counts a file when it is read, unless `counter` is None."""

    def read(columns: Sequence[str] | None, max_rows: int | None) -> Iterator[Any]:
        if counter is not None and not counter.total("files"):
            counter.add(0, files=1)
        chosen = batch if columns is None else batch.select(list(columns))
        return limited(iter([chosen]), max_rows)

    return PieceInput(signature, (0,), [Piece(0, read)])


def lookup_batch(name: str, lookups: Lookups) -> Any:
    """The lookup as a table `k`, `v`. Raises LookupError for an unknown one."""
    found = lookups.get(name)
    if found is None:
        raise LookupError(f"Lookup [{name}] not found")
    return pa.RecordBatch.from_arrays(
        [pa.array(list(found), pa.string()), pa.array(list(found.values()), pa.string())], names=["k", "v"]
    )
