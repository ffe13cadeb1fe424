"""Slicing of inputs over workers: greedy shares, limits, and what stays whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.slicing import Assignment, Slicer, Weighed, dynamic_shares, round_robin, static_shares
from msq.context import QueryContext
from msq.datatypes import LONG, STRING, RowSignature
from msq.faults import MSQError
from msq.intervals import ETERNITY, Interval
from msq.native.datasource import InlineDataSource
from msq.processors.limit import LimitProcessor
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.sources.base import SourceAccess
from msq.stage.inputs import (
    ExternalInputSpec,
    InlineInputSlice,
    InlineInputSpec,
    InputSpec,
    LookupInputSlice,
    LookupInputSpec,
    NilInputSlice,
    SegmentsInputSlice,
    StageInputSlice,
    StageInputSpec,
    TableInputSpec,
)
from msq.stage.query import StageDefinition

SIGNATURE = RowSignature([("k", STRING)])


def stage(*inputs: InputSpec, broadcast: tuple[int, ...] = ()) -> StageDefinition:
    return StageDefinition(2, inputs, LimitProcessor(), SIGNATURE, broadcast=broadcast)


def slicer(
    partitions: dict[int, int] | None = None, workers: dict[int, tuple[int, ...]] | None = None, **more: Any
) -> Slicer:
    return Slicer(
        more.pop("segments", None), SourceAccess(), (partitions or {}).__getitem__, (workers or {}).__getitem__, **more
    )


def files(folder: Path, *sizes: int) -> ExternalInputSpec:
    for number, size in enumerate(sizes):
        (folder / f"f{number:02}.json").write_bytes(b"x" * size)
    source = {"type": "local", "baseDir": str(folder), "filter": "*.json"}
    return ExternalInputSpec(source, {"type": "json"}, SIGNATURE)


def names(slices: dict[int, Any], number: int = 0) -> dict[int, list[str]]:
    return {w: [Path(i["path"]).name for i in s[number].items] for w, s in slices.items()}


def weighed(*sizes: int) -> list[Weighed]:
    return [Weighed(n, size, size) for n, size in enumerate(sizes)]


def test_static_shares_give_each_item_to_the_lightest() -> None:
    assert static_shares(weighed(5, 1, 1, 1, 9), 2) == [[0], [1, 2, 3, 4]]
    assert static_shares(weighed(1, 1, 1), 2) == [[0, 2], [1]]
    assert static_shares(weighed(1, 1), 5) == [[0], [1]]
    assert static_shares([], 3) == [[]]
    assert static_shares(weighed(0, 0, 0), 2) == [[0, 1, 2]]


def test_dynamic_shares_open_a_new_one_only_when_full() -> None:
    assert dynamic_shares(weighed(4, 4, 4), 5, 10, 100) == [[0, 1, 2]]
    assert dynamic_shares(weighed(4, 4, 4), 5, 10, 8) == [[0, 1], [2]]
    assert dynamic_shares(weighed(4, 4, 4, 4), 5, 2, 100) == [[0, 1], [2, 3]]
    # beyond the most workers the lightest takes it
    assert dynamic_shares(weighed(9, 1, 9, 1), 2, 10, 5) == [[0, 3], [1, 2]]
    # one item above the limit has its own share, not an empty one beside it
    assert dynamic_shares(weighed(99), 5, 10, 5) == [[0]]


def test_round_robin_deals_in_turn() -> None:
    assert round_robin(list("abcde"), 2) == [["a", "c", "e"], ["b", "d"]]
    assert round_robin([], 2) == [[]]


def test_files_are_balanced_by_size(tmp_path: Path) -> None:
    slices = slicer().slice_stage(stage(files(tmp_path, 10, 20, 30, 40)), 2)
    assert names(slices) == {0: ["f00.json", "f02.json"], 1: ["f01.json", "f03.json"]}


def test_no_more_workers_than_files_and_empty_files_dropped(tmp_path: Path) -> None:
    slices = slicer().slice_stage(stage(files(tmp_path, 3, 0, 4)), 5)
    assert names(slices) == {0: ["f00.json"], 1: ["f02.json"]}


def test_nothing_to_read_is_one_worker_with_nothing(tmp_path: Path) -> None:
    assert names(slicer().slice_stage(stage(files(tmp_path)), 4)) == {0: []}


def test_auto_takes_few_workers(tmp_path: Path) -> None:
    spec = files(tmp_path, 10, 10, 10, 10)
    context = QueryContext({"taskAssignment": "auto", "maxInputBytesPerWorker": 20})
    auto = Assignment.of(context)
    assert names(slicer(assignment=auto).slice_stage(stage(spec), 4)) == {
        0: ["f00.json", "f01.json"], 1: ["f02.json", "f03.json"],
    }  # fmt: skip
    assert len(slicer(assignment=Assignment(auto=True)).slice_stage(stage(spec), 4)) == 1


def test_auto_weighs_compressed_and_columnar_files(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"f{number}.json.gz").write_bytes(b"x" * 10)
    source = {"type": "local", "baseDir": str(tmp_path), "filter": "*.gz"}
    packed = ExternalInputSpec(source, {"type": "json"}, SIGNATURE)
    columnar = ExternalInputSpec(source, {"type": "parquet"}, SIGNATURE)
    for spec, limit, workers in ((packed, 80, 1), (packed, 79, 2), (columnar, 160, 1), (columnar, 159, 2)):
        sliced = slicer(assignment=Assignment(True, 100, limit)).slice_stage(stage(spec), 4)
        assert len(sliced) == workers, (spec.input_format, limit)


def test_auto_follows_the_stages_below() -> None:
    s = slicer({0: 9, 1: 4}, {0: (0, 1, 2), 1: (0,)}, assignment=Assignment(auto=True))
    assert len(s.slice_stage(stage(StageInputSpec(0), StageInputSpec(1)), 8)) == 3
    assert len(s.slice_stage(stage(StageInputSpec(1)), 8)) == 1


def test_too_many_files_name_the_workers_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(MSQError) as error:
        slicer(assignment=Assignment(max_files=2)).slice_stage(stage(files(tmp_path, 1, 1, 1, 1, 1)), 2)
    assert error.value.fault.to_json() == {
        "errorCode": "TooManyInputFiles", "numInputFiles": 5, "maxInputFiles": 2, "minNumWorkers": 3,
        "errorMessage": error.value.fault.message,
    }  # fmt: skip


def test_too_many_workers() -> None:
    with pytest.raises(MSQError, match="TooManyWorkers"):
        slicer({0: 1}, {0: (0,)}).slice_stage(stage(StageInputSpec(0)), 1001)


def test_partition_p_goes_to_worker_p_mod_n() -> None:
    slices = slicer({0: 5}, {0: (0, 1)}).slice_stage(stage(StageInputSpec(0)), 2)
    assert slices == {
        0: (StageInputSlice(0, (0, 2, 4), (0, 1)),), 1: (StageInputSlice(0, (1, 3), (0, 1)),),
    }  # fmt: skip


def test_one_partition_is_worker_0_alone() -> None:
    assert list(slicer({0: 1}, {0: (0, 1, 2)}).slice_stage(stage(StageInputSpec(0)), 3)) == [0]


def test_broadcast_inputs_are_whole_for_everybody(tmp_path: Path) -> None:
    spec = stage(files(tmp_path, 1, 1), StageInputSpec(1), broadcast=(1,))
    slices = slicer({1: 3}, {1: (0,)}).slice_stage(spec, 4)
    assert [s[1] for s in slices.values()] == [StageInputSlice(1, (0, 1, 2), (0,))] * 2


def test_only_broadcast_inputs_are_one_worker() -> None:
    inline = InlineInputSpec(InlineDataSource(("k",), (LONG,), ((1,),)))
    slices = slicer().slice_stage(stage(inline, LookupInputSpec("l"), broadcast=(0, 1)), 4)
    assert slices == {0: (InlineInputSlice(inline.data_source), LookupInputSlice("l"))}


def test_inputs_of_different_width_leave_gaps(tmp_path: Path) -> None:
    inline = InlineInputSpec(InlineDataSource(("k",), (LONG,), ((1,),)))
    slices = slicer().slice_stage(stage(files(tmp_path, 1, 1, 1), inline), 3)
    assert [type(s[1]) for s in slices.values()] == [InlineInputSlice, NilInputSlice, NilInputSlice]


@dataclass
class Shown:
    segment: DataSegment
    intervals: tuple[Interval, ...]


class Segments:
    def __init__(self, *sizes: int) -> None:
        self.asked: list[Any] = []
        self.sizes = sizes

    def visible(self, name: str, within: Any = None) -> list[Shown]:
        self.asked.append((name, within))
        day = Interval.parse("2024-01-01/P1D")
        return [
            Shown(
                DataSegment("t", str(day), "v", {"type": "local"}, (), (), NumberedShardSpec(n, 1), size=size), (day,)
            )
            for n, size in enumerate(self.sizes)
        ]


def test_segments_are_divided_by_size_and_clipped() -> None:
    catalog = Segments(5, 6, 7)
    spec = TableInputSpec("t", (str(ETERNITY),))
    slices = slicer(segments=catalog).slice_stage(stage(spec), 2)
    assert catalog.asked == [("t", [ETERNITY])]
    first = slices[0][0]
    assert isinstance(first, SegmentsInputSlice)
    assert [s["shardSpec"]["partitionNum"] for s in first.segments] == [0, 2]
    assert first.intervals == (("2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",),) * 2


def test_a_table_without_segments_is_one_empty_slice() -> None:
    slices = slicer(segments=Segments()).slice_stage(stage(TableInputSpec("t", (str(ETERNITY),))), 3)
    assert slices == {0: (SegmentsInputSlice("t", (), ()),)}


def test_segments_that_cannot_hold_rows_are_pruned() -> None:
    s = slicer(segments=Segments(1, 1, 1), prune=lambda stage, visible: visible[:1])
    slices = s.slice_stage(stage(TableInputSpec("t", (str(ETERNITY),))), 3)
    assert list(slices) == [0]
