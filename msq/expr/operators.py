"""Operators and special forms of SQL, bound: arithmetic, comparison, logic, IN, BETWEEN, LIKE, CASE, CAST and kin.

Every function takes `Typed` operands and gives one; `env.position` is the place of the whole form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import LONG, STRING
from msq.expr.binding import BindEnv, Typed, column, finish, literal, make, refusal, refuse
from msq.expr.casting import cast, unify
from msq.expr.nodes import Call, Literal, Node
from msq.expr.sqltypes import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    NULL_TYPE,
    SqlType,
    least_restrictive,
    native,
    sql_array,
    widest_number,
    without_length,
)
from msq.faults import DruidException, invalid_sql

__all__ = [
    "bind_and",
    "bind_array",
    "bind_between",
    "bind_case",
    "bind_cast",
    "bind_coalesce",
    "bind_comparison",
    "bind_concat",
    "bind_distinct",
    "bind_in",
    "bind_is",
    "bind_like",
    "bind_negate",
    "bind_not",
    "bind_nullif",
    "bind_operator",
    "bind_or",
    "column",
    "literal",
]

_NATIVE_COMPARISON = {"=": "==", "<>": "!=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def bind_operator(operator: str, left: Typed, right: Typed, env: BindEnv) -> Typed:
    """`+ - * / % ||`, comparisons, AND, OR by their SQL spelling."""
    word = operator.upper()
    if word in _NATIVE_COMPARISON:
        return bind_comparison(word, left, right, env)
    if word == "AND":
        return bind_and([left, right], env)
    if word == "OR":
        return bind_or([left, right], env)
    if word == "||":
        return bind_concat(left, right, env)
    if word == "%":
        raise invalid_sql("Percent remainder '%' is not allowed under the current SQL conformance level")
    return bind_arithmetic(word, left, right, env)


# -------------------------------------------------------------------------------------------------------- arithmetic

_FORMS = {
    "+": ("'<NUMERIC> + <NUMERIC>'", "'<DATETIME_INTERVAL> + <DATETIME_INTERVAL>'",
          "'<DATETIME> + <DATETIME_INTERVAL>'", "'<DATETIME_INTERVAL> + <DATETIME>'"),
    "-": ("'<NUMERIC> - <NUMERIC>'", "'<DATETIME_INTERVAL> - <DATETIME_INTERVAL>'",
          "'<DATETIME> - <DATETIME_INTERVAL>'"),
    "*": ("'<NUMERIC> * <NUMERIC>'", "'<DATETIME_INTERVAL> * <NUMERIC>'", "'<NUMERIC> * <DATETIME_INTERVAL>'"),
    "/": ("'<NUMERIC> / <NUMERIC>'", "'<DATETIME_INTERVAL> / <NUMERIC>'"),
}  # fmt: skip


def bind_arithmetic(operator: str, left: Typed, right: Typed, env: BindEnv) -> Typed:
    """`+ - * /`: numbers, texts read as the other side's number, times with intervals."""
    from msq.expr.functions.time_sql import bind_interval_sum

    if "INTERVAL" in (left.sql_type.name, right.sql_type.name):
        made = bind_interval_sum(operator, left, right, env)
        if made is None:
            raise _operand_refusal(operator, left, right, _FORMS[operator], env)
        return finish(made, env)
    left, right = _numeric_sides(operator, left, right, env)
    of = widest_number([left.sql_type, right.sql_type]) or NULL_TYPE
    if of.name == "INTEGER" and left.is_null and right.is_null:
        of = NULL_TYPE
    return finish(make(operator, [left, right], of), env)


def _numeric_sides(operator: str, left: Typed, right: Typed, env: BindEnv) -> tuple[Typed, Typed]:
    one, two = left.sql_type, right.sql_type
    if one.is_character and two.is_character:
        left, right = cast(left, DECIMAL, env), cast(right, DECIMAL, env)
    elif one.is_character and two.is_numeric:
        left = cast(left, without_length(two), env)
    elif two.is_character and one.is_numeric:
        right = cast(right, without_length(one), env)
    for side in (left, right):
        if not (side.sql_type.is_numeric or side.sql_type.is_null):
            raise _operand_refusal(operator, left, right, _FORMS[operator], env)
    return left, right


