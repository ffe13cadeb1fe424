"""What an extension package uses to add SQL functions: the same declarations that the engine's own functions are.

A package names a module of its own under the entry point group `msq.functions`; its import calls these:

    # pyproject.toml
    [project.entry-points."msq.functions"]
    acme = "acme.druid_functions"

    # acme/druid_functions.py
    from msq.extend import DOUBLE, SQL_DOUBLE, plain, sql

    plain("acme_half", "Half of a number.", "D", "({0} / 2)", DOUBLE)                 # native: DuckDB SQL of one row
    sql("ACME_HALF", "NUMERIC", SQL_DOUBLE, "acme_half", "Half of a number.", example="ACME_HALF(l)")

`plain` and `predicate` take a DuckDB expression, `native` a rule of one's own; `add_kernel` gives such an expression an
Arrow function over whole columns. `add_aggregate` adds an aggregate out of native aggregators and post-aggregators, the
engine's own (msq.aggregate) or subclasses of NativeAggregator. A name that is taken is refused.
"""

from __future__ import annotations

from msq.aggregate.base import NativeAggregator, Part, Runs
from msq.aggregate.registry import AggregateSite, SqlAggregate
from msq.aggregate.registry import add as add_aggregate
from msq.datatypes import DOUBLE, JSON, LONG, STRING, ColumnType
from msq.expr.declare import native, plain, predicate, template
from msq.expr.declare_sql import sql
from msq.expr.kernels.base import Kernel, add_kernel, by_value, whole
from msq.expr.sqltypes import BIGINT, BOOLEAN, SQL_DOUBLE, SQL_JSON, TIMESTAMP, VARCHAR, SqlType, sql_array

__all__ = [
    "BIGINT", "BOOLEAN", "DOUBLE", "JSON", "LONG", "SQL_DOUBLE", "SQL_JSON", "STRING", "TIMESTAMP", "VARCHAR",
    "AggregateSite", "ColumnType", "Kernel", "NativeAggregator", "Part", "Runs", "SqlAggregate", "SqlType",
    "add_aggregate", "add_kernel", "by_value", "native", "plain", "predicate", "sql", "sql_array", "template", "whole",
]  # fmt: skip
