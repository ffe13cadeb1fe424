"""What a stage reads (InputSpec, in its definition) and what one worker reads of it (InputSlice, in a work order)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.codec import Wire
from msq.datatypes import RowSignature
from msq.native.datasource import InlineDataSource
from msq.native.query import IntervalSpec

SEGMENT_ID = "__segmentId"
"""A column that every segment has besides its own: its id. Only native scans read it."""


class InputSpec(Wire):
    """Family of stage inputs, as reports print them."""


@dataclass(frozen=True)
class ExternalInputSpec(InputSpec, tag="external"):
    input_source: dict[str, Any]
    input_format: dict[str, Any] | None
    signature: RowSignature


@dataclass(frozen=True)
class TableInputSpec(InputSpec, tag="table"):
    """`intervals`: ISO texts; eternity is printed too. `signature` is not printed: see StageDefinition users."""

    data_source: str
    intervals: tuple[str, ...]
    filter: Any = None
    filter_fields: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StageInputSpec(InputSpec, tag="stage"):
    stage: int


@dataclass(frozen=True)
class InlineInputSpec(InputSpec, tag="InlineInputSpec"):
    data_source: InlineDataSource


@dataclass(frozen=True)
class LookupInputSpec(InputSpec, tag="LookupInputSpec"):
    lookup_name: str


class InputSlice(Wire):
    """Family of slices: one worker's share of one input."""


@dataclass(frozen=True)
class ExternalInputSlice(InputSlice, tag="external"):
    """`items`: JSON of this worker's msq.sources InputItems, in listing order."""

    input_source: dict[str, Any]
    input_format: dict[str, Any] | None
    signature: RowSignature
    items: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class SegmentsInputSlice(InputSlice, tag="segments"):
    """`segments`: DataSegment JSON each with the intervals that may be read of it (ISO texts)."""

    data_source: str
    segments: tuple[dict[str, Any], ...]
    intervals: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StageInputSlice(InputSlice, tag="stage"):
    """`partitions` of stage `stage`, each to be read from all workers in `workers` that wrote a piece of it."""

    stage: int
    partitions: tuple[int, ...]
    workers: tuple[int, ...]


@dataclass(frozen=True)
class InlineInputSlice(InputSlice, tag="inline"):
    data_source: InlineDataSource


@dataclass(frozen=True)
class LookupInputSlice(InputSlice, tag="lookup"):
    lookup_name: str


@dataclass(frozen=True)
class NilInputSlice(InputSlice, tag="nil"):
    """Nothing of that input for this worker."""


__all__ = [
    "ExternalInputSlice", "ExternalInputSpec", "InlineInputSlice", "InlineInputSpec", "InputSlice", "InputSpec",
    "IntervalSpec", "LookupInputSlice", "LookupInputSpec", "NilInputSlice", "SegmentsInputSlice", "StageInputSlice",
    "StageInputSpec", "TableInputSpec",
]  # fmt: skip
