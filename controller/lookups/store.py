"""LookupStore: the lookups of an engine by name, those of its settings and those that are put while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from controller.lookups.spec import Loader, LookupSpecError, loader_of
from msq.catalog import Lookups, LookupTable
from msq.sources.base import SourceAccess

log = logging.getLogger(__name__)

FIRST_VERSION = "v0"


@dataclass(frozen=True)
class Lookup:
    """One lookup. factory: its spec as Druid's `lookupExtractorFactory`. table: key to value; never changed in place.

    fixed: it comes from the settings.
    """

    name: str
    version: str
    factory: Mapping[str, Any]
    table: LookupTable
    fixed: bool = False


@dataclass(frozen=True)
class _Held:
    lookup: Lookup
    loader: Loader
    mark: Any
    checked: float


class LookupStore:
    """Lookups by name. Several threads may use it at once; a snapshot of `tables` stays as it is.

    given: lookups of the settings, name to spec (see spec.py); they may read any file. access: what a lookup that is
    put may read. clock: monotonic seconds, for `pollPeriod`. Raises LookupSpecError.
    """

    def __init__(
        self, given: Mapping[str, Any] | None = None, access: SourceAccess | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._access = access or SourceAccess()
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        for name, spec in (given or {}).items():
            self._held[name] = self._made(name, spec, SourceAccess(), None, fixed=True)

    def tables(self) -> Lookups:
        """Every lookup's table as of now. Files whose `pollPeriod` is over are looked at again first."""
        return MappingProxyType({name: held.lookup.table for name, held in self._current().items()})

    def all(self) -> list[Lookup]:
        """Every lookup, by name."""
        held = self._current()
        return [held[name].lookup for name in sorted(held)]

    def get(self, name: str) -> Lookup | None:
        held = self._current().get(name)
        return None if held is None else held.lookup

    def put(self, name: str, spec: Any, version: str | None = None) -> Lookup:
        """Adds a lookup or replaces one, loaded already when this returns. `version`: over the container's own one.

        Raises LookupSpecError, and DruidException (FORBIDDEN) for files that may not be read.
        """
        made = self._made(name, spec, self._access, version)
        with self._lock:
            self._held = {**self._held, name: made}
        return made.lookup

    def put_all(self, specs: Mapping[str, Any]) -> None:
        """Puts all of them, name to spec, or none. Raises as `put` does."""
        made = {name: self._made(name, spec, self._access, None) for name, spec in specs.items()}
        with self._lock:
            self._held = {**self._held, **made}

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        with self._lock:
            there = name in self._held
            self._held = {n: held for n, held in self._held.items() if n != name}
        return there

    def _made(self, name: str, spec: Any, access: SourceAccess, version: str | None, *, fixed: bool = False) -> _Held:
        if not name:
            raise LookupSpecError("A lookup needs a name")
        try:
            own, loader = loader_of(spec, access)
            mark = loader.mark()
            table = loader.load(mark)
        except LookupSpecError as error:
            raise LookupSpecError(f"Lookup [{name}]: {error}") from error
        lookup = Lookup(name, version or own or FIRST_VERSION, loader.factory, table, fixed)
        return _Held(lookup, loader, mark, self._clock())

    def _current(self) -> dict[str, _Held]:
        now = self._clock()
        for name, held in self._held.items():
            period = held.loader.poll_seconds
            if period is not None and now - held.checked >= period:
                self._poll(name, held, now)
        return self._held

    def _poll(self, name: str, held: _Held, now: float) -> None:
        """Loads changed data; data that cannot be read leave what is there."""
        fresh = replace(held, checked=now)
        try:
            mark = held.loader.mark()
            if mark != held.mark:
                table = held.loader.load(mark)
                fresh = replace(fresh, lookup=replace(held.lookup, table=table), mark=mark)
        except LookupSpecError as error:
            log.warning("lookup [%s] keeps its old data: %s", name, error)
        with self._lock:
            # somebody else may have put another lookup of that name meanwhile
            if self._held.get(name) is held:
                self._held = {**self._held, name: fresh}
