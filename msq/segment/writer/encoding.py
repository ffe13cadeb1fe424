"""What a column is written with and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from msq.datatypes import ColumnType
from msq.segment.compression import CODEC_OF
from msq.segment.schema import IndexSpec
from msq.segment.writer.generic import Array, Codecs, Parts


@dataclass
class Written:
    """One column's own file and its side files in order; the type that it reads as.

    null_only: it holds nothing but nulls. multiple: some row holds several values.
    """

    parts: Parts
    type: ColumnType
    side_files: list[tuple[str, Parts]] = field(default_factory=list)
    null_only: bool = False
    multiple: bool = False


@dataclass(frozen=True)
class Encoding:
    """How columns are encoded: the segment's spec and the effort put into LZ4."""

    spec: IndexSpec
    lz4_level: int

    def codecs(self, word: str) -> Codecs:
        return Codecs(CODEC_OF[word], self.lz4_level)

    @property
    def dimension(self) -> Codecs:
        return self.codecs(self.spec.dimension_compression)

    @property
    def metric(self) -> Codecs:
        return self.codecs(self.spec.metric_compression)


def nulls_in_order(nulls: Array, count: int, order: Array) -> Array:
    """Where the rows `nulls` stand once rows come in `order`, ascending."""
    flags = np.zeros(count, bool)
    flags[nulls] = True
    return np.flatnonzero(flags[order])