def bind_negate(value: Typed, env: BindEnv) -> Typed:
    """Unary minus."""
    if value.sql_type.is_character:
        value = cast(value, DECIMAL, env)
    if value.sql_type.name == "INTERVAL" and isinstance(value.node, Literal):
        return replace(value, node=Literal(-value.node.value, LONG))
    if not (value.sql_type.is_numeric or value.sql_type.is_null):
        forms = "'-<NUMERIC>'\n'-<DATETIME_INTERVAL>'"
        refuse(f"Cannot apply '-' to arguments of type '-<{value.sql_type}>'. Supported form(s): {forms}", env.position)
    if isinstance(value.node, Literal) and value.node.value is not None and value.source is None:
        if value.node.value == 0:
            return replace(value, position=env.position)
        number = -value.node.value
        of = INTEGER if value.sql_type.name == "BIGINT" and number == -(2**31) else value.sql_type
        return replace(value, node=Literal(number, value.node.type), sql_type=of, position=env.position)
    return finish(make("-", [value], value.sql_type), env)


def bind_concat(left: Typed, right: Typed, env: BindEnv) -> Typed:
    """`a || b`: NULL when a side is; other types are read as text."""
    if any(v.sql_type.name in ("ARRAY", "OTHER", "INTERVAL") for v in (left, right)):
        raise _operand_refusal("||", left, right, ("'<STRING> || <STRING>'",), env)
    sides = [cast(v, SqlType("VARCHAR"), env) if not v.sql_type.is_character else v for v in (left, right)]
    both = [v.sql_type for v in (left, right)]
    of = SqlType("VARCHAR")
    if all(t.name == "CHAR" for t in both):
        of = SqlType("CHAR", length=sum(t.length or 0 for t in both))
    flat: list[Typed | Node] = []
    for side in sides:
        node = side.node
        joined = isinstance(node, Call) and node.function == "concat" and not side.multi_value
        flat += list(node.args) if joined and isinstance(node, Call) else [side]
    return finish(make("concat", flat, of, multi_value=any(s.multi_value for s in sides)), env)


# -------------------------------------------------------------------------------------------------------- comparison


def bind_comparison(operator: str, left: Typed, right: Typed, env: BindEnv) -> Typed:
    """`= <> < <= > >=`."""
    left, right = comparable(operator, left, right, env)
    if operator in ("=", "<>", "!=") and left.sql_type.name == right.sql_type.name == "BOOLEAN":
        constant, value = (left, right) if left.is_literal else (right, left)
        if constant.is_literal and not constant.is_null:
            # `x = TRUE` is x itself, also where it is unknown.
            same = (constant.literal_value == 1) == (operator == "=")
            return replace(value, position=env.position) if same else bind_not(value, env)
    return finish(make(_NATIVE_COMPARISON[operator], [left, right], BOOLEAN), env)


def comparable(operator: str, left: Typed, right: Typed, env: BindEnv) -> tuple[Typed, Typed]:
    """Both sides with the casts a comparison implies: texts beside numbers, times or booleans are read as these."""
    one, two = left.sql_type, right.sql_type
    if one.is_null or two.is_null or one == two or (one.is_numeric and two.is_numeric):
        return left, right
    if one.is_character and two.is_character:
        return left, right
    if one.is_time and two.is_time:
        return left, right
    if one.is_character and (two.is_numeric or two.is_time or two.name == "BOOLEAN"):
        return _as_other(left, two, env), right
    if two.is_character and (one.is_numeric or one.is_time or one.name == "BOOLEAN"):
        return left, _as_other(right, one, env)
    if one.name == "ARRAY" and two.name == "ARRAY":
        return left, right
    if one.name == "OTHER" and two.name == "OTHER":
        return left, right
    raise _operand_refusal(operator, left, right, (f"'<COMPARABLE_TYPE> {operator} <COMPARABLE_TYPE>'",), env)


