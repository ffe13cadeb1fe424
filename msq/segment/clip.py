"""Rows of a segment within intervals: a segment may hold more than what shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from msq.intervals import Interval
from msq.segment.schema import TIME


def rows_within(batch: Any, intervals: Sequence[Interval]) -> Any:
    """The rows of a batch with the time column whose time lies in one of the intervals."""
    at = np.asarray(batch.column(TIME))
    keep = np.zeros(len(at), bool)
    for interval in intervals:
        keep |= (at >= interval.start) & (at < interval.end)
    return batch if keep.all() else batch.filter(pa.array(keep))
