"""The `multiStageQuery` report as values: what the controller fills in and every reader gets. Source: msq-engine 2.

`to_json` prints the shape of Druid 37, with the older keys that Druid 24's documented report has on top
(msq.report_keys), so that readers of either find what they look for. `from_json` reads any report, ours or Druid's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msq.counters import basic_only, name_order
from msq.faults import Fault, UnknownFault
from msq.report_keys import with_older_keys

RUNNING, SUCCESS, FAILED = "RUNNING", "SUCCESS", "FAILED"


@dataclass(frozen=True)
class ErrorItem:
    """One error or warning: which task saw it, where, and in which stage (None: outside of stages).

    `error` is the fault's JSON, kept whole when it was read from a report.
    """

    task_id: str
    error: dict[str, Any]
    host: str | None = None
    stage_number: int | None = None
    trace: str | None = None

    @staticmethod
    def of(
        task_id: str,
        fault: Fault,
        *,
        host: str | None = None,
        stage_number: int | None = None,
        trace: str | None = None,
    ) -> ErrorItem:
        return ErrorItem(task_id, fault.to_json(), host, stage_number, trace or None)

    @property
    def fault(self) -> Fault:
        """The fault, as far as its code is known here."""
        try:
            return Fault.from_json(self.error)
        except TypeError:
            return UnknownFault(self.error.get("errorMessage"))

    @property
    def code(self) -> str:
        return str(self.error.get("errorCode", "UnknownError"))

    @property
    def message(self) -> str | None:
        return self.error.get("errorMessage")

    def status_message(self) -> str:
        """A task status' `errorMsg`."""
        return self.code if self.message is None else f"{self.code}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"taskId": self.task_id}
        if self.host is not None:
            out["host"] = self.host
        if self.stage_number is not None:
            out["stageNumber"] = self.stage_number
        out["error"] = self.error
        if self.trace is not None:
            out["exceptionStackTrace"] = self.trace
        return out

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ErrorItem:
        return ErrorItem(
            value.get("taskId", ""), dict(value["error"]), value.get("host"), value.get("stageNumber"),
            value.get("exceptionStackTrace"),
        )  # fmt: skip


@dataclass(frozen=True)
class WorkerEntry:
    """One worker of the query. `duration_ms` is -1 while it runs, or when it failed; `pending_ms`: until it started."""

    worker_id: str
    state: str | None
    duration_ms: int = -1
    pending_ms: int = -1

    def to_json(self) -> dict[str, Any]:
        return {
            "workerId": self.worker_id, "workerDesc": self.worker_id, "state": self.state,
            "durationMs": self.duration_ms, "pendingMs": self.pending_ms,
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> WorkerEntry:
        return WorkerEntry(
            value["workerId"], value.get("state"), value.get("durationMs", -1), value.get("pendingMs", -1)
        )


@dataclass(frozen=True)
class SegmentReport:
    """Which shard spec the segments have and why; `shard_spec` is NumberedShardSpec or DimensionRangeShardSpec."""

    shard_spec: str
    details: str

    def to_json(self) -> dict[str, Any]:
        return {"shardSpec": self.shard_spec, "details": self.details}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> SegmentReport:
        return SegmentReport(value.get("shardSpec", ""), value.get("details", ""))


@dataclass(frozen=True)
class StatusReport:
    """`payload.status`. `status` is RUNNING, SUCCESS or FAILED; `duration_ms` is -1 before the start."""

    status: str
    start_time: str | None = None
    duration_ms: int = -1
    error: ErrorItem | None = None
    warnings: tuple[ErrorItem, ...] = ()
    workers: Mapping[int, tuple[WorkerEntry, ...]] = field(default_factory=dict)
    pending_tasks: int = -1
    running_tasks: int = 1
    segment_load: Mapping[str, Any] | None = None
    segment_report: SegmentReport | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"status": self.status}
        if self.error is not None:
            out["errorReport"] = self.error.to_json()
        if self.warnings:
            out["warnings"] = [w.to_json() for w in self.warnings]
        if self.start_time is not None:
            out["startTime"] = self.start_time
        out["durationMs"] = self.duration_ms
        out["workers"] = {str(n): [w.to_json() for w in entries] for n, entries in sorted(self.workers.items())}
        out["pendingTasks"] = self.pending_tasks
        out["runningTasks"] = self.running_tasks
        if self.segment_load is not None:
            out["segmentLoadWaiterStatus"] = dict(self.segment_load)
        if self.segment_report is not None:
            out["segmentReport"] = self.segment_report.to_json()
        return out

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StatusReport:
        found = value.get("segmentReport")
        error = value.get("errorReport")
        return StatusReport(
            status=value["status"],
            start_time=value.get("startTime"),
            duration_ms=value.get("durationMs", -1),
            error=None if error is None else ErrorItem.from_json(error),
            warnings=tuple(ErrorItem.from_json(w) for w in value.get("warnings") or ()),
            workers={
                int(n): tuple(WorkerEntry.from_json(w) for w in entries)
                for n, entries in (value.get("workers") or {}).items()
            },
            pending_tasks=value.get("pendingTasks", -1),
            running_tasks=value.get("runningTasks", 1),
            segment_load=value.get("segmentLoadWaiterStatus") or value.get("segmentLoadStatus"),
            segment_report=None
            if found is None
            else SegmentReport(found.get("shardSpec", ""), found.get("details", "")),
        )


