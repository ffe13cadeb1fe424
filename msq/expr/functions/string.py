"""String functions, native side. Positions count UTF-16 units."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msq.datatypes import LONG, STRING, STRING_ARRAY
from msq.expr.declare import native, plain, predicate
from msq.expr.kernels.formats import simple_pieces
from msq.expr.kernels.lookups import handle
from msq.expr.kernels.regex import (
    check_group,
    check_pattern,
    check_replacement,
    extractable,
    re2_pattern,
    replaceable,
    searchable,
    splittable,
)
from msq.expr.lower import Lowered, Lowering, convert, java_int, quote
from msq.expr.nodes import Call, Literal
from msq.faults import invalid_input


def _concat(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    return Lowered("(" + " || ".join(convert(a, STRING) for a in args) + ")", STRING)


native("concat", "The arguments joined; NULL when one is.", STRING, _concat)
plain("strlen", "Length in UTF-16 units.", "S", "d_len({0})", LONG)
plain("upper", "Upper case, by Java's rules.", "S", "d_upper({0})", STRING)
plain("lower", "Lower case, by Java's rules.", "S", "d_lower({0})", STRING)
plain("reverse", "Characters in reverse order.", "S", "reverse({0})", STRING)
plain("repeat", "The text n times; NULL below 1.", "SL", "d_repeat({0}, d_int({1}))", STRING)


def _substring(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    """From a 0-based position; a start at or past the end is NULL, a negative length reads to the end."""
    text, start = convert(args[0], STRING), java_int(args[1])
    length = java_int(args[2]) if len(args) > 2 else "CAST(-1 AS BIGINT)"
    checked = (
        f"CASE WHEN {start} < 0 AND {text} IS NOT NULL "
        "THEN py_fail('Function[substring] encountered unknown exception.') "
        f"WHEN d_wide({text}) THEN py_substring({text}, {start}, {length}) "
        f"WHEN {start} >= length({text}) AND NOT ({start} = 0 AND {length} = 0) THEN NULL "
        f"WHEN {length} < 0 THEN substring({text}, {start} + 1) ELSE substring({text}, {start} + 1, {length}) END"
    )
    if length.startswith("CAST(") and isinstance(node.args[1], Literal) and isinstance(node.args[-1], Literal):
        at, count = node.args[1].value, node.args[2].value if len(node.args) > 2 else -1  # type: ignore[attr-defined]
        if at is not None and count is not None and at >= 0:
            part = f"substring({text}, {at + 1})" if count < 0 else f"substring({text}, {at + 1}, {count})"
            missing = "" if at == 0 and count == 0 else f" WHEN length({text}) <= {at} THEN NULL"
            if at == 0 and count < 0:
                missing = f" WHEN {text} = '' THEN NULL"
            checked = f"CASE WHEN d_wide({text}) THEN py_substring({text}, {at}, {count}){missing} ELSE {part} END"
    return Lowered(f"({checked})", STRING)


native("substring", "n UTF-16 units from a 0-based position.", STRING, _substring)


def _side(name: str) -> None:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        text, count = convert(args[0], STRING), java_int(args[1])
        refusal = f"py_fail('Function[{name}] needs a positive integer as the second argument')"
        return Lowered(
            f"(CASE WHEN {count} < 0 THEN {refusal} WHEN d_wide({text}) THEN py_{name}({text}, {count}) "
            f"ELSE {name}({text}, {count}) END)",
            STRING,
        )

    native(name, f"The {name}most n UTF-16 units.", STRING, rule)


_side("left")
_side("right")


def _pad(name: str) -> None:
    on_left = "true" if name == "lpad" else "false"

    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        text, length = convert(args[0], STRING), java_int(args[1])
        filler = convert(args[2], STRING) if len(args) > 2 else "' '"
        return Lowered(
            f"(CASE WHEN {filler} IS NULL OR {length} IS NULL THEN NULL "
            f"WHEN {length} <= 0 THEN CASE WHEN {length} < 0 AND {text} IS NOT NULL THEN '' END "
            f"WHEN {filler} = '' OR d_wide({text}) OR d_wide({filler}) "
            f"THEN py_pad({text}, {length}, {filler}, {on_left}) "
            f"ELSE {name}({text}, CAST(d_sized('{name}', {length}) AS INTEGER), {filler}) END)",
            STRING,
        )

    native(name, "The text filled up to n units with a pattern, or cut to n.", STRING, rule)


_pad("lpad")
_pad("rpad")


def _trim(name: str) -> None:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        text = convert(args[0], STRING)
        if len(args) == 1:
            return Lowered(f"{name}({text}, ' ')", STRING)
        return Lowered(f"{name}({text}, coalesce({convert(args[1], STRING)}, ''))", STRING)

    native(name, "The text without the given characters at its ends; one blank when none are given.", STRING, rule)


for _name in ("trim", "ltrim", "rtrim"):
    _trim(_name)
plain("replace", "Every occurrence of a part replaced.", "SSS",
      "(CASE WHEN {1} = '' THEN py_replace({0}, {1}, {2}) ELSE replace({0}, {1}, {2}) END)", STRING)  # fmt: skip
plain("strpos", "0-based position of a part at or after a start; -1 when absent.", "SSL",
      {2: "d_pos({0}, {1}, CAST(0 AS BIGINT))", 3: "d_pos({0}, {1}, d_int({2}))"}, LONG)  # fmt: skip
predicate("contains_string", "Whether the text holds the part.", "SS", "contains({0}, {1})")
predicate(
    "icontains_string", "Whether the text holds the part, in any case.", "SS", "contains(d_lower({0}), d_lower({1}))"
)
plain("parse_long", "A LONG in a radix; NULL when the text is none.", "SL",
      {1: "(CASE WHEN regexp_full_match({0}, '[+-]?[0-9]+') THEN TRY_CAST({0} AS BIGINT) END)",
       2: "py_parse_long({0}, {1})"}, LONG)  # fmt: skip
plain("decode_base64_utf8", "UTF-8 text of base64.", "S", "d_base64({0})", STRING)


def _like(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text, pattern = convert(args[0], STRING), convert(args[1], STRING)
    escape = node.args[2] if len(node.args) > 2 else None
    tail = ""
    if isinstance(escape, Literal) and escape.value is not None:
        tail = f" ESCAPE {quote(str(escape.value))}"
    return Lowered(f"({text} LIKE {pattern}{tail})", LONG, boolean=True)


native("like", "SQL LIKE: % any text, _ any character, optional escape character.", LONG, _like)


def _format(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    """Java's String.format; the kernel gets each value as text beside its kind (S, L, D)."""
    pattern = convert(args[0], STRING)
    if len(args) == 1:
        return Lowered(pattern, STRING)
    fixed = node.args[0].value if isinstance(node.args[0], Literal) else None
    quick = _plain_format(fixed, args[1:]) if isinstance(fixed, str) else None
    if quick is not None:
        return Lowered(quick, STRING)
    kinds = "".join("N" if a.is_null else {"LONG": "L", "DOUBLE": "D"}.get(a.type.kind, "S") for a in args[1:])
    values = ", ".join(convert(a, STRING) for a in args[1:])
    return Lowered(f"py_format({pattern}, '{kinds}', CAST([{values}] AS VARCHAR[]))", STRING)