def _as_other(value: Typed, to: SqlType, env: BindEnv) -> Typed:
    wanted = SqlType("TIMESTAMP") if to.is_time else without_length(to)
    made = cast(value, wanted, env)
    if to.is_time and value.is_literal and made.is_null and not value.is_null:
        text = str(value.literal_value).replace("'", "''")
        raise invalid_sql(f"Illegal TIMESTAMP constant [CAST('{text}'):TIMESTAMP(3) NOT NULL]")
    return made


def bind_between(value: Typed, low: Typed, high: Typed, env: BindEnv, *, symmetric: bool = False) -> Typed:
    """`x BETWEEN a AND b`, both ends included; SYMMETRIC takes the ends in either order."""
    made = bind_and([bind_comparison(">=", value, low, env), bind_comparison("<=", value, high, env)], env)
    if not symmetric:
        return made
    other = bind_and([bind_comparison(">=", value, high, env), bind_comparison("<=", value, low, env)], env)
    return bind_or([made, other], env)


def bind_in(value: Typed, items: Sequence[Typed], env: BindEnv) -> Typed:
    """`x IN (items)`; wrap in `bind_not` for NOT IN. NULL among the items leaves unmatched rows unknown."""
    of = least_restrictive([value.sql_type, *(i.sql_type for i in items)])
    if of is None and all(v.sql_type.name == "ARRAY" for v in (value, *items)):
        return bind_or([bind_comparison("=", value, i, env) for i in items], env)
    if of is None:
        refuse("Values passed to IN operator must have compatible types", env.position)
    if value.sql_type.is_character and any(i.sql_type.name == "BOOLEAN" for i in items):
        # a text beside a truth value is read as one
        return bind_or([bind_comparison("=", value, i, env) for i in items], env)
    if value.sql_type.is_time and of.is_character:
        pairs = [comparable("=", value, i, env)[1] for i in items]
    elif of.is_character:
        value = value if value.sql_type.is_character or value.is_null else cast(value, SqlType("VARCHAR"), env)
        pairs = [i if i.sql_type.is_character or i.is_null else cast(i, SqlType("VARCHAR"), env) for i in items]
    else:
        pairs = list(items)
    constants = [i for i in pairs if i.is_literal]
    terms: list[Typed] = []
    values = list(dict.fromkeys(i.literal_value for i in constants if not i.is_null))
    if len(values) > 1:
        kind = native(of) if native(of).kind != "FLOAT" else native(SqlType("DOUBLE"))
        kind = STRING if of.is_character and not value.sql_type.is_time else LONG if value.sql_type.is_time else kind
        listed = [float(v) if kind.kind == "DOUBLE" and native(value.sql_type) != LONG else v for v in values]
        whole = all(float(v).is_integer() for v in listed) if kind.kind == "DOUBLE" else True
        if kind.kind == "DOUBLE" and native(value.sql_type) == LONG and whole:
            kind, listed = LONG, [int(v) for v in listed]
        array = Call("array", tuple(Literal(v, kind) for v in listed))
        terms.append(make("scalar_in_array", [value, array], BOOLEAN))
    elif values:
        terms.append(bind_comparison("=", value, next(i for i in constants if not i.is_null), env))
    terms += [bind_comparison("=", value, i, env) for i in pairs if not i.is_literal]
    if any(i.is_null for i in constants):
        terms.append(literal(None, BOOLEAN))
    return bind_or(terms, env)


def bind_like(value: Typed, pattern: Typed, escape: Typed | None, env: BindEnv) -> Typed:
    """`x LIKE pattern [ESCAPE c]`; numbers are read as text."""
    sides = [value, pattern, *([escape] if escape is not None else [])]
    if any(v.sql_type.name in ("ARRAY", "OTHER", "INTERVAL") for v in sides):
        forms = ("'LIKE(<STRING>, <STRING>, <STRING>)'",)
        raise _operand_refusal("LIKE", value, pattern, forms, env)
    texts = [v if v.sql_type.is_character or v.is_null else cast(v, SqlType("VARCHAR"), env) for v in sides]
    if escape is not None and (not escape.is_literal or len(str(escape.literal_value)) != 1):
        refuse("Invalid escape character", env.position)
    return finish(make("like", texts, BOOLEAN), env)


