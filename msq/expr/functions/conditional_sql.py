"""COALESCE, NVL, NULLIF and their kin as functions; CASE and CAST are special forms (msq.expr.operators)."""

from __future__ import annotations

from collections.abc import Sequence

from msq.expr.binding import BindEnv, Typed
from msq.expr.declare_sql import sql
from msq.expr.operators import bind_coalesce, bind_nullif
from msq.expr.sqltypes import VARCHAR, SqlType


def _coalesce(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    return bind_coalesce(args, env)


sql("COALESCE", "ANY ..", VARCHAR, _coalesce, "The first argument that is not NULL.")
sql("NVL IFNULL", "ANY ANY", VARCHAR, _coalesce, "The first argument unless it is NULL, else the second.")
sql(
    "NULLIF", "ANY ANY", VARCHAR, lambda args, env, of: bind_nullif(args[0], args[1], env), "NULL where both are equal."
)
