"""Functions of sketches, native side: over columns; over aggregates they become post-aggregators."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, STRING, ColumnType, complex_of
from msq.expr.declare import native
from msq.expr.lower import Lowered, Lowering, convert
from msq.expr.nodes import Call, Literal, Node
from msq.expr.registry import LowerRule
from msq.faults import invalid_input
from msq.sketches import bloom

HLL = complex_of("HLLSketch")
THETA = complex_of("thetaSketch")
TUPLES = complex_of("arrayOfDoublesSketch")


def _bloom(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    _check_filter(node.args[1])
    value = args[0]
    kind = "text" if value.type == STRING else "long" if value.type == LONG else "double"
    operand = value.sql if kind == "text" else convert(value, LONG if kind == "long" else DOUBLE)
    return Lowered(f"py_bloom_{kind}({operand}, {convert(args[1], STRING)})", LONG, boolean=True)


def _check_filter(node: Node) -> None:
    """Raises invalid input for a constant that is no serialized filter."""
    if isinstance(node, Literal) and node.value is not None:
        try:
            bloom.check(base64.b64decode(str(node.value), validate=True))
        except ValueError as error:
            raise invalid_input(
                f"Function[bloom_filter_test] second argument is no serialized bloom filter: {error}"
            ) from error


def _numbers(args: Sequence[Lowered]) -> str:
    return f"[{', '.join(convert(a, DOUBLE) for a in args)}]"


def _state(sketch: Lowered) -> str:
    """SQL of a sketch; a NULL without a type is one, too."""
    return "CAST(NULL AS BLOB)" if sketch.is_null else sketch.sql


def _states(args: Sequence[Lowered]) -> str:
    """SQL of the list of the sketches among the arguments."""
    return f"[{', '.join(_state(a) for a in args if a.type.is_complex or a.is_null)}]"


def _one(kernel: str, result: ColumnType, default: str = "") -> LowerRule:
    """A kernel of the sketch and one whole number, which may be left out."""

    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        rest = "" if not default else f", {convert(args[1], LONG) if len(args) > 1 else default}"
        return Lowered(f"{kernel}({_state(args[0])}{rest})", result)

    return rule


def _estimate(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    value = f"py_hll_estimate({_state(args[0])})"
    rounded = len(args) > 1 and args[1].literal is not None and bool(args[1].literal.value)
    return Lowered(f"floor({value} + 0.5)" if rounded else value, DOUBLE)


def _hll_union(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    sizes = [a for a in args if a.type == LONG and a.literal is not None]
    lg_k = convert(sizes[0], LONG) if sizes else "CAST(12 AS BIGINT)"
    return Lowered(f"py_hll_union({_states(args)}, {lg_k})", HLL)


def _set(kernel: str, function: str, result: ColumnType) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        sizes = [a for a in args if a.type == LONG and a.literal is not None]
        size = convert(sizes[0], LONG) if sizes else "CAST(16384 AS BIGINT)"
        return Lowered(f"{kernel}({_states(args)}, '{function}', {size})", result)

    return rule


def _one_number(kernel: str) -> LowerRule:
    return lambda lowering, node, args: Lowered(f"{kernel}({_state(args[0])}, {convert(args[1], DOUBLE)})", DOUBLE)


def _many_numbers(kernel: str) -> LowerRule:
    return lambda lowering, node, args: Lowered(f"{kernel}({_state(args[0])}, {_numbers(args[1:])})", DOUBLE_ARRAY)


native(
    "hll_sketch_estimate",
    "Estimated distinct values of an HLL sketch; true as second argument rounds.",
    DOUBLE,
    _estimate,
)
native("hll_sketch_estimate_with_error_bounds", "[estimate, lower, upper] at 1 to 3 deviations.", DOUBLE_ARRAY,
       _one("py_hll_bounds", DOUBLE_ARRAY, "CAST(1 AS BIGINT)"))  # fmt: skip
native("hll_sketch_union", "Union of HLL sketches, with lgK and type in front where given.", HLL, _hll_union)
native("hll_sketch_to_string", "Summary of an HLL sketch.", STRING, _one("py_hll_text", STRING))
native(
    "theta_sketch_estimate", "Estimated distinct values of a theta sketch.", DOUBLE, _one("py_theta_estimate", DOUBLE)
)
native("theta_sketch_estimate_with_error_bounds", "Estimate and bounds as JSON.", THETA,
       _one("py_theta_bounds", THETA, "CAST(1 AS BIGINT)"))  # fmt: skip
native("theta_sketch_union", "Union of theta sketches; a size may lead.", THETA, _set("py_theta_set", "UNION", THETA))
native("theta_sketch_intersect", "What all theta sketches hold.", THETA, _set("py_theta_set", "INTERSECT", THETA))
native("theta_sketch_not", "What the first theta sketch holds and no other.", THETA, _set("py_theta_set", "NOT", THETA))
for _name, _function in (("union", "UNION"), ("intersect", "INTERSECT"), ("not", "NOT")):
    native(f"ds_tuple_doubles_{_name}", f"{_function} of tuple sketches, the size behind them where given.", TUPLES,
           _set("py_tuple_set", _function, TUPLES))  # fmt: skip
native("ds_tuple_doubles_metrics_sum_estimate", "Sums over all keys of a tuple sketch.", DOUBLE_ARRAY,
       _one("py_tuple_sums", DOUBLE_ARRAY))  # fmt: skip
native("bloom_filter_test", "Whether a bloom filter (base64) may hold the value, null included.", LONG, _bloom)
native("ds_get_quantile", "The value at a fraction of a quantiles sketch.", DOUBLE, _one_number("py_quantile"))
native("ds_get_quantiles", "The values at several fractions.", DOUBLE_ARRAY, _many_numbers("py_quantiles"))
native("ds_rank", "The share of values up to a value.", DOUBLE, _one_number("py_quantile_rank"))
native("ds_cdf", "Shares of values up to each split point, and 1.", DOUBLE_ARRAY, _many_numbers("py_quantiles_cdf"))
native("ds_histogram", "Numbers of values between split points.", DOUBLE_ARRAY, _many_numbers("py_quantiles_histogram"))
native("ds_quantile_summary", "Summary of a quantiles sketch.", STRING, _one("py_quantiles_text", STRING))
