"""Where strings and numbers stand in a column of JSON texts: found for all rows at once, without parsing them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from msq.expr.kernels.buffers import Bytes, Mask, Positions, Texts, strings_of
from msq.expr.printer import double_text

_ONES = np.uint64(0x0101010101010101)
_THREE = np.uint64(0xFFFFFF)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""The first n bytes of a word."""
_SHIFTS = tuple(np.uint64(1 << n) for n in range(6))
_NOWHERE = np.zeros(0, np.int64)
_NAMES, _DEPTH = 16, 1000
_OF_NUMBER = np.zeros(256, np.bool_)
_OF_NUMBER[list(b"0123456789+-.eE")] = True
_STRUCTURE = np.zeros(256, np.bool_)
_STRUCTURE[list(b'{}[],:"')] = True


class Scan(Texts):
    """The texts with what is known of their bytes."""

    @cached_property
    def escapes(self) -> Positions:
        """Backslashes that escape what follows them."""
        found = _where(self.data == 92)
        if len(found) < 2:
            return found
        begins = np.flatnonzero(np.diff(found, prepend=-2) != 1)
        place = np.arange(len(found)) - np.repeat(begins, np.diff(begins, append=len(found)))
        opening: Positions = found[place % 2 == 0]
        return opening

    @cached_property
    def _quote(self) -> Mask:
        """Bytes that open or close a string; none in rows where one is left open."""
        found: Mask = self.data == 34
        found[self.escapes + 1] = False
        return found

    @cached_property
    def _quotes(self) -> Positions:
        found = np.flatnonzero(self._quote)
        before = np.searchsorted(found, self.offsets)
        if not (before % 2).any():
            return found
        for row in np.flatnonzero(np.diff(before) % 2):
            self._quote[self.offsets[row] : self.offsets[row + 1]] = False
        return np.flatnonzero(self._quote)

    @cached_property
    def inside(self) -> Mask:
        """Bytes of strings, with the opening quote and without the closing one."""
        assert self._quotes is not None  # rows with a string left open are out of it
        return _odd(self._quote)

    @cached_property
    def strings(self) -> tuple[Positions, Positions, Mask]:
        """Opening and closing quotes of all strings, and which strings are names of an object."""
        opens, closes = self._quotes[0::2], self._quotes[1::2]
        return opens, closes, self.data[closes + 1] == 58

    def _outside(self, found: Any) -> Positions:
        """Where one of the bytes' flags (those from the first on) stands outside of strings."""
        return np.flatnonzero(found & ~self.inside[: len(found)]) if found.any() else _NOWHERE

    @cached_property
    def _digit(self) -> Mask:
        return np.asarray((self.data - np.uint8(48)) <= 9)  # what is below 48 wraps around

    @cached_property
    def _folded(self) -> Bytes:
        """Letters in lower case; brackets as braces."""
        return self.data | np.uint8(0x20)

    # ------------------------------------------------------------------------------------------------- numbers

    @cached_property
    def _points(self) -> Positions:
        return _where(self.data == 46)

    @cached_property
    def _java_points(self) -> Mask:
        """Of the points, those of a number below 0.001 or from ten million on, and a few more."""
        points = self._points
        tiny = (self.data[points - 1] == 48) & ((self.words_from(points + 1) & _THREE) == 0x303030)
        made: Mask = tiny | (_others(self.words_from(points - 8)) == 0)
        return made

    @cached_property
    def java_numbers(self) -> Positions:
        """A byte of each number that Java prints otherwise than others do: the point of a small or large one, an
        exponent's letter, the minus of a whole zero. And of a few more, which does no harm."""
        letters = _where((self._folded[1:] == 101) & self._digit[:-1]) + 1
        zeros = _where((self.data[1:] == 48) & (self.data[:-1] == 45))
        zeros = zeros[self.data[zeros + 2] != 46]
        found = np.concatenate([self._points[self._java_points], letters, zeros])
        return found[~self.inside[found]] if len(found) else found

    @cached_property
    def _long_fractions(self) -> Positions:
        """Points of other numbers that may have a shorter form: many digits, or zeros at the end."""
        points = self._points[~self._java_points]
        if not len(points):
            return points
        others = _others(self.words_from(points + 1))
        first = others & (~others + np.uint64(1))
        count = np.where(others == 0, 8, (np.frexp(first.astype(np.float64))[1] - 8) // 8)
        count = np.minimum(count, self.ends[self.row_of(points)] - points - 1)
        zeros = (count > 1) & (self.data[points + count] == 48) & (self._folded[points + count + 1] != 101)
        found = points[(count == 8) | zeros]
        made: Positions = found[~self.inside[found]]
        return made

    @cached_property
    def wide_numbers(self) -> Mask:
        """Rows where nineteen digits or more stand side by side: whole numbers that may lie beyond 64 bits."""
        words = self._words[: len(self.data) - 7 : 8]
        if not (_others(words) == 0).any():  # so many digits fill one of the words at least
            return np.zeros(self.rows, np.bool_)
        breaks = np.flatnonzero(~self._digit)
        return self.rows_with(breaks[1:][np.diff(breaks) > 19] - 1)

    @cached_property
    def blanks(self) -> Mask:
        """Rows with blanks between their parts."""
        low = self.data <= 32
        low[: self.offsets[0]] = low[self.offsets[-1] :] = False
        return self.rows_with(self._outside(low))

    # --------------------------------------------------------------------------------------------------- names

    def _repeated(self, among: Mask) -> Mask:
        """Rows of `among` where an object may hold a name twice, or which have too many names to look into."""
        opens, closes, named = self.strings
        opens = opens[named]
        count = np.diff(np.searchsorted(opens, self.offsets))
        found: Mask = (count > _NAMES) & among
        looked = (count > 1) & among & ~found
        if not looked.any():
            return found
        closes = closes[named]
        if not looked.all():
            kept = np.repeat(looked, count)
            opens, closes, count = opens[kept], closes[kept], np.where(looked, count, 0)
        length = closes - opens - 1
        digest = self.words_from(opens + 1) & _LOW[np.minimum(length, 8)]
        if length.max() > 8:
            digest += np.where(length > 8, self.words_from(closes - 8), np.uint64(0)) * _SPREAD
        digest += (length + np.repeat(np.arange(self.rows) << 32, count)).astype(np.uint64) * _SPREAD
        pairs = [(_NOWHERE, _NOWHERE)]
        for lag in range(1, count.max()):
            same = digest[lag:] == digest[:-lag]
            if same.any():
                at = np.flatnonzero(same)
                pairs.append((at, at + lag))
        if len(pairs) > 1:
            one, two = (np.concatenate(side) for side in zip(*pairs))
            found |= self.rows_with(opens[one[self._in_one_object(opens, one, two)]])
        return found

    def _in_one_object(self, names: Positions, one: Positions, two: Positions) -> Mask:
        """Whether names `one` and `two` (places in `names`, the opening quotes of names) stand in the same object."""
        parts = ((self._folded == 0x7B) | (self._folded == 0x7D)) & ~self.inside
        parts[names] = True
        at = np.flatnonzero(parts)
        kind = self._folded[at]
        closing = kind == 0x7D
        depth = np.cumsum((kind == 0x7B).astype(np.int8) - closing.astype(np.int8), dtype=np.int32)
        place = np.flatnonzero(kind == 34)
        one, two = place[one], place[two]
        level = depth[one]
        same: Mask = level == depth[two]
        for here in np.unique(level[same]):
            ends = np.cumsum(closing & (depth == here - 1), dtype=np.int32)  # objects and arrays of this level
            same &= (level != here) | (ends[one] == ends[two])
        return same

    # ---------------------------------------------------------------------------------------------------- rows

    @cached_property
    def plain(self) -> Mask:
        """Rows that surely are written as Druid writes them, but for `java_numbers`, if DuckDB takes them for JSON,
        which lets trailing commas, NaN and Infinity pass. The text `null` is not among them."""
        data, folded = self.data, self._folded
        found = (self.lengths == 4) & (data[self.starts] == 110)
        found |= self.rows_with(_where((data[:-2] == 34) & (data[1:-1] == 58) & (data[2:] <= 32)))
        if found.all():
            nothing: Mask = ~found
            return nothing
        if (self.lengths > 2 * _DEPTH).any():  # maybe deeper than Druid's parser goes
            found |= np.diff(np.searchsorted(self._outside(folded == 0x7B), self.offsets)) > _DEPTH
        trailing = self._outside((folded[1:] == 0x7D) & (data[:-1] == 44))
        n = folded[1:-1] == 110
        n &= (folded[2:] == 97) | (folded[:-2] == 105)  # na, in
        words = _where(n) + 1
        words = words[~self.inside[words]]
        found |= self.rows_with(np.concatenate([self.escapes, self._long_fractions, trailing, words])) | self.blanks
        made: Mask = ~(found | self._repeated(~found))
        return made

    # ---------------------------------------------------------------------------------------------- other texts

    def java(self) -> pa.Array:
        """The texts with their numbers as Java prints them; no nulls."""
        found = self.java_numbers
        if not len(found):
            return strings_of(self.data, self.offsets)
        rows = self.row_of(found)
        begin, last = found.copy(), found.copy()
        for at, step, bound in ((begin, -1, self.starts[rows]), (last, 1, self.ends[rows] - 1)):
            moves = at != bound
            while moves.any():
                moves = (at != bound) & _OF_NUMBER[self.data[at + step]]
                at += np.where(moves, step, 0)
        begin, first = np.unique(begin, return_index=True)
        bounds = np.empty(2 * len(begin) + 2, np.int64)
        bounds[0], bounds[-1] = self.offsets[0], self.offsets[-1]
        bounds[1:-1:2], bounds[2:-1:2] = begin, last[first] + 1
        pieces = strings_of(self.data, bounds)
        coded = pieces.take(pa.array(np.arange(1, len(pieces), 2))).dictionary_encode()
        numbers = pa.array(map(_java_number, coded.dictionary.to_pylist()), pa.string()).take(coded.indices)
        order = np.arange(len(pieces))
        order[1::2] = len(pieces) + np.arange(len(begin))
        made = pa.concat_arrays([pieces, numbers]).take(pa.array(order))
        ends = np.frombuffer(made.buffers()[1], np.int32, len(pieces) + 1)
        grown = np.concatenate([[0], np.cumsum(np.diff(ends)[1::2] - (last[first] + 1 - begin))])
        offsets = self.offsets - self.offsets[0] + grown[np.searchsorted(begin, self.offsets)]
        return strings_of(np.frombuffer(made.buffers()[2], np.uint8), offsets)

    def skeletons(self) -> pa.Array:
        """The texts with every scalar as 0 and arrays of scalars as []: what their paths depend on."""
        opens, closes, named = self.strings
        opens, closes = opens[~named], closes[~named]
        in_string = np.zeros(len(self.data), np.bool_)
        in_string[opens + 1] = in_string[closes + 1] = True
        brackets = self._outside((self._folded == 0x7B) | (self._folded == 0x7D))
        kinds = self.data[brackets]
        flat = np.flatnonzero((kinds[:-1] == 91) & (kinds[1:] == 93))
        in_list = np.zeros(len(self.data), np.bool_)
        in_list[brackets[flat] + 1] = True
        in_list[brackets[flat + 1]] ^= True  # at once, when the list is empty
        dropped = _odd(in_string) | _odd(in_list)
        scalar = ~(self.inside | _STRUCTURE[self.data])
        first = scalar.copy()
        first[1:] &= ~scalar[:-1]
        first[self.starts] |= scalar[self.starts]
        data = np.where(first, np.uint8(48), self.data)
        data[opens] = 48
        return self.kept(data, ~(dropped | (scalar & ~first)), self.offsets)

    def kept(self, data: Bytes, keep: Mask, offsets: Positions) -> pa.Array:
        """Texts between `offsets` of those bytes of `data` (laid out as `self.data`) that are to be kept."""
        keep[: self.offsets[0]] = keep[self.offsets[-1] :] = False
        edges = np.flatnonzero(keep[1:] != keep[:-1]) + 1
        if not len(edges):
            return strings_of(data[:0], np.zeros(len(offsets), np.int64))
        runs = strings_of(data, edges).take(pa.array(np.arange(0, len(edges), 2)))
        begins, ends = edges[0::2], edges[1::2]
        before = np.concatenate([[0], np.cumsum(ends - begins)])
        run = np.maximum(np.searchsorted(begins, offsets, side="right") - 1, 0)
        counts = before[run] + np.clip(offsets - begins[run], 0, (ends - begins)[run])
        return strings_of(np.frombuffer(runs.buffers()[2], np.uint8), counts)


def _odd(marks: Mask) -> Mask:
    """Where the marks up to a byte, with its own, are odd in number."""
    bits = np.zeros(len(marks) // 64 + 1, np.uint64)
    packed = np.packbits(marks, bitorder="little")
    bits.view(np.uint8)[: len(packed)] = packed
    for shift in _SHIFTS:  # then each bit tells it of the marks in its word
        bits ^= bits << shift
    last = bits >> np.uint64(63)
    bits ^= np.uint64(0) - ((np.cumsum(last) - last) & np.uint64(1))
    return np.unpackbits(bits.view(np.uint8), count=len(marks), bitorder="little").view(np.bool_)


def _where(found: Any) -> Positions:
    """Most patterns are nowhere, which is told faster than where they are."""
    return np.flatnonzero(found) if found.any() else _NOWHERE


def _others(words: Any) -> Any:
    """For each eight bytes, the high bits of those that are no digits."""
    words = words ^ (_ONES * np.uint64(48))
    return (words | ((words & (_ONES * np.uint64(0x7F))) + _ONES * np.uint64(0x76))) & (_ONES * np.uint64(0x80))


def _java_number(text: str) -> str:
    if text == "-0":
        return "0"
    try:
        made = double_text(float(text))
    except ValueError:
        return text  # of a row that is no JSON
    return f'"{made}"' if made[-1] in "Ny" else made
