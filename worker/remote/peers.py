"""Partitions between processes of one machine: a server in each worker, and readers anywhere.

One connection reads one partition: the reader sends (stage, partition) and gets an Arrow IPC stream for each run of
batches of one schema, then an empty message. Connections need the query's key.
"""

from __future__ import annotations

import logging
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import pyarrow as pa

from worker.outputs.ipc import plain_batch
from worker.worker import PartitionReader

log = logging.getLogger(__name__)

_CHUNK_BYTES = 8 << 20
_ERROR = b"!"


class PartitionServer:
    """Answers readers on threads of its own until `close`. `read(stage, partition)` gives a piece's batches."""

    def __init__(self, key: bytes, read: Callable[[int, int], Iterator[Any]]) -> None:
        self._read = read
        # a name in Linux's abstract space needs no file, which a killed process would leave behind
        address = f"\0msq-{secrets.token_hex(16)}" if sys.platform == "linux" else None
        self._listener = Listener(address, "AF_UNIX", backlog=64, authkey=key)
        self.address: Any = self._listener.address
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="partition-server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError):
                continue  # a reader that gave up while it was let in, or `close`
            except Exception:
                log.warning("a reader was refused", exc_info=True)
                continue
            threading.Thread(target=self._serve, args=(connection,), name="partition-reader", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection:
            try:
                stage, partition = connection.recv()
                for chunk in _chunks(self._read(stage, partition)):
                    connection.send_bytes(chunk)
                connection.send_bytes(b"")
            except (BrokenPipeError, ConnectionResetError, EOFError):
                log.debug("a reader went away")
            except Exception as error:
                try:
                    connection.send_bytes(_ERROR + f"{type(error).__name__}: {error}".encode())
                except OSError:
                    log.debug("a reader went away")

    def close(self) -> None:
        self._closed = True
        self._listener.close()


def _chunks(batches: Iterator[Any]) -> Iterator[bytes]:
    """IPC streams of batches of one schema each, of some megabytes."""
    held: list[Any] = []
    size = 0
    for batch in batches:
        batch = plain_batch(batch)
        if held and (batch.schema != held[0].schema or size >= _CHUNK_BYTES):
            yield _stream(held)
            held, size = [], 0
        held.append(batch)
        size += batch.nbytes
    if held:
        yield _stream(held)


def _stream(batches: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


class RemotePeer(PartitionReader):
    """Another worker's partitions, read from its server."""

    def __init__(self, address: Any, key: bytes) -> None:
        self._address = address
        self._key = key

    def read_partition(self, stage: int, partition: int) -> Iterator[Any]:
        """Raises OSError or EOFError when the worker is gone, LookupError when it does not have the output."""
        with Client(self._address, authkey=self._key) as connection:
            connection.send((stage, partition))
            while data := connection.recv_bytes():
                if data[:1] == _ERROR:
                    raise LookupError(data[1:].decode())
                with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
                    yield from reader
