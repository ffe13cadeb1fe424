"""Time functions, native side. Times are ms since the epoch; zones and periods are constants in nearly every call.

In UTC and at fixed offsets the SQL is plain integer or calendar arithmetic; other zones go through a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import LONG, STRING
from msq.expr.declare import native
from msq.expr.kernels.joda import compile_pattern
from msq.expr.kernels.times import UNITS, FieldPeriod, period
from msq.expr.lower import Lowered, Lowering, convert, quote
from msq.expr.nodes import Call, Identifier, Literal
from msq.expr.printer import to_text
from msq.expr.zones import zone
from msq.faults import DruidException, invalid_input

_FIRST, _LAST = -62135596800000, 253402300799999
"""0001-01-01 to 9999-12-31, where DuckDB's calendar functions are used."""
_MOST_MONTHS = 120
"""Of a period that DuckDB adds: ten thousand of them still lead to a time that it knows."""


def _zone_name(node: Call, position: int) -> str | None:
    """The zone's id; UTC when it is left out or null; None when it is not constant."""
    if position >= len(node.args):
        return "UTC"
    arg = node.args[position]
    if not isinstance(arg, Literal):
        return None
    return "UTC" if arg.value is None else str(arg.value)


def _bad_period(node: Call) -> DruidException:
    """The refusal of a constant period, the second argument."""
    # what is computed below stands here under its own text as a name
    shown = [a.name if isinstance(a, Identifier) and a.name[:1] == "(" else to_text(a) for a in node.args]
    period_text = to_text(node.args[1])
    return invalid_input(f"Invalid period[{period_text}] specified for expression[{node.function}({', '.join(shown)})]")


def _period(node: Call) -> FieldPeriod | None:
    """The constant period of a bucket function; None when it is not constant. Raises for one that cannot be."""
    arg = node.args[1]
    if not isinstance(arg, Literal):
        return None
    try:
        found = period(str(arg.value))
    except ValueError as error:
        raise _bad_period(node) from error
    if not found.fields:
        raise DruidException("zero period is not acceptable in PeriodGranularity!", category="UNCATEGORIZED",
                             persona="OPERATOR")  # fmt: skip
    return found


def _bucket(kernel: str) -> object:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        time = convert(args[0], LONG)
        length = _period(node)
        tz = _zone_name(node, 3)
        origin = convert(args[2], LONG) if len(args) > 2 else "CAST(NULL AS BIGINT)"
        start = node.args[2] if len(node.args) > 2 else Literal(None, None)
        zone_sql = quote(tz) if tz is not None else convert(args[3], STRING)
        slow = f"{kernel}({time}, {convert(args[1], STRING)}, {origin}, {zone_sql})"
        if length is None or tz is None or not isinstance(start, Literal):
            return Lowered(slow, LONG)
        offset = zone(tz).fixed
        fast = None if offset is None else _fixed_floor(time, length, start.value, offset)
        if fast is None:
            return Lowered(slow, LONG)
        if kernel == "py_time_floor":
            return Lowered(fast, LONG)
        size = length.fixed_ms
        if size is None:
            return Lowered(slow, LONG)
        return Lowered(f"(CASE WHEN {fast} = {time} THEN {time} ELSE {fast} + {size} END)", LONG)

    return rule


def _fixed_floor(time: str, length: FieldPeriod, origin: int | None, offset: int) -> str | None:
    """Integer SQL where buckets have one length; calendar SQL for months from the default origin; else None."""
    size = length.fixed_ms
    if size is not None:
        base = -offset if origin is None else origin
        if length.fields == [("weeks", 1)] and origin is None:
            base = -3 * 86_400_000 - offset
        if base % size == 0:
            return f"({time} - (({time} % {size}) + {size}) % {size})"
        return f"({time} - ((({time} - ({base})) % {size}) + {size}) % {size})"
    if origin is not None or len(length.fields) != 1:
        return None
    months = length.years * 12 + length.months
    local = f"({time} + {offset})" if offset else time
    if months in (1, 3, 12):
        unit = {1: "month", 3: "quarter", 12: "year"}[months]
        made = f"epoch_ms(date_trunc('{unit}', epoch_ms({local})))"
    else:
        made = f"epoch_ms(time_bucket(to_months({months}), epoch_ms({local}), TIMESTAMP '1970-01-01'))"
    made = f"{made} - {offset}" if offset else made
    name = (
        "UTC"
        if not offset
        else f"{'-' if offset < 0 else '+'}{abs(offset) // 3600000:02d}:{abs(offset) // 60000 % 60:02d}"
    )
    text = f"P{length.years}Y" if length.years else f"P{length.months}M"
    slow = f"py_time_floor({time}, '{text}', CAST(NULL AS BIGINT), '{name}')"
    return f"(CASE WHEN {time} BETWEEN {_FIRST} AND {_LAST} THEN {made} ELSE {slow} END)"


