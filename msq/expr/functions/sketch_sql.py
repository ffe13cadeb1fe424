"""Functions of sketches, SQL side. The first argument, or all of a set operation, must be sketches of one kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from msq.expr.binding import BindEnv, Typed, literal, make, refuse
from msq.expr.declare_sql import sql
from msq.expr.registry import SqlFunction, add_sql
from msq.expr.sqltypes import BOOLEAN, SQL_DOUBLE, VARCHAR, SqlType, sql_array, sql_complex

_HLL, _THETA, _QUANTILES = "HLLSketch", "thetaSketch", "quantilesDoublesSketch"
_TUPLES = "arrayOfDoublesSketch"
_HLL_TYPES = ("HLL_4", "HLL_6", "HLL_8")
_LARGEST = 1 << 26
_WORDS = {
    _HLL: "an HllSketch", _THETA: "a ThetaSketch", _QUANTILES: "a DoublesSketch", _TUPLES: "an ArrayOfDoublesSketch",
}  # fmt: skip


Parameters = Callable[[str, list[Any]], str | None]
"""What is wrong with the constants beside the sketches of a call, by the function's name; None for nothing."""


def _declare(
    name: str, kind: str, least: int, most: int | None, result: SqlType, doc: str, parameters: Parameters | None = None,
    *, several: bool = False,
) -> None:  # fmt: skip
    """`several`: every argument is a sketch, but for literals (sizes and types)."""

    def bind(args: Sequence[Typed], env: BindEnv) -> Typed:
        made: list[Typed] = []
        constants: list[Any] = []
        for place, arg in enumerate(args):
            # sizes and types stand beside the sketches as literals
            if not (arg.is_literal and not arg.is_null) if several else place == 0:
                made.append(_sketch(name, kind, arg, env))
            elif arg.is_literal:
                constants.append(arg.literal_value)
                made.append(arg)
            else:
                refuse(f"Argument to function '{name}' must be a literal", arg.position or env.position)
        if len(constants) == len(args):
            refuse(f"[{name}] requires {_WORDS[kind]} as the argument", env.position)
        wrong = None if parameters is None else parameters(name, constants)
        if wrong is not None:
            refuse(wrong, env.position)
        return make(name.lower(), made, result, multi_value=False)

    add_sql(SqlFunction(name, doc, bind, f"'{name}(sketch, ...)'", least, most, name))


def _sketch(name: str, kind: str, arg: Typed, env: BindEnv) -> Typed:
    """The operand as a sketch of that kind. Raises for anything else."""
    of = arg.sql_type
    if of.is_null:
        return literal(None, sql_complex(kind), arg.position)
    if of.name != "OTHER" or (of.complex_name is not None and not of.complex_name.startswith(kind)):
        refuse(f"[{name}] requires {_WORDS[kind]} as the argument", arg.position or env.position)
    return arg


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == value


def _deviations(name: str, constants: list[Any]) -> str | None:
    if constants and constants[0] not in (1, 2, 3):
        return f"[{name}] needs 1, 2 or 3 standard deviations, got [{constants[0]}]"
    return None


def _ranks(name: str, constants: list[Any]) -> str | None:
    for value in constants:
        if not _is_number(value) or not 0 <= value <= 1:
            return f"[{name}] A normalized rank must be >= 0 and <= 1.0: {value}"
    return None


def _number(name: str, constants: list[Any]) -> str | None:
    return None if all(map(_is_number, constants)) else f"[{name}] needs numbers, got [{constants[0]}]"


def _points(name: str, constants: list[Any]) -> str | None:
    numbers = all(map(_is_number, constants))
    if not numbers or any(one >= other for one, other in pairwise(constants)):
        return f"[{name}] needs split points that are numbers and rise, got {constants}"
    return None


def _hll_options(name: str, constants: list[Any]) -> str | None:
    """lgK, and the type behind it."""
    if constants and not (isinstance(constants[0], int) and 4 <= constants[0] <= 21):
        return f"[{name}] needs an lgK between 4 and 21, got [{constants[0]}]"
    if len(constants) > 1 and str(constants[1]).upper() not in _HLL_TYPES:
        return f"[{name}] needs a sketch type of [{', '.join(_HLL_TYPES)}], got [{constants[1]}]"
    return f"[{name}] takes an lgK and a type beside sketches" if len(constants) > 2 else None


