"""Record batches as frames: their size as Druid would count it, splitting, and bringing batches to one schema.

Owns what is true of any batch in frame layout (`msq.datatypes`). Keys and their order live in `msq.frame.keys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import RowSignature
from msq.faults import MSQError, RowTooLargeFault

FRAME_HEADER_BYTES = 34
"""What a row-based frame holds besides its rows."""
FRAME_DATA_BYTES = 540_672
"""Bytes of row data in a full frame of 1,000,000 bytes; the rest of the arena is lost to growing by doubling."""
_FIXED = {"int64": 9, "double": 9, "float": 5}
_I64 = np.dtype(np.int64)


def _offsets(array: Any, width: int) -> Any:
    """The offsets buffer of a string, binary or list array, cut to the array's slice."""
    dtype = np.int64 if width == 8 else np.int32
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array) + 1, dtype)
    return np.frombuffer(buffer, dtype)[array.offset : array.offset + len(array) + 1]


def value_lengths(array: Any) -> Any:
    """Byte lengths (int64) of the values of a `string`/`binary`/dictionary array; nulls have length 0."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = value_lengths(array.dictionary)
        if not len(lengths):
            return np.zeros(len(array), _I64)
        if not array.null_count:
            return lengths[np.asarray(array.indices)]
        out = lengths[np.asarray(pc.fill_null(array.indices, 0))]
        return np.where(np.asarray(array.is_valid()), out, 0)
    if pa.types.is_null(kind):
        return np.zeros(len(array), _I64)
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    out = np.diff(_offsets(array, 8 if wide else 4)).astype(_I64, copy=False)
    if array.null_count:
        out = np.where(np.asarray(array.is_valid()), out, 0)
    return out


def _text_bytes(array: Any) -> int:
    """Sum of the value lengths of a string array, without looking at each when the layout allows."""
    if len(array) == 0:
        return 0
    if pa.types.is_dictionary(array.type) or pa.types.is_null(array.type):
        return int(value_lengths(array).sum())
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    offsets = _offsets(array, 8 if wide else 4)
    return int(offsets[-1]) - int(offsets[0])


def _column_bytes(array: Any) -> int:
    """Field bytes of one column in Druid's row format: see `frame_bytes`."""
    kind, n = array.type, len(array)
    fixed = _FIXED.get(str(kind))
    if fixed is not None:
        return fixed * n
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return 3 * n + _text_bytes(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = array.flatten()
        if pa.types.is_string(values.type) or pa.types.is_dictionary(values.type):
            lengths = pc.fill_null(pc.list_value_length(array), 0)
            empty = int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)
            return int(n + empty + 2 * len(values) + _text_bytes(values))
        return 2 * n + (_FIXED.get(str(values.type), 9)) * len(values)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return 5 * n + _text_bytes(array)
    if pa.types.is_null(kind):
        return 3 * n
    return 9 * n


def frame_bytes(batch: Any) -> int:
    """Bytes that the rows of `batch` take in Druid's row-based frames, headers and row offsets left out.

    A row has 4 bytes for each column; LONG and DOUBLE take 9, FLOAT 5, a string its UTF-8 bytes and 3, several values
    their bytes and 2 each and 1. So a counter shows what a real Druid would, whatever the layout in memory.
    """
    return int(4 * batch.num_columns * batch.num_rows + sum(_column_bytes(c) for c in batch.columns))


def row_lengths(batch: Any) -> Any:
    """`frame_bytes` of every row (int64)."""
    out = np.full(batch.num_rows, 4 * batch.num_columns, _I64)
    for array in batch.columns:
        kind = array.type
        fixed = _FIXED.get(str(kind))
        if fixed is not None:
            out += fixed
        elif pa.types.is_list(kind):
            values = array.flatten()
            counts = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(_I64)
            ends = np.concatenate(([0], np.cumsum(counts)))
            if pa.types.is_string(values.type) or pa.types.is_dictionary(values.type):
                sums = np.concatenate(([0], np.cumsum(value_lengths(values) + 2)))
                out += 1 + sums[ends[1:]] - sums[ends[:-1]] + (counts == 0)
            else:
                out += 2 + 9 * counts
        elif pa.types.is_null(kind):
            out += 3
        else:
            out += value_lengths(array) + (5 if pa.types.is_binary(kind) else 3)
    return out


