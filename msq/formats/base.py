"""Input formats: how external bytes become rows. Owns the family, reading options and the counters' side of a read.

A format is a frozen value that prints back as Druid re-serialises it (nulls and defaults dropped). `read.read_external`
drives it: text formats implement `text_reader`, the others `read_item`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pyarrow as pa

from msq.codec import Wire, decode_fields
from msq.datatypes import RowSignature
from msq.faults import CannotParseExternalDataFault
from msq.sources.base import InputItem, InputSource, SourceAccess, parse_member, without_nulls

if TYPE_CHECKING:
    from msq.formats.text import TextReader
    from msq.segment.identity import DataSegment


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read. Sizes are bytes.

    memory_bytes: ceiling of text and batches held at once. threads: parsers side by side. remove_null_bytes: NUL
    characters are taken out of strings; otherwise one is a fault. null_byte_columns: only these columns are looked
    at (None: all), so a query that cleans a column itself can. max_line_bytes: a longer line is a fault.
    """

    memory_bytes: int = 512 << 20
    temp_dir: str | None = None
    threads: int = 2
    max_batch_rows: int = 65_536
    remove_null_bytes: bool = False
    null_byte_columns: frozenset[str] | None = None
    max_line_bytes: int = 1 << 30
    access: SourceAccess = field(default_factory=SourceAccess)
    open_segment: Callable[[DataSegment], Path] | None = None
    """The folder of a segment of the engine's own tables."""


class ReadSink(Protocol):
    """Told about progress. All calls come from the thread that pulls the batches.

    `bad_row` may raise, which ends the read: that is strict mode. `check_cancelled` raises when the work was cancelled.
    """

    def rows(self, n: int) -> None: ...
    def bytes(self, n: int) -> None: ...
    def file_done(self) -> None: ...
    def bad_row(self, fault: CannotParseExternalDataFault) -> None: ...
    def check_cancelled(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read as the formats see it. `columns` are the names to produce, in order, all of `signature`."""

    source: InputSource
    signature: RowSignature
    columns: tuple[str, ...]
    options: ReadOptions
    sink: ReadSink


class InputFormat(Wire):
    """Family of formats, told apart by `type`."""

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        return decode_fields(cls, without_nulls(value))

    supported: ClassVar[bool] = True
    compressed: ClassVar[bool] = False
    """Whether the format is columnar and packed, so that a raw byte weighs eight when work is divided."""

    def text_reader(self, request: ReadRequest) -> TextReader | None:
        """The parser of lines, for formats made of lines; None for the others."""
        return None

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        """The batches of one item, for formats that are not made of lines. Counts the bytes; the caller the rest.

        OSError, EOFError, ValueError and RuntimeError say that the item cannot be read.
        """
        raise NotImplementedError

    def weighted_size(self, item: InputItem) -> int:
        """Bytes for dividing work: raw size, times 4 for gzip text, times 8 for a columnar format."""
        if self.compressed:
            return item.size * 8
        return item.size * 4 if item.name.endswith(".gz") else item.size


def parse_input_format(value: str | Mapping[str, Any]) -> InputFormat:
    """The format said by EXTERN's JSON text (or its object).

    Raises DruidException (invalidInput) `Invalid value for the field [inputFormat]. Reason: [..]`.
    """
    import msq.formats

    return parse_member(msq.formats.InputFormat, value, "inputFormat")  # type: ignore[no-any-return]
