"""Phases of a stage as the controller sees them, and which may follow which. Source: reference msq-engine 2.6.

NEW -> READING_INPUT -> MERGING_STATISTICS -> POST_READING -> RESULTS_READY -> FINISHED
             ^  \\__________________________^       ^
          RETRYING (a worker of the stage is started again)            any -> FAILED
"""

from __future__ import annotations

from enum import StrEnum


class StagePhase(StrEnum):
    """The words that reports print."""

    NEW = "NEW"
    READING_INPUT = "READING_INPUT"
    MERGING_STATISTICS = "MERGING_STATISTICS"
    POST_READING = "POST_READING"
    RESULTS_READY = "RESULTS_READY"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"

    @property
    def is_terminal(self) -> bool:
        return self in (StagePhase.FINISHED, StagePhase.FAILED)

    @property
    def is_running(self) -> bool:
        """Whether workers are at work on the stage."""
        return self in RUNNING

    @property
    def has_results(self) -> bool:
        """Whether the stage's output is complete (and perhaps already cleaned up)."""
        return self in (StagePhase.RESULTS_READY, StagePhase.FINISHED)

    def may_follow(self, before: StagePhase) -> bool:
        return before in ALLOWED_BEFORE[self]


_P = StagePhase
RUNNING = frozenset({_P.READING_INPUT, _P.MERGING_STATISTICS, _P.POST_READING, _P.RETRYING})
RETRYABLE = frozenset({_P.READING_INPUT, _P.MERGING_STATISTICS, _P.POST_READING, _P.RETRYING})
ALLOWED_BEFORE: dict[StagePhase, frozenset[StagePhase]] = {
    _P.NEW: frozenset(),
    _P.READING_INPUT: frozenset({_P.NEW, _P.RETRYING}),
    _P.MERGING_STATISTICS: frozenset({_P.READING_INPUT}),
    _P.POST_READING: frozenset({_P.READING_INPUT, _P.MERGING_STATISTICS}),
    _P.RESULTS_READY: frozenset({_P.READING_INPUT, _P.POST_READING}),
    _P.FINISHED: frozenset(p for p in _P if not p.is_terminal),
    _P.FAILED: frozenset(_P),
    _P.RETRYING: RETRYABLE,
}
"""phase -> phases it may come from."""
