"""Columns of spectator histograms: written and read back, whatever rows have a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from msq.intervals import Interval
from msq.segment import nullable
from msq.segment.reader import open_segment
from msq.segment.schema import MetricSchema, SegmentSchema
from msq.segment.writer import write_segment

DAY = Interval.parse("2020-01-01/2020-01-02")
T = 1577836800000
PATTERNS: list[list[bytes | None]] = [
    [b"\6\12"], [None], [b""], [None, b"\6\12", None], [b"\6\12", b"\x0a\x15\6\1"],
    [None] * 9 + [b"\6\12"] + [None] * 20, [b"\6\12", None] * 40 + [b"\x0a\x15"],
]  # fmt: skip


@pytest.mark.parametrize("values", PATTERNS)
@pytest.mark.parametrize("kind", nullable.SPECTATOR_TYPES)
def test_values_come_back_and_rows_without_one_are_null(tmp_path: Path, kind: str, values: list[bytes | None]) -> None:
    metric = MetricSchema.from_json({"type": kind, "name": "h", "fieldName": "h"})
    times = pa.array(np.full(len(values), T), pa.int64())
    written = write_segment(
        tmp_path, pa.table({"__time": times, "h": pa.array(values, pa.binary())}), SegmentSchema((), (metric,)), DAY
    )
    segment = open_segment(tmp_path)
    assert written.stored == segment.stored
    assert str(segment.signature.type_of("h")) == f"COMPLEX<{kind}>"
    wanted = [v or None for v in values]
    found = segment.read(["h"])
    assert found.column("h").to_pylist() == wanted
    assert segment.read(["h"], 1, len(values)).column("h").to_pylist() == wanted[1:]


def test_the_header_is_the_extension_s() -> None:
    """Rows, bytes of the bitmap (none where all rows have a value, no trailing zero bytes), ends."""
    full = nullable.header(np.array([True, True]), [2, 6], 6)
    assert full.hex() == "0100" + "00000016" + "00000002" + "00000000" + "00000002" + "00000006"
    some = nullable.header(np.array([False, True] + [False] * 14), [2], 2)
    assert some.hex() == "0100" + "0000000f" + "00000010" + "00000001" + "02" + "00000002"
