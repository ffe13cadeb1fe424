"""The layout of `serializablePairLong*` values: a time and the value it had (EARLIEST, LATEST).

In frames a pair of numbers is `LE64 time | u8 0 | value` or `LE64 time | u8 1` for a null value, a pair of a string is
`BE64 time | BE32 bytes | UTF-8`. In a segment the strings stand in a plain list; numbers stand in cells whose time is
the distance from the column's first time.
"""

from __future__ import annotations

# type name -> bytes of its value
PAIR_VALUES = {
    "serializablePairLongLong": 8,
    "serializablePairLongDouble": 8,
    "serializablePairLongFloat": 4,
}
VERSION = 3
INT_DELTAS = 0x80
