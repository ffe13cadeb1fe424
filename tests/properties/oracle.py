"""Where random statements run: the engine, with the same rows in several homes, and DuckDB with them in tables.

What may become of a statement here: it answers rows, it is refused when planned, or rows make it fail by a text that
names the function. Anything else, a Python exception above all, is a defect.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import duckdb

from controller import interactive
from controller.engine import Engine, EngineSettings
from controller.lookups import LookupStore
from msq.faults import DruidException
from tests.properties import peers, rows
from tests.properties.calls import LOOKUPS, NAMED

MOST_ROWS = 3000
"""A statement that answers more is left out: it is a cross join of cross joins."""


_NOW = {"sqlCurrentTimestamp": "2024-05-06T07:08:09.123Z"}


class Difference(AssertionError):
    """Two ways to the same value gave two values; or something went wrong that is no answer of Druid's."""


@dataclass(frozen=True)
class Found:
    """What became of a statement: `answered` with rows, `refused`, `failed`, or `large`; `text` says why."""

    became: str
    rows: Sequence[Sequence[Any]] = ()
    types: Sequence[str] = ()
    text: str = ""


def settings(folder: Path) -> EngineSettings:
    """Of an engine for random statements."""
    return EngineSettings(data_dir=folder, threads=1, lookups=LookupStore(LOOKUPS))


class Places:
    """The tables of one seed: as they are, cut into small segments, and as external sources; and in DuckDB."""

    def __init__(self, engine: Engine, dice: Random, wild: bool) -> None:
        self.engine = engine
        self.wild = wild
        self.rows = {name: rows.random_rows(dice, name, dice.randint(8, 14), wild) for name in rows.TABLES}
        self.external = rows.homes(self.rows)
        self.cut = {name: f"{name}_cut" for name in self.external}
        self.wrapped = {name: f"(SELECT * FROM {name} WHERE {rows.ID} >= 0)" for name in self.external}
        self._fill()
        self._other: Any = None if wild else self._duckdb()

    def close(self) -> None:
        if self._other is not None:
            self._other.close()

    def _fill(self) -> None:
        for name, source in self.external.items():
            # sketches of a group are made of its rows: those of `k` are ingested of the table
            ingest = rows.sketches("t") if name == "k" else source
            listed = {"finalizeAggregations": False, "arrayIngestMode": "array"}
            whole = self.store(name, f"SELECT * FROM {ingest}", listed)
            cut = self.store(
                f"{name}_cut", f"SELECT * FROM {name}", {**listed, "rowsPerSegment": 3}, f" CLUSTERED BY {rows.ID}"
            )
            for made in (whole, cut):
                if made.became != "answered":
                    raise Difference(f"{name} cannot be made: {made.text}")

    def store(self, name: str, select: str, context: Mapping[str, Any], tail: str = "") -> Found:
        """Replaces a table by the rows of a SELECT."""
        text = f"REPLACE INTO {name} OVERWRITE ALL {select} PARTITIONED BY ALL{tail}"
        try:
            payload = self.engine.execute(text, {**_NOW, **context}).report["multiStageQuery"]["payload"]
        except DruidException as refused:
            return Found("refused", text=self._told(text, refused.message))
        if payload["status"]["status"] != "SUCCESS":
            error = payload["status"]["errorReport"]["error"]
            return self._failed(text, error["errorCode"], error.get("errorMessage") or "")
        return Found("answered")

    def _duckdb(self) -> Any:
        made = duckdb.connect(config={"threads": 1})
        made.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        for macro in peers.MACROS:
            made.execute(f"CREATE MACRO {macro}")
        for name, listed in self.rows.items():
            statement, values = rows.duckdb_rows(name, listed)
            made.execute(statement)
            made.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values[0]))})", values)
        return made

    def ask(self, text: str, context: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]] = ()) -> Found:
        """What becomes of a SELECT. Raises Difference for what Druid would not answer."""
        try:
            prepared = self.engine.prepare(text, {**_NOW, **context}, parameters)
        except DruidException as refused:
            return Found("refused", text=self._told(text, refused.message))
        try:
            answer = interactive.ask(prepared, interactive.controller_of(self.engine, prepared), MOST_ROWS)
            return Found("answered", list(answer.rows), answer.sql_types)
        except DruidException as failure:
            return self._failed(text, failure.error_code, failure.message)

    def _told(self, text: str, message: str) -> str:
        if not message or "Traceback" in message or "Error:" in message:
            raise Difference(f"{text}\ntells too little: {message}")
        return message

    def _failed(self, text: str, code: str, message: str) -> Found:
        if "more than [3000] rows" in message:
            return Found("large")
        if code in ("UnknownError", "general") and not NAMED.search(message):
            raise Difference(f"{text}\nfailed: {code}: {message}")
        return Found("failed", text=self._told(text, message))

    def ask_duckdb(self, text: str) -> Found:
        """What DuckDB answers; `failed` where it has no value, of an overflow for one."""
        try:
            found = self._other.execute(text).fetchmany(MOST_ROWS + 1)
        except duckdb.Error as error:
            if isinstance(error, (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException)):
                return Found("unknown", text=str(error).partition("\n")[0])
            return Found("failed", text=str(error))
        return Found("large" if len(found) > MOST_ROWS else "answered", found)


# ------------------------------------------------------------------------------------------------------ comparing rows


def value_of(value: Any, of: str) -> Any:
    """A value of either side in the one form that is compared."""
    if value is None:
        return None
    if of == "BOOLEAN":
        return bool(value)
    if of in ("TIMESTAMP", "DATE"):
        return value if isinstance(value, str) else value.isoformat(timespec="milliseconds") + "Z"
    if of in ("ARRAY", "OTHER"):
        return _nested(json.loads(value) if isinstance(value, str) else value)
    if of in ("VARCHAR", "CHAR"):
        if isinstance(value, bool):
            return str(value).lower()
        return value
    return value if isinstance(value, str) else _number(float(value)) if of in _DOUBLES else int(value)


_DOUBLES = ("DOUBLE", "DECIMAL", "FLOAT", "REAL")


def _nested(value: Any) -> Any:
    """A JSON text inside of a value is its value."""
    if isinstance(value, str) and value[:1] in '{["':
        try:
            return _nested(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, list):
        return [_nested(v) for v in value]
    if isinstance(value, float):
        return _number(value)
    return {k: _nested(v) for k, v in value.items()} if isinstance(value, dict) else value


def _number(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def comparable(found: Found, types: Sequence[str], loose: bool = False) -> list[tuple[Any, ...]]:
    """Rows without an order; with `loose` without that of elements and characters, too. `types`: SQL types."""
    made = [tuple(value_of(v, of) for v, of in zip(row, types)) for row in found.rows]
    if loose:
        made = [tuple(sorted(v, key=_rank) if isinstance(v, (list, str)) else v for v in row) for row in made]
    return sorted(made, key=lambda row: [_rank(v) for v in row])


def _rank(value: Any) -> tuple[bool, str]:
    if isinstance(value, float) and math.isfinite(value):
        # neighbours that differ by rounding stand at the same place
        return (True, f"{value + 0.0:.6g}".replace("-0", "0") if value == 0 else f"{value:.6g}")
    return (value is not None, json.dumps(value, sort_keys=True, default=str))


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; doubles up to rounding."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300)
    return type(one) is type(other) and one == other
