"""Duties: what the server does by itself every few seconds, now retention; woken early when something has changed."""

from __future__ import annotations

import logging
import threading

from controller.engine import Engine
from controller.metadata.segment_list import stored_segments
from controller.metadata.segments import datasource_names, set_used
from controller.metadata.settings import DEFAULT_RULES, all_rules
from controller.metadata.store import now_ms
from controller.retention import is_dropped

log = logging.getLogger(__name__)

DUTY_SECONDS = 10.0


class Duties:
    """A thread of its own; `wake` makes it run at once, `close` ends it."""

    def __init__(self, engine: Engine, seconds: float = DUTY_SECONDS) -> None:
        self._engine = engine
        self._seconds = seconds
        self._woken = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="duties", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

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
            try:
                self.apply_retention()
            except Exception:
                log.warning("the retention duty failed; it runs again", exc_info=True)

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
