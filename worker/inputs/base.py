"""What all inputs share: reading partitions as their pieces one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msq.counters import ChannelCounter
from msq.datatypes import RowSignature
from msq.protocol import InputPiece

ReadPiece = Callable[[Sequence[str] | None, int | None], Iterator[Any]]


@dataclass
class Piece:
    """A piece read by a function of (columns, max_rows)."""

    partition: int
    source: ReadPiece

    def read(self, columns: Sequence[str] | None = None, max_rows: int | None = None) -> Iterator[Any]:
        return self.source(columns, max_rows)


class PieceInput:
    """A ReadableInput that is a list of pieces."""

    def __init__(self, signature: RowSignature, partitions: Sequence[int], pieces: Sequence[InputPiece]) -> None:
        self.signature = signature
        self.partitions = tuple(partitions)
        self._pieces = tuple(pieces)

    def pieces(self) -> Sequence[InputPiece]:
        return self._pieces

    def read(self, partition: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        for piece in self._pieces:
            if piece.partition == partition:
                yield from piece.read(columns)


def limited(batches: Iterator[Any], max_rows: int | None) -> Iterator[Any]:
    """The first `max_rows` rows; the source is closed when they are reached or the reader stops."""
    left = max_rows
    try:
        for batch in batches:
            if left is not None:
                batch = batch.slice(0, left)
                left -= batch.num_rows
            if batch.num_rows:
                yield batch
            if left == 0:
                return
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def counted_rows(batches: Iterator[Any], counter: ChannelCounter, partition: int = 0) -> Iterator[Any]:
    """Counts the rows that pass."""
    try:
        for batch in batches:
            counter.add(partition, rows=batch.num_rows)
            yield batch
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
