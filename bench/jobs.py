"""The jobs: each as our statement and as DuckDB's sorted write of the same rows and columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import data


@dataclass(frozen=True)
class Job:
    """`sql`: our statement. `load`: DuckDB SELECT with a column `__time` (TIMESTAMP), in the order to be written.

    `order`: its sort keys. `chunk`: expression of the time chunk, None for one chunk. `rows`: of the input.
    """

    name: str
    rows: int
    sql: str
    load: str
    order: str
    chunk: str | None
    context: dict[str, Any] = field(default_factory=dict)


def _extern(path: Path, form: str, columns: tuple[tuple[str, str], ...]) -> str:
    source = json.dumps({"type": "local", "files": [str(path)]})
    formats = {
        "json": {"type": "json"},
        "csv": {"type": "csv", "findColumnsFromHeader": True},
        "parquet": {"type": "parquet"},
    }
    declared = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    return f"TABLE(EXTERN('{source}', '{json.dumps(formats[form])}')) EXTEND ({declared})"


def _read(path: Path, form: str, columns: tuple[tuple[str, str], ...]) -> str:
    if form == "parquet":
        return f"read_parquet('{path}')"
    described = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns) + "}"
    if form == "csv":
        return f"read_csv('{path}', header=true, columns={described})"
    return f"read_json('{path}', format='newline_delimited', columns={described})"


def _names(columns: tuple[tuple[str, str], ...], leave: str) -> str:
    return ", ".join(f'"{name}"' for name, _ in columns if name != leave)


def documented_example(folder: Path, rows: int) -> Job:
    """3 of 30 columns, one chunk: the INSERT of Druid's documented report."""
    path = data.events(folder, rows)
    used = tuple(c for c in data.EVENT_COLUMNS if c[0] in ("timestamp", "agent_category", "event_type"))
    select = '"agent_category" AS agent_category, "event_type" AS event_type'
    return Job(
        "documented-example", rows,
        f"REPLACE INTO events3 OVERWRITE ALL SELECT TIME_PARSE(\"timestamp\") AS __time, {select} "
        f"FROM {_extern(path, 'json', data.EVENT_COLUMNS)} PARTITIONED BY ALL TIME",
        f"SELECT CAST(\"timestamp\" AS TIMESTAMP) AS __time, {select} FROM {_read(path, 'json', used)}",
        "__time", None,
    )  # fmt: skip


def events_by_hour(folder: Path, rows: int) -> Job:
    """30 columns by hour, clustered by two keys."""
    path = data.events(folder, rows)
    select = _names(data.EVENT_COLUMNS, "timestamp")
    return Job(
        "events-by-hour", rows,
        f"REPLACE INTO events OVERWRITE ALL SELECT TIME_PARSE(\"timestamp\") AS __time, {select} "
        f"FROM {_extern(path, 'json', data.EVENT_COLUMNS)} PARTITIONED BY HOUR CLUSTERED BY country, city",
        f"SELECT CAST(\"timestamp\" AS TIMESTAMP) AS __time, {select} FROM {_read(path, 'json', data.EVENT_COLUMNS)}",
        "country, city", "date_trunc('hour', __time)",
    )  # fmt: skip


_ROLLUP = {"finalizeAggregations": False, "groupByEnableMultiValueUnnesting": False}


def events_rollup(folder: Path, rows: int) -> Job:
    """Roll-up by hour and six dimensions."""
    path = data.events(folder, rows)
    names = ("agent_category", "browser", "continent", "event_type", "language", "os")
    dims = ", ".join(f'"{n}"' for n in names)
    used = tuple(c for c in data.EVENT_COLUMNS if c[0] in (*names, "timestamp", "session_length", "price"))
    extern = _extern(path, "json", data.EVENT_COLUMNS)
    return Job(
        "events-rollup", rows,
        f"REPLACE INTO events_rollup OVERWRITE ALL SELECT TIME_FLOOR(TIME_PARSE(\"timestamp\"), 'PT1H') AS __time, "
        f"{dims}, COUNT(*) AS cnt, SUM(session_length) AS length, MAX(price) AS top FROM {extern} "
        f"GROUP BY 1, {dims} PARTITIONED BY HOUR CLUSTERED BY browser",
        f"SELECT date_trunc('hour', CAST(\"timestamp\" AS TIMESTAMP)) AS __time, {dims}, count(*) AS cnt, "
        f"CAST(sum(session_length) AS BIGINT) AS length, max(price) AS top "
        f"FROM {_read(path, 'json', used)} GROUP BY ALL",
        "browser", "__time", _ROLLUP,
    )  # fmt: skip


