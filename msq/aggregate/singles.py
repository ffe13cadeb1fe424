"""Numbers as 32-bit floats hold them."""

from __future__ import annotations

import numpy as np


def single(value: float) -> float:
    """The number as a 32-bit float holds it: what Druid's planner makes of some literals."""
    return float(np.float32(value))


def shortest(value: float) -> float:
    """The number whose decimal is the shortest that means the same 32-bit float."""
    return float(str(np.float32(value)))
