"""Files that are cut off or changed in any place: a fault that names the file, never anything else."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from msq.faults import MSQError
from tests.harness.reading import read_rows

ROWS = [{"n": n, "s": f"text {n}", "l": [n, n + 1]} for n in range(300)]
SIGNATURE = {"n": "LONG", "s": "STRING", "l": "STRING"}
AVRO = {
    "type": "record", "name": "r", "fields": [
        {"name": "n", "type": "long"}, {"name": "s", "type": "string"},
        {"name": "l", "type": {"type": "array", "items": "long"}},
    ],
}  # fmt: skip


def _write(kind: str, path: Path) -> None:
    if kind == "avro_ocf":
        with path.open("wb") as file:
            fastavro.writer(file, AVRO, ROWS, codec="deflate")
    elif kind == "orc":
        orc.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("kind", ["avro_ocf", "orc", "parquet"])
def test_columnar_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "whole"
    _write(kind, path)
    whole = path.read_bytes()
    dice = random.Random(kind)
    for n in range(60):
        data = bytearray(whole)
        if n % 2:
            del data[dice.randrange(1, len(data)) :]
        else:
            for _ in range(dice.choice([1, 3, 20])):
                data[dice.randrange(len(data))] = dice.randrange(256)
        broken = tmp_path / f"broken {n}"
        broken.write_bytes(data)
        try:
            done = read_rows(broken, {"type": kind}, SIGNATURE)
        except MSQError as error:
            assert error.fault.code in ("UnknownError", "InvalidNullByte"), error
            assert f"broken%20{n}" in str(error) or error.fault.code == "InvalidNullByte"
        else:
            assert n % 2 == 0 or kind == "avro_ocf"  # a cut between two blocks cannot be seen
            assert len(done.rows) <= len(ROWS)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".sz", ".zip", ".lz4"])
@pytest.mark.parametrize("kind", ["json", "csv", "lines"])
def test_archives_that_are_none(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"this is no archive, and long enough to be looked at: " * 20)
    form: dict[str, Any] = {"type": kind, **({"columns": ["n"]} if kind == "csv" else {})}
    with pytest.raises(MSQError) as caught:
        read_rows(path, form, {"n": "STRING"})
    assert caught.value.fault.code == "UnknownError" and f"x{suffix}" in str(caught.value)


def test_a_zip_whose_entry_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "1\n" * 1000)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(MSQError, match=r"x\.zip"):
        read_rows(path, {"type": "csv", "columns": ["n"]}, {"n": "LONG"})
