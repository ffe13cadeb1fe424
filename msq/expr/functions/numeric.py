"""Numeric functions, native side."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.declare import math_type, native, plain
from msq.expr.functions.operators import arithmetic
from msq.expr.lower import Lowered, Lowering, convert
from msq.expr.nodes import Call
from msq.expr.registry import LowerRule


def _by_type(long_form: str, double_form: str) -> LowerRule:
    """One SQL form over LONG, another over DOUBLE (texts are read as doubles)."""
    return arithmetic(long_form, double_form)


for _name, _sql, _doc in (
    ("exp", "exp", "e to the power x."), ("log10", "log10", "Logarithm to base 10."), ("sqrt", "sqrt", "Square root."),
    ("cbrt", "cbrt", "Cube root."), ("sin", "sin", "Sine."), ("cos", "cos", "Cosine."), ("tan", "tan", "Tangent."),
    ("cot", "cot", "Cotangent."), ("asin", "asin", "Arc sine."), ("acos", "acos", "Arc cosine."),
    ("atan", "atan", "Arc tangent."), ("sinh", "sinh", "Hyperbolic sine."), ("cosh", "cosh", "Hyperbolic cosine."),
    ("tanh", "tanh", "Hyperbolic tangent."), ("log", "ln", "Natural logarithm."),
):  # fmt: skip
    plain(_name, f"{_doc} DOUBLE.", "D", f"{_sql}({{0}})", DOUBLE)
plain("toDegrees", "Radians to degrees.", "D", "({0} * CAST('57.29577951308232' AS DOUBLE))", DOUBLE)
plain("toRadians", "Degrees to radians.", "D", "({0} * CAST('0.017453292519943295' AS DOUBLE))", DOUBLE)
plain("expm1", "exp(x) - 1.", "D", "(exp({0}) - 1)", DOUBLE)
plain("log1p", "ln(1 + x).", "D", "ln(1 + {0})", DOUBLE)
plain("rint", "Nearest whole number, ties to even.", "D", "round_even({0}, 0)", DOUBLE)
plain("signum", "Sign of x as a double.", "D", "CAST(sign({0}) AS DOUBLE)", DOUBLE)
plain("atan2", "Angle of the point (x, y), given y and x.", "DD", "atan2({0}, {1})", DOUBLE)
plain("pow", "x to the power y.", "DD", "pow({0}, {1})", DOUBLE)
plain("hypot", "sqrt(x*x + y*y).", "DD", "sqrt({0} * {0} + {1} * {1})", DOUBLE)
plain("pi", "The number pi.", "D", {0: "pi()"}, DOUBLE)

_LONG_ABS = "CASE WHEN {0} < 0 THEN d_sub(CAST(0 AS BIGINT), {0}) ELSE {0} END"
native("abs", "Absolute value; of the least LONG itself.", math_type, _by_type(_LONG_ABS, "abs({0})"))
native("floor", "Largest whole number not above x; type of x.", math_type, _by_type("{0}", "floor({0})"))
native("ceil", "Smallest whole number not below x; type of x.", math_type, _by_type("{0}", "ceil({0})"))
native("max", "The larger of two numbers.", math_type, _by_type("greatest({0}, {1})", "greatest({0}, {1})"))
native("min", "The smaller of two numbers.", math_type, _by_type("least({0}, {1})", "least({0}, {1})"))
native(
    "remainder", "x - y * (x / y rounded).", math_type, arithmetic("d_mod({0}, {1})", "{0} - {1} * round({0} / {1})")
)
native(
    "div", "Quotient cut to a LONG; fails on 0.", LONG, arithmetic("d_div({0}, {1})", "d_d2l({0} / {1})", whole=True)
)
native(
    "safe_divide", "Quotient; NULL when y is 0 (0 by 0 is 0 for doubles).", math_type,
    _by_type(
        "CASE WHEN {1} <> 0 THEN d_div({0}, {1}) END",
        "CASE WHEN {1} = 0 OR isnan({1}) THEN CASE WHEN {0} = 0 THEN CAST(0 AS DOUBLE) END ELSE {0} / {1} END",
    ),
)  # fmt: skip


_EXACT_DIGITS = 15
"""Most digits that doubles are rounded to without looking at their texts."""


def _round(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    of = LONG if args[0].type == LONG else DOUBLE
    value = convert(args[0], of)
    if len(args) == 1:
        return Lowered(value if of == LONG else f"d_round({value})", of)
    places = convert(args[1], LONG)
    digits = args[1].literal.value if args[1].literal is not None else None
    if of == LONG:
        known = isinstance(digits, int) and digits >= 0
        return Lowered(value if known else lowering.once(value, lambda held: f"d_round_long({held}, {places})"), LONG)
    if not isinstance(digits, int) or abs(digits) > _EXACT_DIGITS:
        return Lowered(f"py_round({value}, {places})", DOUBLE)
    # a power of ten is exact, its inverse is not
    unit = f"CAST(1e{abs(digits)} AS DOUBLE)"
    up, down = ("*", "/") if digits >= 0 else ("/", "*")

    def rounded(held: str) -> str:
        scaled = f"{held} {up} {unit}"
        return f"d_round_at({held}, {scaled}, round({scaled}) {down} {unit}, {places})"

    return Lowered(lowering.once(value, rounded), DOUBLE)


native(
    "round",
    "Half away from zero, to y digits on the shortest decimal text.",
    lambda types: math_type(types[:1]),
    _round,
)

plain("bitwiseAnd", "Bits set in both.", "LL", "({0} & {1})", LONG)
plain("bitwiseOr", "Bits set in either.", "LL", "({0} | {1})", LONG)
plain("bitwiseXor", "Bits that differ.", "LL", "xor({0}, {1})", LONG)
plain("bitwiseComplement", "All bits turned.", "L", "(~{0})", LONG)
plain("bitwiseShiftLeft", "Shift left by n mod 64, wrapping.", "LL", "d_shift_left({0}, {1})", LONG)
plain("bitwiseShiftRight", "Arithmetic shift right by n mod 64.", "LL", "({0} >> ({1} & 63))", LONG)
plain("bitwiseConvertDoubleToLongBits", "The bits of a double as a LONG.", "D", "py_double_bits({0})", LONG)
plain("bitwiseConvertLongBitsToDouble", "The double of 64 bits.", "L", "py_bits_double({0})", DOUBLE)


def _extreme(function: str) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        kinds = {a.type for a in args if not a.is_null}
        if not kinds:
            return Lowered("CAST(NULL AS VARCHAR)", STRING)
        of = STRING if STRING in kinds else LONG if kinds == {LONG} else DOUBLE
        return Lowered(f"{function}({', '.join(convert(a, of) for a in args)})", of)

    return rule


def _extreme_type(types: Sequence[object]) -> object:
    known = {t for t in types if t is not None}
    return None if not known else STRING if STRING in known else LONG if known == {LONG} else DOUBLE


native("greatest", "The greatest non-NULL argument; any text makes them texts.", _extreme_type, _extreme("greatest"))  # type: ignore[arg-type]
native("least", "The least non-NULL argument; any text makes them texts.", _extreme_type, _extreme("least"))  # type: ignore[arg-type]
