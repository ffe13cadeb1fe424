"""Errors of lowered statements as faults: what DuckDB says of a division by zero, of memory, of a kernel's refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from msq.faults import DruidExceptionFault, MSQError, NotEnoughTemporaryStorageFault, UnknownFault


@contextmanager
def statement_errors() -> Iterator[None]:
    """Turns a DuckDB error into the MSQError that a user should read."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):
            raise MSQError(NotEnoughTemporaryStorageFault(1 << 30, 0)) from error
        raise MSQError(UnknownFault(f"Not enough memory for an operator: {_first_line(error)}")) from error
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        from msq.expr.binding import runtime_message

        if isinstance(error, (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException)):
            raise MSQError(DruidExceptionFault("general", runtime_message(error))) from error
        raise MSQError(UnknownFault(f"{type(error).__name__}: {_first_line(error)}")) from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
