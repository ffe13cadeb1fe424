"""NUL characters in strings that leave a stage over external input: which columns the reader must look at, and the
check of computed ones. A column that only feeds an expression may hold them: the expression may be there to clean it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from msq.faults import InvalidNullByteFault, MSQError
from msq.stage.query import StageDefinition


def output_sources(stage: StageDefinition) -> dict[str, str]:
    """For each output column of the stage's query the column it is taken from: itself, or what a dimension reads."""
    query: Any = getattr(stage.processor, "query", None)
    sources = {c.name: c.name for c in stage.signature}
    for dimension in getattr(query, "dimensions", None) or ():
        if dimension.output_name in sources:
            sources[dimension.output_name] = dimension.dimension
    return sources


class NullByteCheck:
    """`passed`: input columns that reach the output as they are. `check` looks at the computed text columns."""

    def __init__(self, stage: StageDefinition, source: str, remove: bool) -> None:
        query: Any = getattr(stage.processor, "query", None)
        sources = output_sources(stage)
        virtual = {v.output for v in getattr(query, "virtual_columns", None) or ()}
        self.passed = frozenset(s for s in sources.values() if s not in virtual)
        self._source = source
        texts = {c.name for c in stage.signature if c.type.kind == "STRING"}
        self._computed = () if remove else tuple(n for n, s in sources.items() if s in virtual and n in texts)
        self._rows: dict[int, int] = {}

    def check(self, batch: Any, piece: int) -> None:
        """Raises InvalidNullByte, with the row counted from 1 in the output of the piece."""
        before = self._rows.get(piece, 0)
        self._rows[piece] = before + batch.num_rows
        if not self._computed:
            return
        from msq.formats.convert import find_null_byte

        for name in self._computed:
            column = batch.column(name)
            texts = column.flatten() if pa.types.is_list(column.type) else column
            if pa.types.is_dictionary(texts.type):
                if find_null_byte(texts.dictionary) is None:
                    continue
                texts = texts.cast(pa.string())
            row = find_null_byte(texts) if pa.types.is_string(texts.type) else None
            if row is None:
                continue
            value = texts[row].as_py()
            if pa.types.is_list(column.type):
                row = pc.list_parent_indices(column)[row].as_py()
            raise MSQError(InvalidNullByteFault(
                source=f"external input source: {self._source}", row_number=before + row + 1, column=name, value=value,
                position=value.index("\0"),
            ))  # fmt: skip
