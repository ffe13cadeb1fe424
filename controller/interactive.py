"""Interactive SQL: a SELECT answered at once, by a controller and one worker of this process, recorded nowhere.

It reads tables and system tables. What Druid's own interactive engine refuses by its nature is refused here, too, with
its texts: ingests, external data, sortMerge joins, and rows of a table ordered by another column than time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from controller.catalog import SystemTables
from controller.controller import Controller
from controller.engine import Engine, Prepared
from controller.explain import Explained
from controller.held_rows import HeldRows
from controller.result_pages import ResultPages
from msq.context import QueryContext
from msq.faults import DruidException, invalid_input, invalid_sql, not_plannable
from msq.native.datasource import TableDataSource
from msq.native.query import ScanQuery
from msq.report import SUCCESS, ErrorItem, ResultsReport
from msq.sql.statement import Statement, TableTarget

_OWN_CONTEXT = {"maxNumTasks": 2, "selectDestination": "taskReport"}
"""One worker and rows for the asker, whatever a client's task settings say."""
_ELSEWHERE = "Tasks and statements (/druid/v2/sql/task, /druid/v2/sql/statements) {}."


@dataclass(frozen=True)
class Answer:
    """Names, native types and SQL types of the columns, and the rows with values as `msq.results` prints them."""

    names: Sequence[str]
    types: Sequence[str]
    sql_types: Sequence[str]
    rows: HeldRows


def prepare(
    engine: Engine, sql: str, context: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]],
    system: SystemTables | None, max_ms: int | None = None,
) -> Prepared:  # fmt: skip
    """`max_ms`: how long it may run at most. Raises DruidException for what is refused."""
    key = engine.plans.key(sql, context, parameters, max_ms)
    if key is not None:
        known = engine.plans.get(key, context["sqlQueryId"], engine.catalog(system))
        if known is not None:
            return known
    own: dict[str, Any] = {}

    def admit(statement: Statement) -> None:
        _check_kind(statement)
        # what is explained does not run: its plan shows the context that was given, and no more
        if not statement.explain:
            own.update(_OWN_CONTEXT)
            if max_ms is not None:
                own["timeout"] = min(QueryContext(statement.context).value("timeout") or max_ms, max_ms)

    prepared = engine.prepare(sql, context, parameters, own_context=own, system=system, admit=admit)
    _check_sources(prepared)
    _check_joins(prepared)
    _check_order(prepared)
    if key is not None:
        engine.plans.put(key, context["sqlQueryId"], prepared)
    return prepared


def controller_of(engine: Engine, prepared: Prepared, streams: bool = False) -> Controller:
    """What will run a prepared statement; `cancel` it from any thread.

    `streams`: many rows that need no sort are made while they are read; they may then end in an MSQError.
    """
    results = replace(prepared.bound.results_context, iso_times=True)
    return engine.controller_of(prepared, results=results, streams=streams)


def ask(prepared: Prepared, controller: Controller, max_rows: int | None = None) -> Answer:
    """Runs the statement to its end. Raises DruidException when it fails, is cancelled or answers too many rows.

    The rows can be read once; what is kept of them, or makes them, goes when they have been read or are closed.
    """
    if prepared.explained is not None:
        return explained_answer(prepared.explained)
    # the statement's own types: those of the final stage may still be a sketch's, not the value's that is printed
    return replace(answer_of(controller, max_rows), types=prepared.bound.native_type_names)


def explained_answer(explained: Explained) -> Answer:
    """The row of an EXPLAIN."""
    count = len(explained.names)
    return Answer(explained.names, ["STRING"] * count, ["VARCHAR"] * count, HeldRows(iter(explained.rows)))


def answer_of(controller: Controller, max_rows: int | None = None) -> Answer:
    """Runs a query to its end, as `ask` does, or to where the rest of its rows can be streamed."""
    report = controller.run()
    pages = controller.services.result_pages
    with ExitStack() as behind:
        behind.callback(controller.close)
        if pages is not None:
            behind.callback(pages.discard)
        results = report.results
        if report.status.status != SUCCESS or results is None:
            raise failure(report.status.error)
        rest: Iterator[Sequence[Any]] | None = None
        if results.truncated:
            rest = controller.rest() if controller.is_open else pages.read(0) if pages is not None else None
        if max_rows is not None and _has_more(results, pages, max_rows):
            raise invalid_input(
                f"Resource limit exceeded: the query answers more than [{max_rows}] rows. Add a LIMIT, or run it as a "
                "statement (/druid/v2/sql/statements)."
            )
        names = [c["name"] for c in results.signature]
        types = [c["type"] for c in results.signature]
        if rest is None:
            return Answer(names, types, results.sql_type_names, HeldRows(iter(results.rows)))
        rows = HeldRows(chain(results.rows, rest), False, behind.pop_all())
        return Answer(names, types, results.sql_type_names, rows)


def _has_more(results: ResultsReport, pages: ResultPages | None, count: int) -> bool:
    left = count - len(results.rows)
    if left < 0 or not results.truncated or pages is None:
        return left < 0
    return any(True for _ in islice(pages.read(0), left, None))


def failure(error: ErrorItem | None) -> DruidException:
    """The error of a query that failed while it ran."""
    if error is None:
        return DruidException("The query ended without an answer", persona="OPERATOR", category="RUNTIME_FAILURE")
    category = "CANCELED" if error.code == "Canceled" else error.fault.category
    if error.code == "Canceled" and error.error.get("reason") == "QUERY_TIMEOUT":
        category = "TIMEOUT"
    return DruidException(error.message or error.code, error_code=error.code, category=category)


def _check_kind(statement: Statement) -> None:
    if statement.target is None:
        return
    word = statement.kind if isinstance(statement.target, TableTarget) else "EXPORT"
    raise invalid_sql(
        f"{word} operations are not supported by requested SQL engine [native], consider using MSQ.", envelope=False
    )


def _check_sources(prepared: Prepared) -> None:
    if any(r.type == "EXTERNAL" for r in prepared.bound.reads_and_writes):
        raise not_plannable(
            "Query could not be planned. A possible reason is [Cannot use [EXTERN] with SQL engine [native].] "
            + _ELSEWHERE.format("read external data")
        )


def _check_joins(prepared: Prepared) -> None:
    if prepared.context.value("sqlJoinAlgorithm") == "sortMerge" and prepared.bound.join_algorithms:
        raise invalid_sql("Join algorithm [sortMerge] is not supported by engine [native]")


def _check_order(prepared: Prepared) -> None:
    query = prepared.bound.query
    if not isinstance(query, ScanQuery) or not isinstance(query.data_source, TableDataSource) or query.limit == 0:
        return
    columns = [name for name, _ in prepared.bound.order_by]
    if columns and columns != ["__time"]:
        shown = ", ".join(columns)
        raise not_plannable(
            f"Query could not be planned. A possible reason is [SQL query requires ordering a table by non-time column "
            f"[[{shown}]], which is not supported.] " + _ELSEWHERE.format("order by any column")
        )
