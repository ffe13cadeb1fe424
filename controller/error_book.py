"""Errors of one query: who reported what, in whose name it is printed, and which one the report shows. Source: 2.3."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from msq.faults import (
    CanceledFault,
    Fault,
    InsertTimeNullFault,
    InvalidFieldFault,
    InvalidNullByteFault,
    TooManyWarningsFault,
    WorkerFailedFault,
    WorkerRpcFailedFault,
)
from msq.report import ErrorItem
from msq.stage.destination import ColumnMapping

_BLAME_WORKER = (WorkerFailedFault, WorkerRpcFailedFault, CanceledFault)


class ErrorBook:
    """Thread-safe. `cancelled` is the fault of a cancellation, once there is one; the first one stays."""

    def __init__(self, task_id: str, host: str, mappings: Sequence[ColumnMapping]) -> None:
        self._task_id = task_id
        self._host = host
        self._outputs = {m.query_column: m.output_column for m in reversed(mappings)}
        self._lock = threading.Lock()
        self._workers: dict[int, ErrorItem] = {}
        self._own: ErrorItem | None = None
        self._cancelled: Fault | None = None

    @property
    def cancelled(self) -> Fault | None:
        return self._cancelled

    def cancel(self, fault: Fault) -> None:
        with self._lock:
            self._cancelled = self._cancelled or fault

    def own_item(self, fault: Fault, trace: str | None = None) -> ErrorItem:
        """An item in the controller's name."""
        return ErrorItem.of(self._task_id, fault, host=self._host, trace=trace or fault.status_message())

    def note_own(self, fault: Fault, trace: str) -> None:
        """The controller's own work has failed."""
        with self._lock:
            self._own = self.own_item(fault, trace)

    def warning(self, worker_id: str, stage: int, fault: Fault) -> ErrorItem:
        return ErrorItem.of(
            worker_id, fault, host=self._host, stage_number=stage, trace=fault.status_message()
        )  # fmt: skip

    def note_worker(
        self, worker: int, worker_id: str, stage: int | None, fault: Fault, trace: str, generating: bool
    ) -> Fault:
        """A worker has failed in `stage`; `generating`: that is the segment generator. Answers the fault to go on with.

        An error that a cancellation provoked is not kept.
        """
        fault = self.shown(fault)
        with self._lock:
            if not (isinstance(fault, CanceledFault) and self._cancelled is not None):
                self._workers[worker] = self._worker_item(worker_id, stage, fault, trace, generating)
        return fault

    def shown(self, fault: Fault) -> Fault:
        """Users know the names of outputs, workers those of query columns."""
        if not isinstance(fault, (InvalidFieldFault, InvalidNullByteFault)):
            return fault
        return replace(fault, column=self._outputs.get(fault.column or "", fault.column))

    def _worker_item(self, worker_id: str, stage: int | None, fault: Fault, trace: str, generating: bool) -> ErrorItem:
        if isinstance(fault, TooManyWarningsFault):
            # as Druid prints it: raised in the name of the worker, without its port, stage and trace
            return ErrorItem.of(worker_id, fault, host=self._host.partition(":")[0])
        if isinstance(fault, InsertTimeNullFault) and not generating:
            # a null time chunk is an error of the statistics, which the controller answers for
            return self.own_item(fault, trace)
        return ErrorItem.of(worker_id, fault, host=self._host, stage_number=stage, trace=trace)

    def choose(self, fault: Fault) -> ErrorItem:
        """The error to report of a query that failed of `fault`: a cancellation first, then the controller's own, then
        that of the worker that ended it."""
        with self._lock:
            if self._cancelled is not None:
                return self.own_item(self._cancelled, self._own.trace if self._own else None)
            blamed = isinstance(fault, _BLAME_WORKER)
            if self._own is not None and not (blamed and self._workers):
                return self._own
            for item in reversed(list(self._workers.values())):
                if blamed or item.code == fault.code:
                    return item
            return self.own_item(fault)
