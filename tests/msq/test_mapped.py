"""Mapped files: what is read of them stays the same while they are let go of, deleted, and told apart from memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from msq import mapped


def arrow_file(path: Path) -> pa.Table:
    table = pa.table({"n": list(range(100_000)), "s": [f"text {i}" for i in range(100_000)]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table, max_chunksize=10_000)
    return table


def test_batches_stay_readable_when_their_file_is_let_go_of_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.arrow"
    table = arrow_file(path)
    monkeypatch.setattr(mapped, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(mapped._MAPS, "_next", 0)
    reader = mapped.open_arrow_file(path)
    path.unlink()
    batches = []
    for number in range(reader.num_record_batches):
        batches.append(reader.get_batch(number))
        mapped.let_go()
    assert pa.Table.from_batches(batches).equals(table)


def test_what_is_let_go_of_is_no_longer_resident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = Path("/proc/self/smaps")
    if not resident.exists():
        pytest.skip("the system does not tell what is resident")
    path = tmp_path / "b"
    path.write_bytes(bytes(1 << 22))
    made = mapped.map_file(path)

    def kilobytes() -> int:
        lines = resident.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if line.endswith(str(path)))
        return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))

    assert not any(made[:])
    assert kilobytes() == 4096
    monkeypatch.setattr(mapped._MAPS, "_next", 0)
    mapped.let_go()
    assert kilobytes() == 0


def test_a_batch_of_a_mapped_file_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = arrow_file(path)
    batch = mapped.open_arrow_file(path).get_batch(3)
    assert mapped.is_mapped(batch)
    assert mapped.is_mapped(batch.slice(5, 2))
    assert mapped.is_mapped(batch.column(1))
    assert not mapped.is_mapped(table.to_batches()[0])
    assert not mapped.is_mapped(pa.record_batch([pa.array([], pa.string())], names=["s"]))


def test_an_empty_file_is_empty_bytes(tmp_path: Path) -> None:
    (tmp_path / "e").touch()
    assert mapped.map_file(tmp_path / "e") == b""
