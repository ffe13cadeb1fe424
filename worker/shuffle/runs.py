"""Sorted runs: rows ordered by partition or key, in memory (as a permutation) or spilled to a file (in order)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from msq.frame.frame import one_batch, unify
from msq.frame.order import estimate_distinct
from msq.mapped import open_arrow_file
from worker.outputs.ipc import plain_batch, write_file


class Run:
    """`table` in stored order; `order`: the rows in sorted order (None: stored so). `count`: sorted rows, which may be
    fewer than are stored when the sort is limited."""

    def __init__(self, table: Any, order: Any | None, count: int) -> None:
        self.table = table
        self.order = order
        self.count = count

    def columns(self, names: Sequence[str]) -> list[Any]:
        return [self.table.column(n) for n in names]

    def read(self, start: int, stop: int, block_rows: int, ordered: bool = True, threads: int = 1) -> Iterator[Any]:
        """Rows start to stop of the sorted order, as batches of at most `block_rows`.

        `ordered` false: the same rows in stored order, which is cheaper. `threads` batches are gathered ahead.
        """
        order = self.order
        if order is not None and not ordered and stop > start:
            chosen = np.sort(order[start:stop])
            if int(chosen[-1]) - int(chosen[0]) == stop - start - 1:
                order, start, stop = None, int(chosen[0]), int(chosen[-1]) + 1
            else:
                order, start, stop = chosen, 0, len(chosen)
        blocks = [(at, min(at + block_rows, stop)) for at in range(start, stop, block_rows)]
        if order is None:
            for at, end in blocks:
                for batch in self.table.slice(at, end - at).to_batches():
                    if batch.num_rows:
                        yield batch
            return

        def gathered(block: tuple[int, int]) -> Any:
            return one_batch(self.table.take(pa.array(order[slice(*block)])))

        if threads <= 1 or len(blocks) <= 1:
            yield from map(gathered, blocks)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="gather") as pool:
            ahead: deque[Future[Any]] = deque()
            try:
                for block in blocks:
                    ahead.append(pool.submit(gathered, block))
                    if len(ahead) > threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


_ENCODE_ROWS = 50_000
_ENCODE_SHARE = 0.1
_ENCODE_VALUES = 100_000
_ONE_ARRAY_BYTES = 1 << 31


def held_table(batches: list[Any], threads: int = 1, spilled: bool = False) -> Any:
    """One table of batches that may differ in the form of a column; dictionaries are made common. Takes the batches
    out of the list, so that it need not hold a column twice for longer than it takes to copy it.

    Rows are gathered from it over and over, so columns become single arrays: from several chunks, every gathering would
    copy the whole column. Text columns of which many rows share a value become dictionaries, unless the rows are to be
    `spilled`.
    """
    table = unify(batches)
    batches.clear()
    if any(pa.types.is_dictionary(t) for t in table.schema.types):
        table = table.unify_dictionaries()
    names, rows = table.schema.names, table.num_rows
    if rows < _ENCODE_ROWS:
        return table
    columns = list(table.columns)
    del table
    most = min(_ENCODE_SHARE * rows, _ENCODE_VALUES)

    def prepared(number: int) -> Any:
        column, columns[number] = columns[number], None
        if not spilled and pa.types.is_string(column.type) and estimate_distinct(column) <= most:
            column = column.dictionary_encode()
        if column.num_chunks <= 1 or column.nbytes >= _ONE_ARRAY_BYTES:
            return column
        return pa.chunked_array([column.combine_chunks()])

    with ThreadPoolExecutor(max(threads, 1), thread_name_prefix="gather") as pool:
        made = list(pool.map(prepared, range(len(names))))
    return pa.Table.from_arrays(made, names=names)


def spilled_run(path: Path, batches: Iterator[Any]) -> Run:
    """Writes sorted `batches` of one schema to `path` and maps them back. At least one batch is needed."""
    first = plain_batch(next(batches))
    count = 0

    def everything() -> Iterator[Any]:
        nonlocal count
        count += first.num_rows
        yield first
        for batch in batches:
            plain = plain_batch(batch)
            count += plain.num_rows
            yield plain

    write_file(path, first.schema, everything())
    return Run(open_arrow_file(path).read_all(), None, count)
