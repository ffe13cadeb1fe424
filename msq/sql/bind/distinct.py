"""Exact DISTINCT aggregates as a grouping below: the distinct values are made keys, and everything is grouped again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.datatypes import LONG
from msq.expr.binding import Typed, literal
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.sqltypes import BIGINT, BOOLEAN
from msq.sql.bind.relation import Aggregate, AggregateCall, Column, Project, Relation, Union
from msq.sql.bind.session import Session

_AGAIN = {"COUNT": "SUM", "SUM": "SUM", "MIN": "MIN", "MAX": "MAX"}
"""How the value of an aggregate over part of a group is aggregated again."""


def exact_distinct(session: Session, grouped: Aggregate) -> Relation:
    """The same columns without DISTINCT: over the distinct values, or over one grouping set for each list of them."""
    if grouped.sets is not None:
        return _set_by_set(session, grouped, grouped.sets)
    distinct = [c for c in grouped.calls if c.distinct]
    lists = {tuple(a.node for a in c.args): c.args for c in distinct}
    plain = [c for c in grouped.calls if not c.distinct]
    if len(lists) > 1 or any(c.name not in _AGAIN for c in plain):
        return _by_sets(session, grouped, lists)
    keys: list[tuple[Column, Node]] = [(session.ids.copy([c])[0], n) for c, n in grouped.keys]
    values, flags = _value_keys(session, distinct, keys)
    inner: list[AggregateCall] = []
    outer: list[AggregateCall] = []
    for call in grouped.calls:
        if call.distinct:
            outer.append(_over_values(call, values[tuple(a.node for a in call.args)], flags))
            continue
        part = replace(call, column=session.ids.column("", call.column.type))
        inner.append(part)
        outer.append(replace(call, name=_AGAIN[call.name], args=(part.column.typed,), filter=None))
    made = _again(grouped, Aggregate(grouped.input, tuple(keys), tuple(inner)), outer)
    return made if grouped.keys else _with_zeros(session, made, [c.column for c in plain if c.name == "COUNT"])


def _set_by_set(session: Session, grouped: Aggregate, sets: Sequence[tuple[int, ...]]) -> Union:
    """GROUPING SETS as a union of groupings, each with its own distinct values."""
    branches: list[Relation] = []
    for one in sets:
        keys = {n: (session.ids.copy([grouped.keys[n][0]])[0], grouped.keys[n][1]) for n in one}
        calls = {c.column.id: replace(c, column=session.ids.copy([c.column])[0]) for c in grouped.calls}
        own = [c for c in calls.values() if c.name != "GROUPING"]
        inner = Aggregate(grouped.input, tuple(keys[n] for n in one), tuple(own))
        made = exact_distinct(session, inner) if any(c.distinct for c in own) else inner
        nodes: list[Node] = [
            Identifier(keys[n][0].id) if n in keys else Literal(None, column.native)
            for n, (column, _) in enumerate(grouped.keys)
        ]
        kept = {grouped.keys[n][0].id for n in one}
        for call in calls.values():
            if call.name == "GROUPING":
                bits = "".join("0" if g in kept else "1" for g in call.groupings)
                nodes.append(Literal(int(bits, 2), LONG))
            else:
                nodes.append(Identifier(call.column.id))
        branches.append(Project(made, session.ids.copy(grouped.columns), tuple(nodes)))
    return Union(tuple(branches), grouped.columns)


def _by_sets(session: Session, grouped: Aggregate, lists: dict[tuple[Node, ...], tuple[Typed, ...]]) -> Aggregate:
    """One grouping set for each list of distinct values and one for the other aggregates; GROUPING tells them apart."""
    keys: list[tuple[Column, Node]] = [(session.ids.copy([c])[0], n) for c, n in grouped.keys]
    own = tuple(range(len(keys)))
    values, flags = _value_keys(session, [c for c in grouped.calls if c.distinct], keys)
    place = {c.id: n for n, (c, _) in enumerate(keys)}
    shared = tuple(place[c.id] for c in flags.values())
    extra = tuple(c.id for c, _ in keys[len(own) :])
    sets = [own]
    codes = {}
    for nodes in lists:
        members = {place[c.id] for c in values[nodes]} | set(shared)
        sets.append((*own, *sorted(members)))
        bits = [place[i] not in members for i in extra]
        codes[nodes] = sum(bit << (len(bits) - 1 - n) for n, bit in enumerate(bits))
    number = session.ids.column("", BIGINT)
    grouping = AggregateCall(number, "GROUPING", tuple(literal(0) for _ in extra), groupings=extra)
    inner = [grouping]
    outer: list[AggregateCall] = []
    for call in grouped.calls:
        if call.distinct:
            nodes = tuple(a.node for a in call.args)
            made = _over_values(call, values[nodes], flags)
            outer.append(replace(made, filter=_and(_is(number, codes[nodes]), made.filter)))
            continue
        part = replace(call, column=session.ids.column("", call.column.type))
        inner.append(part)
        everything = (1 << len(extra)) - 1
        # the set of the group alone has one row a group: any value of it is the value
        outer.append(replace(call, name="ANY_VALUE", args=(part.column.typed,), filter=_is(number, everything)))
    return _again(grouped, Aggregate(grouped.input, tuple(keys), tuple(inner), tuple(sets)), outer)


def _again(grouped: Aggregate, below: Aggregate, calls: list[AggregateCall]) -> Aggregate:
    keys = [(c, Identifier(k.id)) for (c, _), (k, _) in zip(grouped.keys, below.keys)]
    return Aggregate(below, tuple(keys), tuple(calls))


def _with_zeros(session: Session, grouped: Aggregate, counts: list[Column]) -> Relation:
    """Sums of counts, which have no value over no rows, as the counts that they stand for."""
    if not counts:
        return grouped
    sums = {c.id: session.ids.column("", c.type) for c in counts}
    calls = tuple(replace(c, column=sums.get(c.column.id, c.column)) for c in grouped.calls)
    columns = tuple(c for c, _ in grouped.keys) + tuple(c.column for c in grouped.calls)
    nodes = tuple(
        Call("nvl", (Identifier(sums[c.id].id), Literal(0, LONG))) if c.id in sums else Identifier(c.id)
        for c in columns
    )
    return Project(replace(grouped, calls=calls), columns, nodes)


def _value_keys(
    session: Session, distinct: list[AggregateCall], keys: list[tuple[Column, Node]]
) -> tuple[dict[tuple[Node, ...], list[Column]], dict[Node, Column]]:
    """Adds keys for the distinct values and for the conditions of FILTER; answers their columns."""
    values: dict[tuple[Node, ...], list[Column]] = {}
    flags: dict[Node, Column] = {}
    made: dict[Node, Column] = {}
    for call in distinct:
        columns = []
        for arg in call.args:
            if arg.node not in made:
                made[arg.node] = session.ids.column("", arg.sql_type)
                keys.append((made[arg.node], arg.node))
            columns.append(made[arg.node])
        values[tuple(a.node for a in call.args)] = columns
    for call in distinct:
        if call.filter is not None and call.filter not in flags:
            flags[call.filter] = session.ids.column("", BOOLEAN)
            keys.append((flags[call.filter], call.filter))
    return values, flags


def _is(column: Column, value: int) -> Node:
    return Call("==", (Identifier(column.id), Literal(value, LONG)))


def _and(one: Node, other: Node | None) -> Node:
    return one if other is None else Call("&&", (one, other))


def _over_values(call: AggregateCall, values: list[Column], flags: dict[Node, Column]) -> AggregateCall:
    """The aggregate over the distinct values; COUNT of several counts the combinations without a NULL."""
    condition = None if call.filter is None else _is(flags[call.filter], 1)
    args = tuple(v.typed for v in values)
    if call.name == "COUNT" and len(args) > 1:
        for value in values[1:]:
            condition = _and(Call("notnull", (Identifier(value.id),)), condition)
        args = args[:1]
    return replace(call, args=args, distinct=False, filter=condition)
