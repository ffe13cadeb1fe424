"""Exact DISTINCT aggregates as a grouping below: the distinct values are made keys, and everything is grouped again."""

from __future__ import annotations

from dataclasses import replace

from msq.datatypes import LONG
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.sqltypes import BOOLEAN
from msq.faults import not_plannable
from msq.sql.bind.relation import Aggregate, AggregateCall, Column
from msq.sql.bind.session import Session

_AGAIN = {"COUNT": "SUM", "SUM": "SUM", "MIN": "MIN", "MAX": "MAX"}
"""How the value of an aggregate over part of a group is aggregated again."""


def exact_distinct(session: Session, grouped: Aggregate) -> Aggregate:
    """The same columns without DISTINCT. Refuses what one grouping below cannot prepare."""
    distinct = [c for c in grouped.calls if c.distinct]
    arguments = [a.node for a in distinct[0].args]
    if any([a.node for a in c.args] != arguments for c in distinct) or grouped.sets is not None:
        raise _refused("more than one exact DISTINCT expression, or one beside GROUPING SETS")
    keys: list[tuple[Column, Node]] = [(session.ids.copy([c])[0], n) for c, n in grouped.keys]
    values = []
    for arg in distinct[0].args:
        column = session.ids.column("", arg.sql_type, False)
        keys.append((column, arg.node))
        values.append(column)
    flags: dict[Node, Column] = {}
    for call in distinct:
        if call.filter is not None and call.filter not in flags:
            flags[call.filter] = session.ids.column("", BOOLEAN)
            keys.append((flags[call.filter], call.filter))
    inner: list[AggregateCall] = []
    outer: list[AggregateCall] = []
    for call in grouped.calls:
        if call.distinct:
            outer.append(_over_values(call, values, flags))
            continue
        if call.name not in _AGAIN or call.groupings:
            raise _refused(f"[{call.name}] beside an exact DISTINCT aggregate")
        part = replace(call, column=session.ids.column("", call.column.type))
        inner.append(part)
        outer.append(replace(call, name=_AGAIN[call.name], args=(part.column.typed,), filter=None))
    below = Aggregate(grouped.input, tuple(keys), tuple(inner))
    own = [(c, Identifier(k.id)) for (c, _), (k, _) in zip(grouped.keys, keys)]
    return Aggregate(below, tuple(own), tuple(outer))


def _over_values(call: AggregateCall, values: list[Column], flags: dict[Node, Column]) -> AggregateCall:
    """The aggregate over the distinct values; COUNT of several counts the combinations without a NULL."""
    condition: Node | None = None
    if call.filter is not None:
        condition = Call("==", (Identifier(flags[call.filter].id), Literal(1, LONG)))
    args = tuple(v.typed for v in values)
    if call.name == "COUNT" and len(args) > 1:
        for value in values[1:]:
            known: Node = Call("notnull", (Identifier(value.id),))
            condition = known if condition is None else Call("&&", (condition, known))
        args = args[:1]
    return replace(call, args=args, distinct=False, filter=condition)


def _refused(reason: str) -> Exception:
    return not_plannable(
        f"Query could not be planned. A possible reason is [SQL requires {reason}, which is not supported. Set "
        "useApproximateCountDistinct to true to count approximately.]"
    )
