"""Time zones as tables: offsets of instants and instants of local times, on whole numpy arrays, as Joda has them.

A local time in a gap moves forward, one in an overlap is the earlier instant. Unknown ids read as UTC (`known` tells).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

Longs = np.ndarray[Any, np.dtype[np.int64]]

_SHORT = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
"""Java's short ids."""
_CYCLE_MS = 146_097 * 86_400_000
_TABLE_END = 13_569_465_600_000 + 86_400_000 * 365
"""Some instant in 2401; later ones repeat the rules of 400 years before."""


@dataclass(frozen=True)
class Zone:
    """`offsets[i]` (ms) holds from `starts[i]` on; `bounds[i]` is the first local time that uses it."""

    id: str
    known: bool
    starts: Longs
    offsets: Longs
    bounds: Longs
    gaps: Longs

    @property
    def fixed(self) -> int | None:
        """The offset in ms of a zone that never changes it, else None."""
        return int(self.offsets[0]) if len(self.offsets) == 1 else None

    def offsets_at(self, instants: Longs) -> Longs:
        """Offsets in ms at UTC instants."""
        if len(self.offsets) == 1:
            return np.full(instants.shape, self.offsets[0], np.int64)
        result: Longs = self.offsets[np.searchsorted(self.starts, _folded(instants), "right") - 1]
        return result

    def to_local(self, instants: Longs) -> Longs:
        return instants + self.offsets_at(instants)

    def to_utc(self, local: Longs) -> Longs:
        """Instants of local times."""
        if len(self.offsets) == 1:
            return local - int(self.offsets[0])
        result: Longs = local - self.offsets[np.searchsorted(self.bounds, _folded(local), "right") - 1]
        return result

    def in_gap(self, local: Longs) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which local times never happened."""
        if len(self.offsets) == 1:
            return np.zeros(local.shape, np.bool_)
        folded = _folded(local)
        at = np.minimum(np.searchsorted(self.bounds, folded, "right"), len(self.bounds) - 1)
        result: np.ndarray[Any, np.dtype[np.bool_]] = (folded < self.bounds[at]) & (
            folded >= self.bounds[at] - self.gaps[at]
        )
        return result


def _folded(ms: Longs) -> Longs:
    over = ms > _TABLE_END
    return np.where(over, ms - ((ms - _TABLE_END) // _CYCLE_MS + 1) * _CYCLE_MS, ms) if over.any() else ms


@lru_cache(maxsize=256)
def zone(name: str) -> Zone:
    """The zone of an id (`America/Los_Angeles`), an offset (`+05:30`) or a Java short id; UTC for anything else."""
    offset = re.fullmatch(r"([+-])(\d{2}):?(\d{2})?(?::?(\d{2}))?", name)
    if offset is not None:
        seconds = (int(offset[2]) * 60 + int(offset[3] or 0)) * 60 + int(offset[4] or 0)
        return _fixed(name, True, (-seconds if offset[1] == "-" else seconds) * 1000)
    if name in ("UTC", "Z", "GMT", "Etc/UTC", "UCT", "Zulu", "Etc/GMT"):
        return _fixed(name, True, 0)
    if name in ("EST", "MST", "HST"):
        return _fixed(name, True, {"EST": -5, "MST": -7, "HST": -10}[name] * 3_600_000)
    try:
        return _table(name, ZoneInfo(_SHORT.get(name, name)))
    except (ZoneInfoNotFoundError, ValueError, OSError, IsADirectoryError):
        return _fixed(name, False, 0)


def is_utc(name: str) -> bool:
    return zone(name).fixed == 0


def _fixed(name: str, known: bool, offset: int) -> Zone:
    least = np.array([np.iinfo(np.int64).min], np.int64)
    return Zone(name, known, least, np.array([offset], np.int64), least, np.zeros(1, np.int64))


def _table(name: str, info: ZoneInfo) -> Zone:
    """Samples the zone (daily to 2038, then weekly for a 400-year cycle) and bisects every change to the second."""

    def offset(at: datetime) -> timedelta:
        found = at.astimezone(info).utcoffset()
        assert found is not None
        return found

    starts = [np.iinfo(np.int64).min]
    at = datetime(1850, 1, 1, tzinfo=UTC)
    before = offset(at)
    offsets = [before // timedelta(milliseconds=1)]
    while at.year < 2402:
        step = timedelta(days=1) if 1880 < at.year < 2038 else timedelta(days=7)
        after = offset(at + step)
        if after != before:
            low, high = at, at + step
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (low, middle) if offset(middle) != before else (middle, high)
            starts.append((high - _EPOCH) // timedelta(milliseconds=1))
            offsets.append(after // timedelta(milliseconds=1))
            before = after
        at += step
    first = np.array(starts, np.int64)
    shifts = np.array(offsets, np.int64)
    if len(shifts) == 1:
        return _fixed(name, True, int(shifts[0]))
    previous = np.concatenate([shifts[:1], shifts[:-1]])
    bounds = first.copy()
    bounds[1:] += np.maximum(shifts, previous)[1:]
    return Zone(name, True, first, shifts, bounds, np.maximum(shifts - previous, 0))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
