"""What the bytes of JSON lines tell before they are parsed: how many lines, and where DuckDB is too lenient.

DuckDB takes trailing commas and the words nan, inf and infinity (any case) for JSON. The places found are only
suspects: who asks has to look at their lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_TILE = 1 << 17  # stays in a core's own cache, with the few arrays made of it
_NEWLINE = 10
_BEFORE_WORD = frozenset(b":,[- \t\n")
_AFTER_WORD = frozenset(b",}] \t\r\niI")


def scan(text: Bytes) -> tuple[int, list[int]]:
    """The number of lines (a last one may lack its newline), and the suspect positions in order."""
    newlines = 0
    suspects: list[int] = []
    lower = np.empty(_TILE + 2, np.uint8)
    for at in range(0, len(text), _TILE):
        low = max(at - 2, 0)
        tile = text[low : at + _TILE]
        newlines += int(np.count_nonzero(tile[at - low :] == _NEWLINE))
        folded = np.bitwise_or(tile, np.uint8(0x20), out=lower[: len(tile)])
        closing = np.flatnonzero(folded == 0x7D)  # } and ]
        before = tile[closing - 1]  # a bracket at the very front looks at the tile's end, which does no harm
        for i in closing[(before == 44) | (before <= 32)]:
            if _comma_before(text, low + int(i) - 1):
                suspects.append(low + int(i) - 1)
        for i in np.flatnonzero(_words(folded)):
            if _stands_alone(text, low + int(i)):
                suspects.append(low + int(i))
    if len(text) and text[-1] != _NEWLINE:
        newlines += 1
    return newlines, sorted(suspects)


def _words(folded: Bytes) -> Any:
    """Where `nan` or `inf` begins, letters folded to lower case."""
    n = folded == 110
    word = folded[1:-1] == 97
    word &= n[:-2]
    word &= n[2:]
    inf = folded[2:] == 102
    inf &= n[1:-1]
    inf &= folded[:-2] == 105
    word |= inf
    return word


def _comma_before(text: Bytes, at: int) -> bool:
    while at >= 0 and text[at] <= 32:
        at -= 1
    return at >= 0 and bool(text[at] == 44)


def _stands_alone(text: Bytes, at: int) -> bool:
    """Whether three letters have neighbours that a word outside of strings may have."""
    before = int(text[at - 1]) if at else 0
    after = int(text[at + 3]) if at + 3 < len(text) else _NEWLINE
    return before in _BEFORE_WORD and after in _AFTER_WORD
