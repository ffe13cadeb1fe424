"""Settings of one worker process. Sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass

from worker.chaos import Chaos


@dataclass(frozen=True)
class WorkerSettings:
    """memory_bytes: what the worker may hold in all, shared by the stages that run at once. threads: processing
    threads. max_batch_rows: rows of a batch that is yielded or kept. chaos: faults to inject, none by default.
    inline: work orders run on the thread that posts them, for a query that has but one worker of this process."""

    memory_bytes: int = 1 << 30
    threads: int = 2
    max_batch_rows: int = 131_072
    chaos: Chaos | None = None
    inline: bool = False
