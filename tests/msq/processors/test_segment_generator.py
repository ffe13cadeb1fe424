"""The segment generator: partitions become segments, whatever the memory and the layout of batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import msq.aggregate  # noqa: F401  registers the aggregators
from msq.codec import decode, encode
from msq.counters import CounterTracker
from msq.datatypes import ColumnType, RowSignature
from msq.faults import InsertTimeNullFault, MSQError
from msq.mapped import open_arrow_file
from msq.native.aggregators import Aggregator
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.segment.reader import open_segment
from msq.segment.schema import MetricSchema, stored_complex_type
from msq.segment.stored import MadeSegment
from msq.stage.destination import ColumnMapping
from msq.storage import LocalDeepStorage

DAY = 86_400_000
DAYS = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z"]
T = 1_704_067_200_000


class Input:
    def __init__(self, partitions: dict[int, list[Any]]) -> None:
        self._partitions = partitions
        self.partitions = tuple(partitions)
        self.signature = RowSignature()

    def read(self, partition: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        for batch in self._partitions[partition]:
            yield batch.select(list(columns)) if columns is not None else batch


class Context:
    def __init__(self, folder: Path, partitions: dict[int, list[Any]], memory: int = 1 << 30, threads: int = 2) -> None:
        self.inputs = [Input(partitions)]
        self.counters = CounterTracker()
        self.memory_bytes = memory
        self.threads = threads
        self.temp_dir = folder / "temp"
        self.temp_dir.mkdir()
        self.services = {"deep_storage": LocalDeepStorage(folder / "deep", folder / "cache")}
        self.extra = {"segments": {
            str(p): {"dataSource": "t", "interval": f"{DAYS[p]}/{DAYS[p + 1]}", "version": "v", "loadSpec": {},
                     "dimensions": "", "metrics": "",
                     "shardSpec": {"type": "numbered", "partitionNum": 0, "partitions": 1}}
            for p in partitions
        }}  # fmt: skip
        self.results: list[Any] = []

    def check_cancelled(self) -> None:
        pass

    def add_result(self, value: Any) -> None:
        self.results.append(value)


def processor(dimensions: list[dict[str, Any]], metrics: Sequence[dict[str, Any]] = (), rollup: bool = False) -> Any:
    names = ["__time", *(d["name"] for d in dimensions), *(m["name"] for m in metrics)]
    return SegmentGeneratorProcessor(
        data_schema={
            "dataSource": "t", "dimensionsSpec": {"dimensions": dimensions}, "metricsSpec": list(metrics),
            "granularitySpec": {"type": "arbitrary", "queryGranularity": {"type": "none"}, "rollup": rollup},
        },
        column_mappings=tuple(ColumnMapping(f"q_{n}", n) for n in names),
        tuning_config={"maxNumWorkers": 1},
    )  # fmt: skip


STRING, LONG = {"type": "string", "name": "s"}, {"type": "long", "name": "l"}


def batch(times: list[int | None], texts: Any, longs: list[int | None]) -> Any:
    return pa.record_batch(
        [pa.array(times, pa.int64()), texts, pa.array(longs, pa.int64())], names=["q___time", "q_s", "q_l"]
    )


def run(ctx: Context, work: Any) -> dict[str, list[dict[str, Any]]]:
    assert list(work.run(ctx)) == []
    out = {}
    for result in ctx.results:
        made = MadeSegment.from_json(result)
        segment = made.segment
        opened = open_segment(ctx.services["deep_storage"].open(segment))
        assert made.columns == opened.stored
        assert segment.total_rows == opened.num_rows
        out[segment.interval[:10]] = opened.read().to_pylist()
    return out


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_batches_of_all_layouts_become_one_sorted_segment_a_partition(tmp_path: Path, memory: int) -> None:
    plain = pa.array(["b", None, "a"])
    first = [
        batch([T + 5, T + 5, T], plain, [1, None, 3]),
        batch([T + 1], plain.slice(0, 1).dictionary_encode(), [4]),
        batch([T + 2, T + 3], pa.array([["z", "y"], []], pa.list_(pa.string())), [5, 6]),
    ]
    if memory == 0:
        first += [batch([T + 10 + i for i in range(60_000)], pa.array(["x"] * 60_000), list(range(60_000)))] * 2
    second = [batch([T + DAY], pa.array([None], pa.string()), [9])]
    ctx = Context(tmp_path, {0: first, 1: second}, memory)
    found = run(ctx, processor([STRING, LONG]))
    assert found["2024-01-01"][:6] == [
        {"__time": T, "s": ["a"], "l": 3},
        {"__time": T + 1, "s": ["b"], "l": 4},
        {"__time": T + 2, "s": ["y", "z"], "l": 5},
        {"__time": T + 3, "s": None, "l": 6},
        {"__time": T + 5, "s": None, "l": None},
        {"__time": T + 5, "s": ["b"], "l": 1},
    ]
    assert found["2024-01-02"] == [{"__time": T + DAY, "s": None, "l": 9}]
    rows = sum(b.num_rows for b in first) + 1
    progress = ctx.counters.snapshot()["segmentGenerationProgress"]
    assert [progress[f"rows{k}"] for k in ("Processed", "Persisted", "Merged", "Pushed")] == [rows] * 4
    assert list(ctx.temp_dir.iterdir()) == []
    if memory == 0:
        assert len(found["2024-01-01"]) == rows - 1
        assert sum(r["l"] for r in found["2024-01-01"][6:]) == 2 * sum(range(60_000))


def test_null_time_is_refused(tmp_path: Path) -> None:
    ctx = Context(tmp_path, {0: [batch([T, None], pa.array(["a", "b"]), [1, 2])]})
    with pytest.raises(MSQError) as caught:
        run(ctx, processor([STRING, LONG]))
    assert caught.value.fault == InsertTimeNullFault()
    assert not (tmp_path / "deep").exists()


def test_partition_without_rows_makes_no_segment(tmp_path: Path) -> None:
    ctx = Context(tmp_path, {0: [], 1: [batch([T + DAY], pa.array(["a"]), [1])]})
    assert list(run(ctx, processor([STRING, LONG]))) == ["2024-01-02"]


def test_roll_up_merges_rows_of_equal_time_and_dimensions(tmp_path: Path) -> None:
    rows = batch([T, T, T + 1, T], pa.array([["b", "a"], ["a", "b"], ["a"], ["a"]]), [1, 10, 100, None])
    metric = {"type": "longSum", "name": "l", "fieldName": "l"}
    ctx = Context(tmp_path, {0: [rows]})
    work = processor([STRING], [metric], rollup=True)
    found = run(ctx, work)["2024-01-01"]
    assert found == [
        {"__time": T, "s": ["a"], "l": None},
        {"__time": T, "s": ["a", "b"], "l": 11},
        {"__time": T + 1, "s": ["a"], "l": 100},
    ]
    progress = ctx.counters.snapshot()["segmentGenerationProgress"]
    assert (progress["rowsProcessed"], progress["rowsPersisted"], progress["rowsPushed"]) == (4, 3, 3)
    segment = MadeSegment.from_json(ctx.results[0]).segment
    assert (segment.dimensions, segment.metrics, segment.total_rows) == (("s",), ("l",), 3)
    assert open_segment(ctx.services["deep_storage"].open(segment)).metadata["rollup"] is True


def test_without_a_time_column_rows_stand_at_the_epoch(tmp_path: Path) -> None:
    work = processor([STRING, LONG])
    work = SegmentGeneratorProcessor(work.data_schema, work.column_mappings[1:], None, None)
    ctx = Context(tmp_path, {0: [batch([T], pa.array(["a"]), [1])]})
    ctx.extra["segments"]["0"]["interval"] = "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
    assert list(run(ctx, work).values()) == [[{"__time": 0, "s": "a", "l": 1}]]


def test_one_query_column_may_feed_two_outputs(tmp_path: Path) -> None:
    work = processor([STRING, {"type": "string", "name": "twice"}])
    mappings = (*work.column_mappings[:2], ColumnMapping("q_s", "twice"))
    ctx = Context(tmp_path, {0: [batch([T], pa.array(["a"]), [1])]})
    found = run(ctx, SegmentGeneratorProcessor(work.data_schema, mappings))
    assert found["2024-01-01"] == [{"__time": T, "s": "a", "twice": "a"}]


@pytest.mark.parametrize(
    "aggregator",
    [
        {"type": "count"}, *({"type": f"{kind}{what}"} for kind in ("long", "double", "float")
                             for what in ("Sum", "Min", "Max", "Any", "First", "Last")),
        {"type": "stringFirst"}, {"type": "stringLast"}, {"type": "hyperUnique"}, {"type": "thetaSketch", "size": 4096},
        {"type": "HLLSketchMerge", "lgK": 12, "tgtHllType": "HLL_4"}, {"type": "quantilesDoublesSketchMerge", "k": 64},
    ],
    ids=lambda a: a["type"],
)  # fmt: skip
def test_what_an_aggregator_merges_to_is_the_type_that_is_stored(aggregator: dict[str, Any]) -> None:
    """The segment's schema and the aggregators name the types of metrics independently: they agree."""
    made: Any = decode(Aggregator, {"name": "m", "fieldName": "m", **aggregator})
    merging = encode(made.combining("m"))
    assert MetricSchema.from_json(merging).type == at_rest_type(made.intermediate_type)