def _plain_format(pattern: str, args: Sequence[Lowered]) -> str | None:
    """SQL of a constant pattern of plain texts and whole numbers; None for another."""
    pieces = simple_pieces(pattern, len(args))
    out, rest = [], list(args)
    for kind, text in pieces or ():
        if kind == "text":
            out.append(quote(text))
            continue
        arg = rest.pop(0)
        if kind == "d" and arg.type != LONG:
            return None
        value = convert(arg, STRING)
        shown = f"d_digits({value}, {text})" if text else value
        null = f"'{'null'.rjust(int(text))}'" if text else "'null'"
        out.append(f"coalesce({shown}, {null})")
    return f"({' || '.join(out)})" if out else None


native("format", "Java's String.format.", STRING, _format)


def _regexp_like(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text = convert(args[0], STRING)
    pattern = node.args[1]
    fixed = pattern.value if isinstance(pattern, Literal) else None
    if isinstance(fixed, str):
        check_pattern("regexp_like", fixed)
    plain_pattern = searchable(fixed) if isinstance(fixed, str) else None
    if plain_pattern is not None:
        return Lowered(f"regexp_matches({text}, {quote(plain_pattern)})", LONG, boolean=True)
    return Lowered(f"py_regexp_like({text}, {convert(args[1], STRING)})", LONG, boolean=True)


native("regexp_like", "Whether the pattern is found anywhere.", LONG, _regexp_like)


def _matches_all(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text, pattern = convert(args[0], STRING), node.args[1]
    if isinstance(pattern, Literal) and isinstance(pattern.value, str):
        check_pattern("regexp_like", pattern.value)
        if "$" not in pattern.value and re2_pattern(pattern.value) is not None:
            return Lowered(f"regexp_full_match({text}, {quote(pattern.value)})", LONG, boolean=True)
    return Lowered(f"py_regexp_matches({text}, {convert(args[1], STRING)})", LONG, boolean=True)


native("regexp_matches_all", "Whether the pattern matches the whole text.", LONG, _matches_all)


def _extract(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text, pattern = convert(args[0], STRING), node.args[1]
    group = node.args[2] if len(node.args) > 2 else Literal(0, LONG)
    if isinstance(pattern, Literal) and isinstance(pattern.value, str):
        check_pattern("regexp_extract", pattern.value)
        if isinstance(group, Literal) and isinstance(group.value, int):
            check_group("regexp_extract", pattern.value, group.value)
    if isinstance(pattern, Literal) and isinstance(group, Literal) and extractable(str(pattern.value), group.value):
        found = quote(str(pattern.value))
        return Lowered(
            f"(CASE WHEN regexp_matches({text}, {found}) THEN regexp_extract({text}, {found}, {group.value}) END)",
            STRING,
        )
    number = convert(args[2], LONG) if len(args) > 2 else "CAST(0 AS BIGINT)"
    return Lowered(f"py_regexp_extract({text}, {convert(args[1], STRING)}, {number})", STRING)


native("regexp_extract", "The group of the first match; NULL without a match.", STRING, _extract)


def _replace(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    pattern, by = (a.value if isinstance(a, Literal) else None for a in node.args[1:3])
    if isinstance(pattern, str):
        check_pattern("regexp_replace", pattern)
        if isinstance(by, str):
            check_replacement("regexp_replace", pattern, by)
            quick = replaceable(pattern, by)
            if quick is not None:
                text = convert(args[0], STRING)
                return Lowered(f"regexp_replace({text}, {quote(pattern)}, {quote(quick)}, 'g')", STRING)
    texts = ", ".join(convert(a, STRING) for a in args)
    return Lowered(f"py_regexp_replace({texts})", STRING)


native("regexp_replace", "Every match replaced, $n for groups.", STRING, _replace)


def _split(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text, separator = convert(args[0], STRING), convert(args[1], STRING)
    if args[1].is_null:
        return Lowered(f"(CASE WHEN {text} IS NOT NULL THEN [{text}] END)", STRING_ARRAY)
    pattern = node.args[1]
    character = _one_character(str(pattern.value)) if isinstance(pattern, Literal) else None
    if character is not None:
        return Lowered(f"(d_split({text}, {quote(character)}))", STRING_ARRAY)
    if isinstance(pattern, Literal):
        check_pattern("string_to_array", str(pattern.value))
        if splittable(str(pattern.value)):
            return Lowered(f"(d_split_regex({text}, {separator}))", STRING_ARRAY)
    return Lowered(f"py_split({text}, {separator})", STRING_ARRAY)


def _one_character(pattern: str) -> str | None:
    """The character that a pattern stands for when it is just one (`,`, `\\.`, `[|]`), else None."""
    if len(pattern) == 1 and pattern not in ".^$*+?()[{|\\":
        return pattern
    escaped = re.fullmatch(r"\\([^\w\s])|\[([^\^\\\]])\]", pattern)
    return None if escaped is None else escaped[1] or escaped[2]


native("string_to_array", "The text split at a pattern; empty texts at the end are dropped.", STRING_ARRAY, _split)


def _lookup(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    name = node.args[1]
    if not isinstance(name, Literal):
        raise invalid_input("Function[lookup] second argument must be a registered lookup name")
    table = lowering.env.lookups.get(str(name.value))
    if table is None:
        raise invalid_input(f"Lookup [{name.value}] not found")
    missing = convert(args[2], STRING) if len(args) > 2 else "CAST(NULL AS VARCHAR)"
    return Lowered(f"py_lookup('{handle(table)}', {convert(args[0], STRING)}, {missing})", STRING)


native("lookup", "The value of a key in a lookup; else the third argument or NULL.", STRING, _lookup)
