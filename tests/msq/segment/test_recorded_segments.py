"""Segments written by a real Druid: their rows are those it answered, and writing them again gives the same bytes."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from msq.intervals import format_instant
from msq.segment.reader import Segment, SegmentFormatError, open_segment
from msq.segment.reader.smoosh import SmooshReader
from msq.segment.schema import DimensionSchema, MetricSchema, SegmentSchema
from msq.segment.writer import write_segment

RECORDED = Path(__file__).parents[2] / "data" / "segments"
SEGMENTS = sorted(p.parent for p in RECORDED.glob("*/*/version.bin"))


def printed(segment: Segment, name: str, value: Any) -> Any:
    """A value as Druid's SQL prints it."""
    kind = str(segment.column(name).type)
    if name == "__time":
        return format_instant(value)
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":")) if kind.startswith("ARRAY") or len(value) > 1 else value[0]
    if kind == "COMPLEX<serializablePairLongString>":
        time, size = struct.unpack(">qi", value[:12])
        assert len(value) == 12 + size
        return {"lhs": time, "rhs": value[12:].decode()}
    if kind == "COMPLEX<serializablePairLongLong>":
        time, null, number = struct.unpack("<qbq", value)
        return {"lhs": time, "rhs": None if null else number}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


@pytest.mark.parametrize("table", ["g_csv", "g_join", "g_mvd", "g_nested", "g_rollup", "g_sketch", "g_tsv"])
def test_rows_are_those_that_druid_answered(table: str, expected: dict[str, Any]) -> None:
    wanted = expected[table]
    opened = [open_segment(p) for p in SEGMENTS if p.parent.name == table]
    assert sum(s.num_rows for s in opened) == wanted["count"]
    for segment, described in zip(opened, wanted["segments"], strict=True):
        if table != "g_join":  # recorded from a table of equal rows
            assert str(segment.interval) == described["interval"]
        assert segment.num_rows == described["totalRows"]
        assert ",".join(segment.dimensions) == described["dimensions"]
        assert sorted(segment.metrics) == sorted(filter(None, described["metrics"].split(",")))
        assert [str(c.type) for c in segment.signature] == wanted["types"]
        assert list(segment.names) == wanted["names"]
    rows = [
        [printed(s, n, v) for n, v in row.items()]
        for s in opened
        for row in s.read(stop=len(wanted["rows"])).to_pylist()
    ]
    answers = [
        [
            json.loads(v) if isinstance(v, str) and v[:1] in '"{' and str(t) in COMPLEX else v
            for v, t in zip(row, wanted["types"])
        ]
        for row in wanted["rows"]
    ]
    assert rows[: len(answers)] == answers


COMPLEX = {
    f"COMPLEX<{n}>"
    for n in (
        "HLLSketch",
        "thetaSketch",
        "quantilesDoublesSketch",
        "serializablePairLongString",
        "serializablePairLongLong",
    )
}


def schema_of(segment: Segment) -> SegmentSchema:
    """The schema that made a segment, from what its files say."""
    dimensions = []
    for name in segment.dimensions:
        column = segment.column(name)
        if column.type.is_json:
            spec: dict[str, Any] = {"type": "auto", "name": name}
        elif column.encoding == "auto":
            spec = {"type": "auto", "name": name, "castToType": str(column.type)}
        else:
            spec = {"type": column.type.kind.lower(), "name": name}
        dimensions.append(DimensionSchema.from_json(spec))
    aggregators = {a["name"]: a for a in segment.metadata["aggregators"]}
    metrics = [MetricSchema.from_json(aggregators[n]) for n in segment.metrics]
    assert [m.type for m in metrics] == [segment.column(n).type for n in segment.metrics]
    return SegmentSchema(
        tuple(dimensions), tuple(metrics), segment.metadata["rollup"], segment.metadata["queryGranularity"]
    )


@pytest.mark.parametrize("path", SEGMENTS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_written_again_the_bytes_are_the_same(path: Path, tmp_path: Path) -> None:
    segment = open_segment(path)
    rows = segment.read()
    shuffled = rows.take(pa.array(range(rows.num_rows - 1, -1, -1)))
    unsorted = segment.metadata["ordering"] and not any(segment.column(n).type.is_json for n in segment.names)
    written = write_segment(
        tmp_path,
        shuffled if unsorted else rows,
        schema_of(segment),
        segment.interval,
        is_sorted=not unsorted,
        lz4_level=9,
    )
    assert written.stored == open_segment(tmp_path).stored
    ours, theirs = SmooshReader(tmp_path), SmooshReader(path)
    assert set(ours) == set(theirs)
    different = {n for n in theirs if bytes(ours[n]) != bytes(theirs[n])}
    if path.parent.name != "g_nested":
        assert different == set()
        assert (tmp_path / "meta.smoosh").read_bytes() == (path / "meta.smoosh").read_bytes()
        assert written.size == sum(f.stat().st_size for f in path.iterdir())
        return
    # Druid 37 describes auto columns in more words, packs arrays in buckets of four and shares names in raw documents;
    # we promise no order behind a JSON column
    assert different <= {
        "metadata.drd", "n", "o", "tags", "n.__arrayDictionary", "tags.__arrayDictionary", "o.__raw_compressed",
    }  # fmt: skip
    assert open_segment(tmp_path).read().to_pylist() == rows.to_pylist()


def test_ranges_and_batches_are_parts_of_the_whole() -> None:
    segment = open_segment(RECORDED / "g_join" / "0")
    whole = segment.read()
    assert segment.read(["cnt", "channel"], 10_000, 20_001).equals(
        whole.select(["cnt", "channel"]).slice(10_000, 10_001)
    )
    batches = list(segment.batches(["__time", "cnt"], 5_000))
    assert [b.num_rows for b in batches] == [5_000] * 4 + [4_433]
    assert pa.Table.from_batches(batches).equals(whole.select(["__time", "cnt"]))
    assert [b.num_rows for b in segment.batches([], 20_000)] == [20_000, 4_433]


@pytest.mark.parametrize("path", SEGMENTS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_indexes_agree_with_rows(path: Path) -> None:
    segment = open_segment(path)
    for name in segment.names:
        column = segment.column(name)
        if column.encoding != "dictionary":
            continue
        rows = segment.read([name]).column(0).to_pylist()
        values = ([None] if column.has_nulls else []) + column.values.to_pylist()  # type: ignore[attr-defined]
        assert column.cardinality == len(values)
        for value_id, value in enumerate(values):
            holding = [i for i, v in enumerate(rows) if v == value or (isinstance(v, list) and value in v)]
            assert column.rows_of(value_id).tolist() == holding  # type: ignore[attr-defined]


def test_what_is_no_segment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentFormatError, match="no version"):
        open_segment(tmp_path)
    (tmp_path / "druid.segment").write_bytes(b"")
    with pytest.raises(SegmentFormatError, match="V10"):
        open_segment(tmp_path)
    (tmp_path / "version.bin").write_bytes(b"\0\0\0\x08")
    with pytest.raises(SegmentFormatError, match=r"version \[8\]"):
        open_segment(tmp_path)


def test_a_cut_chunk_is_noticed(tmp_path: Path) -> None:
    source = RECORDED / "g_join" / "0"
    for file in source.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[:1000] if file.name == "00000.smoosh" else data)
    with pytest.raises(SegmentFormatError, match="cut short"):
        open_segment(tmp_path)