@dataclass(frozen=True)
class StageReport:
    """One stage. `definition` is the JSON of msq-engine 2.5; what is None or 0 is not printed."""

    number: int
    definition: dict[str, Any]
    phase: str | None = None
    worker_count: int = 0
    partition_count: int = 0
    shuffle: str | None = None
    output: str | None = None
    start_time: str | None = None
    duration_ms: int = 0
    sort: bool = False

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"stageNumber": self.number, "definition": self.definition}
        for key, value in (
            ("phase", self.phase), ("workerCount", self.worker_count), ("partitionCount", self.partition_count),
            ("shuffle", self.shuffle), ("output", self.output), ("startTime", self.start_time),
            ("duration", self.duration_ms), ("sort", self.sort),
        ):  # fmt: skip
            if value:
                out[key] = value
        return out

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StageReport:
        return StageReport(
            value["stageNumber"], dict(value["definition"]), value.get("phase"), value.get("workerCount", 0),
            value.get("partitionCount", 0), value.get("shuffle"), value.get("output"), value.get("startTime"),
            value.get("duration", 0), value.get("sort", False),
        )  # fmt: skip


@dataclass(frozen=True)
class ResultsReport:
    """Rows of a SELECT in output-column order, with values as msq.results prints them."""

    signature: tuple[Mapping[str, Any], ...]
    sql_type_names: tuple[str, ...]
    rows: list[list[Any]]
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "signature": [dict(c) for c in self.signature], "sqlTypeNames": list(self.sql_type_names),
            "results": self.rows, "resultsTruncated": self.truncated,
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ResultsReport:
        return ResultsReport(
            tuple(value.get("signature") or ()), tuple(value.get("sqlTypeNames") or ()), value.get("results") or [],
            value.get("resultsTruncated", False),
        )  # fmt: skip


Counters = Mapping[int, Mapping[int, Mapping[str, Any]]]
"""stage -> worker -> counter name -> snapshot."""


@dataclass(frozen=True)
class TaskReport:
    """A whole report. `stages` is None when there never was a plan; `task_context` only in final reports."""

    task_id: str
    status: StatusReport
    stages: tuple[StageReport, ...] | None = None
    counters: Counters = field(default_factory=dict)
    results: ResultsReport | None = None
    task_context: Mapping[str, Any] | None = None

    def payload(self) -> dict[str, Any]:
        """`multiStageQuery.payload`: results first, as Druid streams them."""
        out: dict[str, Any] = {}
        if self.results is not None:
            out["results"] = self.results.to_json()
        out["status"] = self.status.to_json()
        if self.stages is not None:
            out["stages"] = [{**s.to_json(), "definition": with_older_keys(s.definition)} for s in self.stages]
        out["counters"] = counters_json(self.counters)
        return out

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "multiStageQuery": {"type": "multiStageQuery", "taskId": self.task_id, "payload": self.payload()}
        }
        if self.task_context is not None:
            out["taskContext"] = {"type": "taskContext", "taskId": self.task_id, "payload": dict(self.task_context)}
        return out

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TaskReport:
        """Raises KeyError or TypeError for a document that is no such report."""
        inner = value["multiStageQuery"]
        payload = inner["payload"]
        stages = payload.get("stages")
        results = payload.get("results")
        context = value.get("taskContext")
        return TaskReport(
            task_id=inner.get("taskId", ""),
            status=StatusReport.from_json(payload["status"]),
            stages=None if stages is None else tuple(StageReport.from_json(s) for s in stages),
            counters={
                int(stage): {int(worker): counters for worker, counters in workers.items()}
                for stage, workers in (payload.get("counters") or {}).items()
            },
            results=None if results is None else ResultsReport.from_json(results),
            task_context=None if context is None else context.get("payload", {}),
        )


def counters_json(counters: Counters, basic: bool = False) -> dict[str, Any]:
    """Counters with text keys, in order of stage, worker and name. A worker without any keeps its empty object."""
    return {
        str(stage): {
            str(worker): {name: kept[name] for name in sorted(kept, key=name_order)}
            for worker, snapshot in sorted(workers.items())
            for kept in (basic_only(snapshot) if basic else snapshot,)
        }
        for stage, workers in sorted(counters.items())
    }
