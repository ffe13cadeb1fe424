"""`msq.run`: one statement from a program, a notebook or a workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.engine import Engine, EngineSettings, Outcome
from controller.lookups import LookupStore
from msq.context import parse_bytes
from msq.faults import Fault, MSQError
from msq.segment.identity import DataSegment

if TYPE_CHECKING:
    import pyarrow as pa

    from msq.report import TaskReport


@dataclass(frozen=True)
class Result:
    """What a statement came to. `segments` and `tombstones` are empty for a SELECT; `rows` is None for an ingest.

    `report` is the task report as dataclasses, `report_json` as Druid prints it.
    """

    task_id: str
    report: TaskReport
    report_json: dict[str, Any]
    segments: tuple[DataSegment, ...]
    tombstones: tuple[DataSegment, ...]
    rows: pa.Table | None


def run(
    sql: str, *, data_dir: str | Path = "msq-data", context: Mapping[str, Any] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (), memory: str | int = "2GiB", threads: int | None = None,
    lookups: Mapping[str, Any] | None = None,
) -> Result:  # fmt: skip
    """Runs `sql` over the data folder and waits for its end.

    context: query context. parameters: `{"type","value"}` for each `?`. memory: bound of this process (bytes, or a text
    such as `2GiB`). threads: processing threads, the machine's processors by default. lookups: what LOOKUP and the
    schema `lookup` read, by name: an object of texts, or a spec as Druid's `lookupExtractorFactory`.

    Rows of a SELECT come as an Arrow table: timestamps as `timestamp[ms, UTC]`, dates as `date32`, booleans as `bool`,
    multi-value strings as lists.

    Raises LookupSpecError (a ValueError) for a lookup that is none, DruidException for a statement that is refused,
    MSQError for one that fails (its fault tells why; nothing is published then).
    """
    settings = EngineSettings(
        data_dir=Path(data_dir), memory_bytes=parse_bytes(memory), threads=threads, lookups=LookupStore(lookups)
    )
    with Engine(settings) as engine:
        outcome = engine.execute(sql, dict(context or {}), parameters)
        if outcome.status != "SUCCESS":
            raise MSQError(Fault.from_json(outcome.fault or {"errorCode": "UnknownError"}))
        return result_of(outcome)


def result_of(outcome: Outcome) -> Result:
    """The library's view of an outcome."""
    from msq.report import TaskReport

    published = outcome.published
    return Result(
        outcome.task_id, TaskReport.from_json(outcome.report), outcome.report,
        () if published is None else published.segments, () if published is None else published.tombstones,
        outcome.table(),
    )  # fmt: skip
