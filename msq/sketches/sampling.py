"""Bounds of the number of distinct keys behind a sample of them, as theta sketches of all kinds have them."""

from __future__ import annotations

import struct

import datasketches
import numpy as np

ALL = 2**63 - 1
"""The theta of a sketch that keeps every key."""


def bounds(count: int, theta: int, deviations: int) -> tuple[float, float, float]:
    """(estimate, lower, upper) at 1 to 3 standard deviations of a sketch that holds `count` keys below `theta`.

    `theta` is a share of 2**63; a sketch that keeps every key is exact. Raises ValueError for other deviations.
    """
    if deviations not in (1, 2, 3):
        raise ValueError(f"The number of standard deviations must be 1, 2 or 3, but is [{deviations}]")
    if theta >= ALL:
        return float(count), float(count), float(count)
    # the library computes bounds of theta sketches; which keys these hold does not matter
    head = struct.pack("<6BHIfq", 3, 3, 3, 0, 0, 2 | 8 | 16, 0x93CC, count, 1.0, theta)
    made = datasketches.compact_theta_sketch.deserialize(head + np.arange(1, count + 1, dtype="<i8").tobytes())
    return made.get_estimate(), made.get_lower_bound(deviations), made.get_upper_bound(deviations)
