"""Time functions, intervals and time literals, SQL side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from msq.datatypes import LONG
from msq.expr.binding import BindEnv, Position, Typed, finish, literal, make, refuse, refuse_unknown
from msq.expr.casting import day_floor, long_node, text_node
from msq.expr.declare_sql import sql
from msq.expr.functions.time import DEFAULT_FORMAT
from msq.expr.kernels.joda import civil_days, local_to_utc, parse_iso
from msq.expr.kernels.times import UNITS, add, period
from msq.expr.nodes import Call, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN, DATE, INTEGER, TIMESTAMP, VARCHAR, SqlType
from msq.expr.zones import zone
from msq.faults import invalid_sql

FLOOR_PERIODS = {"SECOND": "PT1S", "MINUTE": "PT1M", "HOUR": "PT1H", "DAY": "P1D", "WEEK": "P1W", "MONTH": "P1M",
                 "QUARTER": "P3M", "YEAR": "P1Y"}  # fmt: skip
"""Units of FLOOR(t TO unit) and CEIL(t TO unit)."""
_UNIT_MS = {"SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "WEEK": 604_800_000}
_UNIT_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def _zone(args: Sequence[Typed], position: int, env: BindEnv) -> Node:
    """The zone operand, the session's when it is left out or NULL."""
    if position < len(args) and not args[position].is_null:
        return args[position].node
    return text_node(env.time_zone)


