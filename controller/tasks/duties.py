"""Duties: what the server does by itself every few seconds, or as soon as something has changed: rules, compaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from controller.metadata.segment_list import stored_segments
from controller.metadata.segments import datasource_names, set_used, used_segments
from controller.metadata.settings import COORDINATOR, COORDINATOR_DEFAULTS, DEFAULT_RULES, all_rules, get_config
from controller.metadata.store import now_ms
from controller.retention import is_dropped
from controller.tasks.compaction import Compaction
from controller.tasks.manager import TaskManager
from msq.intervals import format_instant
from msq.segment.timeline import overshadowed

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

    def __init__(self, tasks: TaskManager, seconds: float = DUTY_SECONDS) -> None:
        self._engine = tasks.engine
        self._seconds = seconds
        self._started = now_ms()
        self._woken = threading.Event()
        self._closed = False
        self._compacting = threading.Lock()
        self.compaction = Compaction(tasks)
        self._duties: tuple[tuple[str, str, Callable[[], int]], ...] = (
            ("Retention", "RunRules", self.apply_retention),
            ("Overshadowed", "MarkOvershadowedSegmentsAsUnused", self.mark_overshadowed),
            ("Compaction", "CompactSegments", self.compact),
        )
        self._runs = {name: DutyRuns() for name, _, _ in self._duties}
        self._thread = threading.Thread(target=self._serve, name="duties", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def groups(self) -> list[dict[str, Any]]:
        """The groups of duties, with when they ran."""
        period = int(self._seconds * 1000)
        return [self._runs[name].to_json(name, [duty], period) for name, duty, _ in self._duties]

    def close(self) -> None:
        self._closed = True
        self._woken.set()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            self._woken.wait(self._seconds)
            self._woken.clear()
            for name, duty, work in self._duties:
                if self._closed:
                    return
                self._runs[name].begin(now_ms())
                try:
                    if not self._config()["pauseCoordination"]:
                        work()
                except Exception:
                    # one duty that fails keeps neither the others nor its own next run from their turn
                    log.warning("duty [%s] failed; it runs again", duty, exc_info=True)
                self._runs[name].end(now_ms())

    def _config(self) -> dict[str, Any]:
        with self._engine.store.reading() as connection:
            return get_config(connection, COORDINATOR, COORDINATOR_DEFAULTS)

    def compact(self) -> int:
        """One pass of automatic compaction; answers how many tasks it queued. May be called from any thread."""
        with self._compacting:
            return self.compaction.run()

    def mark_overshadowed(self) -> int:
        """Marks unused what newer versions hide, once this server has run for `millisToWaitBeforeDeleting`."""
        if now_ms() - self._started < self._config()["millisToWaitBeforeDeleting"]:
            return 0
        changed = 0
        with self._engine.store.reading() as connection:
            names = datasource_names(connection)
        for name in names:
            with self._engine.store.transaction() as connection:
                hidden = overshadowed(used_segments(connection, name))
                changed += set_used(connection, [s.id for s in hidden], used=False)
        return changed

    def apply_retention(self) -> int:
        """Marks unused what the rules drop; answers how many segments."""
        with self._engine.store.reading() as connection:
            rules = all_rules(connection)
            dropping = any(str(r["type"]).startswith("drop") for listed in rules.values() for r in listed)
            names = datasource_names(connection) if dropping else []
        changed = 0
        for name in names:
            with self._engine.store.transaction() as connection:
                # those of now: who has changed them since sees no segment go by the old ones
                rules = all_rules(connection)
                effective = [*rules.get(name, ()), *rules[DEFAULT_RULES]]
                used = stored_segments(connection, name, used=True)
                now = now_ms()
                dropped = [s.segment.id for s in used if is_dropped(effective, s.interval, now)]
                changed += set_used(connection, dropped, used=False)
        return changed
