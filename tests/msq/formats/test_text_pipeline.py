"""Chunks, threads, order and memory: what text formats share, whatever the format."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msq.datatypes import LONG, RowSignature
from msq.faults import Fault, MSQError
from msq.formats import ReadOptions, parse_input_format
from msq.formats.read import read_external
from msq.sources import SourceAccess, parse_input_source

JSON = {"type": "json"}
SMALL = 1 << 20  # bytes of memory that make chunks of 64 KiB


def _lines(count: int, seed: int = 5) -> str:
    rng = random.Random(seed)
    return "".join(json.dumps({"n": n, "s": "x" * rng.randrange(200)}) + "\n" for n in range(count))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_order_and_numbers_survive_many_chunks(read: Any, tmp_path: Path, threads: int) -> None:
    lines = _lines(20_000).splitlines()
    bad = {17, 4_000, 4_001, 11_111, 19_999}
    for at in bad:
        lines[at] = f"bad {at}"
    path = tmp_path / "x.json"
    path.write_text("\n".join(lines))
    got = read(path, JSON, {"n": "LONG"}, memory_bytes=SMALL, threads=threads)
    assert [r[0] for r in got.rows] == [n for n in range(20_000) if n not in bad]
    assert got.sink.bad == [
        f"Unable to parse row [bad {at}] (Path: file:{path}, Record: {at + 1 - done}, Line: {at + 1})"
        for done, at in enumerate(sorted(bad))
    ]
    assert len(got.batches) > 10


def test_batches_keep_to_their_size(read: Any) -> None:
    got = read(_lines(1000), JSON, {"n": "LONG"}, max_batch_rows=64)
    assert {b.num_rows for b in got.batches[:-1]} == {64}
    assert [r[0] for r in got.rows] == list(range(1000))


def test_a_line_longer_than_a_chunk(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(
        json.dumps({"n": 1}) + "\n" + json.dumps({"n": 2, "s": "y" * 1_000_000}) + "\n" + json.dumps({"n": 3})
    )
    got = read(path, JSON, {"n": "LONG", "s": "STRING"}, memory_bytes=SMALL)
    assert [(n, len(s or "")) for n, s in got.rows] == [(1, 0), (2, 1_000_000), (3, 0)]
    csv = tmp_path / "x.csv"
    csv.write_text("1,a\n2," + "y" * 3_000_000 + "\n3,b\n")
    got = read(csv, {"type": "csv", "columns": ["n", "s"]}, {"n": "LONG", "s": "STRING"}, memory_bytes=SMALL)
    assert [(n, len(s)) for n, s in got.rows] == [(1, 1), (2, 3_000_000), (3, 1)]


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.json", data)
        archive.writestr("second.json", b'{"n":-1}\n')
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    import zstandard

    half = len(data) // 2
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:]))


def _snappy(data: bytes) -> bytes:
    from cramjam import snappy

    return bytes(snappy.compress(data))


def _lz4_blocks(data: bytes) -> bytes:
    import struct

    import lz4.block

    out = b""
    for at in range(0, len(data), 1 << 16):
        plain = data[at : at + (1 << 16)]
        body = lz4.block.compress(plain, store_size=False)
        out += struct.pack("<8sBIII", b"LZ4Block", 0x26, len(body), len(plain), 0) + body
    return out + struct.pack("<8sBIII", b"LZ4Block", 0x16, 0, 0, 0)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda d: gzip.compress(d[: len(d) // 2]) + gzip.compress(d[len(d) // 2 :]),
    ".bz2": lambda d: bz2.compress(d[: len(d) // 2]) + bz2.compress(d[len(d) // 2 :]),
    ".xz": lzma.compress, ".zst": _zstd, ".zip": _zip, ".sz": _snappy, ".lz4": _lz4_blocks,
}  # fmt: skip


@pytest.mark.parametrize("suffix", PACKERS)
def test_every_compression(read: Any, fault: Callable[..., Fault], tmp_path: Path, suffix: str) -> None:
    text = _lines(4000).encode()
    path = tmp_path / f"x.json{suffix}"
    path.write_bytes(PACKERS[suffix](text))
    got = read(path, JSON, {"n": "LONG"})
    assert [r[0] for r in got.rows] == list(range(4000))
    assert got.sink.counted_bytes == len(text)
    path.write_bytes(b"this is no archive at all, and long enough for any header")
    assert fault(path, JSON, {"n": "LONG"}).code == "UnknownError"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".sz", ".lz4"])
def test_an_archive_cut_short(fault: Callable[..., Fault], tmp_path: Path, suffix: str) -> None:
    packed = PACKERS[suffix](_lines(4000).encode())
    path = tmp_path / f"x.json{suffix}"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found = fault(path, JSON, {"n": "LONG"})
    assert found.code == "UnknownError"
    assert str(path) in str(found.message)


def test_suffixes_are_case_sensitive(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json.GZ"
    path.write_text('{"n":1}\n')
    assert read(path, JSON, {"n": "LONG"}).rows == [[1]]


class _Sink:
    def __init__(self) -> None:
        self.files = 0
        self.cancelled = False

    def rows(self, n: int) -> None: ...

    def bytes(self, n: int) -> None: ...

    def file_done(self) -> None:
        self.files += 1

    def bad_row(self, fault: Any) -> None: ...

    def check_cancelled(self) -> None:
        if self.cancelled:
            raise MSQError(Fault.from_json({"errorCode": "Canceled", "reason": "UNKNOWN"}))


def _open(path: Path, sink: _Sink) -> Any:
    source = parse_input_source({"type": "local", "files": [str(path)]})
    options = ReadOptions(memory_bytes=SMALL)
    signature = RowSignature([("n", LONG)])
    items = source.list(SourceAccess())
    return read_external(
        source, parse_input_format(JSON), signature, columns=None, items=items, options=options, sink=sink
    )


def test_closing_early_counts_the_file_and_ends_the_threads(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(_lines(50_000))
    before = set(threading.enumerate())
    sink = _Sink()
    batches = _open(path, sink)
    assert next(batches).num_rows > 0
    batches.close()
    assert sink.files == 1
    assert set(threading.enumerate()) <= before


def test_a_cancelled_read_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(_lines(50_000))
    before = set(threading.enumerate())
    sink = _Sink()
    batches = _open(path, sink)
    next(batches)
    sink.cancelled = True
    with pytest.raises(MSQError):
        list(batches)
    assert set(threading.enumerate()) <= before
