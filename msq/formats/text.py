"""Formats made of lines: from items to batches, in order, with a filler thread ahead of `threads` parsers.

The filler unpacks and cuts text, parsers turn chunks into batches side by side, and the caller's thread takes the
results in order, adds line and record numbers up, and tells the sink. Text and results in flight are bounded by a
number of slots that the memory limit gives.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from msq.faults import CannotParseExternalDataFault, MSQError
from msq.formats.base import ReadRequest
from msq.formats.chunks import BufferSource, Chunk, ChunkBuffer, cut
from msq.formats.streams import ByteStream, unpack
from msq.sources.base import InputItem, reading

Batches = Generator[tuple[InputItem, pa.RecordBatch], None, None]

_SMALL_INPUT = 256 << 10
_CHUNK_MAX = 16 << 20
_CHUNK_MIN = 64 << 10
_POLL_SECONDS = 0.25
_SHOWN_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is no row: `record` good rows of its chunk precede it, `line` is its place in the chunk, from 0."""

    text: str
    record: int
    line: int
    message: str | None = None
    """The whole message, when it is not the usual one."""


@dataclass(slots=True)
class Parsed:
    batches: list[pa.RecordBatch]
    bad: list[BadRow]
    rows: int
    lines: int


class FileText(Protocol):
    """What a format knows of one file. `skip` sees the file's chunks in order until it answers True."""

    def skip(self, chunk: Chunk) -> bool:
        """Moves `chunk.start` over lines that are no rows (counted in `skipped_lines`); True when rows may follow."""
        ...

    skipped_lines: int


class TextReader(Protocol):
    """A format's parser. `parse` runs on several threads at once."""

    def begin(self, item: InputItem) -> FileText: ...
    def parse(self, file: FileText, chunk: Chunk) -> Parsed: ...


class _Buffers(BufferSource):
    """At most `slots` chunks between the filler and the consumer; buffers return when parsed, slots when consumed."""

    def __init__(self, slots: int, capacity: int, temp_dir: str | None) -> None:
        self.stopped = threading.Event()
        self._slots = threading.Semaphore(slots)
        self._free: list[ChunkBuffer] = []
        self._all: list[ChunkBuffer] = []
        self._capacity = capacity
        self._temp_dir = temp_dir
        self._lock = threading.Lock()

    def take(self) -> ChunkBuffer | None:
        while not self._slots.acquire(timeout=_POLL_SECONDS):
            if self.stopped.is_set():
                return None
        if self.stopped.is_set():
            return None
        with self._lock:
            if self._free:
                buffer = self._free.pop()
                buffer.open_for_writing()
                return buffer
            buffer = ChunkBuffer(self._capacity, self._temp_dir)
            self._all.append(buffer)
            return buffer

    def parsed(self, buffer: ChunkBuffer) -> None:
        with self._lock:
            if buffer.capacity > self._capacity:  # grown for one long line: do not keep that memory
                self._all.remove(buffer)
                buffer.close()
            else:
                self._free.append(buffer)

    def consumed(self) -> None:
        self._slots.release()

    def give_back(self, buffer: ChunkBuffer) -> None:
        self.parsed(buffer)
        self.consumed()

    def close(self) -> None:
        for buffer in self._all:
            buffer.close()


@dataclass(slots=True)
class _Event:
    """What filling tells the consumer, in order: a chunk's result to come, or the end of a file, or a failure."""

    item: InputItem
    file: FileText | None = None
    result: Future[Parsed] | None = None
    bytes: int = 0
    error: BaseException | None = None


_Submit = Callable[[Callable[[FileText, Chunk], Parsed], FileText, Chunk], "Future[Parsed]"]


