"""Retention rules: which of them there are, and what they say of a segment at a time. Source: http-api 2.7."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msq.faults import invalid_input
from msq.intervals import Interval, Period, add_period

Rule = Mapping[str, Any]
_FAR = 1 << 60


def _forever(rule: Rule, segment: Interval, now: int) -> bool:
    return True


def _interval(rule: Rule, segment: Interval, now: int) -> bool:
    given = Interval.parse(rule["interval"])
    return given.overlaps(segment) if rule["type"].startswith("load") else given.contains(segment)


def _period(rule: Rule, segment: Interval, now: int) -> bool:
    start = add_period(now, Period.parse(rule["period"]), -1)
    end = _FAR if rule.get("includeFuture", True) else now
    if rule["type"].startswith("drop"):
        return segment.start >= start and segment.end <= end
    return segment.start < end and segment.end > start


def _before_period(rule: Rule, segment: Interval, now: int) -> bool:
    return segment.end <= add_period(now, Period.parse(rule["period"]), -1)


_MATCHES: dict[str, Callable[[Rule, Interval, int], bool]] = {
    "loadForever": _forever, "loadByInterval": _interval, "loadByPeriod": _period,
    "dropForever": _forever, "dropByInterval": _interval, "dropByPeriod": _period,
    "dropBeforeByPeriod": _before_period, "broadcastForever": _forever, "broadcastByInterval": _interval,
    "broadcastByPeriod": _period,
}  # fmt: skip


def is_dropped(rules: Sequence[Rule], segment: Interval, now: int) -> bool:
    """Whether the first rule that matches drops the segment. `now`: ms."""
    for rule in rules:
        if _MATCHES[rule["type"]](rule, segment, now):
            return str(rule["type"]).startswith("drop")
    return False


def check_rules(value: Any) -> list[dict[str, Any]]:
    """The rules of a request. Raises DruidException for what is no list of rules."""
    if not isinstance(value, list):
        raise invalid_input("The request's body must be a list of rules")
    for rule in value:
        _check(rule)
    return value


def _check(rule: Any) -> None:
    kind = rule.get("type") if isinstance(rule, dict) else None
    if not isinstance(kind, str) or kind not in _MATCHES:
        raise invalid_input(f"Unknown rule type [{kind}]: known are [{', '.join(_MATCHES)}]")
    for word, key, parse in (("Interval", "interval", Interval.parse), ("Period", "period", Period.parse)):
        if kind.endswith(word):
            try:
                parse(rule[key])
            except (KeyError, TypeError, AttributeError):
                raise invalid_input(f"Rule [{kind}] needs [{key}]") from None
            except ValueError as error:
                raise invalid_input(f"Rule [{kind}]: {error}") from None
    replicas = rule.get("tieredReplicants")
    if replicas is None:
        return
    if not isinstance(replicas, dict) or not all(type(n) is int and n >= 0 for n in replicas.values()):
        raise invalid_input(f"Rule [{kind}]: [tieredReplicants] must map tiers to numbers of 0 or more")
