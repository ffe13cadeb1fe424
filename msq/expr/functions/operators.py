"""Operators: arithmetic, comparison, logic, and the null-safe tests."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import DOUBLE, LONG, STRING, ColumnType, array_of
from msq.expr.declare import common_type, math_type, native
from msq.expr.lower import Lowered, Lowering, as_long_sql, convert, truth
from msq.expr.nodes import Call
from msq.expr.registry import LowerRule, Types


def _plus_type(types: Types) -> ColumnType | None:
    """`+` joins texts when both sides are texts."""
    return STRING if types and all(t == STRING for t in types) else math_type(types)


def arithmetic(long_form: str, double_form: str, *, whole: bool = False) -> LowerRule:
    """`long_form` over two LONGs, else `double_form` over DOUBLEs; `whole` makes the latter LONG as well."""

    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        of = math_type([None if a.is_null else a.type for a in args]) or LONG
        values = [convert(a, of) for a in args]
        if of == LONG:
            return Lowered(f"({_cheap(long_form, args).format(*values)})", LONG)
        return Lowered(f"({double_form.format(*values)})", LONG if whole else DOUBLE)

    return rule


def _cheap(form: str, args: Sequence[Lowered]) -> str:
    """Division by a constant other than 0 and -1 needs no guard."""
    divisor = args[1].literal if len(args) == 2 else None
    if divisor is not None and divisor.value not in (None, 0, -1) and form in ("d_div({0}, {1})", "d_mod({0}, {1})"):
        return "{0} // {1}" if form.startswith("d_div") else "{0} % {1}"
    return form


def _plus(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    if all(a.type == STRING and not a.is_null for a in args):
        return Lowered(f"({convert(args[0], STRING)} || {convert(args[1], STRING)})", STRING)
    return arithmetic("d_add({0}, {1})", "{0} + {1}")(lowering, node, args)


def _minus(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    if len(args) == 2:
        return arithmetic("d_sub({0}, {1})", "{0} - {1}")(lowering, node, args)
    return arithmetic("d_sub(CAST(0 AS BIGINT), {0})", "- {0}")(lowering, node, args)


native("+", "Sum; LONGs wrap around, two texts are joined.", _plus_type, _plus)
native("-", "Difference, or with one argument the negative; LONGs wrap around.", math_type, _minus)
native("*", "Product; LONGs wrap around.", math_type, arithmetic("d_mul({0}, {1})", "{0} * {1}"))
native("/", "Quotient; of LONGs cut toward zero, failing on 0.", math_type, arithmetic("d_div({0}, {1})", "{0} / {1}"))
native("%", "Remainder with the sign of the dividend.", math_type, arithmetic("d_mod({0}, {1})", "{0} % {1}"))
native(
    "^", "Power.", math_type,
    lambda lowering, node, args: (
        Lowered(f"d_d2l(pow({convert(args[0], DOUBLE)}, {convert(args[1], DOUBLE)}))", LONG)
        if math_type([a.type for a in args]) == LONG
        else Lowered(f"pow({convert(args[0], DOUBLE)}, {convert(args[1], DOUBLE)})", DOUBLE)
    ),
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------- comparison


def comparison_type(types: Types) -> ColumnType:
    """The type two sides are compared as: texts as texts, any number makes numbers, arrays element by element."""
    known = [t for t in types if t is not None]
    if any(t.is_array for t in known):
        found = common_type(known)
        assert found is not None
        return found if found.is_array else array_of(found)
    if known and all(t == LONG for t in known):
        return LONG
    if any(t.is_numeric for t in known):
        return DOUBLE
    return STRING


def compare(operator: str, args: Sequence[Lowered]) -> str:
    """BOOLEAN SQL of `a operator b` (operator as in SQL: = <> < <= > >=)."""
    of = comparison_type([None if a.is_null else a.type for a in args])
    left, right = (convert(a, of) for a in args)
    if of.is_array and operator not in ("=", "<>"):
        return f"(d_order({left}) {operator} d_order({right}))"
    if of == DOUBLE and operator not in ("=", "<>") and all(_may_be_zero(a) for a in args):
        return {
            "<": f"(d_lt({left}, {right}))", ">": f"(d_lt({right}, {left}))",
            ">=": f"(NOT d_lt({left}, {right}))", "<=": f"(NOT d_lt({right}, {left}))",
        }[operator]  # fmt: skip
    return f"({left} {operator} {right})"


def _may_be_zero(value: Lowered) -> bool:
    return value.literal is None or value.literal.value in (0, 0.0)


def _comparison(operator: str) -> LowerRule:
    return lambda lowering, node, args: Lowered(compare(operator, args), LONG, boolean=True)


for _native, _sql, _doc in (
    ("==", "=", "Equal."), ("!=", "<>", "Not equal."), ("<", "<", "Less."), ("<=", "<=", "Less or equal."),
    (">", ">", "Greater."), (">=", ">=", "Greater or equal."),
):  # fmt: skip
    native(
        _native,
        f"{_doc} NULL when a side is; a text against a number is read as a number.",
        LONG,
        _comparison(_sql),
        whole=True,
    )


# ------------------------------------------------------------------------------------------------------------- logic


def _logic(word: str) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        return Lowered("(" + f" {word} ".join(truth(a) for a in args) + ")", LONG, boolean=True)

    return rule


native("&&", "Three-valued AND.", LONG, _logic("AND"))
native("||", "Three-valued OR.", LONG, _logic("OR"))
native("!", "Three-valued NOT.", LONG, lambda _, node, args: Lowered(f"(NOT {truth(args[0])})", LONG, boolean=True))


def _test(form: str) -> LowerRule:
    return lambda lowering, node, args: Lowered(form.format(truth(args[0])), LONG, boolean=True)


native("istrue", "True and not NULL.", LONG, _test("({0} IS TRUE)"))
native("isfalse", "False and not NULL.", LONG, _test("({0} IS FALSE)"))
native("nottrue", "False or NULL.", LONG, _test("({0} IS NOT TRUE)"))
native("notfalse", "True or NULL.", LONG, _test("({0} IS NOT FALSE)"))


def _null_test(form: str) -> LowerRule:
    return lambda lowering, node, args: Lowered(form.format(as_long_sql(args[0])), LONG, boolean=True)


native("isnull", "Whether the value is NULL.", LONG, _null_test("({0} IS NULL)"), whole=True)
native("notnull", "Whether the value is not NULL.", LONG, _null_test("({0} IS NOT NULL)"), whole=True)


def _distinct(word: str) -> LowerRule:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        of = comparison_type([None if a.is_null else a.type for a in args])
        left, right = (convert(a, of) for a in args)
        return Lowered(f"({left} {word} {right})", LONG, boolean=True)

    return rule


native("isdistinctfrom", "Inequality in which NULL equals NULL.", LONG, _distinct("IS DISTINCT FROM"), whole=True)
native("notdistinctfrom", "Equality in which NULL equals NULL.", LONG, _distinct("IS NOT DISTINCT FROM"), whole=True)
