"""Short forms for declaring SQL functions: operand lists, coercion, result types, emission."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msq.expr.binding import BindEnv, Typed, make, refuse, refuse_types
from msq.expr.casting import cast
from msq.expr.registry import SqlFunction, add_sql
from msq.expr.sqltypes import DECIMAL, VARCHAR, SqlType

ResultType = SqlType | Callable[[Sequence[Typed]], SqlType]
Emit = str | Callable[[Sequence[Typed], BindEnv, SqlType], Typed]


def sql(
    names: str,
    operands: str,
    returns: ResultType,
    emit: Emit,
    doc: str,
    *,
    coerce: bool = False,
    literals: Iterable[int] = (),
    nullable: bool = False,
    display: str | None = None,
    forms: str | None = None,
    maximum: int | None = -1,
    example: str = "",
) -> None:
    """Declares the SQL function `names` (a word or several: the first is the name, the others aliases).

    `operands`: families separated by blanks, optional ones in brackets, `..` after the last for any number.
    `coerce`: texts are read as numbers and numbers written as texts, as the standard functions do; Druid's own refuse.
    `example`: a call over the columns of msq.sql.function_examples (of extensions; the engine's own stand there).
    `nullable`: a bare NULL is allowed for required operands (always so with `coerce`).
    `emit`: a native function's name, or a function of (operands, env, result type).
    """
    required, optional, repeated = _operands(operands)
    everything = [*required, *optional]
    fixed = frozenset(literals)

    for name in names.split():
        shown = display or name
        listing = forms or _forms(shown, required, optional, repeated)

        def bind(args: Sequence[Typed], env: BindEnv, shown: str = shown, listing: str = listing) -> Typed:
            checked: list[Typed] = []
            for i, arg in enumerate(args):
                family = everything[min(i, len(everything) - 1)]
                if (
                    arg.sql_type.is_null
                    and i < len(required)
                    and not (coerce or nullable or family in ("ANY", "VALUE"))
                ):
                    refuse("Illegal use of 'NULL'", arg.position or env.position)
                made = _accept(arg, family, coerce, env)
                if made is None:
                    refuse_types(shown, listing, args, env.position)
                if i in fixed and not made.is_literal:
                    refuse(f"Argument to function '{shown}' must be a literal", arg.position or env.position)
                checked.append(made)
            of = returns if isinstance(returns, SqlType) else returns(checked)
            return make(emit, checked, of) if isinstance(emit, str) else emit(checked, env, of)

        top = maximum if maximum != -1 else None if repeated else len(everything)
        add_sql(SqlFunction(name, doc, bind, listing, len(required), top, shown, example))


def _operands(text: str) -> tuple[list[str], list[str], bool]:
    required: list[str] = []
    optional: list[str] = []
    repeated = False
    for word in text.split():
        if word == "..":
            repeated = True
        elif word.startswith("["):
            optional.append(word.strip("[]"))
        else:
            required.append(word)
    return required, optional, repeated


def _forms(name: str, required: Sequence[str], optional: Sequence[str], repeated: bool) -> str:
    required, optional = ([w.replace("VALUE", "ANY") for w in words] for words in (required, optional))
    text = ", ".join(f"<{w}>" for w in required)
    for i, word in enumerate(optional):
        text += f", [<{word}>" if i or required else f"[<{word}>"
    text += "]" * len(optional) + (", ..." if repeated else "")
    return f"'{name}({text})'"


def _accept(arg: Typed, family: str, coerce: bool, env: BindEnv) -> Typed | None:
    """The operand as its family wants it, None when it does not fit."""
    have = arg.sql_type
    if family == "ANY" or have.is_null:
        return arg
    test = _FAMILIES[family]
    if test(have):
        return arg
    if not coerce:
        return None
    if family == "CHARACTER" and (have.is_numeric or have.is_time or have.name == "BOOLEAN"):
        return cast(arg, VARCHAR, env)
    if family in ("NUMERIC", "DOUBLE") and have.is_character:
        return cast(arg, DECIMAL, env)
    return None


_FAMILIES: dict[str, Callable[[SqlType], bool]] = {
    "CHARACTER": lambda t: t.is_character,
    "STRING": lambda t: t.is_character,
    "VALUE": lambda t: t.name not in ("OTHER", "INTERVAL"),
    "NUMERIC": lambda t: t.is_numeric,
    "INTEGER": lambda t: t.is_integer,
    "EXACT_NUMERIC": lambda t: t.is_integer or t.name == "DECIMAL",
    "BOOLEAN": lambda t: t.name == "BOOLEAN",
    "TIMESTAMP": lambda t: t.is_time,
    "ARRAY": lambda t: t.name == "ARRAY",
    "OTHER": lambda t: t.name == "OTHER",
    "CHARACTER|NUMERIC": lambda t: t.is_character or t.is_numeric,
    "CHARACTER|ARRAY": lambda t: t.is_character or t.name == "ARRAY",
}


def same_type(position: int = 0) -> Callable[[Sequence[Typed]], SqlType]:
    return lambda args: args[position].sql_type
