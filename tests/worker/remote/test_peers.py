"""Partitions read from another worker's files: batches of several forms, spilled and not, removed and replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from worker.memory import MemoryAccount
from worker.outputs.local import LocalOutput
from worker.remote.messages import pack, unpack
from worker.remote.peers import SharedPartitions

PLAIN = pa.RecordBatch.from_pydict({"a": [1, 2], "t": ["x", None]})
CODED = pa.RecordBatch.from_arrays([pa.array([3]), pa.array(["y"]).dictionary_encode()], names=["a", "t"])
SEVERAL = pa.RecordBatch.from_pydict({"a": [4], "t": [["p", "q"]]})


def output(folder: Path, memory: int = 1 << 20) -> LocalOutput:
    made = LocalOutput(folder, MemoryAccount(memory))
    for batch in (PLAIN, CODED, SEVERAL, PLAIN):
        made.add(0, batch)
    made.touch(1)
    made.add(2, SEVERAL)
    made.finish()
    return made


class Owner:
    """Answers as a worker process does, over the wire's own form."""

    def __init__(self, *outputs: LocalOutput) -> None:
        self.outputs = list(outputs)
        self.asked: list[int] = []

    def share(self, stage: int) -> Any:
        self.asked.append(stage)
        return unpack(pack(self.outputs[0].share()))


@pytest.mark.parametrize("memory", [0, 1 << 20, PLAIN.nbytes + CODED.nbytes], ids=["files", "memory", "both"])
def test_batches_arrive_whatever_their_form(tmp_path: Path, memory: int) -> None:
    owner = Owner(output(tmp_path / "o", memory))
    reader = SharedPartitions(owner.share)
    batches = list(reader.read_partition(7, 0))
    assert [b.to_pylist() for b in batches] == [b.to_pylist() for b in (PLAIN, CODED, SEVERAL, PLAIN)]
    assert batches[1].schema.field("t").type == pa.string()
    assert list(reader.read_partition(7, 1)) == []
    assert [b.to_pylist() for b in reader.read_partition(7, 2)] == [SEVERAL.to_pylist()]
    assert owner.asked == [7], "a stage is asked for once"


def test_sharing_gives_the_memory_back_and_the_owner_still_reads(tmp_path: Path) -> None:
    account = MemoryAccount(1 << 20)
    made = LocalOutput(tmp_path / "o", account)
    made.add(0, PLAIN)
    made.finish()
    assert account.used == PLAIN.nbytes
    first = made.share()
    assert account.used == 0
    assert made.share() == first
    assert [b.to_pylist() for b in made.read(0)] == [PLAIN.to_pylist()]
    made.close()
    assert not (tmp_path / "o").exists()


def test_batches_outlive_their_files(tmp_path: Path) -> None:
    made = output(tmp_path / "o")
    reading = SharedPartitions(made_share := Owner(made).share).read_partition(0, 0)
    first = next(reading)
    made.close()
    assert [first.to_pylist(), *(b.to_pylist() for b in reading)] == [
        b.to_pylist() for b in (PLAIN, CODED, SEVERAL, PLAIN)
    ]
    with pytest.raises(LookupError):
        made_share(0)


def test_a_worker_that_was_replaced_is_asked_again(tmp_path: Path) -> None:
    old, new = output(tmp_path / "old"), output(tmp_path / "new")
    owner = Owner(old)
    reader = SharedPartitions(owner.share)
    assert len(list(reader.read_partition(0, 0))) == 4
    old.close()
    owner.outputs[0] = new
    assert len(list(reader.read_partition(0, 0))) == 4
    new.close()
    with pytest.raises(LookupError):
        list(reader.read_partition(0, 0))


def test_messages_hold_json_and_bytes() -> None:
    message = ["call", 3, "name", [{"a": [1, 2.5, None, "ü"]}, b"\x00\xff", {"deep": [b""]}]]
    assert unpack(pack(message)) == message
    with pytest.raises(TypeError):
        pack([object()])
    for bad in (b"", b"\x05\x00", b"\x02\x00\x00\x00{}", b"\x80\x04K\x01."):
        with pytest.raises(ValueError):
            unpack(bad)
