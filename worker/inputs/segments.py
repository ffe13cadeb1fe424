"""Table input: a piece for each segment, fetched from deep storage, cut to the intervals that may be read of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.counters import ChannelCounter
from msq.datatypes import Column, RowSignature, arrow_type
from msq.frame.frame import plain_column
from msq.intervals import Interval
from msq.segment.clip import rows_within
from msq.segment.identity import DataSegment
from msq.segment.reader.segment import Segment, open_segment
from msq.segment.schema import TIME
from msq.stage.inputs import SEGMENT_ID, SegmentsInputSlice
from worker.inputs.base import Piece, PieceInput, limited

_COUNTED_ROWS = 1 << 20

Opener = Callable[[Mapping[str, Any]], Segment]
"""A segment by its JSON (msq.segment.identity.DataSegment)."""


def opener_of(services: Mapping[str, Any]) -> Opener:
    """What opens segments for a work order: `open_segments` of its services where they are kept open, else its deep
    storage each time."""
    kept = services.get("open_segments")
    if kept is not None:
        found: Opener = kept
        return found
    storage = services["deep_storage"]
    return lambda described: open_segment(storage.open(DataSegment.from_json(described)))


def open_segments(
    spec: SegmentsInputSlice, signature: RowSignature, counter: ChannelCounter, opener: Opener, batch_rows: int,
    check_cancelled: Callable[[], None],
) -> PieceInput:  # fmt: skip
    """A column that a segment lacks reads as null; SEGMENT_ID, where it is asked for, as the segment's id."""
    if spec.segments:
        counter.add(0, totalFiles=len(spec.segments))

    def piece(described: dict[str, Any], intervals: Sequence[str]) -> Piece:
        def read(columns: Sequence[str] | None, max_rows: int | None) -> Iterator[Any]:
            return limited(batches(columns), max_rows)

        def batches(columns: Sequence[str] | None) -> Iterator[Any]:
            check_cancelled()
            began = time.perf_counter()
            segment = opener(described)
            # begun milliseconds count; the reader waits for the load, so both times are one
            spent = math.ceil((time.perf_counter() - began) * 1000)
            counter.add(
                0, loadBytes=int(described.get("size") or 0), loadFiles=1, loadTime=spent, loadWait=spent,
            )  # fmt: skip
            wanted = signature if columns is None else signature.select(columns)
            allowed = [Interval.parse(i) for i in intervals]
            clip = [i for i in allowed if not i.contains(segment.interval)]
            names = [c.name for c in wanted if c.name in segment.names]
            read_names = names if not clip or TIME in names else [*names, TIME]
            if not read_names:
                # rows that are only counted need no column
                for start in range(0, segment.num_rows, _COUNTED_ROWS):
                    rows = min(_COUNTED_ROWS, segment.num_rows - start)
                    yield _shaped(pa.record_batch([pa.nulls(rows)], [TIME]), wanted, described)
                    counter.add(0, rows=rows)
                counter.add(0, files=1)
                return
            as_json = [c.name for c in wanted if c.type.is_json]
            for batch in segment.batches(read_names, batch_rows, as_json):
                check_cancelled()
                rows = batch.num_rows
                if clip and len(clip) == len(allowed):
                    batch = rows_within(batch, allowed)
                if batch.num_rows:
                    yield _shaped(batch, wanted, described)
                counter.add(0, rows=rows)
            counter.add(0, files=1)

        return Piece(0, read)

    pieces = [piece(s, i) for s, i in zip(spec.segments, spec.intervals)]
    return PieceInput(signature, (0,), pieces)


def _shaped(batch: Any, wanted: RowSignature, described: Mapping[str, Any]) -> Any:
    columns = [_named(batch, described) if c.name == SEGMENT_ID else _column(batch, c) for c in wanted]
    if not columns:
        return batch.select([])
    return pa.RecordBatch.from_arrays(columns, names=list(wanted.names))


def _named(batch: Any, described: Mapping[str, Any]) -> Any:
    """The segment's id in every row."""
    ids = pa.array([described["identifier"]])
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(batch.num_rows, np.int32)), ids)


def _column(batch: Any, column: Column) -> Any:
    """A stored column as the type that the query was planned with, which another segment may have decided."""
    if column.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, arrow_type(column.type))
    array = plain_column(batch.column(column.name))
    kind = array.type
    goal = arrow_type(column.type)
    if kind == goal or column.type.is_complex:
        return array
    if column.type.kind == "STRING":
        if (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)) or pa.types.is_dictionary(kind):
            return array
        if pa.types.is_list(kind):
            return array.cast(pa.list_(pa.string()))
        return array.cast(pa.string())
    if column.type.is_array and not pa.types.is_list(kind):
        plain = array.cast(kind.value_type) if pa.types.is_dictionary(kind) else array
        element = goal.value_type
        offsets = np.concatenate(([0], np.cumsum(np.asarray(plain.is_valid())))).astype(np.int32)
        mask = pa.array(~np.asarray(plain.is_valid()))
        return pa.ListArray.from_arrays(pa.array(offsets), plain.drop_null().cast(element, safe=False), mask=mask)
    if pa.types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind):
        return _numbers(array, goal)
    return pc.cast(array, goal, safe=False)


def _numbers(array: Any, goal: Any) -> Any:
    """Texts as numbers; what is no number becomes null."""
    number = pc.match_substring_regex(array, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    cleaned = pc.if_else(number, array, pa.scalar(None, pa.string()))
    return pc.cast(pc.cast(cleaned, pa.float64()), goal, safe=False)