def read_text(request: ReadRequest, items: Sequence[InputItem], reader: TextReader) -> Batches:
    """The batches of `items` in order, each with its item; tells `request.sink` of rows, bytes, files and bad rows."""
    if not items:
        return
    options = request.options
    small = sum(i.size for i in items) <= _SMALL_INPUT and all(i.size for i in items)
    threads = max(1, options.threads)
    slots = threads + 2
    capacity = min(options.max_line_bytes, max(_CHUNK_MIN, min(_CHUNK_MAX, options.memory_bytes // (8 * slots))))
    buffers = _Buffers(slots, min(capacity, _SMALL_INPUT) if small else capacity, options.temp_dir)
    try:
        if small:
            # threads would cost more than they bring
            yield from _consume(request, buffers, _events(request, items, reader, buffers, _at_once))
        else:
            with _ahead(request, items, reader, buffers, threads) as events:
                yield from _consume(request, buffers, events)
    finally:
        buffers.close()


@contextmanager
def _ahead(
    request: ReadRequest, items: Sequence[InputItem], reader: TextReader, buffers: _Buffers, threads: int
) -> Iterator[Iterator[_Event]]:
    """The events, made by a filler thread and `threads` parsers. All have ended when the block ends."""
    events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
    parsers = ThreadPoolExecutor(threads, thread_name_prefix="parse")

    def fill() -> None:
        try:
            for event in _events(request, items, reader, buffers, parsers.submit):
                events.put(event)
        except BaseException as error:  # whatever ends this thread must reach the one that waits for it
            events.put(_Event(items[-1], error=error))
        finally:
            events.put(None)

    filler = threading.Thread(target=fill, name="fill")
    filler.start()
    try:
        yield _taken(request, events)
    finally:
        buffers.stopped.set()
        filler.join()
        parsers.shutdown(wait=True, cancel_futures=True)


def _at_once(parse: Callable[[FileText, Chunk], Parsed], file: FileText, chunk: Chunk) -> Future[Parsed]:
    done: Future[Parsed] = Future()
    try:
        done.set_result(parse(file, chunk))
    except Exception as error:
        done.set_exception(error)
    return done


def _events(
    request: ReadRequest, items: Sequence[InputItem], reader: TextReader, buffers: _Buffers, submit: _Submit
) -> Iterator[_Event]:
    """Fills chunks and has them parsed. Never raises: failures become events."""

    def parse(file: FileText, chunk: Chunk) -> Parsed:
        try:
            return reader.parse(file, chunk)
        finally:
            buffers.parsed(chunk.buffer)

    for item in items:
        if buffers.stopped.is_set():
            return
        done = _Event(item)
        stream: ByteStream | None = None
        try:
            with reading(item):
                stream = unpack(request.source.open(item, request.options.access), item.name)
                file = reader.begin(item)
                ready = False
                for chunk in cut(stream, buffers, request.options.max_line_bytes, item.uri or "inline data"):
                    done.bytes += chunk.size
                    ready = ready or file.skip(chunk)
                    yield _Event(item, file, submit(parse, file, chunk))
        except Exception as error:
            done.error = error
        finally:
            if stream is not None:
                stream.close()
        yield done
        if done.error is not None:
            return


def _taken(request: ReadRequest, events: queue.SimpleQueue[_Event | None]) -> Iterator[_Event]:
    while True:
        request.sink.check_cancelled()
        try:
            event = events.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if event is None:
            return
        yield event


def _consume(request: ReadRequest, buffers: _Buffers, events: Iterator[_Event]) -> Batches:
    sink, counted = request.sink, request.source.counted
    item: InputItem | None = None
    records = lines = 0
    try:
        for event in events:
            if event.item is not item:
                item, records, lines = event.item, 0, 0
            if event.result is None:
                if event.error is not None:
                    raise event.error
                if counted:
                    sink.bytes(event.bytes)
                    sink.file_done()
                item = None
                continue
            parsed = _result(request, event.result)
            if lines == 0 and event.file is not None:
                lines = event.file.skipped_lines
            refused, good = _report(request, parsed, item, records, lines)
            records += parsed.rows
            lines += parsed.lines
            for batch in parsed.batches:
                # rows before the one that ends the read are still delivered, as when rows are read one by one
                batch = batch.slice(0, good)
                good -= batch.num_rows
                if not batch.num_rows and refused is not None:
                    break
                if counted:
                    sink.rows(batch.num_rows)
                yield event.item, batch
            if refused is not None:
                raise refused
            buffers.consumed()
    except GeneratorExit:
        if item is not None and counted:
            sink.file_done()
        raise


def _report(
    request: ReadRequest, parsed: Parsed, item: InputItem | None, records: int, lines: int
) -> tuple[MSQError | None, int]:
    """Tells the sink of a chunk's bad rows: (what it raised, how many of the chunk's rows stand before that)."""
    for bad in parsed.bad:
        try:
            request.sink.bad_row(_fault(bad, item, records, lines))
        except MSQError as error:
            return error, bad.record
    return None, parsed.rows


def _result(request: ReadRequest, result: Future[Parsed]) -> Parsed:
    while True:
        try:
            return result.result(timeout=_POLL_SECONDS)
        except NotYet:
            if result.done():
                raise
            request.sink.check_cancelled()


def _fault(bad: BadRow, item: InputItem | None, records: int, lines: int) -> CannotParseExternalDataFault:
    if bad.message is not None:
        return CannotParseExternalDataFault(bad.message)
    path = f"Path: {item.uri}, " if item is not None and item.uri else ""
    text = bad.text if len(bad.text) <= _SHOWN_TEXT else bad.text[:_SHOWN_TEXT] + "..."
    return CannotParseExternalDataFault(
        f"Unable to parse row [{text}] ({path}Record: {records + bad.record + 1}, Line: {lines + bad.line + 1})"
    )