def _bucketed(name: str, native_name: str, doc: str) -> None:
    def emit(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
        origin: Typed | Node = args[2] if len(args) > 2 and not args[2].is_null else text_node(None)
        return make(native_name, [args[0], args[1], origin, _zone(args, 3, env)], of)

    sql(name, "TIMESTAMP CHARACTER [TIMESTAMP] [CHARACTER]", TIMESTAMP, emit, doc,
        forms=f"'{name}(<TIMESTAMP>, <CHARACTER>, [<TIMESTAMP>, [<CHARACTER>]])'")  # fmt: skip


_bucketed("TIME_FLOOR", "timestamp_floor", "Start of the time bucket of a period.")
_bucketed("TIME_CEIL", "timestamp_ceil", "End of the time bucket, or the time itself at its start.")


def bind_floor_to(value: Typed, unit: str, env: BindEnv, *, ceil: bool = False) -> Typed:
    """`FLOOR(t TO unit)`, with `ceil` `CEIL(t TO unit)`."""
    text = FLOOR_PERIODS.get(unit.upper())
    if text is None:
        refuse(f"'{unit}' is not a valid time frame", env.position)
    name = "timestamp_ceil" if ceil else "timestamp_floor"
    made = make(name, [value, text_node(text), text_node(None), text_node(env.time_zone)], value.sql_type)
    return finish(made, env)


_TRUNCATIONS = {**FLOOR_PERIODS, "DECADE": "P10Y", "CENTURY": "P100Y", "MILLENNIUM": "P1000Y"}


def _date_trunc(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    unit = str(args[0].literal_value).upper()
    if unit in ("MICROSECOND", "MICROSECONDS", "MILLISECOND", "MILLISECONDS"):
        return replace(args[1], sql_type=TIMESTAMP)
    text = _TRUNCATIONS.get(unit)
    if text is None:
        raise invalid_sql(f"Operator[DATE_TRUNC] cannot truncate to[{args[0].literal_value!s}]")
    return make("timestamp_floor", [args[1], text_node(text), text_node(None), text_node(env.time_zone)], of)


sql("DATE_TRUNC", "CHARACTER TIMESTAMP", TIMESTAMP, _date_trunc, "The time cut to a unit.", literals=(0,))


def _shift(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    return make("timestamp_shift", [args[0], args[1], args[2], _zone(args, 3, env)], of)


sql("TIME_SHIFT", "TIMESTAMP CHARACTER INTEGER [CHARACTER]", TIMESTAMP, _shift, "The time moved by n periods.")


def _extract(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    unit = text_node(str(args[1].literal_value).upper())
    return make("timestamp_extract", [args[0], unit, _zone(args, 2, env)], of)


sql("TIME_EXTRACT", "TIMESTAMP CHARACTER [CHARACTER]", BIGINT, _extract, "A calendar field of the time.", literals=(1,))


def bind_extract(unit: str, value: Typed, env: BindEnv, unit_position: Position | None = None) -> Typed:
    """`EXTRACT(unit FROM t)`."""
    name = unit.upper()
    if name not in UNITS:
        refuse(f"'{unit}' is not a valid time frame", unit_position or env.position)
    if not (value.sql_type.is_time or value.sql_type.is_null):
        forms = "\n".join((
            "'EXTRACT(<DATETIME_INTERVAL> FROM <DATETIME_INTERVAL>)'", "'EXTRACT(<DATETIME_INTERVAL> FROM <DATETIME>)'",
            "'EXTRACT(<INTERVAL_DAY_TIME> FROM <INTERVAL_YEAR_MONTH>)'",
        ))  # fmt: skip
        shown = f"EXTRACT(<INTERVAL {name}> FROM <{value.sql_type}>)"
        refuse(f"Cannot apply 'EXTRACT' to arguments of type '{shown}'. Supported form(s): {forms}", env.position)
    made = make("timestamp_extract", [value, text_node(name), text_node(env.time_zone)], BIGINT)
    return finish(made, env)


def _parse(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    pattern: Typed | Node = args[1] if len(args) > 1 and not args[1].is_null else text_node(None)
    return make("timestamp_parse", [args[0], pattern, _zone(args, 2, env)], of)


sql("TIME_PARSE", "CHARACTER [CHARACTER] [CHARACTER]", TIMESTAMP, _parse, "The time of a text; NULL when it is none."
   )  # fmt: skip


def _format(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    pattern: Typed | Node = args[1] if len(args) > 1 and not args[1].is_null else text_node(DEFAULT_FORMAT)
    return make("timestamp_format", [args[0], pattern, _zone(args, 2, env)], of)


sql("TIME_FORMAT", "TIMESTAMP [CHARACTER] [CHARACTER]", VARCHAR, _format, "The time by a Joda pattern.")


def _to_timestamp(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    value = args[0]
    if value.native_type != LONG:
        return make("CAST", [value, text_node("LONG")], of)
    return replace(value, sql_type=of)


sql("MILLIS_TO_TIMESTAMP", "EXACT_NUMERIC", TIMESTAMP, _to_timestamp, "Milliseconds since 1970 as a time.")
sql("TIMESTAMP_TO_MILLIS", "TIMESTAMP", BIGINT, lambda args, env, of: replace(args[0], sql_type=of),
    "The time as milliseconds since 1970.")  # fmt: skip


def _in_interval(args: Sequence[Typed], env: BindEnv, of: SqlType) -> Typed:
    start, end = _interval(str(args[1].literal_value), env)
    low = make(">=", [args[0], long_node(start)], of)
    return make("&&", [low, make("<", [args[0], long_node(end)], of)], of)


sql("TIME_IN_INTERVAL", "TIMESTAMP CHARACTER", BOOLEAN, _in_interval, "Whether start <= t < end of an ISO interval.",
    literals=(1,))  # fmt: skip


def _interval(text: str, env: BindEnv) -> tuple[int, int]:
    """[start, end) of `a/b`, `a/P..` or `P../b`; ends without offset are in the session's zone."""
    import numpy as np

    def fail(reason: str) -> None:
        message = f"Function 'TIME_IN_INTERVAL' second argument is not a valid ISO8601 interval: {reason}"
        if env.position is not None:
            line, at, end_line, end_at = env.position
            message = f"From line {line}, column {at} to line {end_line}, column {end_at}: {message}"
        raise invalid_sql(message)

    first, slash, last = text.partition("/")
    if not slash:
        fail(f"Format requires a '/' separator: {text}")
    tz = zone(env.time_zone)

    def instant(part: str) -> int:
        found = parse_iso(part, env.time_zone)
        if found is None:
            fail(f'Invalid format: "{part}"')
        assert found is not None
        return found

    def moved(base: int, length: str, by: int) -> int:
        try:
            return int(add(np.array([base], np.int64), period(length), np.array([by], np.int64), tz)[0])
        except ValueError as error:
            fail(str(error))
            raise

    if first.upper().startswith("P"):
        end = instant(last)
        return moved(end, first, -1), end
    start = instant(first)
    end = moved(start, last, 1) if last.upper().startswith("P") else instant(last)
    if end < start:
        fail("The end instant must be greater than the start instant")
    return start, end


# ---------------------------------------------------------------------------------------------------------- literals


def bind_timestamp(text: str, env: BindEnv) -> Typed:
    """`TIMESTAMP 'text'`, local to the session's zone."""
    found = re.fullmatch(
        r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?)?", text.strip()
    )
    days = civil_days(*(int(found[i]) for i in (1, 2, 3))) if found is not None else None
    hour, minute, second = (int(found[i] or 0) for i in (4, 5, 6)) if found is not None else (0, 0, 0)
    if found is None or days is None or hour > 23 or minute > 59 or second > 59:
        refuse(f"Illegal TIMESTAMP literal '{text}': not in format 'yyyy-MM-dd HH:mm:ss'", env.position)
    millis = int((found[7] or "0")[:3].ljust(3, "0"))
    local = days * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000 + millis
    return literal(_forward(local, env.time_zone), TIMESTAMP, env.position)


def bind_date(text: str, env: BindEnv) -> Typed:
    """`DATE 'text'`: midnight in the session's zone."""
    found = re.fullmatch(r"(\d{1,4})-(\d{1,2})-(\d{1,2})", text.strip())
    days = civil_days(int(found[1]), int(found[2]), int(found[3])) if found is not None else None
    if days is None:
        refuse(f"Illegal DATE literal '{text}': not in format 'yyyy-MM-dd'", env.position)
    return literal(_forward(days * 86_400_000, env.time_zone), DATE, env.position)


def _forward(local: int, tz: str) -> int:
    import numpy as np

    exact = local_to_utc(local, tz)
    return int(zone(tz).to_utc(np.array([local], np.int64))[0]) if exact is None else exact


def bind_current(name: str, env: BindEnv, precision: Typed | None = None) -> Typed:
    """CURRENT_TIMESTAMP, LOCALTIMESTAMP, CURRENT_DATE: fixed for the query. `precision`: digits of the seconds."""
    step = 1
    if precision is not None:
        digits = precision.literal_value if precision.is_literal else None
        if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 3:
            refuse(
                f"Argument to function '{name.upper()}' must be a valid precision between '0' and '3'",
                precision.position or env.position,
            )
        step = 10 ** (3 - digits)
    now = literal(env.now() // step * step, TIMESTAMP, env.position)
    if name.upper() in ("CURRENT_TIMESTAMP", "LOCALTIMESTAMP"):
        return now
    if name.upper() != "CURRENT_DATE":
        refuse_unknown(name, [], env.position)
    return finish(day_floor(now, DATE, env), env)


# --------------------------------------------------------------------------------------------------------- intervals

_QUALIFIERS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")


def bind_interval(text: str, qualifier: str, env: BindEnv) -> Typed:
    """`INTERVAL 'text' qualifier` (`DAY`, `DAY TO MINUTE`, `YEAR TO MONTH`): months or ms as an INTERVAL literal."""
    words = qualifier.upper().split()
    first, last = words[0], words[-1]
    if first not in _QUALIFIERS or last not in _QUALIFIERS:
        refuse(f"'{qualifier}' is not a valid time frame", env.position)
    months = first in _UNIT_MONTHS
    sign = -1 if text.strip().startswith("-") else 1
    body = text.strip().lstrip("+-")
    value = _interval_value(body, first, last)
    if value is None:
        refuse(f"Illegal interval literal format '{text}' for INTERVAL {qualifier.upper()}", env.position)
    of = SqlType("INTERVAL", unit=qualifier.upper(), complex_name="months" if months else "millis")
    return Typed(Literal(sign * value, LONG), of, env.position)


def _interval_value(body: str, first: str, last: str) -> int | None:
    units = _QUALIFIERS[_QUALIFIERS.index(first) : _QUALIFIERS.index(last) + 1]
    units = tuple(u for u in units if u in (first, last) or u not in ("QUARTER", "WEEK"))
    if first in _UNIT_MONTHS:
        numbers = body.split("-")
        if len(numbers) != len(units) or not all(n.isdigit() for n in numbers):
            return None
        return sum(int(n) * _UNIT_MONTHS[u] for n, u in zip(numbers, units))
    parts = re.fullmatch(r"(\d+)(?:[ :](\d+))?(?::(\d+))?(?::(\d+))?(?:\.(\d{1,9}))?", body)
    numbers = [g for g in parts.groups()[:4] if g is not None] if parts is not None else []
    if parts is None or len(numbers) != len(units) or (parts[5] and last != "SECOND"):
        return None
    value = sum(int(n) * _UNIT_MS[u] for n, u in zip(numbers, units))
    return value + int((parts[5] or "0")[:3].ljust(3, "0"))


def _is_months(of: SqlType) -> bool:
    return of.complex_name == "months"


def bind_interval_sum(operator: str, left: Typed, right: Typed, env: BindEnv) -> Typed | None:
    """A time plus or minus an interval, an interval times a number; None when the operands do not fit."""
    if operator == "+" and left.sql_type.name == "INTERVAL" and right.sql_type.is_time:
        left, right = right, left
    if operator == "*":
        return _scaled(left, right)
    if operator not in ("+", "-") or not left.sql_type.is_time or right.sql_type.name != "INTERVAL":
        return None
    if not _is_months(right.sql_type):
        return make(operator, [left, right], left.sql_type)
    if isinstance(right.node, Literal):
        length: Node = text_node(f"P{right.node.value}M")
    else:
        length = Call("concat", (text_node("P"), right.node, text_node("M")))
    step = long_node(1 if operator == "+" else -1)
    return make("timestamp_shift", [left, length, step, text_node(env.time_zone)], left.sql_type)


def _scaled(left: Typed, right: Typed) -> Typed | None:
    interval, number = (left, right) if left.sql_type.name == "INTERVAL" else (right, left)
    if interval.sql_type.name != "INTERVAL" or not number.sql_type.is_numeric:
        return None
    if isinstance(interval.node, Literal) and isinstance(number.node, Literal) and number.node.value is not None:
        # as long as a Java long, which wraps around
        length = (int(interval.node.value * number.node.value) + 2**63) % 2**64 - 2**63
        return replace(interval, node=Literal(length, LONG))
    return make("*", [interval, number], interval.sql_type)


def bind_timestamp_add(unit: str, count: Typed, value: Typed, env: BindEnv) -> Typed:
    """`TIMESTAMPADD(unit, n, t)`."""
    name = unit.upper()
    if name not in _UNIT_MS and name not in _UNIT_MONTHS:
        refuse(f"'{unit}' is not a valid time frame", env.position)
    if count.is_null:
        return replace(literal(None), sql_type=TIMESTAMP) if name in _UNIT_MS else replace(value, sql_type=TIMESTAMP)
    months = name in _UNIT_MONTHS
    if not count.sql_type.is_integer:
        _refuse_add(name, count, value, env)
    of = SqlType("INTERVAL", unit=name, complex_name="months" if months else "millis")
    one = Typed(Literal(_UNIT_MONTHS[name] if months else _UNIT_MS[name], LONG), of)
    interval = _scaled(one, count)
    made = None if interval is None else bind_interval_sum("+", value, interval, env)
    if made is None:
        _refuse_add(name, count, value, env)
    return finish(replace(made, sql_type=TIMESTAMP), env)


def _refuse_add(unit: str, count: Typed, value: Typed, env: BindEnv) -> NoReturn:
    shown = f"TIMESTAMPADD(<INTERVAL {unit}>, <{count.sql_type}>, <{value.sql_type}>)"
    forms = "'TIMESTAMPADD(<ANY>, <INTEGER>, <DATETIME>)'"
    refuse(f"Cannot apply 'TIMESTAMPADD' to arguments of type '{shown}'. Supported form(s): {forms}", env.position)


def bind_timestamp_diff(unit: str, start: Typed, end: Typed, env: BindEnv) -> Typed:
    """`TIMESTAMPDIFF(unit, a, b)`: b - a in whole units."""
    name = unit.upper()
    if not all(side.sql_type.is_time or side.sql_type.is_null for side in (start, end)):
        shown = f"TIMESTAMPDIFF(<INTERVAL {name}>, <{start.sql_type}>, <{end.sql_type}>)"
        forms = "'TIMESTAMPDIFF(<ANY>, <DATETIME>, <DATETIME>)'"
        refuse(f"Cannot apply 'TIMESTAMPDIFF' to arguments of type '{shown}'. Supported form(s): {forms}", env.position)
    if name in _UNIT_MS:
        apart = make("-", [end, start], BIGINT)
        return finish(make("div", [apart, long_node(_UNIT_MS[name])], INTEGER), env)
    if name not in _UNIT_MONTHS:
        refuse(f"'{unit}' is not a valid time frame", env.position)
    months = make("subtract_months", [end, start, text_node(env.time_zone)], INTEGER)
    if name == "MONTH":
        return finish(months, env)
    return finish(make("div", [months, long_node(_UNIT_MONTHS[name])], INTEGER), env)
