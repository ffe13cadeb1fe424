"""Every fault of the engine, as values: code, fields and message, as Druid prints them.

A fault travels in reports; `MSQError` is the exception that carries one. A fault's code is the class name without
`Fault` (unless `code` says otherwise); its dataclass fields are the JSON fields, in order, camelCase, absent when None
unless listed in `keep_null`. Nothing else lists the faults. Source: reference msq-engine section 11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

CATEGORY_STATUS = {
    "INVALID_INPUT": 400, "UNAUTHORIZED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "CONFLICT": 409, "CANCELED": 500,
    "CAPACITY_EXCEEDED": 429, "UNSUPPORTED": 501, "TIMEOUT": 504, "SERVICE_UNAVAILABLE": 503, "RUNTIME_FAILURE": 500,
    "DEFENSIVE": 500, "UNCATEGORIZED": 500,
}  # fmt: skip
"""HTTP status of each category of a Druid ErrorResponse."""


class DruidException(Exception):
    """A refusal before or outside a task: the ErrorResponse of Druid's API.

    `category` decides the HTTP status (`CATEGORY_STATUS`). SQL refusals have error_code invalidInput, persona USER,
    category INVALID_INPUT and context {"sourceType": "sql"}; see `invalid_sql`.
    """

    def __init__(
        self, message: str, *, error_code: str = "general", persona: str = "USER", category: str = "INVALID_INPUT",
        context: dict[str, str] | None = None, envelope: bool = True, error: str = "druidException",
        error_class: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message = message
        self.error_code = error_code
        self.persona = persona
        self.category = category
        self.context = context or {}
        self.envelope = envelope
        """Whether the SQL task endpoint wraps it as {"taskId","state","error"} (false: the statement never existed)."""
        self.error = error
        self.error_class = error_class
        """Java class that the legacy shape of error prints; None for the ordinary shape."""

    @property
    def status(self) -> int:
        return CATEGORY_STATUS[self.category]

    def to_json(self) -> dict[str, Any]:
        """Druid's ErrorResponse; legacy errors also print `errorClass` and `host`."""
        legacy = {} if self.error_class is None else {"errorClass": self.error_class, "host": None}
        context: dict[str, Any] = dict(self.context)
        if self.error_class is not None:
            context = {"host": None, "errorClass": self.error_class, "legacyErrorCode": self.error}
        return {
            "error": self.error,
            **legacy,
            "errorCode": self.error_code,
            "persona": self.persona,
            "category": self.category,
            "errorMessage": self.message,
            "context": context,
        }


def invalid_sql(
    message: str, *, position: tuple[int, int, int, int] | None = None, envelope: bool = True
) -> DruidException:
    """A refused statement. `position` is (line, column, endLine, endColumn), 1-based, for validator errors."""
    context = {"sourceType": "sql"}
    if position is not None:
        context.update(zip(("line", "column", "endLine", "endColumn"), map(str, position)))
    return DruidException(message, error_code="invalidInput", context=context, envelope=envelope)


def invalid_input(message: str, *, envelope: bool = True) -> DruidException:
    """A refused value outside SQL itself (context, source, format): invalidInput with an empty context."""
    return DruidException(message, error_code="invalidInput", envelope=envelope)


def not_plannable(message: str) -> DruidException:
    """A statement that is valid and cannot be planned: errorCode general, empty context."""
    return DruidException(message, error_code="general")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True)
class Fault:
    """Base of all faults. `text` is the message template over the fields; None means a fault without message."""

    code: ClassVar[str] = ""
    text: ClassVar[str | None] = None
    category: ClassVar[str] = "RUNTIME_FAILURE"
    persona: ClassVar[str] = "USER"
    retry: ClassVar[bool] = False
    """Whether a worker that died of it is started again under faultTolerance."""
    keep_null: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, type[Fault]]] = {}

    def __init_subclass__(cls) -> None:
        if not cls.code:
            cls.code = re.sub(r"Fault$", "", cls.__name__)
        if cls.code in Fault.kinds:
            raise ValueError(f"fault code [{cls.code}] is declared twice")
        Fault.kinds[cls.code] = cls

    @property
    def message(self) -> str | None:
        if self.text is None:
            return None
        return self.text.format(**{f.name: getattr(self, f.name) for f in fields(self)})

    def to_json(self) -> dict[str, Any]:
        """`{"errorCode", fields.., "errorMessage"?}` in Druid's order."""
        out: dict[str, Any] = {"errorCode": self.code}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "error_message":
                continue
            if value is not None or f.name in self.keep_null:
                out[_camel(f.name)] = list(value) if isinstance(value, tuple) else value
        if self.message is not None:
            out["errorMessage"] = self.message
        return out

    def status_message(self) -> str:
        """The task status' `errorMsg`: `CODE: text`, or the bare code."""
        return self.code if self.message is None else f"{self.code}: {self.message}"

    @staticmethod
    def from_json(value: dict[str, Any]) -> Fault:
        """The fault of a JSON object; an unknown code becomes an UnknownFault that keeps its fields."""
        kind = Fault.kinds.get(value["errorCode"])
        if kind is None:
            return UnknownFault(message=value.get("errorMessage"))
        given = {}
        for f in fields(kind):
            key = "errorMessage" if f.name == "error_message" else _camel(f.name)
            if key in value:
                raw = value[key]
                given[f.name] = tuple(raw) if isinstance(raw, list) else raw
        return kind(**given)


