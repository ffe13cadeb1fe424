"""Duties: what the server does by itself every few seconds, now retention; woken early when something has changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controller.engine import Engine
from controller.metadata.segment_list import stored_segments
from controller.metadata.segments import datasource_names, set_used
from controller.metadata.settings import DEFAULT_RULES, all_rules
from controller.metadata.store import now_ms
from controller.retention import is_dropped
from msq.intervals import format_instant

log = logging.getLogger(__name__)

DUTY_SECONDS = 10.0


@dataclass
class DutyRuns:
    """When a duty ran: ms since 1970 of the last start and end, None before; ms of all runs, and between them."""

    started: int | None = None
    ended: int | None = None
    count: int = 0
    ran: int = 0
    waited: int = 0

    def begin(self, now: int) -> None:
        if self.ended is not None:
            self.waited += now - self.ended
        self.started = now

    def end(self, now: int) -> None:
        assert self.started is not None
        self.ended = now
        self.count += 1
        self.ran += now - self.started

    def to_json(self, name: str, duties: Sequence[str], period_ms: int) -> dict[str, Any]:
        """As one of `dutyGroups`."""
        return {
            "name": name, "period": f"PT{period_ms / 1000:g}S", "dutyNames": list(duties),
            "lastRunStart": None if self.started is None else format_instant(self.started),
            "lastRunEnd": None if self.ended is None else format_instant(self.ended),
            "avgRuntimeMillis": self.ran // max(self.count, 1),
            "avgRunGapMillis": self.waited // max(self.count - 1, 1),
        }  # fmt: skip


class Duties:
    """A thread of its own; `wake` makes it run at once, `close` ends it."""

    def __init__(self, engine: Engine, seconds: float = DUTY_SECONDS) -> None:
        self._engine = engine
        self._seconds = seconds
        self._woken = threading.Event()
        self._closed = False
        self._runs = DutyRuns()
        self._thread = threading.Thread(target=self._serve, name="duties", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def groups(self) -> list[dict[str, Any]]:
        """The groups of duties, with when they ran."""
        return [self._runs.to_json("Retention", ["ApplyRules"], int(self._seconds * 1000))]

    def close(self) -> None:
        self._closed = True
        self._woken.set()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            self._woken.wait(self._seconds)
            self._woken.clear()
            if self._closed:
                return
            self._runs.begin(now_ms())
            try:
                self.apply_retention()
            except Exception:
                log.warning("the retention duty failed; it runs again", exc_info=True)
            self._runs.end(now_ms())

    def apply_retention(self) -> int:
        """Marks unused what the rules drop; answers how many segments."""
        with self._engine.store.reading() as connection:
            rules = all_rules(connection)
            dropping = any(str(r["type"]).startswith("drop") for listed in rules.values() for r in listed)
            names = datasource_names(connection) if dropping else []
        changed = 0
        for name in names:
            effective = [*rules.get(name, ()), *rules[DEFAULT_RULES]]
            with self._engine.store.transaction() as connection:
                used = stored_segments(connection, name, used=True)
                now = now_ms()
                dropped = [s.segment.id for s in used if is_dropped(effective, s.interval, now)]
                changed += set_used(connection, dropped, used=False)
        return changed
