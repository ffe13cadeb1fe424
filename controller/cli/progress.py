"""Live progress of a run on a terminal: one line a stage, drawn from the live report's own counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from controller.cli.report_view import size

_DONE = ("RESULTS_READY", "FINISHED")


class StageProgress:
    """Draws live reports while it is open; draws nothing when the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=10, transient=True) if console.is_terminal else None

    def __enter__(self) -> StageProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, payload: Mapping[str, Any]) -> None:
        if self._live is not None:
            self._live.update(stages_progress(payload))


def stages_progress(payload: Mapping[str, Any]) -> RenderableType:
    """Every stage with its phase, a bar, rows and bytes so far."""
    table = Table.grid(padding=(0, 2))
    counters = payload.get("counters") or {}
    for stage in payload.get("stages") or []:
        workers = counters.get(str(stage["stageNumber"])) or {}
        rows = sum(sum(c.get("rows") or []) for w in workers.values() for n, c in w.items() if n.startswith("input"))
        read = sum(sum(c.get("bytes") or []) for w in workers.values() for n, c in w.items() if n.startswith("input"))
        done = fraction(stage, payload)
        # one big file says nothing of its size: the bar then tells that work goes on, and the rows how far it is
        unknown = done == 0 and rows > 0
        table.add_row(
            f"stage {stage['stageNumber']}", stage["definition"]["processor"]["type"],
            ProgressBar(total=None if unknown else 100, completed=done * 100, width=30),
            "" if unknown else f"{done:4.0%}", f"{rows:,} rows",
            size(read) if read else "", f"[dim]{stage.get('phase', 'waiting').lower().replace('_', ' ')}[/]",
        )  # fmt: skip
    return table


def fraction(stage: Mapping[str, Any], payload: Mapping[str, Any]) -> float:
    """How far a stage is, from 0 to 1: reading counts for half of a stage that sorts, sorting for the rest."""
    if stage.get("phase") in _DONE:
        return 1.0
    if not stage.get("phase") or stage["phase"] == "NEW":
        return 0.0
    workers = (payload.get("counters") or {}).get(str(stage["stageNumber"])) or {}
    if not workers:
        return 0.0
    reading = sum(_reading(w, stage, payload) for w in workers.values()) / len(workers)
    if stage["definition"]["processor"]["type"] == "segmentGenerator":
        return 0.3 * reading + 0.7 * sum(_pushed(w, reading) for w in workers.values()) / len(workers)
    if not stage.get("sort"):
        return reading
    sorting = sum(float((w.get("sortProgress") or {}).get("progressDigest") or 0) for w in workers.values())
    return 0.5 * reading + 0.5 * sorting / len(workers)


def _reading(worker: Mapping[str, Any], stage: Mapping[str, Any], payload: Mapping[str, Any]) -> float:
    channel = worker.get("input0") or {}
    total = sum(channel.get("totalFiles") or [])
    if total:
        return min(1.0, float(sum(channel.get("files") or [])) / float(total))
    sources = [i["stage"] for i in stage["definition"]["input"] if i.get("type") == "stage"]
    if not sources:
        return 0.0
    of_source = (payload.get("counters") or {}).get(str(sources[0])) or {}
    produced = sum(sum((w.get("shuffle") or w.get("output") or {}).get("rows") or []) for w in of_source.values())
    consumers = max(1, int(stage.get("workerCount") or 1))
    return min(1.0, sum(channel.get("rows") or []) * consumers / produced) if produced else 0.0


def _pushed(worker: Mapping[str, Any], reading: float) -> float:
    made = worker.get("segmentGenerationProgress") or {}
    processed = made.get("rowsProcessed", 0)
    return reading * made.get("rowsPushed", 0) / processed if processed else 0.0
