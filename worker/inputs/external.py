"""External input: a piece for each file, read by msq.formats, with its progress and bad rows counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msq.codec import decode
from msq.counters import ChannelCounter
from msq.datatypes import RowSignature
from msq.faults import CannotParseExternalDataFault, Fault
from msq.stage.inputs import ExternalInputSlice
from worker.inputs.base import Piece, PieceInput, limited


@dataclass
class _Sink:
    """The counters' side of one file's read. With a row limit the rows delivered are counted, not those parsed."""

    counter: ChannelCounter
    warn: Callable[[Fault], None]
    cancelled: Callable[[], None]
    count_rows: bool = True
    done: bool = False

    def rows(self, n: int) -> None:
        if self.count_rows:
            self.counter.add(0, rows=n)

    def bytes(self, n: int) -> None:
        self.counter.add(0, bytes=n)

    def file_done(self) -> None:
        if not self.done:
            self.done = True
            self.counter.add(0, files=1)

    def bad_row(self, fault: CannotParseExternalDataFault) -> None:
        self.warn(fault)

    def check_cancelled(self) -> None:
        self.cancelled()


def open_external(
    spec: ExternalInputSlice, signature: RowSignature, counter: ChannelCounter, options: Any,
    warn: Callable[[Fault], None], check_cancelled: Callable[[], None],
) -> PieceInput:  # fmt: skip
    """`signature`: the columns of the input as the stage reads them; `options`: msq.formats ReadOptions."""
    from msq.formats.base import parse_input_format
    from msq.formats.read import read_external
    from msq.sources.base import InputItem, parse_input_source

    source = parse_input_source(spec.input_source)
    input_format = parse_input_format(spec.input_format) if spec.input_format is not None else _embedded(source)
    items = tuple(decode(InputItem, item) for item in spec.items)
    if items:
        counter.add(0, totalFiles=len(items))
    threads = max(1, options.threads // max(1, min(len(items), options.threads)))

    def piece(item: Any) -> Piece:
        def read(columns: Sequence[str] | None, max_rows: int | None) -> Iterator[Any]:
            sink = _Sink(counter, warn, check_cancelled, count_rows=max_rows is None)
            batches = read_external(
                source, input_format, signature, columns=columns, items=[item],
                options=replace(options, threads=threads), sink=sink,
            )  # fmt: skip
            try:
                for batch in limited(batches, max_rows):
                    if max_rows is not None and source.counted:
                        counter.add(0, rows=batch.num_rows)
                    yield batch
            finally:
                if source.counted:
                    sink.file_done()  # closed early: the file counts as read

        return Piece(0, read)

    return PieceInput(signature, (0,), [piece(item) for item in items])


def describe_source(spec: ExternalInputSlice) -> str:
    """How messages name the source."""
    from msq.sources.base import parse_input_source

    return parse_input_source(spec.input_source).describe()


def _embedded(source: Any) -> Any:
    raise ValueError(f"Input source [{getattr(source, 'TAG', source)}] needs an input format")


def read_options(services: Mapping[str, Any], memory_bytes: int, threads: int, temp_dir: str, **more: Any) -> Any:
    """msq.formats ReadOptions of a work order; `services` may hold `source_access` and `deep_storage`."""
    from msq.formats.base import ReadOptions

    access = services.get("source_access")
    if access is not None:
        more["access"] = access
    storage = services.get("deep_storage")
    if storage is not None:
        more["open_segment"] = storage.open
    return ReadOptions(memory_bytes=memory_bytes, threads=threads, temp_dir=temp_dir, **more)
