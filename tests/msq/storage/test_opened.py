"""Segments that stay open: the rows of those on disk at any moment, within the bytes that may be kept."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from msq.intervals import Interval
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.segment.schema import DimensionSchema, SegmentSchema
from msq.segment.writer import write_segment
from msq.storage import LocalDeepStorage, StorageError
from msq.storage.opened import OpenSegments

DAY = "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"
T = Interval.parse(DAY).start
COLUMNS = ("__time", "s", "n")
ROWS = 1_000


def pushed(storage: LocalDeepStorage, work: Path, number: int, text: str) -> DataSegment:
    rows = pa.table({
        "__time": pa.array([T + n for n in range(ROWS)], pa.int64()),
        "s": pa.array([f"{text}{n % 7}" if n % 11 else None for n in range(ROWS)]),
        "n": pa.array([n * number for n in range(ROWS)], pa.int64()),
    })  # fmt: skip
    kinds = ({"type": "string", "name": "s"}, {"type": "long", "name": "n"})
    schema = SegmentSchema(tuple(DimensionSchema.from_json(k) for k in kinds))
    write_segment(work, rows, schema, Interval.parse(DAY))
    return storage.push(work, DataSegment("t", DAY, "v1", {}, ("s", "n"), (), NumberedShardSpec(number, 0)))


def read(segments: OpenSegments, described: DataSegment, rows: int = 300) -> pa.Table:
    def plain(column: pa.Array) -> pa.Array:
        return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column

    batches = segments(described.to_json()).batches(COLUMNS, rows)
    return pa.Table.from_batches([pa.record_batch([plain(c) for c in b], names=COLUMNS) for b in batches])


@pytest.fixture
def storage(tmp_path: Path) -> LocalDeepStorage:
    return LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")


def test_the_same_rows_from_memory_and_from_files(storage: LocalDeepStorage, tmp_path: Path) -> None:
    described = pushed(storage, tmp_path / "a", 1, "x")
    none, some = OpenSegments(storage, 0), OpenSegments(storage, 1 << 20)
    wanted = read(none, described)
    assert wanted.num_rows == ROWS and none.bytes == 0
    assert read(some, described) == read(some, described, 77) == wanted
    assert some.bytes > ROWS * 12
    assert some(described.to_json()) is some(described.to_json())


def test_no_more_than_may_be_kept(storage: LocalDeepStorage, tmp_path: Path) -> None:
    many = [pushed(storage, tmp_path / f"w{n}", n, f"{n}-") for n in range(12)]
    plain = [read(OpenSegments(storage, 0), s) for s in many]
    kept = OpenSegments(storage, 100_000, max_segments=8)
    for _ in range(2):
        for described, wanted in zip(many, plain, strict=True):
            assert read(kept, described) == wanted
            assert kept.bytes <= 100_000
    assert kept.bytes > 50_000


def test_files_that_change_or_go(storage: LocalDeepStorage, tmp_path: Path) -> None:
    segments = OpenSegments(storage, 1 << 20)
    first = read(segments, pushed(storage, tmp_path / "a", 1, "x"))
    again = pushed(storage, tmp_path / "b", 1, "y")
    folder = storage.open(again)
    os.utime(folder / "meta.smoosh", ns=(1, 1))  # clocks of file systems are coarse
    second = read(segments, again)
    assert second != first and second["s"][1].as_py() == "y1"
    held = segments.bytes
    assert 0 < held < 60_000
    storage.kill(again)
    with pytest.raises(StorageError):
        segments(again.to_json())
