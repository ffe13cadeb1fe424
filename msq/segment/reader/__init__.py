"""Reads Druid V9 segments into Arrow, memory-mapped: only the columns and blocks that are asked for are touched."""

from __future__ import annotations

from msq.segment.reader.segment import ColumnInfo, Segment, open_segment
from msq.segment.reader.smoosh import SegmentFormatError

__all__ = ["ColumnInfo", "Segment", "SegmentFormatError", "open_segment"]
