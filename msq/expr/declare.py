"""Short forms for declaring native functions: result rules and SQL templates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msq.datatypes import DOUBLE, JSON, LONG, STRING, ColumnType
from msq.expr.lower import Lowered, Lowering, convert
from msq.expr.nodes import Call, Literal
from msq.expr.registry import LowerRule, NativeFunction, ResultRule, Types, add_native
from msq.faults import DruidException, invalid_input

KINDS = {"S": STRING, "L": LONG, "D": DOUBLE, "J": JSON}


def always(of: ColumnType) -> ResultRule:
    return lambda types: of


def same_as(position: int) -> ResultRule:
    """The type of an argument; None when it is not known."""
    return lambda types: types[position] if position < len(types) else None


def math_type(types: Types) -> ColumnType | None:
    """LONG of longs, else DOUBLE; nulls do not count; None when all are null."""
    known = [t for t in types if t is not None]
    if not known:
        return None
    return LONG if all(t == LONG for t in known) else DOUBLE


def common_type(types: Types) -> ColumnType | None:
    """What values of several branches have in common: string beats numbers, double beats long, arrays beat scalars."""
    result: ColumnType | None = None
    for one in types:
        if one is None or one == result:
            continue
        if result is None:
            result = one
        elif result.is_complex or one.is_complex:
            result = result if result.is_complex else one
        elif result.is_array or one.is_array:
            a, b = result.element or result, one.element or one
            element = common_type([a, b])
            result = ColumnType("ARRAY", element=element)
        elif STRING in (result, one):
            result = STRING
        else:
            result = DOUBLE
    return result


def template(kinds: str, texts: str | dict[int, str], result: ColumnType, *, boolean: bool = False) -> LowerRule:
    """A rule that converts each argument to its kind (S L D J, `.` as it is) and fills `{0}`, `{1}`.. of the text.

    `texts` may depend on the number of arguments. A further argument repeats the last kind.
    """

    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        by_count = texts if isinstance(texts, dict) else {len(args): texts}
        text = by_count.get(len(args))
        if text is None:
            raise wrong_count(node.function, sorted(by_count))
        values = [convert_kind(a, kinds[min(i, len(kinds) - 1)]) for i, a in enumerate(args)]
        return Lowered(text.format(*values), result, boolean=boolean)

    return rule


def convert_kind(value: Lowered, kind: str) -> str:
    return value.sql if kind == "." else convert(value, KINDS[kind])


def native(
    name: str,
    doc: str,
    result: ColumnType | ResultRule,
    rule: LowerRule,
    arrays: Iterable[int] = (),
    *,
    whole: bool = False,
) -> NativeFunction:
    """Declares a native function."""
    of = always(result) if isinstance(result, ColumnType) else result
    return add_native(NativeFunction(name, doc, of, rule, frozenset(arrays), whole))


def plain(name: str, doc: str, kinds: str, texts: str | dict[int, str], result: ColumnType) -> NativeFunction:
    """Declares a native function that is one SQL template."""
    return native(name, doc, result, template(kinds, texts, result))


def predicate(name: str, doc: str, kinds: str, texts: str | dict[int, str]) -> NativeFunction:
    """Declares a native function whose SQL is BOOLEAN."""
    return native(name, doc, LONG, template(kinds, texts, LONG, boolean=True))


def wrong_count(name: str, counts: Sequence[int]) -> DruidException:
    wanted = " or ".join(map(str, counts))
    return invalid_input(f"Function[{name}] requires {wanted} argument{'s' if wanted != '1' else ''}")


def constant(node: Call, position: int, what: str) -> object:
    """The value of a literal argument; None when it is left out. Raises when it is no literal."""
    if position >= len(node.args):
        return None
    arg = node.args[position]
    if not isinstance(arg, Literal):
        raise invalid_input(f"Function[{node.function}] {what} must be a literal")
    return arg.value