def longest_value(array: Any) -> int:
    """Bytes of the longest value of a column: of its longest text, of all elements of its longest list."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return longest_value(array.dictionary)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        most = int(pc.max(pc.list_value_length(array)).as_py() or 0)
        return most * (longest_value(array.flatten()) + 2)
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return int(value_lengths(array).max(initial=0))
    return 8


def check_row_size(batch: Any, max_frame_bytes: int) -> None:
    """Raises RowTooLarge when some row of `batch` does not fit in a frame."""
    room = max_frame_bytes - FRAME_HEADER_BYTES - 12
    if batch.num_rows == 0 or batch.nbytes <= room // 2:
        return
    if sum(longest_value(c) + 9 for c in batch.columns) <= room:
        return
    if int(row_lengths(batch).max()) > room:
        raise MSQError(RowTooLargeFault(max_frame_bytes))


def split_rows(batch: Any, max_rows: int, max_bytes: int | None = None) -> Iterator[Any]:
    """Slices of `batch` of at most `max_rows` rows and, as far as rows of average size go, `max_bytes` Arrow bytes."""
    rows = batch.num_rows
    if max_bytes is not None and rows:
        size = batch.nbytes
        if size > max_bytes:
            max_rows = max(1, min(max_rows, rows * max_bytes // size))
    if rows <= max_rows:
        yield batch
        return
    for start in range(0, rows, max_rows):
        yield batch.slice(start, max_rows)


def plain_column(array: Any) -> Any:
    """The column in frame layout: no large or view types, no dictionary inside a list, no null type."""
    kind = array.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return array.cast(pa.binary())
    if pa.types.is_large_list(kind):
        return array.cast(pa.list_(kind.value_type))
    return array


def decode_dictionary(array: Any) -> Any:
    """A dictionary column as plain `string`; other columns as they are."""
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


_ENCODE_SAMPLE = 1_024
_ENCODE_VALUES = 192
_ENCODE_ROWS = 4_096


class Compactor:
    """Dictionary-encodes the text columns of few distinct values, which are then cheaper to move, sort and store.

    Which ones is decided on the first large batch; a column that turns out to have many values is left plain from then.
    """

    def __init__(self) -> None:
        self._few: dict[str, bool] = {}

    def compact(self, batch: Any) -> Any:
        if batch.num_rows < _ENCODE_ROWS:
            return batch
        columns = []
        changed = False
        for name, array in zip(batch.schema.names, batch.columns):
            if pa.types.is_string(array.type) and self._has_few(name, array):
                encoded = array.dictionary_encode()
                self._few[name] = len(encoded.dictionary) <= len(array) // 8
                if self._few[name]:
                    array, changed = encoded, True
            columns.append(array)
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names) if changed else batch

    def _has_few(self, name: str, array: Any) -> bool:
        found = self._few.get(name)
        if found is None:
            step = len(array) // _ENCODE_SAMPLE
            sample = array.take(pa.array(np.arange(0, step * _ENCODE_SAMPLE, step)))
            found = self._few[name] = pc.count_distinct(sample).as_py() <= _ENCODE_VALUES
        return found


def to_lists(array: Any) -> Any:
    """A STRING column as `list<string>`: a scalar becomes a list of one, null stays null. Lists are returned as is."""
    if pa.types.is_list(array.type):
        return array
    values = decode_dictionary(array)
    if values.null_count == 0:
        return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1, dtype=np.int32)), values)
    valid = np.asarray(values.is_valid())
    offsets = np.concatenate(([0], np.cumsum(valid))).astype(np.int32)
    mask = pa.array(~valid)
    return pa.ListArray.from_arrays(pa.array(offsets), values.drop_null(), mask=mask)


def common_type(types: Sequence[Any]) -> Any:
    """The one Arrow type that columns of `types` (forms of one column) are brought to.

    Lists win over scalars; dictionaries stay only when all are dictionaries of the same index type.
    """
    first = types[0]
    if all(t == first for t in types):
        return first
    for kind in types:
        if pa.types.is_list(kind):
            return kind
    return next((t.value_type if pa.types.is_dictionary(t) else t) for t in types)


def to_type(array: Any, kind: Any) -> Any:
    """`array` in the form `kind`, which `common_type` chose."""
    if array.type == kind:
        return array
    if pa.types.is_list(kind):
        return to_lists(array) if not pa.types.is_list(array.type) else array.cast(kind)
    return decode_dictionary(array).cast(kind)


def common_schema(batches: Sequence[Any]) -> Any:
    """The schema that `unify` brings `batches` to. All have the same column names in the same order."""
    first = batches[0].schema
    if all(b.schema == first for b in batches):
        return first
    return pa.schema([(field.name, common_type([b.schema.types[i] for b in batches])) for i, field in enumerate(first)])


def to_schema(batch: Any, schema: Any) -> Any:
    """`batch` with its columns in the forms of `schema` (same names and order)."""
    if batch.schema == schema:
        return batch
    columns = [to_type(c, t) for c, t in zip(batch.columns, schema.types)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def unify(batches: Sequence[Any]) -> Any:
    """One table of `batches` (at least one): a chunk each, all columns in one Arrow type."""
    schema = common_schema(batches)
    return pa.Table.from_batches([to_schema(b, schema) for b in batches], schema)


def one_batch(table: Any) -> Any:
    """A table as a single record batch; dictionaries of different chunks are unified."""
    if any(pa.types.is_dictionary(t) for t in table.schema.types):
        table = table.unify_dictionaries()
    batches = table.combine_chunks().to_batches()
    if not batches:
        return pa.RecordBatch.from_arrays([pa.array([], t) for t in table.schema.types], schema=table.schema)
    if len(batches) == 1:
        return batches[0]
    raise OverflowError("a batch holds more than 2 GiB of text in one column")


def coalesce(batches: Iterable[Any], min_rows: int, max_bytes: int = 64 << 20) -> Iterator[Any]:
    """Joins small neighbouring batches of one schema until they have `min_rows` rows; order stays."""
    held: list[Any] = []
    rows = size = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        if held and batch.schema != held[0].schema:
            yield _joined(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= min_rows or size >= max_bytes:
            yield _joined(held)
            held, rows, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(batches: list[Any]) -> Any:
    return batches[0] if len(batches) == 1 else one_batch(pa.Table.from_batches(batches))


def empty_batch(signature: RowSignature) -> Any:
    """A batch of `signature` without rows."""
    schema = signature.arrow_schema()
    return pa.RecordBatch.from_arrays([pa.array([], t) for t in schema.types], schema=schema)


class FrameTally:
    """Counts the frames that a stream of batches fills in Druid: cut when the row data of one is full.

    `row_overhead`: 8 for the row's offset, and 4 more where a frame carries its sort order (output of sorted stages).
    """

    def __init__(self, row_overhead: int = 8) -> None:
        self._overhead = row_overhead
        self._open_bytes = 0

    def add(self, batch: Any) -> dict[str, int]:
        """`rows`, `bytes`, `frames` to add to a channel counter for `batch`."""
        rows = batch.num_rows
        if not rows:
            return {"rows": 0, "bytes": 0, "frames": 0}
        data = frame_bytes(batch)
        filled = self._open_bytes + data
        frames = -(-filled // FRAME_DATA_BYTES) - (1 if self._open_bytes else 0)
        self._open_bytes = filled - (-(-filled // FRAME_DATA_BYTES) - 1) * FRAME_DATA_BYTES
        return {"rows": rows, "bytes": data + self._overhead * rows + FRAME_HEADER_BYTES * frames, "frames": frames}

    def restart(self) -> None:
        """The next batch begins a new frame (another processor writes it)."""
        self._open_bytes = 0
