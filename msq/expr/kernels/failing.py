"""The end of a query that a value makes fail.

DuckDB's own `error()` is volatile there, and TRY, which the arithmetic of LONGs stands on, takes nothing volatile.
"""

from __future__ import annotations

from typing import Any

from msq.expr.kernels.base import Kernel, whole


def _fail(texts: Any) -> Any:
    found = whole(texts)
    if len(found):
        raise ValueError(found[0].as_py())
    return found


KERNELS = (Kernel("py_fail", ("VARCHAR",), "VARCHAR", _fail),)