class MSQError(Exception):
    """Carries a fault up to the controller. `stage_number` and `worker` tell where it arose, when known."""

    def __init__(self, fault: Fault, *, stage_number: int | None = None, worker: int | None = None) -> None:
        super().__init__(fault.status_message())
        self.fault = fault
        self.stage_number = stage_number
        self.worker = worker


@dataclass(frozen=True)
class BroadcastTablesTooLargeFault(Fault):
    max_broadcast_tables_size: int
    configured_join_algorithm: str | None = None
    category = "CAPACITY_EXCEEDED"

    @property
    def message(self) -> str:
        size = f"{self.max_broadcast_tables_size:,}"
        if self.configured_join_algorithm is None or self.configured_join_algorithm == "broadcast":
            return (
                "Size of broadcast tables in JOIN exceeds reserved memory limit (memory reserved for broadcast tables "
                f"= [{size}] bytes). Increase available memory, or set [sqlJoinAlgorithm: sortMerge] in query context "
                "to use a shuffle-based join."
            )
        return (
            "Size of broadcast tables in JOIN exceeds reserved memory limit (memory reserved for broadcast tables = "
            f"[{size}] bytes). Try increasing available memory. This query is using broadcast JOIN even though "
            "[sqlJoinAlgorithm: sortMerge] is set in query context, because the ON condition is not of the form "
            "supported by sortMerge."
        )


@dataclass(frozen=True)
class CanceledFault(Fault):
    reason: str = "UNKNOWN"
    category = "CANCELED"
    retry = True

    @property
    def message(self) -> str:
        return {
            "QUERY_TIMEOUT": "Query canceled due to [QUERY_TIMEOUT]. Raise or remove the context parameter [timeout].",
            "UNKNOWN": "Query canceled by user or by task shutdown.",
        }.get(self.reason, "Query canceled by user or by task shutdown.")


@dataclass(frozen=True)
class CannotParseExternalDataFault(Fault):
    error_message: str = ""
    text = "{error_message}"
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class ColumnNameRestrictedFault(Fault):
    column_name: str = ""
    text = (
        "[{column_name}] column name is reserved for MSQ's internal purpose. Please retry the query after renaming the "
        "column."
    )
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class ColumnTypeNotSupportedFault(Fault):
    column_name: str
    column_type: str | None = None
    text = "Column [{column_name}] of type [{column_type}] cannot be stored. Cast it to a supported type."
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class DruidExceptionFault(Fault):
    druid_error_code: str
    error_message: str
    persona_: str = "USER"
    category_: str = "UNCATEGORIZED"
    code = "DruidException"
    text = "{error_message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "errorCode": self.code, "druidErrorCode": self.druid_error_code, "persona": self.persona_,
            "category": self.category_, "errorMessage": self.error_message,
        }  # fmt: skip


@dataclass(frozen=True)
class DurableStorageConfigurationFault(Fault):
    error_message: str
    text = "Durable storage mode can only be enabled when it is configured. {error_message}"
    category = "INVALID_INPUT"
    persona = "OPERATOR"


@dataclass(frozen=True)
class InsertCannotAllocateSegmentFault(Fault):
    data_source: str
    interval: str
    allocated_interval: str | None = None
    keep_null = ("allocated_interval",)

    @property
    def message(self) -> str:
        if self.allocated_interval is None:
            return (
                f"Cannot allocate segment for dataSource [{self.data_source}], interval [{self.interval}]. This can "
                "happen if the prior ingestion uses non-extendable shard specs, if its segments have another "
                "granularity that does not fit, or if another task holds a lock over the interval."
            )
        return (
            f"Requested segment for dataSource [{self.data_source}], interval [{self.interval}], but got "
            f"[{self.allocated_interval}] interval instead. This happens when an overlapping segment is already "
            "present with a coarser granularity for the requested interval. Either set the partition granularity for "
            "the INSERT to the coarser one, or use REPLACE to overwrite the existing data."
        )