def at_rest_type(column_type: ColumnType) -> ColumnType:
    return stored_complex_type(column_type.complex_name) if column_type.complex_name else column_type


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_rows_of_mapped_files_and_of_memory_keep_their_order(tmp_path: Path, memory: int) -> None:
    def rows(first: int, count: int, encoded: bool) -> Any:
        texts = pa.array([f"v{i % 7}" for i in range(count)])
        return batch([T] * count, texts.dictionary_encode() if encoded else texts, list(range(first, first + count)))

    path = tmp_path / "rows.arrow"
    with pa.OSFile(str(path), "wb") as sink:
        stored = rows(100_000, 5, False)
        with pa.ipc.new_file(sink, stored.schema) as out:
            out.write_batch(stored)
    mapped = open_arrow_file(path).get_batch(0)
    # enough before it to have been written to a file when there is little memory
    parts = [rows(0, 60_000, True), rows(60_000, 40_000, True), mapped, rows(100_005, 9, True), rows(100_014, 2, False)]
    ctx = Context(tmp_path, {0: parts}, memory)
    found = run(ctx, processor([STRING], [{"type": "longSum", "name": "l", "fieldName": "l"}]))["2024-01-01"]
    wanted = [(f"v{i % 7}", first + i) for first, count in ((0, 60_000), (60_000, 40_000), (100_000, 5), (100_005, 9),
                                                            (100_014, 2)) for i in range(count)]  # fmt: skip
    assert [(row["s"], row["l"]) for row in found] == sorted(wanted, key=lambda row: row[0])
