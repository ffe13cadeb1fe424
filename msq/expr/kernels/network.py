"""IP address kernels: the common spellings of a whole column are read at once, others by Python's own module."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, whole
from msq.expr.kernels.buffers import Mask, Texts, distinct, replaced

_V4 = re.compile(r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}")
_HEX = np.full(256, 255, np.uint8)
"""The value of a hexadecimal digit; 16 for a colon, 17 for what only other spellings hold, 255 for the rest."""
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _HEX[list(_digits)] = np.arange(16)
_HEX[58] = 16
_HEX[list(b".%")] = 17


def parse_v4(text: str) -> int | None:
    """The number of a dotted address, None for anything else."""
    return int(ipaddress.IPv4Address(text)) if _V4.fullmatch(text) else None


def subnet_v4(text: str) -> tuple[int, int]:
    """First and last address of `a.b.c.d/n`. Raises ValueError for another text."""
    address, slash, bits = text.partition("/")
    number = parse_v4(address)
    if not slash or number is None or not bits.isdigit() or int(bits) > 32:
        raise ValueError(f"subnet arg has an invalid format: {text}")
    size = 1 << (32 - int(bits))
    first = number // size * size
    return first, first + size - 1


@lru_cache(maxsize=256)
def subnet_v6(text: str) -> ipaddress.IPv6Network:
    """Raises ValueError for a text that is no IPv6 subnet."""
    try:
        return ipaddress.IPv6Network(text, strict=False)
    except ValueError as error:
        raise ValueError("failed to parse address") from error


def match_v6(text: str, subnet: str) -> bool:
    try:
        return ipaddress.IPv6Address(text) in subnet_v6(subnet)
    except ValueError:
        return False


def _v4_column(column: Any) -> Any:
    """Numbers of dotted addresses; NULL for anything else."""
    array = whole(column)
    texts = Texts(array)
    dots = np.flatnonzero(texts.data == 46)
    good = np.diff(np.searchsorted(dots, texts.offsets)) == 3
    good &= (texts.lengths >= 7) & (texts.lengths <= 15) & array.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(good)
    if len(rows) < texts.rows:
        dots = dots[good[texts.row_of(dots)]]
    stops = [texts.starts[rows] - 1, *dots.reshape(-1, 3).T, texts.ends[rows]]
    number, fine = np.zeros(len(rows), np.int64), np.ones(len(rows), np.bool_)
    for before, stop in pairwise(stops):
        length = stop - before
        part = (texts.data[stop - 1] - np.uint8(48)).astype(np.int16)
        fine &= (part <= 9) & (length >= 2) & (length <= 4)
        for back, unit in ((2, 10), (3, 100)):
            here = length > back
            digit = texts.data[stop - back] - np.uint8(48)
            part += np.where(here, digit, 0) * np.int16(unit)
            fine &= ~here | ((digit <= 9) & ((digit > 0) | (length > back + 1)))  # no zeros in front
        fine &= part <= 255
        number = (number << 8) + part
    numbers = np.zeros(texts.rows, np.int64)
    numbers[rows] = number
    good[rows] = fine
    return pa.array(numbers, mask=~good)


def _groups_v6(texts: Texts) -> tuple[Any, Mask, Mask]:
    """Eight numbers a row, the rows where they are an address's, and rows that only Python's module can tell."""
    data = _HEX[texts.data]
    data[: texts.offsets[0]] = data[texts.offsets[-1] :] = 16
    other = texts.rows_with(np.flatnonzero(data == 17))
    colons = np.flatnonzero(data[texts.offsets[0] : texts.offsets[-1]] == 16) + texts.offsets[0]
    bounds = np.searchsorted(colons, texts.offsets)
    count = np.diff(bounds)
    bad = texts.rows_with(np.flatnonzero(data[texts.offsets[0] : texts.offsets[-1]] > 17) + texts.offsets[0])
    good = ~(bad | other) & (count >= 2) & (count <= 8)
    rows = np.flatnonzero(good)
    groups = np.zeros((texts.rows, 8), np.int64)
    # one place a row for what stands before each colon, and one for what stands behind the last
    place = np.arange(9)
    used = place <= count[rows, None]
    ends = np.where(
        place < count[rows, None],
        np.append(colons, 0)[np.minimum(bounds[rows, None] + place, len(colons))],
        texts.ends[rows, None],
    )
    begins = np.concatenate([texts.starts[rows, None], ends[:, :-1] + 1], axis=1)
    lengths = np.where(used, ends - begins, 0)
    values = np.zeros(lengths.shape, np.int64)
    for back in range(1, 5):
        values += np.where(lengths >= back, data[np.maximum(ends - back, 0)].astype(np.int64) << (4 * back - 4), 0)
    empty = used & (lengths == 0)
    last = count[rows]
    inner = empty & (place > 0) & (place < last[:, None])
    gaps = inner.sum(axis=1)
    front, behind = empty[:, 0], empty[np.arange(len(rows)), last]
    # `::` is an empty place within, beside an empty one at the front or back where it stands there
    at = np.where(gaps > 0, inner.argmax(axis=1), 0)
    fine = (lengths <= 4).all(axis=1) & (gaps <= 1)
    fine &= np.where(gaps == 1, (~front | (at == 1)) & (~behind | (at == last - 1)), ~front & ~behind & (last == 7))
    named = (used & ~empty).sum(axis=1)
    fine &= (gaps == 0) | (named <= 7)
    order = np.cumsum(used & ~empty, axis=1) - 1
    shift = np.where((gaps == 1)[:, None] & (place > at[:, None]), (8 - named)[:, None], 0)
    chosen = used & ~empty & fine[:, None]
    row, column = np.nonzero(chosen)
    groups[rows[row], (order + shift)[row, column]] = values[row, column]
    good[rows] = fine
    return groups, good, other


def _match_v6_column(column: Any, subnets: Any) -> Any:
    array, subnet = whole(column), whole(subnets)
    if len(array) == 0:
        return pa.array([], pa.bool_())
    text = subnet[0].as_py()
    network = subnet_v6(text)
    groups, good, other = _groups_v6(Texts(array))
    first, mask = int(network.network_address), int(network.netmask)
    found = good.copy()
    for i in range(8):
        shift = 112 - 16 * i
        found &= (groups[:, i] & (mask >> shift & 0xFFFF)) == (first >> shift & 0xFFFF)
    made = pc.if_else(array.is_valid(), pa.array(found), pa.scalar(None, pa.bool_()))
    return replaced(array, ~other, made, lambda c, kind: distinct(c, lambda t: match_v6(t, text), kind))


KERNELS = (
    Kernel("py_ipv4", ("VARCHAR",), "BIGINT", _v4_column),
    Kernel("py_ipv6_match", ("VARCHAR", "VARCHAR"), "BOOLEAN", _match_v6_column),
)
