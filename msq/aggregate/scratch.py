"""Small DuckDB computations over columns in memory, outside of any query's own connection."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from msq.aggregate.base import combine, quote
from msq.expr.prepare import prepare

_local = threading.local()
_lock = threading.Lock()


@lru_cache(maxsize=1)
def _database() -> Any:
    made = prepare(duckdb.connect(":memory:", config={"threads": 1}))
    made.execute("CREATE MACRO d_unique(a) AS (CASE WHEN a IS NULL THEN NULL WHEN len(a) > list_count(a) "
                 "THEN list_prepend(NULL, list_distinct(a)) ELSE list_distinct(a) END)")  # fmt: skip
    return made


def connection() -> Any:
    """This thread's own connection to the one prepared database in memory."""
    made = getattr(_local, "connection", None)
    if made is None:
        with _lock:
            made = _local.connection = _database().cursor()
    return made


def column(sql: str, inputs: Mapping[str, pa.Array]) -> pa.Array:
    """One SQL value for each row of `inputs`, in their order."""
    rows = len(next(iter(inputs.values())))
    if rows == 0:
        return pa.nulls(0)
    names = list(inputs)
    table = pa.table([*inputs.values(), np.arange(rows)], names=[*names, "__ordinal"])
    made = connection()
    made.register("scratch_rows", table)
    try:
        result = made.sql(f"SELECT {sql} AS v FROM scratch_rows ORDER BY {quote('__ordinal')}").to_arrow_table()
    finally:
        made.unregister("scratch_rows")
    return combine(result.column(0))
