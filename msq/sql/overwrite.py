"""OVERWRITE WHERE: a condition on __time as the intervals that a REPLACE replaces."""

from __future__ import annotations

from sqlglot import exp

from msq.expr.zones import Zone
from msq.faults import DruidException, invalid_sql
from msq.intervals import MAX_INSTANT, MIN_INSTANT, Granularity, Interval, condense, subtract
from msq.sql.dialect import to_message
from msq.sql.granularity import described
from msq.sql.nodes import TemporalLiteral
from msq.sql.temporal import instant_of_local, local_millis

_ALL_TIME = (Interval(MIN_INSTANT, MAX_INSTANT),)
_WORDS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.In: "IN", exp.Like: "LIKE", exp.Is: "IS", exp.Add: "+", exp.Sub: "-",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}  # fmt: skip


def intervals_of(condition: exp.Expr, text: str, granularity: Granularity | None, zone: Zone) -> tuple[Interval, ...]:
    """The condensed intervals of `condition` (written as `text`) whose timestamps are local times of `zone`.

    Raises the refusals: forms that are not allowed, other columns than __time, no interval left, and intervals that do
    not end at bucket borders of `granularity`.
    """
    columns: set[str] = set()
    try:
        intervals = condense(_intervals(condition, zone, columns))
    except _Form as error:
        raise invalid_sql(f"Invalid OVERWRITE WHERE clause [{text}]: {error}") from None
    others = sorted(columns - {"__time"})
    if others:
        raise invalid_sql(f"OVERWRITE WHERE clause only supports filtering on the __time column, got [{text}]")
    if not intervals:
        raise invalid_sql(
            f"The OVERWRITE WHERE clause [{text}] produced no time intervals, are the bounds overly restrictive?"
        )
    if granularity is not None:
        for interval in intervals:
            if not _aligned(interval, granularity):
                raise _misaligned(interval, granularity)
    return intervals


class _Form(Exception):
    """A form that OVERWRITE WHERE does not allow; the text goes behind the clause's own."""


def _intervals(node: exp.Expr, zone: Zone, columns: set[str]) -> tuple[Interval, ...]:
    if isinstance(node, exp.Paren):
        return _intervals(node.this, zone, columns)
    if isinstance(node, exp.Not):
        return subtract(_ALL_TIME, _intervals(node.this, zone, columns))
    if isinstance(node, exp.Or):
        return condense((*_intervals(node.this, zone, columns), *_intervals(node.expression, zone, columns)))
    if isinstance(node, exp.And):
        left, right = _intervals(node.this, zone, columns), _intervals(node.expression, zone, columns)
        return condense(both for a in left for b in right if (both := a.intersect(b)) is not None)
    if isinstance(node, exp.Between):
        columns.add(_column(node.this))
        low, high = _instant(node.args["low"], zone), _instant(node.args["high"], zone)
        return (Interval(low, high + 1),) if low <= high else ()
    if isinstance(node, (exp.GTE, exp.GT, exp.LT, exp.LTE)):
        columns.add(_column(node.this))
        at = _instant(node.expression, zone)
        if isinstance(node, exp.GTE):
            return (Interval(at, MAX_INSTANT),)
        if isinstance(node, exp.GT):
            return (Interval(at + 1, MAX_INSTANT),)
        return (Interval(MIN_INSTANT, at if isinstance(node, exp.LT) else at + 1),)
    raise _Form(f"Unsupported operation [{_operator(node)}] in OVERWRITE WHERE clause.")


def _operator(node: exp.Expr) -> str:
    return _WORDS.get(type(node)) or type(node).__name__.upper()


def _column(node: exp.Expr) -> str:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and len(node.parts) == 1:
        return node.name
    raise _Form("Expressions must be of the form __time <operator> TIMESTAMP")


def _instant(node: exp.Expr, zone: Zone) -> int:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, TemporalLiteral) and node.args["kind"] == "TIMESTAMP":
        return instant_of_local(local_millis(node), zone)
    raise _Form(f"Cannot get a timestamp from sql expression [{_shown(node)}]")


def _shown(node: exp.Expr) -> str:
    return to_message(node)


def _aligned(interval: Interval, granularity: Granularity) -> bool:
    if granularity.is_all:
        return True
    ends = (interval.start, interval.end)
    return all(end not in (MIN_INSTANT, MAX_INSTANT) and granularity.floor(end) == end for end in ends)


def _misaligned(interval: Interval, granularity: Granularity) -> DruidException:
    return invalid_sql(
        f"OVERWRITE WHERE clause identified interval [{interval}] which is not aligned with PARTITIONED BY granularity "
        f"[{described(granularity)}]"
    )
