"""Functions of sketches, SQL side. The first argument, or all of a set operation, must be sketches of one kind."""

from __future__ import annotations

from collections.abc import Sequence

from msq.expr.binding import BindEnv, Typed, make, refuse
from msq.expr.declare_sql import sql
from msq.expr.registry import SqlFunction, add_sql
from msq.expr.sqltypes import BOOLEAN, SQL_DOUBLE, VARCHAR, SqlType, sql_array, sql_complex

_HLL, _THETA, _QUANTILES = "HLLSketch", "thetaSketch", "quantilesDoublesSketch"
_TUPLES = "arrayOfDoublesSketch"
_WORDS = {
    _HLL: "an HllSketch", _THETA: "a ThetaSketch", _QUANTILES: "a DoublesSketch", _TUPLES: "an ArrayOfDoublesSketch",
}  # fmt: skip


def _declare(
    name: str, kind: str, least: int, most: int | None, result: SqlType, doc: str, *, several: bool = False
) -> None:
    """`several`: every argument is a sketch, but for literals (sizes and types)."""

    def bind(args: Sequence[Typed], env: BindEnv) -> Typed:
        for place, arg in enumerate(args):
            # sizes and types stand beside the sketches as literals
            sketch = not (arg.is_literal and not arg.is_null) if several else place == 0
            if sketch:
                of = arg.sql_type
                known = of.name == "OTHER" and (of.complex_name is None or of.complex_name.startswith(kind))
                if not known and not of.is_null:
                    refuse(f"[{name}] requires {_WORDS[kind]} as the argument", arg.position or env.position)
            elif not arg.is_literal:
                refuse(f"Argument to function '{name}' must be a literal", arg.position or env.position)
        return make(name.lower(), args, result, multi_value=False)

    add_sql(SqlFunction(name, doc, bind, f"'{name}(sketch, ...)'", least, most, name))


_declare("HLL_SKETCH_ESTIMATE", _HLL, 1, 2, SQL_DOUBLE, "Estimated distinct values; TRUE as second argument rounds.")
_declare("HLL_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS", _HLL, 1, 2, sql_array(SQL_DOUBLE),
         "[estimate, lower bound, upper bound] at 1 to 3 standard deviations.")  # fmt: skip
_declare("HLL_SKETCH_UNION", _HLL, 1, None, sql_complex(None), "Union of HLL sketches: ([lgK, type,] sketch, ..).",
         several=True)  # fmt: skip
_declare("HLL_SKETCH_TO_STRING", _HLL, 1, 1, VARCHAR, "A summary for people.")
_declare("THETA_SKETCH_ESTIMATE", _THETA, 1, 1, SQL_DOUBLE, "Estimated distinct values.")
_declare("THETA_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS", _THETA, 2, 2, sql_complex(_THETA),
         "Estimate and bounds at 1 to 3 standard deviations, as JSON.")  # fmt: skip
_declare("THETA_SKETCH_UNION", _THETA, 1, None, sql_complex(_THETA), "Union of theta sketches: ([size,] sketch, ..).",
         several=True)  # fmt: skip
_declare("THETA_SKETCH_INTERSECT", _THETA, 1, None, sql_complex(_THETA), "What all theta sketches hold.", several=True)
_declare(
    "THETA_SKETCH_NOT", _THETA, 1, None, sql_complex(_THETA), "What only the first theta sketch holds.", several=True
)
_declare("DS_GET_QUANTILE", _QUANTILES, 2, 2, SQL_DOUBLE, "The value at a fraction.")
_declare("DS_GET_QUANTILES", _QUANTILES, 2, None, sql_complex(None), "The values at several fractions.")
_declare("DS_RANK", _QUANTILES, 2, 2, SQL_DOUBLE, "The share of values up to a value.")
_declare("DS_CDF", _QUANTILES, 2, None, sql_complex(None), "Shares of values up to each split point, and 1.")
_declare("DS_HISTOGRAM", _QUANTILES, 2, None, sql_complex(None), "Numbers of values between split points.")
_declare("DS_TUPLE_DOUBLES_METRICS_SUM_ESTIMATE", _TUPLES, 1, 1, sql_array(SQL_DOUBLE), "Sums over all keys.")
_declare("DS_TUPLE_DOUBLES_UNION", _TUPLES, 1, None, sql_complex(_TUPLES), "Union of tuple sketches; a size may end.",
         several=True)  # fmt: skip
_declare("DS_TUPLE_DOUBLES_INTERSECT", _TUPLES, 1, None, sql_complex(_TUPLES), "Keys of all, their sums added.",
         several=True)  # fmt: skip
_declare("DS_TUPLE_DOUBLES_NOT", _TUPLES, 1, None, sql_complex(_TUPLES), "Keys of the first tuple sketch alone.",
         several=True)  # fmt: skip
_declare("DS_QUANTILE_SUMMARY", _QUANTILES, 1, 1, VARCHAR, "A summary for people.")
sql("BLOOM_FILTER_TEST", "ANY CHARACTER", BOOLEAN, "bloom_filter_test", "Whether a bloom filter may hold the value.",
    literals=(1,))  # fmt: skip
