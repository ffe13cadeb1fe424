"""What other and older writers left: layouts that we read and do not write, and those that are refused by name."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from msq.intervals import Interval
from msq.segment.compression import LZ4
from msq.segment.reader import SegmentFormatError, open_segment
from msq.segment.schema import MetricSchema, SegmentSchema
from msq.segment.writer import write_segment
from msq.segment.writer.blob import blob_files
from msq.segment.writer.columns import descriptor, numeric_column
from msq.segment.writer.generic import Codecs, Parts, be32, block_list, id_column, name_list, str4, value_list
from msq.segment.writer.roaring import bitmap_list, pair_bitmap_list, single_bitmap
from msq.segment.writer.smoosh import SmooshWriter

DAY = Interval.parse("2024-01-01/2024-01-02")
T = DAY.start
CODECS = Codecs(LZ4)
ROARING = {"type": "roaring"}


def segment_of(
    folder: Path, parts: Parts, rows: int, side: dict[str, Parts] | None = None, index: bytes | None = None,
    metric: bool = False,
) -> Any:  # fmt: skip
    """A segment with `__time` and one column `c` of the given parts."""
    with SmooshWriter(folder) as out:
        out.add("__time", numeric_column(np.arange(rows) + T, np.zeros(0, np.int64), "LONG", CODECS))
        out.add("c", parts)
        for name, files in (side or {}).items():
            out.add(name, files)
        names = name_list(["c"])
        dimensions = name_list([] if metric else ["c"])
        out.add("index.drd", [index or names + dimensions + struct.pack(">qq", DAY.start, DAY.end)])
        out.close()
    return open_segment(folder)


def values_of(segment: Any) -> list[Any]:
    found: list[Any] = segment.read(["c"]).column(0).to_pylist()
    assert segment.read(["c"], 1, 3).column(0).to_pylist() == found[1:3]
    return found


def string_head(multi: bool = False, serde: dict[str, Any] = ROARING) -> bytes:
    return descriptor(
        "STRING", {"type": "stringDictionary", "bitmapSerdeFactory": serde, "byteOrder": "LITTLE_ENDIAN"}, multi
    )


DICTIONARY = value_list(pa.array([b"a", b"b"], pa.large_binary()), True, True)
IDS = np.asarray([1, 2, 0, 1], np.int32)


def test_index_file_without_the_lists_of_null_only_columns(tmp_path: Path) -> None:
    parts = [string_head(), b"\x02" + be32(0), *DICTIONARY, *id_column(IDS, 3, CODECS), *bitmap_list(IDS, 3)]
    old = name_list(["c"]) + name_list(["c"]) + struct.pack(">qq", DAY.start, DAY.end) + str4('{"type":"roaring"}')
    segment = segment_of(tmp_path, parts, 4, index=old)
    assert values_of(segment) == ["a", "b", None, "a"]
    assert segment.metadata == {}
    assert segment.interval == DAY


def test_bytes_behind_the_index_are_left_alone(tmp_path: Path) -> None:
    parts = [
        string_head(),
        b"\x02" + be32(0),
        *DICTIONARY,
        *id_column(IDS, 3, CODECS),
        *bitmap_list(IDS, 3),
        b"spatial",
    ]
    assert values_of(segment_of(tmp_path, parts, 4)) == ["a", "b", None, "a"]


def test_concise_index_is_not_needed_for_rows(tmp_path: Path) -> None:
    head = string_head(serde={"type": "concise"})
    parts = [head, b"\x02" + be32(0), *DICTIONARY, *id_column(IDS, 3, CODECS), *bitmap_list(IDS, 3)]
    segment = segment_of(tmp_path, parts, 4)
    assert values_of(segment) == ["a", "b", None, "a"]
    with pytest.raises(SegmentFormatError, match="no index of roaring bitmaps"):
        segment.column("c").rows_of(0)


def test_several_values_in_the_first_compressed_layout(tmp_path: Path) -> None:
    ids = np.asarray([1, 2, 2, 1], np.int32)
    offsets = np.asarray([0, 2, 2, 3, 4], np.int32)
    index = pair_bitmap_list(np.asarray([1, 1, 2, 2]), np.asarray([0, 3, 0, 2]), 3)
    parts = [
        string_head(True), b"\x02" + be32(1), *DICTIONARY, b"\x02", *id_column(offsets, 4, CODECS),
        *id_column(ids, 3, CODECS), *index,
    ]  # fmt: skip
    assert values_of(segment_of(tmp_path, parts, 4)) == [["a", "b"], None, ["b"], ["a"]]


def test_single_values_of_version_three(tmp_path: Path) -> None:
    from msq.segment.compression import UNCOMPRESSED

    parts = [string_head(), b"\x03" + be32(4), *DICTIONARY, *id_column(IDS, 3, Codecs(UNCOMPRESSED))]
    segment = segment_of(tmp_path, parts, 4)
    assert values_of(segment) == ["a", "b", None, "a"]
    assert not segment.info("c").has_bitmap


def test_numbers_before_null_handling(tmp_path: Path) -> None:
    """Part `long`: no length and no nulls; here with big-endian values in plain blocks."""
    values = np.asarray([1, -2, 2**40, 0], ">i8")
    head = descriptor("LONG", {"type": "long", "byteOrder": "BIG_ENDIAN"})
    body = b"\x02" + be32(4) + be32(8192) + bytes([LZ4])
    parts = [head, body, *block_list(values.view(np.uint8), 65536, CODECS)]
    assert values_of(segment_of(tmp_path, parts, 4)) == [1, -2, 2**40, 0]


def test_blocks_of_lzf(tmp_path: Path) -> None:
    """Version 1 numbers have no codec byte: blocks are LZF, of plain and of compressed chunks."""
    plain = np.asarray([7, 8], "<i8").tobytes()
    # compressed: one literal byte 01, seven zeros as literal 00 and a copy of it, then a copy of all eight bytes
    packed = bytes([0b000_00001, 1, 0, 0b100_00000, 0, 0b110_00000, 7])
    block = b"ZV\x00" + struct.pack(">H", 16) + plain + b"ZV\x01" + struct.pack(">HH", len(packed), 16) + packed
    area = value_list(pa.array([block], pa.large_binary()), False, False)
    parts = [descriptor("LONG", {"type": "long", "byteOrder": "LITTLE_ENDIAN"}), b"\x01" + be32(4) + be32(8192), *area]
    assert values_of(segment_of(tmp_path, parts, 4)) == [7, 8, 1, 1]


def test_compressed_complex_values(tmp_path: Path) -> None:
    values = [b"one", None, b"", b"x" * 100_000]
    described = {"byteOrder": "LITTLE_ENDIAN", "bitmapSerdeFactory": ROARING, "fileNameBase": "c", "hasNulls": True}
    head = descriptor("COMPLEX", {"type": "complex", "typeName": "HLLSketch"})
    side = {f"c.{n}": p for n, p in blob_files("__complexColumn", [v or b"" for v in values], CODECS).items()}
    side["c.__nullIndex"] = single_bitmap(np.asarray([1]))
    parts: Parts = [head, b"\x7f\x00" + str4(json.dumps(described))]
    assert values_of(segment_of(tmp_path, parts, 4, side, metric=True)) == values


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([descriptor("COMPLEX", {"type": "complex", "typeName": "json"}), b"\x04"], "Druid 24 to 27"),
        ([descriptor("STRING", {"type": "ringDictionary"})], r"kind \[ringDictionary\] is not known"),
        ([string_head(), b"\x02" + be32(0), b"\x02\x01" + be32(0)], "version 2"),
        ([string_head(), b"\x09" + be32(0)], r"unknown version \[9\]"),
        ([string_head(), b"\x02" + be32(0), *DICTIONARY, b"\x02\x01" + be32(4)], "cut short"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_column(tmp_path: Path, parts: Parts, message: str) -> None:
    segment = segment_of(tmp_path, parts, 4)
    with pytest.raises(SegmentFormatError, match=rf"Column \[c\] .*{message}"):
        segment.read(["c"])
    assert segment.read(["__time"]).num_rows == 4
    with pytest.raises(KeyError):
        segment.read(["nosuch"])


@pytest.mark.parametrize("kind", ["Long", "Double", "Float"])
def test_many_pairs_in_many_blocks(tmp_path: Path, kind: str) -> None:
    """30,000 pairs: both streams have several blocks; some rows have no pair, some pairs no value; wide times."""
    form = {"Long": "q", "Double": "d", "Float": "f"}[kind]
    for step in (1, 2**33):
        pairs = [
            None if i % 7 == 0
            else struct.pack("<qb", T + i * step, 1) if i % 5 == 0
            else struct.pack(f"<qb{form}", T - i * step, 0, i)
            for i in range(30_000)
        ]  # fmt: skip
        rows = pa.table({"__time": pa.array(np.arange(30_000) + T), "p": pa.array(pairs, pa.binary())})
        metric = MetricSchema.from_json({"type": f"{kind.lower()}Last", "name": "p", "fieldName": "p"})
        folder = tmp_path / str(step)
        write_segment(folder, rows, SegmentSchema((), (metric,)), DAY)
        segment = open_segment(folder)
        assert segment.read(["p"]).column(0).to_pylist() == pairs
        assert segment.read(["p"], 14_000, 14_100).column(0).to_pylist() == pairs[14_000:14_100]
