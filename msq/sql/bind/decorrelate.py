"""Correlated subqueries as joins: equalities with the outer query's columns move out of the subquery's WHERE.

Where something cannot move (other comparisons, LIMIT, outer joins and windows in between), `lateral` takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from msq.expr.nodes import Call, Identifier, Node, identifiers
from msq.expr.sqltypes import of_native
from msq.expr.types import infer
from msq.sql.bind.relation import (
    Aggregate,
    AggregateCall,
    Column,
    Filter,
    Ids,
    Join,
    Project,
    Relation,
    Sort,
    Source,
    Union,
    Unnest,
    Window,
    substitute,
)  # fmt: skip


@dataclass
class Correlation:
    """Pairs (inner column, outer expression) that must be equal, and how many groupings without keys, which have a row
    even without rows below, became groupings by the inner columns."""

    pairs: list[tuple[Column, Node]] = field(default_factory=list)
    single: int = 0


def free_ids(relation: Relation) -> frozenset[str]:
    """Ids that a relation reads and does not produce itself: columns of outer queries."""
    read: set[str] = set()
    made: set[str] = set()
    for part in _walk(relation):
        read.update(i for n in _nodes(part) for i in identifiers(n))
        made.update(c.id for c in part.columns)
    return frozenset(read - made)


def decorrelate(relation: Relation, ids: Ids) -> tuple[Relation, Correlation] | None:
    """The relation without references to outer columns; what it must be joined on, as further columns of its own.

    None where outer columns stand in more than equalities (`lateral` knows what to do then).
    """
    outer = free_ids(relation)
    correlation = Correlation()
    try:
        made = _Walk(outer, ids, correlation).lift(relation) if outer else relation
    except _NotEqualities:
        return None
    return None if outer and free_ids(made) else (made, correlation)


class _NotEqualities(Exception):
    """Outer columns stand in more than equalities of WHERE."""


def counts_rows(call: AggregateCall) -> bool:
    """Whether an aggregate is 0 over no rows, where others are NULL."""
    return call.name == "COUNT" or call.name.startswith("APPROX_COUNT_DISTINCT")


@dataclass
class _Walk:
    outer: frozenset[str]
    ids: Ids
    found: Correlation

    def lift(self, relation: Relation) -> Relation:
        if not free_ids(relation):
            return relation
        match relation:
            case Filter():
                return self._filter(relation)
            case Project():
                inner = self.lift(relation.input)
                carried = [c for c, _ in self.found.pairs if all(c.id != k.id for k in relation.columns)]
                nodes: list[Node] = [Identifier(c.id) for c in carried]
                return Project(inner, (*relation.columns, *carried), (*relation.nodes, *nodes))
            case Aggregate():
                return self._aggregate(relation)
            case Join() if relation.kind == "INNER":
                return replace(relation, left=self.lift(relation.left), right=self.lift(relation.right))
            case Sort() if not relation.offset and relation.limit is None:
                return self.lift(relation.input)
        raise _NotEqualities

    def _filter(self, relation: Filter) -> Relation:
        inner = self.lift(relation.input)
        kept: list[Node] = []
        for condition in relation.conditions:
            pair = self._pair(condition)
            if pair is None:
                kept.append(condition)
                continue
            node, other = pair
            if not isinstance(node, Identifier):
                kind = infer(node, {c.id: c.native for c in inner.columns})
                column = self.ids.column("", of_native(kind))
                nodes: list[Node] = [Identifier(c.id) for c in inner.columns]
                inner = Project(inner, (*inner.columns, column), (*nodes, node))
            else:
                column = inner.column(node.name)
            self.found.pairs.append((column, other))
        return Filter(inner, tuple(kept)) if kept else inner

    def _pair(self, node: Node) -> tuple[Node, Node] | None:
        """(inner, outer) side of an equality between them."""
        if not isinstance(node, Call) or node.function != "==":
            return None
        for a, b in (node.args, node.args[::-1]):
            reads_a, reads_b = set(identifiers(a)), set(identifiers(b))
            if reads_a and not reads_a & self.outer and reads_b and reads_b <= self.outer:
                return a, b
        return None

    def _aggregate(self, relation: Aggregate) -> Relation:
        inner = self.lift(relation.input)
        if relation.sets is not None:
            raise _NotEqualities
        keys = list(relation.keys)
        renamed = []
        for column, other in self.found.pairs:
            key = self.ids.column(column.name, column.type)
            keys.append((key, Identifier(column.id)))
            renamed.append((key, other))
        self.found.pairs = renamed
        if not relation.keys:
            self.found.single += 1
        return replace(relation, input=inner, keys=tuple(keys))


def _walk(relation: Relation) -> Iterator[Relation]:
    yield relation
    match relation:
        case Filter() | Project() | Aggregate() | Sort() | Unnest() | Window():
            yield from _walk(relation.input)
        case Join():
            yield from _walk(relation.left)
            yield from _walk(relation.right)
        case Union():
            for branch in relation.inputs:
                yield from _walk(branch)
        case Source():
            return


def _nodes(relation: Relation) -> Iterator[Node]:
    """The expressions of one relation itself."""
    match relation:
        case Filter() | Join():
            yield from relation.conditions
        case Project():
            yield from relation.nodes
        case Unnest():
            yield relation.node
            yield from relation.conditions
        case Aggregate():
            yield from (n for _, n in relation.keys)
            for call in relation.calls:
                yield from (a.node for a in call.args)
                if call.filter is not None:
                    yield call.filter
        case Window():
            for window in relation.calls:
                yield from (a.node for a in window.args)
                yield from (Identifier(i) for i in window.partition)
                yield from (Identifier(k.column) for k in window.order)
        case Sort():
            yield from (Identifier(k.column) for k in relation.keys)


def output_node(relation: Relation, column_id: str) -> Node:
    """What an output column is over the nearest relation below that is no projection."""
    node: Node = Identifier(column_id)
    while isinstance(relation, (Project, Filter, Sort)):
        if isinstance(relation, Project):
            node = substitute(node, relation.mapping)
        relation = relation.input
    return node
