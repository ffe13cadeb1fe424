"""The first records of external data as JSON values, before anybody has said what its columns are.

Where reading for queries needs a signature (msq.formats), a sample is there to find one. So each format has a small
reader here that yields rows as dicts, or the text of what did not parse; the counts are those of a sample: hundreds.
"""

from __future__ import annotations

import base64
import csv
import datetime
import decimal
import io
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from msq.expr.kernels.regex import compile_java
from msq.faults import invalid_input
from msq.formats import (
    AvroInputFormat,
    CsvInputFormat,
    InputFormat,
    JsonInputFormat,
    LinesInputFormat,
    OrcInputFormat,
    ParquetInputFormat,
    RegexInputFormat,
    TsvInputFormat,
)
from msq.formats.delimited import DelimitedFormat
from msq.formats.streams import unpack
from msq.sources.base import InputItem, InputSource, SourceAccess

_READ_BYTES = 1 << 16
_MAX_TEXT_BYTES = 16 << 20
"""Text that is looked at for one sample, at most."""


@dataclass(frozen=True)
class Record:
    """One record: `row`, or what did not parse (`raw`) and why (`error`)."""

    row: dict[str, Any] | None
    raw: Any = None
    error: str | None = None


def records(source: InputSource, form: InputFormat, access: SourceAccess, limit: int) -> list[Record]:
    """At most `limit` records, of as many items as that takes. Raises OSError, ValueError for what cannot be read."""
    found: list[Record] = []
    for item in source.list(access):
        if len(found) >= limit:
            break
        with source.open(item, access) as raw, closing(_of_item(form, item, raw)) as read:
            found += islice(read, limit - len(found))
    return found


def _of_item(form: InputFormat, item: InputItem, raw: BinaryIO) -> Generator[Record, None, None]:
    reader = _READERS.get(type(form))
    if reader is None:
        raise invalid_input(f"Input format [{form.to_wire()['type']}] cannot be sampled")
    yield from reader(form, item, raw)


# -- text --------------------------------------------------------------------------------------------------------------


def _text(item: InputItem, raw: BinaryIO) -> Iterator[str]:
    """The lines of an item, unpacked, decoded leniently, without their ends."""
    buffer, rest, seen = bytearray(_READ_BYTES), b"", 0
    with closing(unpack(raw, item.name)) as stream:
        while seen < _MAX_TEXT_BYTES:
            n = stream.readinto(memoryview(buffer))
            if not n:
                break
            seen += n
            *lines, rest = (rest + buffer[:n]).split(b"\n")
            yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.removesuffix(b"\r").decode("utf-8", "replace")


def _json(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    """Objects, one a line or spread over lines."""
    decoder = json.JSONDecoder()
    pending = ""
    for line in _text(item, raw):
        pending = f"{pending}\n{line}" if pending else line.lstrip("\ufeff")
        text = pending.strip()
        if not text:
            pending = ""
            continue
        try:
            found = _objects(decoder, text)
        except _Broken as broken:
            # an object that spans lines looks broken until its last line is there
            if text.startswith("{") and text.count("{") > text.count("}") and len(text) < _MAX_TEXT_BYTES:
                pending = text
                continue
            found = [Record(None, text, str(broken))]
        pending = ""
        yield from found
    if pending.strip():
        yield Record(None, pending, f"Unable to parse row [{pending[:200]}]")


class _Broken(ValueError):
    pass


def _objects(decoder: json.JSONDecoder, text: str) -> list[Record]:
    at = 0
    made = []
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise _Broken(f"Unable to parse row [{text[:200]}]") from None
        if not isinstance(value, dict):
            raise _Broken(f"Unable to parse row [{text[:200]}]: it is no object")
        made.append(Record(value))
        while at < len(text) and text[at].isspace():
            at += 1
    return made


def _delimited(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    assert isinstance(form, DelimitedFormat)
    quoted = form.quote is not None
    lines = (line + "\n" for line in _text(item, raw))
    rows: Iterable[list[str]] = csv.reader(
        lines, delimiter=form.separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    iterator = iter(rows)
    names = list(getattr(form, "columns", None) or ())
    for _ in range(getattr(form, "skip_header_rows", 0)):
        next(iterator, None)
    if form.reads_header:
        header = next(iterator, [])
        names = names or [name.lstrip("\ufeff") for name in header]
    splitter = getattr(form, "list_delimiter", None)
    for cells in iterator:
        if not cells:
            continue
        shown = names + [f"column_{n}" for n in range(len(names) + 1, len(cells) + 1)]
        yield Record({name: _cell(cell, splitter) for name, cell in zip(shown, cells)})


def _cell(text: str, splitter: str | None) -> Any:
    if text == "":
        return None
    return text.split(splitter) if splitter and splitter in text else text


def _regex(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    pattern = compile_java(form.pattern)
    names = list(form.columns or [f"column_{n}" for n in range(1, pattern.groups + 1)])
    for line in _text(item, raw):
        match = pattern.fullmatch(line)
        if match is None:
            yield Record(None, line, f"Regex [{form.pattern}] does not match line [{line[:200]}]")
        else:
            yield Record(dict(zip(names, match.groups())))


def _lines(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    return (Record({"line": line}) for line in _text(item, raw))


# -- binary ------------------------------------------------------------------------------------------------------------


def _seekable(raw: BinaryIO) -> BinaryIO:
    return raw if raw.seekable() else io.BytesIO(raw.read())


def _parquet(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(_seekable(raw)).iter_batches(batch_size=1_000):
        yield from (Record(_plain(row)) for row in batch.to_pylist())


def _orc(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    import pyarrow.orc as orc

    file = orc.ORCFile(_seekable(raw))
    for stripe in range(file.nstripes):
        yield from (Record(_plain(row)) for row in file.read_stripe(stripe).to_pylist())


def _avro(form: Any, item: InputItem, raw: BinaryIO) -> Iterator[Record]:
    import fastavro

    yield from (Record(_plain(row)) for row in fastavro.reader(raw))


def _plain(value: Any) -> Any:
    """JSON values: times as ms, dates as ms of their start, decimals as numbers, bytes in base64."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        return int(zoned.timestamp() * 1000)
    if isinstance(value, datetime.date):
        return (value - datetime.date(1970, 1, 1)).days * 86_400_000
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


_READERS: dict[type[InputFormat], Callable[[Any, InputItem, BinaryIO], Iterator[Record]]] = {
    JsonInputFormat: _json, CsvInputFormat: _delimited, TsvInputFormat: _delimited, RegexInputFormat: _regex,
    LinesInputFormat: _lines, ParquetInputFormat: _parquet, OrcInputFormat: _orc, AvroInputFormat: _avro,
}  # fmt: skip
