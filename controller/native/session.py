"""Session: one native query of a user, and the planned queries that it takes to answer it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

from controller.catalog import MetadataCatalog
from controller.controller import Controller
from controller.engine import Engine
from controller.interactive import answer_of
from controller.native.errors import refused
from controller.native.reading import flag
from msq.catalog import sql_type_name
from msq.context import QueryContext
from msq.datatypes import LONG, STRING, ColumnType, RowSignature
from msq.intervals import Interval
from msq.native.datasource import DataSource, TableDataSource, UnnestDataSource
from msq.native.query import IntervalSpec, NativeQuery
from msq.plan.builder import PlanBuilder
from msq.plan.planner import plan
from msq.plan.sources import plan_source
from msq.results import ResultsContext
from msq.segment.timeline import VisibleSegment
from msq.sql.bind import BoundQuery
from msq.stage.destination import ColumnMapping, TaskReportDestination
from msq.stage.inputs import SEGMENT_ID
from msq.stage.query import QueryDefinition

_OWN_CONTEXT = {"maxNumTasks": 2, "selectDestination": "taskReport", "sqlStringifyArrays": False}
_TAKEN = ("timeout", "priority", "maxThreads")
Listed = Callable[[Controller], AbstractContextManager[None]]


@dataclass
class Session:
    """`context` is the query's own; `listed` makes a controller known to whoever cancels the query by its id.
    `max_rows`: that any one of its queries may answer; `max_ms`: that it may run.

    Tables that are not there have no columns but `__time`, and no rows.
    """

    engine: Engine
    query_id: str
    context: Mapping[str, Any]
    listed: Listed
    max_rows: int | None = None
    max_ms: int | None = None
    check_read: Callable[[str], None] = lambda table: None
    """Raises DruidException for a table that whoever asks may not read."""
    behind: ExitStack = field(default_factory=ExitStack)
    """What stands behind rows that are still to be read: closed by whoever reads them, in the end."""
    catalog: MetadataCatalog = field(init=False)
    streams: bool = field(default=False, init=False)
    """Whether some rows are still to be made."""

    def __post_init__(self) -> None:
        self.settings.validate()
        self.catalog = self.engine.catalog()

    @property
    def settings(self) -> QueryContext:
        """What the engine takes of the context; one worker in this process whatever it says."""
        given = {k: self.context[k] for k in _TAKEN if self.context.get(k) is not None}
        asked = QueryContext(given).value("timeout")
        if asked is not None and asked < 0:
            raise refused(f"Timeout must be a non negative value, but was [{asked}]")
        if self.max_ms is not None:
            given["timeout"] = min(asked or self.max_ms, self.max_ms)
        return QueryContext({**given, **_OWN_CONTEXT, "queryId": self.query_id})

    def option(self, name: str) -> bool:
        """A boolean of the query's context."""
        return flag(self.context.get(name))

    def signature(self, table: str) -> RowSignature:
        found = self.catalog.table(table)
        return RowSignature([("__time", LONG)]) if found is None else found.signature

    def columns(self, source: DataSource, intervals: IntervalSpec) -> RowSignature:
        """What a data source offers."""
        columns = plan_source(PlanBuilder(self.signature), source, intervals).columns
        unnested = {s.virtual_column.output for s in source.walk() if isinstance(s, UnnestDataSource)}
        return RowSignature((c.name, c.type.element or c.type if c.name in unnested else c.type) for c in columns)

    def multi_value(self, source: DataSource) -> frozenset[str]:
        """Columns whose rows may hold several values, as far as tables tell."""
        found: set[str] = set()
        for one in source.walk():
            table = self.catalog.table(one.name) if isinstance(one, TableDataSource) else None
            found |= table.multi_value if table is not None else set()
        return frozenset(found)

    def segments(self, source: DataSource, within: Sequence[Interval]) -> list[VisibleSegment]:
        """Visible segments of all tables of a source, in order of time."""
        names = {s.name for s in source.walk() if isinstance(s, TableDataSource)}
        found = [v for name in sorted(names) for v in self.catalog.visible(name, list(within))]
        return sorted(
            found, key=lambda v: (v.intervals[0].start, v.segment.version, v.segment.shard_spec.partition_num)
        )

    def ask(
        self, query: NativeQuery, columns: RowSignature, lists: frozenset[str] = frozenset(), in_order: bool = False,
        with_segments: bool = False,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Runs a query, to its end or to where its rows are made as they are read, and answers the rows, the values in
        the order of `columns`, as Druid prints them.

        `lists`: multi-value columns that the query reads as arrays. `in_order`: of a query that does not sort, segments
        come one after the other, in order of time. `with_segments`: tables have the column SEGMENT_ID. Raises
        DruidException.
        """
        made = _Prepared(self, query, columns, f"query-{uuid.uuid4()}", in_order, with_segments)
        results = ResultsContext("UTC", False)
        # an answer that may be refused for its length is not begun before its length is known
        controller = self.engine.controller_of(made, results=results, streams=self.max_rows is None)
        with ExitStack() as asking:
            asking.enter_context(self.listed(controller))
            rows = answer_of(controller, self.max_rows).rows
            if not rows.is_whole:
                self.streams = True
                rows.keep(asking.pop_all())
                self.behind.callback(rows.close)
        return _printed(rows, columns, lists)


@dataclass(frozen=True)
class _Prepared:
    """A native query as the engine runs it."""

    session: Session
    query: NativeQuery
    columns: RowSignature
    task_id: str
    in_order: bool
    with_segments: bool = False

    @property
    def context(self) -> QueryContext:
        if self.in_order:
            return QueryContext({**self.session.settings.raw, "maxThreads": 1})
        return self.session.settings

    @property
    def catalog(self) -> MetadataCatalog:
        return self.session.catalog

    @property
    def max_workers(self) -> int:
        return int(self.context.value("maxNumTasks")) - 1

    @property
    def bound(self) -> BoundQuery:
        names = self.columns.names
        return BoundQuery(
            query=self.query, column_mappings=tuple(ColumnMapping(n, n) for n in names),
            destination=TaskReportDestination(), sql_type_names=tuple(_sql_type(c.type) for c in self.columns),
            native_type_names=tuple(str(c.type) for c in self.columns), signature=self.columns, kind="SELECT",
            segment_granularity=None, cluster_keys=(), order_by=(), cluster_by_virtual_columns={},
            sql_query_context={}, results_context=ResultsContext("UTC", False), reads_and_writes=(),
            data_source="__query_select",
        )  # fmt: skip

    def definition(self) -> QueryDefinition:
        return plan(
            self.bound, query_id=self.task_id, context=self.context.raw, max_workers=self.max_workers,
            target_partitions_per_worker=self.session.engine.worker_threads(self.context),
            table_signature=self._signature,
        )  # fmt: skip

    def _signature(self, table: str) -> RowSignature:
        found = self.session.signature(table)
        return RowSignature([*found, (SEGMENT_ID, STRING)]) if self.with_segments else found


def _sql_type(kind: ColumnType) -> str:
    return sql_type_name("", kind)


def _printed(rows: Iterable[Sequence[Any]], columns: RowSignature, lists: frozenset[str]) -> Iterator[list[Any]]:
    rules = [(n, _rule(c.type, c.name in lists)) for n, c in enumerate(columns)]
    odd = [(n, rule) for n, rule in rules if rule is not None]
    for row in rows:
        out = list(row)
        for n, rule in odd:
            out[n] = rule(out[n])
        yield out


def _rule(kind: ColumnType, is_list: bool) -> Callable[[Any], Any] | None:
    """What makes a printed value the one of a native answer."""
    if kind.is_complex:
        return lambda v: json.loads(v) if isinstance(v, str) else v
    if is_list:
        return _values
    return None


def _values(value: list[Any] | None) -> Any:
    """The values of a row: one as it is, several as a list."""
    if value is None or not value:
        return None
    return value[0] if len(value) == 1 else value
