"""A statement that may run: parsed, bound and checked, with the checks that need more than its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.catalog import MetadataCatalog
from controller.explain import Explained
from msq.context import QueryContext
from msq.faults import DruidException, invalid_input
from msq.stage.destination import DataSourceDestination, ExportDestination
from msq.storage import StorageError
from msq.storage.exports import export_base
from msq.storage.stores import is_configured

if TYPE_CHECKING:
    from msq.sql.bind import BoundQuery
    from msq.sql.statement import Statement
    from msq.stage.query import QueryDefinition

if TYPE_CHECKING:
    from controller.engine import Engine


@dataclass(frozen=True)
class Prepared:
    """A statement that may run: parsed, bound, its context checked. `explained` for an EXPLAIN, which does not run."""

    engine: Engine
    statement: Statement
    bound: BoundQuery
    context: QueryContext
    query_id: str
    catalog: MetadataCatalog
    explained: Explained | None = None
    task: Mapping[str, Any] | None = None
    """The JSON of the task that it runs as, where that is not one of type query_controller."""
    _planned: list[QueryDefinition] = field(default_factory=list, compare=False, repr=False)
    """The stages once they are planned, shared with the same statement under other ids."""

    @property
    def task_id(self) -> str:
        return f"query-{self.query_id}" if self.task is None else str(self.task["id"])

    @property
    def max_workers(self) -> int:
        return int(self.context.value("maxNumTasks")) - 1

    def definition(self) -> QueryDefinition:
        """The stages. Raises MSQError for what planning refuses."""
        if not self._planned:
            self._planned.append(self._plan())
        return replace(self._planned[0], query_id=self.task_id, context=dict(self.context.raw))

    def _plan(self) -> QueryDefinition:
        from msq.plan.planner import plan

        def signature(table: str) -> Any:
            found = self.catalog.table(table)
            if found is None:
                raise invalid_input(f"Table [{table}] is gone")
            return found.signature

        return plan(
            self.bound, query_id=self.task_id, context=self.context.raw, max_workers=self.max_workers,
            target_partitions_per_worker=self.engine.worker_threads(self.context), table_signature=signature,
            results_context={
                "sqlTypeNames": list(self.bound.sql_type_names),
                "sqlResultsContext": self.bound.results_context.to_json(),
            },
        )  # fmt: skip


def check_task_id(task_id: str) -> None:
    """Raises DruidException for an id that Druid would not take."""
    for bad in ("/", "\\", "\n", "\r", "\t", "\0"):
        if bad in task_id:
            raise invalid_input(f"Invalid value for field [task ID]: Value [{task_id}] cannot contain '{bad}'.")
    if task_id.startswith("."):
        raise invalid_input(f"Invalid value for field [task ID]: Value [{task_id}] cannot start with '.'.")


def check_export(prepared: Prepared) -> None:
    """Raises DruidException for an export to a kind of storage that is not there, or to a folder not allowed."""
    destination = prepared.bound.destination
    if not isinstance(destination, ExportDestination):
        return
    try:
        base = export_base(destination.export_storage_provider)
    except StorageError as error:
        raise invalid_input(str(error)) from error
    settings = prepared.engine.settings
    kind = str(destination.export_storage_provider["type"])
    if kind != "local" and not is_configured(kind, settings.access.stores):
        raise invalid_input(
            f"There is no store of type [{kind}] to export to: name one in the settings "
            f"([{kind}.endpoint]{' or [s3.region]' if kind == 's3' else ''}), or give this process the environment "
            "that reaches one"
        )
    allowed = settings.export_folders
    if allowed is not None and not any(_within(base, place) for place in allowed):
        raise DruidException(
            f"Export path [{base}] is outside the folders this server may write to",
            error_code="forbidden", category="FORBIDDEN",
        )  # fmt: skip


def _within(base: str, place: Path | str) -> bool:
    """Whether an export's destination is a place or lies below it; both are paths, or both of one store."""
    if "://" in base:
        return f"{base}/".startswith(str(place).rstrip("/") + "/")
    return "://" not in str(place) and Path(base).resolve().is_relative_to(Path(place).resolve())


def check_lock_type(prepared: Prepared) -> None:
    """Raises DruidException for a `taskLockType` that the statement cannot use."""
    kind = prepared.context.value("taskLockType")
    destination = prepared.bound.destination
    if kind is None or not isinstance(destination, DataSourceDestination):
        return
    replacing = destination.replace_time_chunks is not None
    wanted = ("EXCLUSIVE", "REPLACE") if replacing else ("SHARED", "APPEND")
    if kind not in wanted:
        from msq.faults import not_plannable

        verb = "a REPLACE" if replacing else "an INSERT"
        raise not_plannable(
            f"TaskLock must be of type [{wanted[0]}] or [{wanted[1]}] for {verb} query. Found invalid type [{kind}] "
            "set. Please use [taskLockType] key in the context parameter and use one of the TaskLock types as "
            "mentioned earlier or remove this key for automatic lock type selection"
        )
