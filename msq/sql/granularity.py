"""PARTITIONED BY: the texts and expressions that name a granularity of segments."""

from __future__ import annotations

from sqlglot import exp

from msq.faults import DruidException, invalid_sql
from msq.intervals import STANDARD_PERIODS, Granularity, Period
from msq.sql.nodes import Call

_EXPECTED = (
    "'SECOND', 'MINUTE', 'FIVE_MINUTE', 'TEN_MINUTE', 'FIFTEEN_MINUTE', 'THIRTY_MINUTE', 'HOUR', 'SIX_HOUR', "
    "'EIGHT_HOUR', 'DAY', 'MONTH', 'QUARTER', 'YEAR', 'ALL', ALL TIME, FLOOR() or TIME_FLOOR()"
)
_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


def granularity_of_text(text: str) -> Granularity:
    """The granularity that a name ('five_minute') or a standard ISO period ('PT5M') means. Raises the refusal."""
    upper = text.upper()
    if upper in ("ALL", "NONE") or upper in STANDARD_PERIODS:
        return Granularity(upper)
    standard = _standard(text)
    if standard is None:
        raise _refused(f"Invalid granularity['{text}'] specified after PARTITIONED BY clause. Expected {_EXPECTED}")
    return standard


def granularity_of(node: exp.Expr) -> Granularity:
    """The granularity of what stands after PARTITIONED BY: a name or text, FLOOR(__time TO unit), or
    TIME_FLOOR(__time, period). Raises the refusal, which the parser makes (so without a task's envelope)."""
    if isinstance(node, exp.Literal) and node.is_string:
        return granularity_of_text(str(node.this))
    if isinstance(node, exp.Column) and not node.args.get("table") and isinstance(node.this, exp.Identifier):
        return granularity_of_text(node.name)
    if not isinstance(node, Call):
        raise _refused(
            f"Invalid granularity[{_shown(node)}] specified after PARTITIONED BY clause. Expected {_EXPECTED}"
        )
    name, arguments = node.upper, node.expressions
    if name not in ("FLOOR", "TIME_FLOOR"):
        raise _refused(
            f"Invalid operator[{name}] specified. PARTITIONED BY clause only supports FLOOR(__time TO <unit>) and "
            "TIME_FLOOR(__time, period) functions."
        )
    if len(arguments) != 2:
        raise _refused(f"{name} in PARTITIONED BY clause must have 2 arguments, but only [{len(arguments)}] provided.")
    first, second = arguments
    wanted = f"The first argument to {name} in PARTITIONED BY clause must be __time."
    if not (isinstance(first, exp.Column) and isinstance(first.this, exp.Identifier)):
        raise _refused(f"Invalid argument type[{type(first).__name__}] provided. {wanted}")
    if first.name != "__time" or first.args.get("table"):
        raise _refused(f"Invalid argument[{_shown(first)}] provided. {wanted}")
    if name == "FLOOR":
        unit = str(second.this).upper() if isinstance(second, exp.Var) else _shown(second)
        if unit not in _UNITS:
            raise _refused(f"{unit} is not a valid period granularity for ingestion.")
        return Granularity(unit)
    if not (isinstance(second, exp.Literal) and second.is_string):
        raise _refused(
            f"Invalid argument[{_shown(second)}] provided. The second argument to {name} in PARTITIONED BY clause must "
            "be a period like 'PT1H'."
        )
    text = str(second.this)
    try:
        Period.parse(text)
    except ValueError as error:
        raise _refused(f"granularity['{text}'] is an invalid period literal.") from error
    return granularity_of_text(text)


def described(granularity: Granularity) -> str:
    """How messages print a granularity: `{type=period, period=P1D, timeZone=UTC, origin=null}`."""
    if granularity.name == "ALL":
        return "AllGranularity"
    if granularity.name == "NONE":
        return "NoneGranularity"
    return f"{{type=period, period={granularity.period.text}, timeZone=UTC, origin=null}}"


def _standard(text: str) -> Granularity | None:
    for name, period in STANDARD_PERIODS.items():
        if text == period:
            return Granularity(name)
    return None


def _shown(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return ".".join(part.name for part in node.parts)
    return str(node.this) if isinstance(node, (exp.Literal, exp.Var)) else type(node).__name__


def _refused(message: str) -> DruidException:
    return invalid_sql(message, envelope=False)
