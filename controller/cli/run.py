"""`msq run`: one statement from text to published segments or printed rows."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from controller.cli import exits
from controller.cli.console import messages
from controller.cli.inputs import UsageError, lookups_of, read_context, read_statement
from controller.cli.rows import FORMATS, print_rows

POLL_SECONDS = 0.1


def run_command(
    file: str, data_dir: Path, context_pairs: Sequence[str], memory: str, threads: int | None, report: Path | None,
    form: str, quiet: bool, lookups: Path | None = None,
) -> int:  # fmt: skip
    """Runs the statement and answers the exit code (controller.cli.exits)."""
    console = messages()
    try:
        if form not in FORMATS:
            raise UsageError(f"Unknown format [{form}]: give one of {', '.join(FORMATS)}")
        sql, context = read_statement(file), read_context(context_pairs)
    except UsageError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE

    from controller.engine import Engine, EngineSettings
    from msq.context import parse_bytes
    from msq.faults import DruidException

    try:
        settings = EngineSettings(
            data_dir=data_dir, memory_bytes=parse_bytes(memory), threads=threads, lookups=lookups_of(lookups)
        )
    except (ValueError, UsageError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return exits.USAGE
    with Interrupts() as interrupts, Engine(settings) as engine:
        try:
            prepared = engine.prepare(sql, context)
            if prepared.explained is not None:
                print_rows(prepared.explained.names, prepared.explained.rows, form)
                return exits.SUCCESS
            run = engine.start(prepared)
        except DruidException as error:
            console.print(f"[red]{escape(error.category)}[/] {escape(error.message)}")
            return exits.REFUSED
        interrupts.cancel = run.cancel
        return _follow(run, console, report, form, quiet)


class Interrupts:
    """Ctrl-C and SIGTERM as a cancel of the run, also when they come before there is one; restored at the end."""

    def __init__(self) -> None:
        self._cancel: Callable[[], None] | None = None
        self._struck = False

    @property
    def cancel(self) -> Callable[[], None] | None:
        return self._cancel

    @cancel.setter
    def cancel(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        if self._struck:
            cancel()

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._struck = True
        if self._cancel is not None:
            self._cancel()

    def __enter__(self) -> Interrupts:
        self._previous = {s: signal.signal(s, self._stop) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def _follow(run: object, console: Console, report: Path | None, form: str, quiet: bool) -> int:
    from controller.cli.progress import StageProgress
    from controller.engine import QueryRun

    assert isinstance(run, QueryRun)

    if quiet or not console.is_terminal:
        run.wait()
    else:
        with StageProgress(console) as progress:
            while not run.wait(POLL_SECONDS):
                progress.show(run.live_payload())
    outcome = run.outcome()
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(outcome.report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if outcome.status == "SUCCESS" and outcome.names is not None:
        print_rows(outcome.names, outcome.rows or (), form, sys.stdout)
    if not quiet:
        _summarise(outcome, console)
    if outcome.status == "SUCCESS":
        return exits.SUCCESS
    return exits.CANCELLED if run.cancelled else exits.FAILED


def _summarise(outcome: object, console: Console) -> None:
    from controller.cli.report_view import payload_of, problems_view, size
    from controller.engine import Outcome

    assert isinstance(outcome, Outcome)
    payload = payload_of(outcome.report)
    seconds = max(payload["status"].get("durationMs", 0), 0) / 1000
    if outcome.status != "SUCCESS":
        console.print(
            f"[red]{outcome.status}[/] {escape(outcome.task_id)} after {seconds:.2f} s; nothing was published"
        )
    elif outcome.published is not None:
        segments = outcome.published.segments
        rows = sum(s.total_rows or 0 for s in segments)
        tombstones = f", {len(outcome.published.tombstones):,} tombstones" if outcome.published.tombstones else ""
        console.print(
            f"[green]{outcome.status}[/] {escape(outcome.task_id)}: {rows:,} rows in {len(segments):,} segments, "
            f"{size(sum(s.size for s in segments))}{tombstones}, {seconds:.2f} s"
        )
    else:
        console.print(f"[green]{outcome.status}[/] {len(outcome.rows or ()):,} rows, {seconds:.2f} s")
    for view in problems_view(payload):
        console.print(view)