def bind_is(value: Typed, what: str, env: BindEnv) -> Typed:
    """`x IS what` with what NULL, NOT NULL, TRUE, NOT TRUE, FALSE, NOT FALSE."""
    function = {
        "NULL": "isnull", "NOT NULL": "notnull", "TRUE": "istrue", "NOT TRUE": "nottrue", "FALSE": "isfalse",
        "NOT FALSE": "notfalse",
    }[what.upper()]  # fmt: skip
    if function not in ("isnull", "notnull"):
        value = _condition(value, f"IS {what.upper()}", env, form=f"'<BOOLEAN> IS {what.upper()}'")
    return finish(make(function, [value], BOOLEAN), env)


def bind_distinct(left: Typed, right: Typed, env: BindEnv, *, negated: bool = False) -> Typed:
    """`a IS DISTINCT FROM b`, or with `negated` its opposite; never NULL."""
    left, right = comparable("IS DISTINCT FROM", left, right, env)
    if right.is_null or left.is_null:
        value = left if right.is_null else right
        return bind_is(value, "NULL" if negated else "NOT NULL", env)
    equal = make("==", [left, right], BOOLEAN)
    known = make("istrue" if negated else "nottrue", [equal], BOOLEAN)
    if left.is_literal or right.is_literal:
        return finish(known, env)
    test, join = ("isnull", "&&") if negated else ("notnull", "||")
    outer = make(join, [make(test, [left], BOOLEAN), make(test, [right], BOOLEAN)], BOOLEAN)
    return finish(make("||" if negated else "&&", [outer, known], BOOLEAN), env)


# ------------------------------------------------------------------------------------------------------------- logic


def bind_and(terms: Sequence[Typed], env: BindEnv) -> Typed:
    return _logic("&&", "AND", terms, env)


def bind_or(terms: Sequence[Typed], env: BindEnv) -> Typed:
    return _logic("||", "OR", terms, env)


def _logic(operator: str, word: str, terms: Sequence[Typed], env: BindEnv) -> Typed:
    """One call over all terms, inner chains dissolved; constants that decide or do not matter are simplified away."""
    decisive = 0 if operator == "&&" else 1
    checked = [_condition(t, word, env, form=f"'<BOOLEAN> {word} <BOOLEAN>'", all_terms=terms) for t in terms]
    if any(t.is_literal and t.literal_value == decisive for t in checked):
        return literal(bool(decisive), None, env.position)
    kept = [t for t in checked if not (t.is_literal and t.literal_value == 1 - decisive)]
    if not kept:
        return literal(bool(1 - decisive), None, env.position)
    if len(kept) == 1:
        return finish(kept[0], env)
    nodes: list[Typed | Node] = []
    for term in kept:
        inner = term.node
        nodes += inner.args if isinstance(inner, Call) and inner.function == operator else [term]
    return finish(make(operator, nodes, BOOLEAN), env)


def bind_not(value: Typed, env: BindEnv) -> Typed:
    """NOT; of a comparison its opposite."""
    value = _condition(value, "NOT", env, form="'NOT<BOOLEAN>'", prefix=True)
    node = value.node
    if isinstance(node, Call) and node.function in _OPPOSITE and len(node.args) == 2:
        return finish(replace(value, node=Call(_OPPOSITE[node.function], node.args), source=None), env)
    swapped = {"isnull": "notnull", "notnull": "isnull", "istrue": "nottrue", "nottrue": "istrue",
               "isfalse": "notfalse", "notfalse": "isfalse"}  # fmt: skip
    if isinstance(node, Call) and node.function in swapped:
        return finish(replace(value, node=Call(swapped[node.function], node.args), source=None), env)
    if isinstance(node, Call) and node.function == "!":
        return replace(value, node=node.args[0], source=None)
    return finish(make("!", [value], BOOLEAN), env)


