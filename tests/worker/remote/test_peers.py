"""Partitions read from another process's server: batches of several schemas, errors, keys."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import AuthenticationError
from typing import Any

import pyarrow as pa
import pytest

from worker.remote.peers import PartitionServer, RemotePeer

KEY = b"k" * 16
PLAIN = pa.RecordBatch.from_pydict({"a": [1, 2], "t": ["x", None]})
CODED = pa.RecordBatch.from_arrays([pa.array([3]), pa.array(["y"]).dictionary_encode()], names=["a", "t"])
SEVERAL = pa.RecordBatch.from_pydict({"a": [4], "t": [["p", "q"]]})


def read(stage: int, partition: int) -> Iterator[Any]:
    if stage == 1:
        raise LookupError("no such stage")
    if partition == 0:
        return iter([PLAIN, CODED, SEVERAL, PLAIN])
    if partition == 1:
        return iter(())
    return iter([pa.RecordBatch.from_pydict({"a": range(n * 1000, n * 1000 + 1000)}) for n in range(3_000)])


@pytest.fixture
def server() -> Iterator[PartitionServer]:
    made = PartitionServer(KEY, read)
    yield made
    made.close()


def test_batches_arrive_whatever_their_form(server: PartitionServer) -> None:
    batches = list(RemotePeer(server.address, KEY).read_partition(0, 0))
    assert [b.to_pylist() for b in batches] == [b.to_pylist() for b in (PLAIN, CODED, SEVERAL, PLAIN)]
    assert batches[1].schema.field("t").type == pa.string()


def test_an_empty_partition(server: PartitionServer) -> None:
    assert list(RemotePeer(server.address, KEY).read_partition(0, 1)) == []


def test_a_large_partition_comes_in_order_and_may_be_left_early(server: PartitionServer) -> None:
    peer = RemotePeer(server.address, KEY)
    total = last = 0
    for batch in peer.read_partition(0, 2):
        first = batch.column("a")[0].as_py()
        assert first == last
        last = first + 1000
        total += batch.num_rows
    assert total == 3_000_000
    early = peer.read_partition(0, 2)
    next(early)
    early.close()
    assert list(peer.read_partition(0, 1)) == []


def test_several_readers_at_once(server: PartitionServer) -> None:
    readers = [RemotePeer(server.address, KEY).read_partition(0, 0) for _ in range(8)]
    rows = [[next(r).num_rows for r in readers] for _ in range(4)]
    assert rows == [[2] * 8, [1] * 8, [1] * 8, [2] * 8]


def test_what_is_not_there_is_a_lookup_error(server: PartitionServer) -> None:
    with pytest.raises(LookupError, match="no such stage"):
        list(RemotePeer(server.address, KEY).read_partition(1, 0))


def test_without_the_key_nothing_is_read(server: PartitionServer) -> None:
    with pytest.raises(AuthenticationError):
        list(RemotePeer(server.address, b"other" * 3).read_partition(0, 0))
    assert len(list(RemotePeer(server.address, KEY).read_partition(0, 0))) == 4


def test_a_server_that_is_gone(server: PartitionServer) -> None:
    server.close()
    with pytest.raises(OSError):
        list(RemotePeer(server.address, KEY).read_partition(0, 0))
