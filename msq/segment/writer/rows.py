"""The rows of one segment on their way into it: each dimension prepared once, their common order found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from msq.datatypes import LONG
from msq.mapped import let_go
from msq.segment.schema import TIME, DimensionSchema, SegmentSchema
from msq.segment.writer.columns import numbers_and_nulls
from msq.segment.writer.dictionary import encode_strings
from msq.segment.writer.dimensions import Prepared, StringsDimension, prepare
from msq.segment.writer.generic import Array
from msq.segment.writer.sort import RowOrder, SortKey, id_key, number_keys, sort_order


class SegmentRows:
    """An Arrow table with the columns of a schema. Dimensions are prepared when first needed and kept until written.

    With `low_memory` those prepared for sorting are prepared anew for writing: one at a time is held.
    """

    def __init__(self, table: Any, schema: SegmentSchema, low_memory: bool = False) -> None:
        missing = [name for name in schema.column_names if name not in table.column_names]
        if missing:
            raise ValueError(f"Columns [{', '.join(missing)}] of the segment are not among {table.column_names}")
        self.table = table
        self.schema = schema
        self.low_memory = low_memory
        self.times, self.null_times = numbers_and_nulls(table.column(TIME), LONG)
        self._dimensions = {d.name: d for d in schema.dimensions}
        self._prepared: dict[str, Prepared] = {}

    def prepared(self, name: str) -> Prepared:
        if name not in self._prepared:
            self._prepared[name] = prepare(self.table.column(name), self._dimensions[name])
        return self._prepared[name]

    def release(self, name: str) -> None:
        """Forget the prepared form of a dimension that is written."""
        self._prepared.pop(name, None)

    def order(self, threads: int = 1) -> RowOrder:
        """Ascending by `__time` (at its place) and the dimensions, nulls first; `threads` dimensions are prepared side
        by side, as far as the order needs them.

        Dimensions behind a JSON column do not take part, because JSON has no order here; with roll-up, whose groups
        must stand together, JSON goes by its text.
        """
        if threads <= 1 or self.low_memory:
            return sort_order(self._keys(self.schema.sort_names), self.table.num_rows)
        with ThreadPoolExecutor(threads, thread_name_prefix="segment-dimension") as pool:
            return sort_order(self._keys(self._prepared_ahead(pool, threads)), self.table.num_rows)

    def _prepared_ahead(self, pool: ThreadPoolExecutor, threads: int) -> Iterator[str]:
        """The columns to sort by, with dimensions prepared when they come, and the following ones begun."""
        names = self.schema.sort_names
        begun: dict[str, Future[Prepared]] = {}
        for at, name in enumerate(names):
            for following in names[at : at + threads]:
                if following != TIME and following not in begun and not self.is_json(following):
                    begun[following] = pool.submit(self.prepared, following)
            if name in begun:
                begun[name].result()
            yield name

    def _keys(self, names: Iterable[str]) -> Iterator[SortKey]:
        for name in names:
            if name == TIME:
                yield from number_keys(self.times, self.null_times)
            elif not self.is_json(name):
                yield from self.prepared(name).keys()
                if self.low_memory:
                    self.release(name)
                    let_go()
            elif self.schema.rollup:
                texts = encode_strings(self.table.column(name))
                yield id_key(texts.ids, texts.cardinality)
            else:
                return

    def ordering(self) -> list[str]:
        """The columns that `order` really orders by."""
        out: list[str] = []
        for name in self.schema.sort_names:
            if name != TIME and self.is_json(name):
                break
            out.append(name)
        return out

    def is_json(self, name: str) -> bool:
        return is_json_dimension(self._dimensions[name], self.table.column(name))

    def in_order(self, order: Array | None) -> Any:
        """The table with its rows in `order`, string columns encoded with a sorted dictionary."""
        take = None if order is None else pa.array(order)
        out = []
        for name in self.table.column_names:
            prepared = self.prepared(name) if name in self._dimensions else None
            if isinstance(prepared, StringsDimension):
                out.append(prepared.to_arrow(order))
            else:
                column = self.table.column(name)
                out.append(column if take is None else column.take(take))
        return pa.table(out, names=self.table.column_names)


def is_json_dimension(dimension: DimensionSchema, column: Any) -> bool:
    """Whether rows arrive as JSON text: the `json` kind or type, and `auto` without a type when its data is text."""
    if dimension.kind == "json" or (dimension.type is not None and dimension.type.is_json):
        return True
    if dimension.kind != "auto" or dimension.type is not None:
        return False
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))
