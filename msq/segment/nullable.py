"""Columns of spectator histograms: values one after another behind a header of the rows that have one.

`u8 1 | u8 0 | BE32 bytes that follow`, then the header `BE32 rows | BE32 bytes of the bitmap | bitmap | BE32 ends`,
then the values. The bitmap marks rows with a value, least significant bit first, without its last zero bytes; it is
left out where every row has a value. There is an end for each value.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

SPECTATOR_TYPES = ("spectatorHistogram", "spectatorHistogramTimer", "spectatorHistogramDistribution")
VERSION = 1


def header(present: Any, ends: Any, value_bytes: int) -> bytes:
    """What stands before the values of a column whose rows have one where `present` is true."""
    bitmap = b"" if present.all() else np.packbits(present, bitorder="little").tobytes().rstrip(b"\0")
    offsets = np.asarray(ends).astype(">i4").tobytes()
    size = 8 + len(bitmap) + len(offsets) + value_bytes
    return struct.pack(">BBiii", VERSION, 0, size, len(present), len(bitmap)) + bitmap + offsets
