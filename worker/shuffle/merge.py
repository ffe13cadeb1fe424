"""Merging sorted streams of batches: blocks of all streams are sorted together up to the least of their last keys.

Memory: one block of every stream, and the sorted result of one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from msq.frame.frame import one_batch, unify
from msq.frame.keys import ClusterBy
from msq.frame.order import key_words, permutation


class Stream:
    """A sorted stream of batches, of which the next rows are held."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._source = iter(batches)
        self._held: list[Any] = []
        self.rows = 0
        self.ended = False

    def fill(self, rows: int) -> None:
        """Holds at least `rows` rows, or all that are left."""
        while self.rows < rows and not self.ended:
            batch = next(self._source, None)
            if batch is None:
                self.ended = True
            elif batch.num_rows:
                self._held.append(batch)
                self.rows += batch.num_rows

    def peek(self, rows: int) -> list[Any]:
        """The next `rows` held rows (fewer at the end), which stay held."""
        out = []
        for batch in self._held:
            if rows <= 0:
                break
            out.append(batch if batch.num_rows <= rows else batch.slice(0, rows))
            rows -= batch.num_rows
        return out

    def drop(self, rows: int) -> None:
        self.rows -= rows
        while rows:
            head = self._held[0]
            if head.num_rows > rows:
                self._held[0] = head.slice(rows)
                return
            rows -= head.num_rows
            del self._held[0]

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def merge(streams: Sequence[Iterable[Any]], cluster_by: ClusterBy, block_rows: int) -> Iterator[Any]:
    """Batches of all `streams` in key order. Rows of equal keys keep the order of their streams.

    `block_rows`: rows of each stream held at once, at least 1.
    """
    opened = [Stream(s) for s in streams]
    orders = [c.order for c in cluster_by.columns]
    try:
        while True:
            for stream in opened:
                stream.fill(block_rows)
            live = [s for s in opened if s.rows]
            if not live:
                return
            if (len(live) == 1 and live[0].ended) or len(opened) == 1:
                yield from _rest(live[0], block_rows)
                return
            yield from _step(live, cluster_by, orders, block_rows)
    finally:
        for stream in opened:
            stream.close()


def _rest(stream: Stream, block_rows: int) -> Iterator[Any]:
    while True:
        stream.fill(block_rows)
        if not stream.rows:
            return
        yield from stream.peek(stream.rows)
        stream.drop(stream.rows)


def _step(live: list[Stream], cluster_by: ClusterBy, orders: list[str], block_rows: int) -> Iterator[Any]:
    counts = [min(s.rows, block_rows) for s in live]
    blocks = [b for s, n in zip(live, counts) for b in s.peek(n)]
    table = unify(blocks)
    total = sum(counts)
    words = key_words([table.column(n) for n in cluster_by.names], orders, total)
    order = permutation(words, total)
    place = np.arange(total)
    if order is not None:
        place = np.empty(total, np.int64)
        place[order] = np.arange(total)
    ends = np.cumsum(counts)
    # a stream that may go on bounds what is known to be in order: its last held row
    bounds = [int(place[end - 1]) for s, n, end in zip(live, counts, ends) if not (s.ended and s.rows == n)]
    known = min(bounds) + 1 if bounds else total
    taken = np.arange(known) if order is None else order[:known]
    belongs = np.searchsorted(ends, taken, side="right")
    for stream, count in zip(live, np.bincount(belongs, minlength=len(live)).tolist()):
        stream.drop(int(count))
    yield one_batch(table.slice(0, known) if order is None else table.take(pa.array(taken)))
