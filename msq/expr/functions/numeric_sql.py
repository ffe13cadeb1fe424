"""Numeric functions, SQL side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msq.datatypes import DOUBLE, LONG, STRING
from msq.expr.binding import BindEnv, Typed, literal, make, refuse_types
from msq.expr.declare_sql import same_type, sql
from msq.expr.nodes import Literal
from msq.expr.sqltypes import BIGINT, NULL_TYPE, SQL_DOUBLE, VARCHAR, SqlType, char, native, widest_number

sql("ABS", "NUMERIC", same_type(), "abs", "Absolute value.", coerce=True)
sql("PI", "", SQL_DOUBLE, lambda args, env, of: literal(math.pi, SQL_DOUBLE), "The number pi.")
sql(
    "SQRT",
    "NUMERIC",
    SQL_DOUBLE,
    lambda args, env, of: make("pow", [args[0], Literal(0.5, DOUBLE)], of),
    "Square root.",
    coerce=True,
)
for _name, _native, _doc in (
    ("EXP", "exp", "e to the power x."), ("LN", "log", "Natural logarithm."), ("LOG10", "log10", "Decimal logarithm."),
    ("SIN", "sin", "Sine of x radians."), ("COS", "cos", "Cosine of x radians."), ("TAN", "tan", "Tangent of x."),
    ("COT", "cot", "Cotangent of x radians."), ("ASIN", "asin", "Arc sine."), ("ACOS", "acos", "Arc cosine."),
    ("ATAN", "atan", "Arc tangent."), ("DEGREES", "toDegrees", "Radians to degrees."),
    ("RADIANS", "toRadians", "Degrees to radians."),
):  # fmt: skip
    sql(_name, "NUMERIC", SQL_DOUBLE, _native, _doc, coerce=True)
sql("ATAN2", "NUMERIC NUMERIC", SQL_DOUBLE, "atan2", "Angle of the point (x, y), given y and x.", coerce=True)
sql("POWER", "NUMERIC NUMERIC", SQL_DOUBLE, "pow", "x to the power y.", coerce=True)


def _round(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    if len(args) > 1 and args[1].sql_type.name not in ("INTEGER", "NULL"):
        refuse_types("ROUND", "'ROUND(<NUMERIC>)'\nROUND(<NUMERIC>, <INTEGER>)", args, env.position)
    return make("round", args, of)


sql(
    "ROUND",
    "NUMERIC [NUMERIC]",
    same_type(),
    _round,
    "Half away from zero.",
    coerce=True,
    forms="'ROUND(<NUMERIC>)'\nROUND(<NUMERIC>, <INTEGER>)",
)


def _truncate(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    """(long)(x * 10^d) / 10^d, as Druid writes it; the factor of whole digits is a whole number."""
    digits = 0 if len(args) == 1 else args[1].literal_value
    if digits is None or args[0].is_null:
        return literal(None, of)
    factor = Literal(1, LONG) if digits == 0 else Literal(10.0 ** min(digits, 308), DOUBLE)
    if digits < 0:
        factor = Literal(float(f"1e{digits}"), DOUBLE)
    scaled = make("*", [args[0], factor], of)
    whole = make("cast", [scaled, Literal("long", STRING)], of)
    back = make("cast", [whole, Literal("double", STRING)], of)
    return make("/", [back, factor], of)


sql("TRUNCATE TRUNC", "NUMERIC [INTEGER]", same_type(), _truncate, "x cut toward zero after d digits.", coerce=True,
    literals=(1,))  # fmt: skip


def _mod_type(args: Sequence[Typed]) -> SqlType:
    types = [a.sql_type for a in args]
    wide = widest_number(types) or NULL_TYPE
    return wide if not wide.name.endswith(("INTEGER", "BIGINT")) or types[1].is_null else types[1]


def _wide_type(args: Sequence[Typed]) -> SqlType:
    return widest_number([a.sql_type for a in args]) or NULL_TYPE


sql("MOD", "NUMERIC NUMERIC", _mod_type, "%", "Remainder with the sign of the dividend.", coerce=True)
sql("DIV", "NUMERIC NUMERIC", BIGINT, "div", "Quotient cut to a whole number.")
sql("SAFE_DIVIDE", "NUMERIC NUMERIC", _wide_type, "safe_divide", "Quotient, NULL for a division by zero.")
for _name, _native, _doc in (
    ("BITWISE_AND", "bitwiseAnd", "Bits set in both."), ("BITWISE_OR", "bitwiseOr", "Bits set in either."),
    ("BITWISE_XOR", "bitwiseXor", "Bits that differ."),
    ("BITWISE_SHIFT_LEFT", "bitwiseShiftLeft", "x shifted left by n."),
    ("BITWISE_SHIFT_RIGHT", "bitwiseShiftRight", "x shifted right by n, keeping the sign."),
):  # fmt: skip
    sql(_name, "NUMERIC NUMERIC", BIGINT, _native, _doc)
sql("BITWISE_COMPLEMENT", "NUMERIC", BIGINT, "bitwiseComplement", "All bits turned.")
sql("BITWISE_CONVERT_DOUBLE_TO_LONG_BITS", "NUMERIC", BIGINT, "bitwiseConvertDoubleToLongBits", "The bits of a double.")
sql(
    "BITWISE_CONVERT_LONG_BITS_TO_DOUBLE",
    "NUMERIC",
    SQL_DOUBLE,
    "bitwiseConvertLongBitsToDouble",
    "The double of 64 bits.",
)


def _extreme_type(args: Sequence[Typed]) -> SqlType:
    """Texts win, then doubles; whole numbers and times are BIGINT. Texts that are all literals are CHAR."""
    types = [a.sql_type for a in args if not a.sql_type.is_null]
    if not types:
        return NULL_TYPE
    if any(t.is_character for t in types):
        return char(max(t.length or 0 for t in types)) if all(t.name == "CHAR" for t in types) else VARCHAR
    return BIGINT if all(native(t) == LONG for t in types) else SQL_DOUBLE


def _extreme(name: str, native_name: str, doc: str) -> None:
    forms = f"'{name}(expr1, [expr2, ...])'"

    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        if any(a.sql_type.name in ("ARRAY", "OTHER") for a in args):
            refuse_types(name, forms, args, env.position)
        if not args:
            return literal(None, NULL_TYPE)
        return make(native_name, args, of)

    sql(name, "[ANY] ..", _extreme_type, emit, doc, forms=forms)


_extreme("GREATEST", "greatest", "The greatest argument, NULLs left out.")
_extreme("LEAST", "least", "The least argument, NULLs left out.")

for _name, _doc in (
    ("HUMAN_READABLE_BINARY_BYTE_FORMAT", "Bytes in powers of 1024, `1.00 MiB`."),
    ("HUMAN_READABLE_DECIMAL_BYTE_FORMAT", "Bytes in powers of 1000, `1.05 MB`."),
    ("HUMAN_READABLE_DECIMAL_FORMAT", "A number in powers of 1000, `1.05 M`."),
):

    def _human(args: Sequence[Typed], env: BindEnv, of: SqlType, name: str = _name) -> Typed:
        if args[0].sql_type.is_null:
            refuse_types(name, f"{name}(Number, [Precision])", args, env.position)
        return make(name.lower(), args, of)

    sql(
        _name,
        "NUMERIC [NUMERIC]",
        VARCHAR,
        _human,
        _doc,
        nullable=True,
        literals=(1,),
        forms=f"{_name}(Number, [Precision])",
    )
