"""Evaluates the SELECT list and WHERE of a one-table statement through binding and lowering alone, without an engine.

The table is `fn` of tests/golden/functions/setup.json; answers have the shape that check.py compares.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from sqlglot import exp

from msq.datatypes import RowSignature
from msq.expr.binding import BindEnv, Typed, runtime_message
from msq.expr.filtering import to_filter
from msq.expr.filters import lower_filter
from msq.expr.kernels.joda import parse_iso
from msq.expr.lower import InputColumn, as_output, lower
from msq.expr.prepare import prepare
from msq.expr.printer import to_text, whole_digits
from msq.expr.sqltypes import (
    BIGINT,
    SQL_DOUBLE,
    SQL_FLOAT,
    SQL_JSON,
    TIMESTAMP,
    VARCHAR,
    SqlType,
    native,
    sql_array,
)
from msq.expr.virtual import filtered_values, fraction_of, lower_virtual
from msq.expr.zones import zone
from msq.faults import DruidException
from msq.intervals import format_instant
from msq.sql.bind.expressions import Expressions
from msq.sql.bind.relation import Column
from msq.sql.bind.scope import Item, Scope
from msq.sql.query import parse_query

FOLDER = Path(__file__).parents[1] / "golden" / "functions"

COLUMNS = (
    ("__time", TIMESTAMP), ("id", BIGINT), ("s", VARCHAR), ("i", BIGINT), ("l", BIGINT), ("d", SQL_DOUBLE),
    ("f", SQL_FLOAT), ("g", VARCHAR), ("ts", VARCHAR), ("m", VARCHAR), ("sa", sql_array(VARCHAR)),
    ("la", sql_array(BIGINT)), ("da", sql_array(SQL_DOUBLE)), ("j", SQL_JSON),
)  # fmt: skip
SIGNATURE = RowSignature([(n, native(t)) for n, t in COLUMNS])
INPUTS = {n: InputColumn(f'"{n}"', native(t), n == "m") for n, t in COLUMNS}
SCOPE = Scope((Item("fn", tuple(Column(n, n, t, n == "m") for n, t in COLUMNS)),))
_AGGREGATE = re.compile(r"\b(SUM|COUNT|MAX|MIN|APPROX_COUNT_DISTINCT)\(")


class OutOfReach(Exception):
    """The statement needs more than expressions."""


@lru_cache(maxsize=1)
def comparer() -> Any:
    """check.py of the golden functions as a module: `miss(entry, got)` tells what is wrong."""
    spec = importlib.util.spec_from_file_location("golden_functions_check", FOLDER / "check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(name: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return made


@lru_cache(maxsize=1)
def connection() -> Any:
    """A prepared connection with the table `fn`."""
    made = prepare(duckdb.connect())
    made.register("fn", _table())
    return made


def _table() -> Any:
    statement = json.loads((FOLDER / "setup.json").read_text())[0]["sql"]
    found = re.search(r"EXTERN\('(.*?)', '\{", statement, re.DOTALL)
    assert found is not None
    rows = [json.loads(line) for line in json.loads(found[1].replace("''", "'"))["data"].split("\n")]
    kinds = {
        "id": pa.int64(), "s": pa.string(), "i": pa.int64(), "l": pa.int64(), "d": pa.float64(), "f": pa.float32(),
        "g": pa.string(), "ts": pa.string(), "sa": pa.list_(pa.string()), "la": pa.list_(pa.int64()),
        "da": pa.list_(pa.float64()),
    }  # fmt: skip
    columns = {name: pa.array([r[name] for r in rows], kind) for name, kind in kinds.items()}
    columns["__time"] = pa.array([parse_iso(r["t"], "UTC") for r in rows], pa.int64())
    columns["m"] = pa.array([_stored(r["m"]) for r in rows], pa.list_(pa.string()))
    columns["j"] = pa.array(
        [None if r["j"] is None else json.dumps(r["j"], ensure_ascii=False) for r in rows], pa.string()
    )
    return pa.table(columns)


def _stored(values: list[str | None] | None) -> list[str | None] | None:
    """Values as a multi-value column keeps them: sorted, NULL for nothing."""
    made = sorted(values or (), key=lambda v: (v is not None, v or ""))
    return None if made in ([], [None]) else made


def answer(entry: dict[str, Any]) -> dict[str, Any]:
    """{"types", "rows", "native"} or {"error"} of an entry. Raises OutOfReach for one that needs an engine."""
    try:
        return _answer(entry)
    except DruidException as error:
        return {"error": error.to_json()}


def _answer(entry: dict[str, Any]) -> dict[str, Any]:
    context = entry.get("context") or {}
    now = context.get("sqlCurrentTimestamp")
    env = BindEnv(time_zone=context.get("sqlTimeZone", "UTC"), now_ms=0 if now is None else parse_iso(now, "UTC") or 0)
    query = _select(entry["sql"])
    table = query.args.get("from_") or query.args.get("from")
    binder = Expressions(env, SCOPE if table is not None else Scope(), None, "SELECT")
    outputs: list[tuple[str, Typed]] = []
    for position, item in enumerate(query.expressions):
        inner = item.this if isinstance(item, exp.Alias) else item
        outputs.append(
            (
                item.alias or f"EXPR${position}" if isinstance(item, exp.Alias) else f"EXPR${position}",
                binder.bind(inner),
            )
        )
        if isinstance(inner, exp.Column) and not isinstance(item, exp.Alias):
            outputs[-1] = (inner.name, outputs[-1][1])
    where = query.args.get("where")
    condition = None if where is None else _condition(binder, where.this)
    text = f"SELECT {', '.join(_output(typed) for _, typed in outputs)}"
    if table is not None:
        text += f' FROM fn{"" if condition is None else f" WHERE {condition}"} ORDER BY "__time"'
    try:
        rows = connection().execute(text).fetchall()
    except duckdb.Error as error:
        raise DruidException(runtime_message(error), category="RUNTIME_FAILURE") from error
    return {
        "types": [[name, str(t.native_type), t.sql_type.name] for name, t in outputs],
        "rows": [[shown(v, t.sql_type, env.time_zone) for v, (_, t) in zip(row, outputs)] for row in rows],
        "native": [to_text(t.node) for _, t in outputs],
    }


def _select(sql: str) -> exp.Select:
    node = parse_query(sql)
    query = node if isinstance(node, exp.Expr) else getattr(node, "body", None) or node.query
    beyond = ("group", "joins", "having", "with_", "distinct", "limit", "with", "laterals", "offset")
    if not isinstance(query, exp.Select) or any(query.args.get(k) for k in beyond) or _AGGREGATE.search(sql):
        raise OutOfReach(sql)
    table = query.args.get("from_") or query.args.get("from")
    if table is not None and not (
        isinstance(table.this, exp.Table) and table.this.name == "fn" and not table.this.alias
    ):
        raise OutOfReach(sql)
    if any(query.find(kind) for kind in (exp.Star, exp.Subquery)) or any(
        i.args.get("query") for i in query.find_all(exp.In)
    ):
        raise OutOfReach(sql)
    return query


def _output(typed: Typed) -> str:
    planned = filtered_values(typed.node, "v")
    made = lower_virtual(planned, INPUTS) if planned is not None else lower(typed.node, INPUTS)
    return as_output(made, typed.native_type).sql


def _condition(binder: Expressions, node: exp.Expr) -> str:
    names: dict[Any, str] = {}
    bound = binder.condition(node)
    made = to_filter(bound.node, SIGNATURE, lambda n, of: names.setdefault((n, of), f"v{len(names)}"))
    inputs = dict(INPUTS)
    for (inner, of), name in names.items():
        value = as_output(lower(inner, inputs), of)
        inputs[name] = InputColumn(f"({value.sql})", value.type, value.multi_value, fraction_of(inner, INPUTS))
    return lower_filter(made, inputs)


def shown(value: Any, of: SqlType, tz: str) -> Any:
    """A value as a result prints it."""
    if value is None:
        return None
    if of.name in ("TIMESTAMP", "DATE"):
        return _time(value, tz)
    if of.name == "BOOLEAN":
        return value > 0
    if of.name == "INTEGER":
        return (value + 2**31) % 2**32 - 2**31
    if isinstance(value, float):
        if math.isfinite(value):
            return _float(value) if of.name == "FLOAT" else value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if of.is_character and isinstance(value, list):
        return value[0] if len(value) == 1 else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if of.name == "ARRAY":
        assert of.element is not None
        parsed = [None if v is None else json.loads(v) for v in value] if of.element.name == "OTHER" else value
        return json.dumps(parsed, ensure_ascii=False)
    return value


def _float(value: float) -> float:
    whole = 2.0**24 < abs(value) < 2.0**62 and value.is_integer()
    return float(whole_digits(value, 24)) if whole else float(str(np.float32(value)))


def _time(ms: int, tz: str) -> str:
    offset = int(zone(tz).offsets_at(np.array([ms], np.int64))[0])
    text = format_instant(ms + offset)
    if zone(tz).fixed == 0:
        return text
    seconds = abs(offset) // 1000
    tail = f"{'-' if offset < 0 else '+'}{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text[:-1] + tail + (f":{seconds % 60:02d}" if seconds % 60 else "")
