"""Queries over Arrow relations: what is left of one that ends early."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from msq.processors.lowering import run_query


class _Interrupted:
    """A connection that is interrupted whenever it is told to forget a relation."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def unregister(self, name: str) -> None:
        self._connection.unregister(name)
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_an_interrupt_while_a_query_is_left_is_no_error_of_its_own() -> None:
    rows = pa.table({"n": pa.array(range(100))})
    with duckdb.connect() as connection:
        batches = run_query(_Interrupted(connection), "SELECT n FROM r", {"r": rows}, 10)
        assert next(batches).num_rows
        batches.close()  # type: ignore[attr-defined]
        assert sum(b.num_rows for b in run_query(_Interrupted(connection), "SELECT n FROM r", {"r": rows}, 10)) == 100