def _lines(name: str, form: str, folder: Path, rows: int, partitioned: str, chunk: str | None) -> Job:
    path = data.lines(folder, rows, form)
    select = _names(data.LINE_COLUMNS, "l_shipdate")
    return Job(
        name, rows,
        f"REPLACE INTO lines OVERWRITE ALL SELECT TIME_PARSE(l_shipdate) AS __time, {select} "
        f"FROM {_extern(path, form, data.LINE_COLUMNS)} PARTITIONED BY {partitioned} CLUSTERED BY l_shipmode, l_clerk",
        f"SELECT CAST(l_shipdate AS TIMESTAMP) AS __time, {select} FROM {_read(path, form, data.LINE_COLUMNS)}",
        "l_shipmode, l_clerk", chunk,
    )  # fmt: skip


def lines_csv(folder: Path, rows: int) -> Job:
    """17 columns of CSV by month, clustered by two keys."""
    return _lines("lines-csv-by-month", "csv", folder, rows, "MONTH", "date_trunc('month', __time)")


def lines_parquet(folder: Path, rows: int) -> Job:
    """The same from Parquet."""
    return _lines("lines-parquet-by-month", "parquet", folder, rows, "MONTH", "date_trunc('month', __time)")


def lines_all(folder: Path, rows: int) -> Job:
    """A global sort: one time chunk."""
    return _lines("lines-global-sort", "parquet", folder, rows, "ALL", None)


def lines_rollup(folder: Path, rows: int) -> Job:
    """Roll-up by day and three dimensions, written by month."""
    path = data.lines(folder, rows, "parquet")
    dims = "l_returnflag, l_linestatus, l_shipmode"
    return Job(
        "lines-rollup", rows,
        f"REPLACE INTO lines_rollup OVERWRITE ALL SELECT TIME_FLOOR(TIME_PARSE(l_shipdate), 'P1D') AS __time, {dims}, "
        f"COUNT(*) AS cnt, SUM(l_quantity) AS quantity, SUM(l_extendedprice) AS price "
        f"FROM {_extern(path, 'parquet', data.LINE_COLUMNS)} GROUP BY 1, {dims} PARTITIONED BY MONTH "
        "CLUSTERED BY l_shipmode",
        f"SELECT date_trunc('day', CAST(l_shipdate AS TIMESTAMP)) AS __time, {dims}, count(*) AS cnt, "
        f"CAST(sum(l_quantity) AS BIGINT) AS quantity, sum(l_extendedprice) AS price "
        f"FROM {_read(path, 'parquet', data.LINE_COLUMNS)} GROUP BY ALL",
        "l_shipmode", "date_trunc('month', __time)", _ROLLUP,
    )  # fmt: skip


def lines_join(folder: Path, rows: int) -> Job:
    """A join with 200,000 parts, by year."""
    path, parts = data.lines(folder, rows, "parquet"), data.parts(folder)
    select = "l.l_orderkey, l.l_quantity, l.l_extendedprice, l.l_shipmode, p.p_brand, p.p_type, p.p_size"
    join = "JOIN {parts} AS p ON l.l_partkey = p.p_partkey"
    ours = join.format(parts=_extern(parts, "csv", data.PART_COLUMNS))
    theirs = join.format(parts=_read(parts, "csv", data.PART_COLUMNS))
    return Job(
        "lines-join", rows,
        f"REPLACE INTO lines_join OVERWRITE ALL SELECT TIME_PARSE(l.l_shipdate) AS __time, {select} "
        f"FROM {_extern(path, 'parquet', data.LINE_COLUMNS)} AS l {ours} PARTITIONED BY YEAR CLUSTERED BY p_brand",
        f"SELECT CAST(l.l_shipdate AS TIMESTAMP) AS __time, {select} "
        f"FROM {_read(path, 'parquet', data.LINE_COLUMNS)} AS l {theirs}",
        "p_brand", "date_trunc('year', __time)",
    )  # fmt: skip


SMALL: tuple[Callable[[Path, int], Job], ...] = (documented_example, events_by_hour, events_rollup)
LARGE: tuple[Callable[[Path, int], Job], ...] = (lines_csv, lines_parquet, lines_all, lines_rollup, lines_join)