@dataclass(frozen=True)
class InsertCannotBeEmptyFault(Fault):
    data_source: str
    text = (
        "No rows to insert for dataSource[{data_source}]. Set failOnEmptyInsert : false in the query context to allow "
        "empty inserts."
    )
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class InsertLockPreemptedFault(Fault):
    text = "Insert lock preempted while trying to ingest the data. Retry the query once the other task has ended."
    category = "CONFLICT"


@dataclass(frozen=True)
class InsertTimeNullFault(Fault):
    text = "Null timestamp (__time) encountered during INSERT or REPLACE."
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class InsertTimeOutOfBoundsFault(Fault):
    interval: str
    interval_bounds: tuple[str, ...]
    category = "INVALID_INPUT"

    @property
    def message(self) -> str:
        return (
            f"Inserted data contains time chunk[{self.interval}] outside of bounds specified by OVERWRITE WHERE"
            f"[[{', '.join(self.interval_bounds)}]]. If you want to include this data, expand your OVERWRITE WHERE. If "
            "you do not want to include this data, use SELECT ... WHERE to filter it from your inserted data."
        )


@dataclass(frozen=True)
class InvalidFieldFault(Fault):
    source: str | None = None
    column: str | None = None
    row_number: int | None = None
    error_msg: str | None = None
    log_msg: str | None = None
    category = "INVALID_INPUT"
    persona = "DEVELOPER"

    @property
    def message(self) -> str | None:
        return self.log_msg


@dataclass(frozen=True)
class InvalidNullByteFault(Fault):
    source: str | None = None
    row_number: int | None = None
    column: str | None = None
    value: str | None = None
    position: int | None = None
    text = (
        "Invalid null byte at source[{source}], rowNumber[{row_number}], column[{column}], value[{value}], "
        "position[{position}]. Consider sanitizing the input string using \"REPLACE(\"column\", U&'\\0000', '') AS "
        'column" or setting removeNullBytes to true in the query context.'
    )
    category = "INVALID_INPUT"


@dataclass(frozen=True)
class NotEnoughMemoryFault(Fault):
    suggested_server_memory: int | None = None
    server_memory: int = 0
    usable_memory: int = 0
    server_workers: int = 1
    server_threads: int = 1
    input_workers: int | None = None
    max_concurrent_stages: int = 1
    category = "CAPACITY_EXCEEDED"
    persona = "OPERATOR"

    @property
    def message(self) -> str:
        needed = (
            f" Minimum bytes[{self.suggested_server_memory:,}] is needed for the current configuration."
            if (self.suggested_server_memory)
            else ""
        )
        return (
            f"Not enough memory.{needed} (total bytes[{self.server_memory:,}]; usable bytes[{self.usable_memory:,}]; "
            f"input workers[{self.input_workers or 0}]; concurrent stages[{self.max_concurrent_stages}]; server worker "
            f"capacity[{self.server_workers}]; server threads[{self.server_threads}]). Increase the memory setting, or "
            "reduce maxNumTasks or maxConcurrentStages."
        )


@dataclass(frozen=True)
class NotEnoughTemporaryStorageFault(Fault):
    suggested_minimum_storage: int
    configured_temporary_storage: int
    code = "NotEnoughTemporaryStorageFault"
    text = (
        "Not enough temporary storage space for intermediate files. Requires at least "
        "[{suggested_minimum_storage}] bytes. (configured [{configured_temporary_storage}]). Free disk space, or set "
        "another temporary folder."
    )
    category = "CAPACITY_EXCEEDED"
    persona = "OPERATOR"


@dataclass(frozen=True)
class QueryNotSupportedFault(Fault):
    category = "UNSUPPORTED"


@dataclass(frozen=True)
class QueryRuntimeErrorFault(Fault):
    error_message: str
    base_error_message: str | None = None
    code = "QueryRuntimeError"
    text = "{error_message}"
    persona = "DEVELOPER"


@dataclass(frozen=True)
class RowTooLargeFault(Fault):
    max_frame_size: int
    text = "Encountered row that cannot fit in a single frame (max frame size = {max_frame_size:,})"
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TaskStartTimeoutFault(Fault):
    pending_tasks: int
    total_tasks: int
    timeout: int
    text = (
        "Unable to launch [{pending_tasks}] workers out of the total [{total_tasks}] tasks within [{timeout}] ms "
        "because of the limited number of available slots. Lower maxNumTasks, or raise the number of task slots."
    )
    category = "CAPACITY_EXCEEDED"
    persona = "OPERATOR"


@dataclass(frozen=True)
class TooManyAttemptsForJobFault(Fault):
    max_relaunch_count: int
    current_relaunch_count: int
    task_id: str
    root_error_message: str
    text = (
        "Total relaunch count across all workers [{current_relaunch_count}] exceeded max relaunch limit "
        "[{max_relaunch_count}]. Latest task[{task_id}] failure reason: {root_error_message}"
    )
    persona = "OPERATOR"


