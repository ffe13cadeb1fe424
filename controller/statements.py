"""A statement as the asynchronous API shows it: made of its task, payload and report. Source: msq-engine 1.7."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.metadata.task_list import TaskSummary
from controller.tasks.manager import TaskManager
from controller.tasks.queue import RUNNING
from controller.tasks.views import runner_status
from msq.faults import DruidException, invalid_input

ACCEPTED = "ACCEPTED"
_ACTIVE = (ACCEPTED, RUNNING)


@dataclass(frozen=True)
class Page:
    """One page of rows: its number, the partition of the final stage, rows, bytes by the counters."""

    id: int
    partition: int
    rows: int
    size: int

    def to_json(self) -> dict[str, int]:
        return {"id": self.id, "numRows": self.rows, "sizeInBytes": self.size}


class StatementView:
    """Everything about one `query_controller` task that clients of statements ask for; read once, when it is made."""

    def __init__(self, tasks: TaskManager, task: TaskSummary) -> None:
        self._tasks = tasks
        self._task = task
        self._payload = tasks.payload(task.id) or {}
        self.state = task.status.status
        if task.active:
            self.state = RUNNING if runner_status(task, tasks.queue.states()) == RUNNING else ACCEPTED
        self._report_payload: dict[str, Any] | None = None

    @staticmethod
    def find(tasks: TaskManager, task_id: str) -> StatementView:
        """Raises DruidException (404) for what is no statement."""
        task = tasks.summary(task_id)
        if task is None or task.kind != "query_controller":
            raise DruidException(
                f"Query [{task_id}] was not found. The query details are no longer present or might not be of the type "
                "[query_controller]. Verify that the id is correct.",
                error_code="notFound", category="NOT_FOUND",
            )  # fmt: skip
        return StatementView(tasks, task)

    @property
    def is_active(self) -> bool:
        return self.state in _ACTIVE

    # -- parts of the payload -----------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        return [m["outputColumn"] for m in self._payload["spec"]["columnMappings"]]

    @property
    def user(self) -> str:
        """Who submitted it; `allowAll` where nobody was asked who he is."""
        return str(self._payload["spec"]["query"].get("context", {}).get("__user", "allowAll"))

    @property
    def _destination(self) -> str:
        return str(self._payload["spec"]["destination"]["type"])

    @property
    def has_rows(self) -> bool:
        """Whether it is a SELECT."""
        return self._destination in ("taskReport", "durableStorage")

    @property
    def default_format(self) -> str:
        return str(self._payload["sqlQueryContext"].get("__resultFormat", "object"))

    def _schema(self) -> list[dict[str, str]]:
        types = zip(self.names, self._payload["sqlTypeNames"], self._payload["nativeTypeNames"])
        return [{"name": n, "type": t, "nativeType": native} for n, t, native in types]

    # -- the answer ---------------------------------------------------------------------------------------------------

    def to_json(self, detail: bool = False) -> dict[str, Any]:
        out: dict[str, Any] = {"queryId": self._task.id, "state": self.state, "createdAt": self._task.created}
        if self.has_rows and self.state != "FAILED":
            out["schema"] = self._schema()
        out["durationMs"] = self._task.status.duration
        if self.state == "SUCCESS":
            out["result"] = self._result()
        elif self.state == "FAILED":
            out["errorDetails"] = self._error()
        if detail:
            out.update(self._detail())
        return out

    def _detail(self) -> dict[str, Any]:
        report = self._report()
        if "stages" not in report:
            return {"warnings": report["status"].get("warnings", [])} if report else {}
        return {
            "stages": report["stages"], "counters": report.get("counters", {}),
            "warnings": report["status"].get("warnings", []),
        }  # fmt: skip

    def _report(self) -> dict[str, Any]:
        """The report's payload; empty when there is none."""
        if self._report_payload is None:
            report = self._tasks.report(self._task.id)
            self._report_payload = {} if report is None else report["multiStageQuery"]["payload"]
        return self._report_payload

    def _result(self) -> dict[str, Any]:
        if not self.has_rows:
            return {
                "numTotalRows": self._rows_pushed(), "totalSizeInBytes": 0, "dataSource": self._task.datasource
            }  # fmt: skip
        pages = self.pages()
        sample = self._report().get("results", {}).get("results", [])
        return {
            "numTotalRows": sum(p.rows for p in pages), "totalSizeInBytes": sum(p.size for p in pages),
            "dataSource": self._task.datasource, "sampleRecords": sample, "pages": [p.to_json() for p in pages],
        }  # fmt: skip

    def _last_stage(self) -> list[dict[str, Any]]:
        """Counters of the last stage, by worker."""
        report = self._report()
        counters: dict[str, Any] = report.get("counters", {})
        if not report.get("stages"):
            return []
        last = str(report["stages"][-1]["stageNumber"])
        return [named for _, named in sorted(counters.get(last, {}).items(), key=lambda item: int(item[0]))]

    def _rows_pushed(self) -> int:
        generated = (named.get("segmentGenerationProgress", {}) for named in self._last_stage())
        return sum(g.get("rowsPushed", 0) for g in generated)

    def _error(self) -> dict[str, Any]:
        item = self._report().get("status", {}).get("errorReport") if not self.is_active else None
        base = {"error": "druidException"}
        if item is None:
            return {
                **base, "errorCode": "general", "persona": "DEVELOPER", "category": "UNCATEGORIZED",
                "errorMessage": self._task.status.error_msg, "context": {},
            }  # fmt: skip
        fault = dict(item["error"])
        code, message = fault.pop("errorCode", "UnknownError"), fault.pop("errorMessage", None)
        return {
            **base, "errorCode": code, "persona": "USER", "category": "UNCATEGORIZED", "errorMessage": message,
            "context": {key: str(value) for key, value in fault.items() if value is not None},
        }  # fmt: skip

    # -- rows ---------------------------------------------------------------------------------------------------------

    def pages(self) -> list[Page]:
        """Pages of a SELECT: one for the report; in durable storage one for each partition that has rows."""
        outputs = [named.get("output", {}) for named in self._last_stage()]
        if self._destination == "taskReport":
            rows = sum(sum(o.get("rows", ())) for o in outputs)
            return [Page(0, 0, rows, sum(sum(o.get("bytes", ())) for o in outputs))]
        found = self._tasks.engine.result_pages(self._task.id).partitions()
        return [
            Page(at, partition, _at(outputs, "rows", partition), _at(outputs, "bytes", partition))
            for at, partition in enumerate(found)
        ]

    def rows(self, page: int | None) -> Iterator[list[Any]]:
        """Rows of one page, or of all. Raises DruidException for a page that is not there."""
        if page is not None and page < 0:
            raise DruidException("Page cannot be negative. Please pass a positive number.")
        pages = self.pages()
        if page is not None and page >= len(pages):
            if self._destination == "taskReport":
                raise invalid_input(f"Page number [{page}] is out of the range of results")
            raise invalid_input(f"Invalid page id [{page}] passed.")
        wanted = pages if page is None else [pages[page]]
        if self._destination == "taskReport":
            return iter(self._report().get("results", {}).get("results", []))
        kept = self._tasks.engine.result_pages(self._task.id)
        return (row for p in wanted for row in kept.read(p.partition))


def _at(outputs: Iterable[dict[str, Any]], key: str, partition: int) -> int:
    return sum(o[key][partition] for o in outputs if partition < len(o.get(key, ())))
