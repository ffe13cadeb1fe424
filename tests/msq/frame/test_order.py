"""Codes of key columns: few integers over a wide range are numbered and still sort as the integers do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from msq.frame.order import column_codes

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