def _condition(
    value: Typed, word: str, env: BindEnv, *, form: str, all_terms: Sequence[Typed] = (), prefix: bool = False
) -> Typed:
    if value.sql_type.name == "BOOLEAN":
        return value
    if value.sql_type.is_null:
        return replace(value, sql_type=BOOLEAN, node=Literal(None, LONG))
    if value.sql_type.is_character:
        return cast(value, BOOLEAN, env)
    if prefix:
        shown = f"{word}<{value.sql_type}>"
    elif all_terms:
        shown = f" {word} ".join(f"<{t.sql_type}>" for t in all_terms)
    else:
        shown = f"<{value.sql_type}> {word}"
    raise refusal(f"Cannot apply '{word}' to arguments of type '{shown}'. Supported form(s): {form}", env.position)


# --------------------------------------------------------------------------------------------------- CASE and its kin


def bind_case(whens: Sequence[tuple[Typed, Typed]], otherwise: Typed | None, env: BindEnv) -> Typed:
    """Searched CASE. A simple CASE arrives with `operand = value` conditions."""
    last = otherwise if otherwise is not None else literal(None)
    of = least_restrictive([*(r.sql_type for _, r in whens), last.sql_type])
    if of is None:
        raise invalid_sql("Illegal mixing of types in CASE or COALESCE statement")
    args: list[Typed] = []
    branches = unify([*(r for _, r in whens), last], of, env)
    for (condition, _), branch in zip(whens, branches):
        test = _condition(condition, "CASE", env, form="'<BOOLEAN>'")
        if test.is_literal and not test.literal_value:
            continue
        if test.is_literal and not args:
            return replace(branch, sql_type=of, position=env.position)
        args += [test, branch]
        if test.is_literal:
            break
    else:
        args.append(branches[-1])
    if len(args) == 1:
        return replace(args[0], sql_type=of, position=env.position)
    multi = any(b.multi_value for b in branches)
    return finish(make("case_searched", args, of, multi_value=multi and of.is_character), env)


def bind_coalesce(values: Sequence[Typed], env: BindEnv) -> Typed:
    """COALESCE: the first argument that is not NULL, as the common type."""
    of = least_restrictive([v.sql_type for v in values])
    if of is None:
        raise invalid_sql("Illegal mixing of types in CASE or COALESCE statement")
    kept: list[Typed] = []
    for value in unify(list(values), of, env):
        if value.is_null:
            continue
        kept.append(value)
        if value.is_literal:
            break
    if not kept:
        return replace(literal(None), sql_type=of, position=env.position)
    if len(kept) == 1:
        return replace(kept[0], sql_type=of, position=env.position)
    return finish(make("nvl" if len(kept) == 2 else "coalesce", kept, of), env)


def bind_nullif(left: Typed, right: Typed, env: BindEnv) -> Typed:
    """NULLIF: NULL where both are equal, else the first."""
    if left.is_null:
        return replace(left, position=env.position)
    equal = bind_comparison("=", left, right, env)
    if equal.is_literal:
        return replace(literal(None), sql_type=left.sql_type) if equal.literal_value == 1 else left
    nothing = Literal(None, None)
    return finish(make("case_searched", [equal, nothing, left], left.sql_type, multi_value=left.multi_value), env)


def bind_cast(value: Typed, to: SqlType, env: BindEnv) -> Typed:
    """CAST(value AS to)."""
    made = cast(value, to, env, explicit=True)
    return replace(made, sql_type=to, position=env.position)


def bind_array(items: Sequence[Typed], env: BindEnv) -> Typed:
    """`ARRAY[..]`."""
    if not items:
        refuse("Require at least 1 argument", env.position)
    known = [i.sql_type for i in items if not i.sql_type.is_null]
    of = least_restrictive([i.sql_type for i in items], strings_win=False)
    if of is None or (any(t.is_time for t in known) and any(not t.is_time for t in known)):
        refuse("Parameters must be of the same type", env.position)
    branches = unify(list(items), of, env) if not of.is_null else list(items)
    return replace(make("array", branches, sql_array(of), multi_value=False), position=env.position)


def _operand_refusal(operator: str, left: Typed, right: Typed, forms: Sequence[str], env: BindEnv) -> DruidException:
    shown = f"<{left.sql_type}> {operator} <{right.sql_type}>"
    listed = "\n".join(forms)
    return refusal(
        f"Cannot apply '{operator}' to arguments of type '{shown}'. Supported form(s): {listed}", env.position
    )
