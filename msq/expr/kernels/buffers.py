"""The bytes under a column of texts: what kernels over whole columns look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Positions = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

_MARGIN = 16


def distinct(column: pa.Array, convert: Callable[[str], Any], kind: Any) -> pa.Array:
    """`convert` once for each distinct text, as an array of `kind`; nulls stay null."""
    coded = column.dictionary_encode()
    return pa.array([None if v is None else convert(v) for v in coded.dictionary.to_pylist()], kind).take(coded.indices)


def strings_of(data: Bytes, offsets: np.ndarray[Any, Any]) -> pa.Array:
    """The `string` array whose row i is the UTF-8 bytes from offsets[i] to offsets[i + 1]; no nulls."""
    ends = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    return pa.StringArray.from_buffers(len(offsets) - 1, ends, pa.py_buffer(np.ascontiguousarray(data)))


def split_rows(
    column: pa.Array,
    ordinary: Mask,
    fast: Callable[[pa.Array], pa.Array],
    rest: Callable[[pa.Array, Any], pa.Array],
) -> pa.Array:
    """`fast` over the ordinary rows, `rest` (told their type) over the others, in order."""
    if ordinary.all():
        return fast(column)
    others = np.flatnonzero(~ordinary)
    quick = fast(column.take(pa.array(np.flatnonzero(ordinary))))
    place = np.cumsum(ordinary) - 1
    place[others] = len(quick) + np.arange(len(others))
    return pa.concat_arrays([quick, rest(column.take(pa.array(others)), quick.type)]).take(pa.array(place))


def replaced(column: pa.Array, ordinary: Mask, made: pa.Array, rest: Callable[[pa.Array, Any], pa.Array]) -> pa.Array:
    """The rows of `made` where they are ordinary, `rest` (told their type) over the others of `column`, in order."""
    if ordinary.all():
        return made
    others = np.flatnonzero(~ordinary)
    place = np.arange(len(made))
    place[others] = len(made) + np.arange(len(others))
    return pa.concat_arrays([made, rest(column.take(pa.array(others)), made.type)]).take(pa.array(place))


class Texts:
    """A column of texts as bytes that can be looked around in: `data[starts[i]:ends[i]]` is row i.

    Zeros stand before the first row and after the last, so that a neighbour of any byte can be read.
    """

    def __init__(self, column: pa.Array) -> None:
        self.rows = len(column)
        _, ends, data = column.cast(pa.string()).buffers()
        offsets = np.frombuffer(ends, np.int32)[column.offset :][: self.rows + 1].astype(np.int64)
        used = np.frombuffer(b"" if data is None else data, np.uint8)[offsets[0] : offsets[-1]]
        self.data = np.zeros(len(used) + 2 * _MARGIN, np.uint8)
        self.data[_MARGIN : _MARGIN + len(used)] = used
        self.offsets = offsets - (int(offsets[0]) - _MARGIN)

        self._words = np.ndarray((len(self.data) - 7,), "<u8", self.data, strides=(1,))

    @property
    def starts(self) -> Positions:
        return self.offsets[:-1]

    @property
    def ends(self) -> Positions:
        return self.offsets[1:]

    @property
    def lengths(self) -> Positions:
        return np.diff(self.offsets)

    def words_from(self, positions: Positions) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The eight bytes from each position on as one number, the first byte lowest."""
        return self._words[positions].astype(np.uint64, copy=False)

    def row_of(self, positions: Positions) -> Positions:
        """The row that each byte belongs to."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def rows_with(self, positions: Positions) -> Mask:
        """Rows to which some of the bytes belong."""
        found = np.zeros(self.rows, np.bool_)
        if len(positions):
            found[self.row_of(positions)] = True
        return found
