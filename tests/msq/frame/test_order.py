"""Codes of key columns: few integers over a wide range are numbered and still sort as the integers do. Keys are found
in sorted columns of any chunks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from msq.frame.order import column_codes, search

ROWS, VALUES = 20_000, 500


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("order", ["ASCENDING", "DESCENDING"])
def test_few_wide_integers_take_few_bits_and_keep_their_order(nulls: bool, order: str) -> None:
    random = np.random.default_rng(1)
    values = random.choice(random.integers(-(2**62), 2**62, VALUES), ROWS)
    column = pa.array(values, mask=random.random(ROWS) < 0.1 if nulls else None)
    codes, bits = column_codes(column, order)
    assert bits == 9
    seen = column.take(pa.array(np.argsort(codes, kind="stable"))).to_pylist()
    assert seen == sorted(column.to_pylist(), key=lambda v: (v is not None, v or 0), reverse=order == "DESCENDING")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("encoded", [True, False])
def test_keys_are_found_in_chunks_as_in_one_array(side: str, stored: bool, encoded: bool) -> None:
    texts = [None, None, "a", "a", "b", "c", "c", "c", "d"]
    numbers = [1, 2, 0, 0, 5, 1, 1, 3, 0]
    rows = np.arange(len(texts)) if stored else np.random.default_rng(2).permutation(len(texts))
    kept = [texts[n] for n in rows], [numbers[n] for n in rows]
    chunks = [[pa.array(column[at : at + 2]) for at in range(0, len(texts), 2)] for column in kept]
    if encoded:
        chunks[0] = [chunk.cast(pa.string()).dictionary_encode() for chunk in chunks[0]]
    order = None if stored else np.argsort(rows)
    keys = [pa.array([None, "a", "c", "zz"]), pa.array([1, 0, 1, 0])]
    columns = [pa.chunked_array([c.cast(chunk_type(c)) for c in chunk]) for chunk in chunks]
    found = search(columns, len(texts), keys, ["ASCENDING", "ASCENDING"], side, order)
    assert found.tolist() == ([0, 2, 5, 9] if side == "left" else [1, 4, 7, 9])


def chunk_type(chunk: pa.Array) -> pa.DataType:
    """The type of a chunk, of texts where all are null."""
    return pa.string() if pa.types.is_null(chunk.type) else chunk.type