native("timestamp_floor", "Start of the time bucket (period, origin, zone).", LONG, _bucket("py_time_floor"))  # type: ignore[arg-type]
native("timestamp_ceil", "End of the time bucket, or the time itself at its start.", LONG, _bucket("py_time_ceil"))  # type: ignore[arg-type]


def _shift(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    time, text, step = convert(args[0], LONG), convert(args[1], STRING), convert(args[2], LONG)
    tz = _zone_name(node, 3)
    if isinstance(node.args[1], Literal) and node.args[1].value is not None:
        try:
            length = period(str(node.args[1].value))
        except ValueError as error:
            raise _bad_period(node) from error
        plain = length.fixed_ms
        clock_only = not (length.weeks or length.days)
        if plain is not None and (clock_only or (tz is not None and zone(tz).fixed is not None)):
            return Lowered(f"d_shift({time}, {step}, CAST({plain} AS BIGINT))", LONG)
        months = length.years * 12 + length.months
        rest = replace(length, years=0, months=0).fixed_ms or 0
        near = abs(months) <= _MOST_MONTHS and abs(rest) <= _LAST
        if plain is None and near and tz is not None and zone(tz).fixed is not None:
            local = f"({time} + {zone(tz).fixed})" if zone(tz).fixed else time
            moved = f"d_months({local}, {step}, {months}, CAST({rest} AS BIGINT))"
            moved = f"{moved} - {zone(tz).fixed}" if zone(tz).fixed else moved
            slow = f"py_time_shift({time}, {text}, {step}, {quote(tz)})"
            return Lowered(
                f"(CASE WHEN {time} BETWEEN {_FIRST} AND {_LAST} AND coalesce({step}, 0) BETWEEN -10000 AND 10000 "
                f"THEN {moved} ELSE {slow} END)",
                LONG,
            )
    zone_sql = quote(tz) if tz is not None else convert(args[3], STRING)
    return Lowered(f"py_time_shift({time}, {text}, {step}, {zone_sql})", LONG)


native("timestamp_shift", "The time moved by a number of periods in a zone; a NULL step moves nothing.", LONG, _shift)


def _extract(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    time = convert(args[0], LONG)
    arg = node.args[1] if len(node.args) > 1 else None
    if not isinstance(arg, Literal):
        raise invalid_input("Function[timestamp_extract] unit must be a literal")
    unit = str(arg.value).upper()
    if unit not in UNITS:
        raise DruidException(
            f"No enum constant org.apache.druid.query.expression.TimestampExtractExprMacro.Unit.{unit}",
            category="UNCATEGORIZED", persona="OPERATOR",
        )  # fmt: skip
    tz = _zone_name(node, 2) or "UTC"
    offset = zone(tz).fixed
    local = time if not offset else f"({time} + {offset})"
    in_day = f"(({local} % 86400000) + 86400000) % 86400000"
    clock = {"MILLISECOND": (1, 1000), "SECOND": (1000, 60), "MINUTE": (60_000, 60), "HOUR": (3_600_000, 24)}.get(unit)
    if unit == "EPOCH":
        return Lowered(f"({time} // 1000)", LONG)
    if offset is None and unit not in ("MILLISECOND",):
        return Lowered(f"py_time_extract({time}, '{unit}', {quote(tz)})", LONG)
    if clock is not None:
        return Lowered(f"({in_day} // {clock[0]} % {clock[1]})", LONG)
    part = {"DOW": "isodow", "ISOYEAR": "year", "CENTURY": "year", "MILLENNIUM": "year", "DECADE": "year"}.get(
        unit, unit.lower()
    )
    found = f"date_part('{part}', epoch_ms({local}))"
    scale = {"DECADE": "// 10", "CENTURY": "+ 99) // 100", "MILLENNIUM": "+ 999) // 1000"}.get(unit, "")
    made = f"({'(' if ')' in scale else ''}{found} {scale})" if scale else found
    slow = f"py_time_extract({time}, '{unit}', {quote(tz)})"
    return Lowered(f"(CASE WHEN {time} BETWEEN {_FIRST} AND {_LAST} THEN {made} ELSE {slow} END)", LONG)


native("timestamp_extract", "A calendar field of the time in a zone.", LONG, _extract)


def _parse(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    text = convert(args[0], STRING)
    tz = _zone_name(node, 2)
    zone_sql = quote(tz) if tz is not None else convert(args[2], STRING)
    pattern = node.args[1] if len(node.args) > 1 else Literal(None, None)
    if isinstance(pattern, Literal) and pattern.value is None:
        return Lowered(f"py_parse_iso({text}, {zone_sql})", LONG)
    if isinstance(pattern, Literal):
        _checked(str(pattern.value))
    return Lowered(f"py_parse_time({text}, {convert(args[1], STRING)}, {zone_sql})", LONG)


def _checked(pattern: str) -> None:
    """Raises for a constant that is no pattern."""
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise DruidException(str(error), category="UNCATEGORIZED", persona="OPERATOR") from error


native("timestamp_parse", "The time of a text, ISO or by a pattern, in a zone; NULL when it is none.", LONG, _parse)
native("timestamp", "The time of an ISO text in UTC.", LONG,
       lambda lowering, node, args: _parse(lowering, Call("timestamp_parse", node.args), args))  # fmt: skip
native("unix_timestamp", "Seconds of an ISO text.", LONG,
       lambda lowering, node, args: Lowered(f"({_parse(lowering, node, args).sql} // 1000)", LONG))  # fmt: skip

_STRFTIME = {("y", 4): "%Y", ("Y", 4): "%Y", ("M", 2): "%m", ("d", 2): "%d", ("H", 2): "%H", ("m", 2): "%M",
             ("s", 2): "%S",
             ("S", 3): "%g", ("M", 3): "%b", ("M", 4): "%B", ("a", 1): "%p", ("h", 2): "%I", ("D", 3): "%j",
             ("E", 3): "%a", ("E", 4): "%A"}  # fmt: skip
DEFAULT_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSZZ"


def _format(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    time = convert(args[0], LONG)
    tz = _zone_name(node, 2)
    pattern = node.args[1] if len(node.args) > 1 else Literal(DEFAULT_FORMAT, STRING)
    if isinstance(pattern, Literal) and pattern.value is None:
        pattern = Literal(DEFAULT_FORMAT, STRING)
    pattern_sql = quote(str(pattern.value)) if isinstance(pattern, Literal) else convert(args[1], STRING)
    zone_sql = quote(tz) if tz is not None else convert(args[2], STRING)
    if isinstance(pattern, Literal):
        _checked(str(pattern.value))
    if tz is not None and not zone(tz).known:
        raise DruidException(
            f"The datetime zone id '{tz}' is not recognised", category="UNCATEGORIZED", persona="OPERATOR"
        )
    slow = f"py_format_time({time}, {pattern_sql}, {zone_sql})"
    if tz is None or not isinstance(pattern, Literal):
        return Lowered(slow, STRING)
    offset = zone(tz).fixed
    form = _strftime(str(pattern.value), offset)
    if form is None:
        return Lowered(slow, STRING)
    local = f"py_local({time}, {zone_sql})" if offset is None else f"({time} + {offset})" if offset else time
    made = f"strftime(epoch_ms({local}), {quote(form)})"
    return Lowered(
        f"(CASE WHEN {time} BETWEEN {_FIRST + 86400000} AND {_LAST - 86400000} THEN {made} ELSE {slow} END)", STRING
    )


def _strftime(pattern: str, offset: int | None) -> str | None:
    """DuckDB's format for a pattern it prints alike, else None."""
    out = []
    for piece in compile_pattern(pattern):
        if not piece.letter:
            out.append(piece.text.replace("%", "%%"))
        elif piece.letter == "Z" and piece.count < 3 and offset is not None:
            minutes = abs(offset) // 60_000
            colon = ":" if piece.count == 2 else ""
            out.append(f"{'-' if offset < 0 else '+'}{minutes // 60:02d}{colon}{minutes % 60:02d}")
        elif (piece.letter, piece.count) in _STRFTIME:
            out.append(_STRFTIME[piece.letter, piece.count])
        else:
            return None
    return "".join(out)


native("timestamp_format", "The time by a Joda pattern in a zone.", STRING, _format)


def _subtract_months(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    tz = _zone_name(node, 2) or "UTC"
    return Lowered(f"py_months_between({convert(args[0], LONG)}, {convert(args[1], LONG)}, {quote(tz)})", LONG)


native("subtract_months", "Complete months between two times in a zone.", LONG, _subtract_months)
