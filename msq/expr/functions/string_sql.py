"""String functions, SQL side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import LONG
from msq.expr.binding import BindEnv, Typed, literal, make, refuse_types
from msq.expr.casting import cast, text_node
from msq.expr.declare_sql import sql
from msq.expr.nodes import Call, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN, INTEGER, VARCHAR, SqlType, sql_array
from msq.faults import invalid_input


def _case_type(args: Sequence[Typed]) -> SqlType:
    """CHAR stays CHAR, NULL stays NULL."""
    return args[0].sql_type


def _concat(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    if any(a.sql_type.name in ("ARRAY", "OTHER", "INTERVAL") for a in args):
        refuse_types("CONCAT", "'CONCAT(<STRING>, <STRING>, ...)'", args, env.position)
    texts = [a if a.sql_type.is_character or a.is_null else cast(a, VARCHAR, env) for a in args]
    return replace(texts[0], sql_type=of) if len(texts) == 1 else make("concat", texts, of)


def _before(position: int) -> int:
    """One less; what is below every Java int stays there."""
    return max(position - 1, -(2**31))


def _plus_one(call: Typed, of: SqlType) -> Typed:
    return make("+", [call, Literal(1, LONG)], of)


sql("CONCAT", "ANY ..", VARCHAR, _concat, "The arguments joined; NULL when one is.")
sql("TEXTCAT", "CHARACTER CHARACTER", VARCHAR, "concat", "Two texts joined.", display="textcat")
sql("LENGTH STRLEN", "CHARACTER", INTEGER, "strlen", "Length in UTF-16 units.", coerce=True)
sql("CHAR_LENGTH CHARACTER_LENGTH", "CHARACTER", INTEGER, "strlen", "Length in UTF-16 units.", coerce=True)
sql("UPPER", "CHARACTER", _case_type, "upper", "Upper case.", coerce=True)
sql("LOWER", "CHARACTER", _case_type, "lower", "Lower case.", coerce=True)
sql("REVERSE", "CHARACTER", VARCHAR, "reverse", "Characters in reverse order.")
sql("REPEAT", "CHARACTER INTEGER", VARCHAR, "repeat", "The text n times; NULL below 1.")
sql("LEFT", "CHARACTER INTEGER", VARCHAR, "left", "The leftmost n characters.")
sql("RIGHT", "CHARACTER INTEGER", VARCHAR, "right", "The rightmost n characters.")


def _substring(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    start = args[1]
    if start.is_literal and start.literal_value is not None:
        first: Typed | Node = Literal(_before(start.literal_value), LONG)
    else:
        first = Call("-", (start.node, Literal(1, LONG)))
    length: Typed | Node = args[2] if len(args) > 2 else Literal(-1, LONG)
    return make("substring", [args[0], first, length], of)


sql("SUBSTRING SUBSTR", "CHARACTER INTEGER [INTEGER]", VARCHAR, _substring, "n characters from a 1-based position.")


def _padded(name: str) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        filler: Typed | Node = args[2] if len(args) > 2 else text_node(" ")
        return make(name.lower(), [args[0], args[1], filler], of)

    sql(name, "CHARACTER INTEGER [CHARACTER]", VARCHAR, emit, "The text filled up, or cut, to n characters.")


_padded("LPAD")
_padded("RPAD")


def _trimmed(name: str, native_name: str) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        if args[0].is_null:
            return literal(None, of)
        return make(native_name, [args[0], args[1] if len(args) > 1 else text_node(" ")], of)

    sql(name, "CHARACTER [CHARACTER]", VARCHAR, emit, "The text without the given characters at its ends.")


_trimmed("BTRIM", "trim")
_trimmed("LTRIM", "ltrim")
_trimmed("RTRIM", "rtrim")
sql("REPLACE", "CHARACTER CHARACTER CHARACTER", VARCHAR, "replace", "Every occurrence of a part replaced.", coerce=True)


def _position(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    """POSITION(part IN text FROM start), called with (part, text[, start])."""
    start: Typed | Node = Literal(0, LONG)
    if len(args) > 2:
        given = args[2]
        if given.is_literal and given.literal_value is not None:
            start = Literal(_before(given.literal_value), LONG)
        else:
            start = Call("-", (given.node, Literal(1, LONG)))
    return _plus_one(make("strpos", [args[1], args[0], start], BIGINT), of)


sql(
    "POSITION",
    "CHARACTER CHARACTER [INTEGER]",
    INTEGER,
    _position,
    "1-based position of a part; 0 when absent.",
    coerce=True,
)
sql("STRPOS", "CHARACTER CHARACTER", INTEGER, lambda args, env, of: _plus_one(make("strpos", args, BIGINT), of),
    "1-based position of a part; 0 when absent.")  # fmt: skip
sql("CONTAINS_STRING", "CHARACTER CHARACTER", BOOLEAN, "contains_string", "Whether the text holds a constant part.",
    literals=(1,))  # fmt: skip
sql("ICONTAINS_STRING", "CHARACTER CHARACTER", BOOLEAN, "icontains_string", "Whether a part is held, in any case.",
    literals=(1,))  # fmt: skip
sql("REGEXP_LIKE", "CHARACTER CHARACTER", BOOLEAN, "regexp_like", "Whether a pattern is found.", literals=(1,))
sql("REGEXP_EXTRACT", "CHARACTER CHARACTER [INTEGER]", VARCHAR, "regexp_extract", "A group of a pattern's first match.",
    literals=(1, 2))  # fmt: skip
sql("REGEXP_REPLACE", "CHARACTER CHARACTER CHARACTER", VARCHAR, "regexp_replace", "Every match of a pattern replaced.")
sql("PARSE_LONG", "CHARACTER [INTEGER]", BIGINT, "parse_long", "The text as a whole number in a radix.")
sql("DECODE_BASE64_UTF8", "CHARACTER", VARCHAR, "decode_base64_utf8", "UTF-8 text of base64.")
sql("STRING_FORMAT", "CHARACTER [ANY] ..", VARCHAR, "format", "Java's String.format.")


def _split_type(name: str, of: SqlType, multi: bool) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, result: SqlType) -> Typed:
        return make("string_to_array", args, result, multi_value=multi)

    sql(name, "CHARACTER CHARACTER", of, emit, "The text split at a pattern.", coerce=True)


_split_type("STRING_TO_ARRAY", sql_array(VARCHAR), False)
_split_type("STRING_TO_MV", VARCHAR, True)


def _lookup(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    name = args[1].literal_value
    if name not in env.lookups:
        raise invalid_input(f"Lookup [{name}] not found")
    env.lookups_read.add(name)
    text = args[0] if args[0].sql_type.is_character else cast(args[0], VARCHAR, env)
    return make("lookup", [text, *args[1:]], of)


sql("LOOKUP", "ANY CHARACTER [CHARACTER]", VARCHAR, _lookup, "The value of a key in a named lookup.", literals=(1, 2))