def _size(name: str, constants: list[Any]) -> str | None:
    if len(constants) > 1:
        return f"[{name}] takes one size beside sketches"
    if constants and not (isinstance(constants[0], int) and 0 < constants[0] <= _LARGEST):
        return f"[{name}] needs a size between 1 and {_LARGEST}, got [{constants[0]}]"
    return None


_declare("HLL_SKETCH_ESTIMATE", _HLL, 1, 2, SQL_DOUBLE, "Estimated distinct values; TRUE as second argument rounds.")
_declare("HLL_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS", _HLL, 1, 2, sql_array(SQL_DOUBLE),
         "[estimate, lower bound, upper bound] at 1 to 3 standard deviations.", _deviations)  # fmt: skip
_declare("HLL_SKETCH_UNION", _HLL, 1, None, sql_complex(None), "Union of HLL sketches: ([lgK, type,] sketch, ..).",
         _hll_options, several=True)  # fmt: skip
_declare("HLL_SKETCH_TO_STRING", _HLL, 1, 1, VARCHAR, "A summary for people.")
_declare("THETA_SKETCH_ESTIMATE", _THETA, 1, 1, SQL_DOUBLE, "Estimated distinct values.")
_declare("THETA_SKETCH_ESTIMATE_WITH_ERROR_BOUNDS", _THETA, 2, 2, sql_complex(_THETA),
         "Estimate and bounds at 1 to 3 standard deviations, as JSON.", _deviations)  # fmt: skip
_declare("THETA_SKETCH_UNION", _THETA, 1, None, sql_complex(_THETA), "Union of theta sketches: ([size,] sketch, ..).",
         _size, several=True)  # fmt: skip
_declare(
    "THETA_SKETCH_INTERSECT", _THETA, 1, None, sql_complex(_THETA), "What all theta sketches hold.", _size, several=True
)
_declare(
    "THETA_SKETCH_NOT",
    _THETA,
    1,
    None,
    sql_complex(_THETA),
    "What only the first theta sketch holds.",
    _size,
    several=True,
)
_declare("DS_GET_QUANTILE", _QUANTILES, 2, 2, SQL_DOUBLE, "The value at a fraction.", _ranks)
_declare("DS_GET_QUANTILES", _QUANTILES, 2, None, sql_complex(None), "The values at several fractions.", _ranks)
_declare("DS_RANK", _QUANTILES, 2, 2, SQL_DOUBLE, "The share of values up to a value.", _number)
_declare("DS_CDF", _QUANTILES, 2, None, sql_complex(None), "Shares of values up to each split point, and 1.", _points)
_declare("DS_HISTOGRAM", _QUANTILES, 2, None, sql_complex(None), "Numbers of values between split points.", _points)
_declare("DS_TUPLE_DOUBLES_METRICS_SUM_ESTIMATE", _TUPLES, 1, 1, sql_array(SQL_DOUBLE), "Sums over all keys.")
_declare("DS_TUPLE_DOUBLES_UNION", _TUPLES, 1, None, sql_complex(_TUPLES), "Union of tuple sketches; a size may end.",
         _size, several=True)  # fmt: skip
_declare("DS_TUPLE_DOUBLES_INTERSECT", _TUPLES, 1, None, sql_complex(_TUPLES), "Keys of all, their sums added.",
         _size, several=True)  # fmt: skip
_declare("DS_TUPLE_DOUBLES_NOT", _TUPLES, 1, None, sql_complex(_TUPLES), "Keys of the first tuple sketch alone.",
         _size, several=True)  # fmt: skip
_declare("DS_QUANTILE_SUMMARY", _QUANTILES, 1, 1, VARCHAR, "A summary for people.")
sql("BLOOM_FILTER_TEST", "ANY CHARACTER", BOOLEAN, "bloom_filter_test", "Whether a bloom filter may hold the value.",
    literals=(1,))  # fmt: skip