@dataclass(frozen=True)
class TooManyAttemptsForWorkerFault(Fault):
    max_per_worker_relaunch_count: int
    task_id: str
    worker_number: int
    root_error_message: str
    text = (
        "Worker [{worker_number}] exceeded max relaunch count of [{max_per_worker_relaunch_count}] for task "
        "[{task_id}]. Latest failure reason: {root_error_message}"
    )
    persona = "OPERATOR"


@dataclass(frozen=True)
class TooManyBucketsFault(Fault):
    max_buckets: int
    text = (
        "Too many partition buckets (max = {max_buckets:,}); try breaking your query up into smaller queries or using "
        "a wider PARTITIONED BY"
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyClusteredByColumnsFault(Fault):
    num_columns: int
    max_columns: int
    stage: int
    text = (
        "Too many columns in the clustering key of stage [{stage}] (requested = {num_columns}, max = {max_columns}). "
        "Use fewer CLUSTERED BY, GROUP BY or ORDER BY columns, or raise maxClusteredByColumns."
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyColumnsFault(Fault):
    num_columns: int
    max_columns: int
    text = "Too many output columns (requested = {num_columns}, max = {max_columns})"
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyInputFilesFault(Fault):
    num_input_files: int
    max_input_files: int
    min_num_workers: int
    text = (
        "Too many input files/segments [{num_input_files}] encountered. Maximum input files/segments per worker is set "
        "to [{max_input_files}]. Try breaking your query up into smaller queries, or increasing the number of workers "
        "to at least [{min_num_workers}] by setting maxNumTasks in your query context"
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyPartitionsFault(Fault):
    max_partitions: int
    text = (
        "Too many partitions (max = {max_partitions}); try raising the maxPartitions query context parameter, breaking "
        "your query up into smaller queries or using a larger target size"
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyRowsInAWindowFault(Fault):
    num_rows: int
    max_rows: int
    text = (
        "Too many rows in a window (requested = {num_rows}, max = {max_rows}). Try creating a window with a higher "
        "cardinality PARTITION BY column, or raise maxRowsMaterializedInWindow in the query context."
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyRowsWithSameKeyFault(Fault):
    key: tuple[Any, ...]
    num_bytes: int
    max_bytes: int
    text = (
        "Too many rows with the same key[{key}] on both sides of a sort-merge join (bytes buffered[{num_bytes}], "
        "limit[{max_bytes}]). Join on a key with fewer equal rows, or give the workers more memory."
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManySegmentsInTimeChunkFault(Fault):
    time_chunk: str
    num_segments: int
    max_num_segments: int
    segment_granularity: str
    text = (
        "Too many segments requested to be generated in time chunk[{time_chunk}] with granularity"
        "[{segment_granularity}] (requested = [{num_segments}], maximum = [{max_num_segments}]). Please try breaking "
        "up your query or change the maximum using the query context parameter[maxNumSegments]."
    )
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class TooManyWarningsFault(Fault):
    max_warnings: int
    root_error_code: str
    text = "Too many warnings of type {root_error_code} generated (max = {max_warnings})"


@dataclass(frozen=True)
class TooManyWorkersFault(Fault):
    workers: int
    max_workers: int
    text = "Too many workers (current = {workers}; max = {max_workers})"
    category = "CAPACITY_EXCEEDED"


@dataclass(frozen=True)
class UnknownFault(Fault):
    message: str | None = None
    code = "UnknownError"
    category = "UNCATEGORIZED"
    persona = "DEVELOPER"
    retry = True


@dataclass(frozen=True)
class WorkerFailedFault(Fault):
    worker_task_id: str
    error_msg: str | None = None
    text = "Worker[{worker_task_id}] failed: {error_msg}"
    persona = "OPERATOR"


@dataclass(frozen=True)
class WorkerRpcFailedFault(Fault):
    worker_task_id: str
    error_msg: str | None = None
    text = "RPC call to task[{worker_task_id}] failed: {error_msg}"
    persona = "OPERATOR"
    retry = True


def fault_of(error: BaseException) -> Fault:
    """The fault of an exception: the nearest one along its cause chain, else UnknownError with its text."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MSQError):
            return seen.fault
        if isinstance(seen, DruidException):
            return DruidExceptionFault(seen.error_code, seen.message, seen.persona, seen.category)
        if isinstance(seen, OSError) and seen.errno in (28, 122):
            return NotEnoughTemporaryStorageFault(1 << 30, 0)
        seen = seen.__cause__ or seen.__context__
    return UnknownFault(message=f"{type(error).__name__}: {error}")
