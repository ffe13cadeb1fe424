"""What a controller is given: one query's task, and what it needs of its surroundings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.admission import Admission
from controller.launching import Launcher
from controller.live import Clock
from controller.publishing import Publisher
from controller.result_pages import ResultPages
from controller.slicing import SegmentCatalog
from msq.results import ResultsContext
from msq.sources.base import SourceAccess
from msq.stage.destination import ColumnMapping, Destination
from msq.stage.query import QueryDefinition


@dataclass(frozen=True)
class ControllerTask:
    """What a controller runs.

    plan: makes the stages; may raise MSQError. context: the statement's own. sql_types: names by output column, for
    SELECT and export. task_context: printed in the final report (None: left out). rows_in_memory: rows that the report
    of an interactive query holds, the others going to `result_pages`; it tells of rows and errors only (None: the
    report has all). streams: the others may instead be left to be read as they are made.
    """

    task_id: str
    plan: Callable[[], QueryDefinition]
    destination: Destination
    column_mappings: tuple[ColumnMapping, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    sql_types: tuple[str, ...] = ()
    results_context: ResultsContext = field(default_factory=ResultsContext)
    task_context: Mapping[str, Any] | None = None
    rows_in_memory: int | None = None
    streams: bool = False


@dataclass(frozen=True)
class ControllerServices:
    """What a controller needs of its surroundings. `publisher` for ingests, `segments` where tables are read,
    `result_pages` for a SELECT to durable storage, `admission` where a query waits for its turn."""

    launcher: Launcher
    access: SourceAccess = field(default_factory=SourceAccess)
    segments: SegmentCatalog | None = None
    publisher: Publisher | None = None
    host: str = "localhost"
    clock: Clock = lambda: time.time_ns() // 1_000_000
    result_pages: ResultPages | None = None
    admission: Admission | None = None
