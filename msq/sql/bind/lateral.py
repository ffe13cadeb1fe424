"""Correlated subqueries of any form, as Druid's planner cannot: computed for all values of the outer columns at once.

The distinct combinations of the outer columns are joined with the subquery's rows where it reads them, and stand beside
its columns from there on: groups, limits and windows are those of one combination. Joined back to the outer rows on
these columns, this is the subquery's answer for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from msq.datatypes import LONG
from msq.expr.binding import Position, refuse
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers
from msq.expr.sqltypes import BIGINT
from msq.sql.bind.decorrelate import counts_rows, free_ids
from msq.sql.bind.relation import (
    Aggregate,
    Column,
    Filter,
    Ids,
    Join,
    Project,
    Relation,
    Sort,
    SortKey,
    Union,
    Unnest,
    Window,
    WindowCall,
    substitute,
)  # fmt: skip

Own = dict[str, Column]
"""For each outer id, the column of a relation that holds its value."""


@dataclass
class Lateral:
    """One subquery's correlation with the rows of `outer`.

    `values`: what each outer id is over these rows, and its column there.
    """

    outer: Relation
    values: Mapping[str, tuple[Column, Node]]
    ids: Ids
    algorithm: str
    position: Position | None
    _rules: dict[type[Relation], Callable[..., tuple[Relation, Own]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if any(c.multi for c, _ in self.values.values()):
            self._refuse("a comparison with a text of several values")
        self._rules = {
            Filter: self._filter, Project: self._project, Aggregate: self._aggregate, Join: self._join,
            Sort: self._sort, Union: self._union, Window: self._window, Unnest: self._unnest,
        }  # fmt: skip

    def lift(self, relation: Relation) -> tuple[Relation, Own]:
        """The relation's rows for every combination of outer values, which stand in the columns it answers with.

        The relation's own columns keep their ids. Raises the refusal of a form that cannot be computed so.
        """
        if not self._free(relation):
            combinations, own = self._combinations()
            return Join(combinations, relation, "INNER", (), self.algorithm), own
        return self._rules[type(relation)](relation)

    def conditions(self, own: Own) -> tuple[Node, ...]:
        """That a row is of the outer row's combination."""
        return tuple(Call("notdistinctfrom", (self.values[i][1], Identifier(c.id))) for i, c in own.items())

    def _free(self, relation: Relation) -> bool:
        return bool(free_ids(relation) & self.values.keys())

    def _combinations(self) -> tuple[Relation, Own]:
        own = {i: self.ids.column("", c.type) for i, (c, _) in self.values.items()}
        return Aggregate(self.outer, tuple((own[i], n) for i, (_, n) in self.values.items()), ()), own

    def _reads(self, node: Node) -> bool:
        return any(i in self.values for i in identifiers(node))

    # --- relations ---

    def _filter(self, relation: Filter) -> tuple[Relation, Own]:
        if self._free(relation.input):
            made, own = self.lift(relation.input)
            return Filter(made, tuple(substitute(n, _references(own)) for n in relation.conditions)), own
        # what is the same for all combinations is left out before these multiply the rows
        plain = tuple(n for n in relation.conditions if not self._reads(n))
        combinations, own = self._combinations()
        conditions = tuple(substitute(n, _references(own)) for n in relation.conditions if n not in plain)
        inner = Filter(relation.input, plain) if plain else relation.input
        return Join(combinations, inner, "INNER", conditions, self.algorithm), own

    def _project(self, relation: Project) -> tuple[Relation, Own]:
        inner, own = self.lift(relation.input)
        nodes = [substitute(n, _references(own)) for n in relation.nodes]
        columns = [*relation.columns, *(c for c in own.values() if c.id not in {k.id for k in relation.columns})]
        nodes += [Identifier(c.id) for c in columns[len(nodes) :]]
        return Project(inner, tuple(columns), tuple(nodes)), own

    def _aggregate(self, relation: Aggregate) -> tuple[Relation, Own]:
        if relation.sets is not None and not all(relation.sets):
            self._refuse("grand totals of GROUPING SETS")
        inner, below = self.lift(relation.input)
        own = {i: self.ids.column("", c.type) for i, c in below.items()}
        mapping = _references(below)
        keys = [(c, substitute(n, mapping)) for c, n in relation.keys]
        added = tuple(range(len(keys), len(keys) + len(own)))
        keys += [(own[i], Identifier(below[i].id)) for i in own]
        sets = None if relation.sets is None else tuple((*one, *added) for one in relation.sets)
        calls = tuple(c.over(mapping) for c in relation.calls)
        grouped = Aggregate(inner, tuple(keys), calls, sets)
        return (grouped, own) if relation.keys else self._with_empty(grouped, own)

    def _with_empty(self, grouped: Aggregate, own: Own) -> tuple[Relation, Own]:
        """One row for every combination, also for those without rows: counts are 0 there, other aggregates NULL."""
        combinations, all_of = self._combinations()
        conditions = tuple(Call("notdistinctfrom", (Identifier(all_of[i].id), Identifier(own[i].id))) for i in own)
        columns: list[Column] = []
        nodes: list[Node] = []
        calls = []
        for call in grouped.calls:
            columns.append(call.column)
            if counts_rows(call):
                call = replace(call, column=self.ids.column("", call.column.type))
                nodes.append(Call("nvl", (Identifier(call.column.id), Literal(0, LONG))))
            else:
                nodes.append(Identifier(call.column.id))
            calls.append(call)
        joined = Join(combinations, replace(grouped, calls=tuple(calls)), "LEFT", conditions, self.algorithm)
        columns += all_of.values()
        nodes += [Identifier(c.id) for c in all_of.values()]
        return Project(joined, tuple(columns), tuple(nodes)), all_of

    def _join(self, relation: Join) -> tuple[Relation, Own]:
        left, right = self._free(relation.left), self._free(relation.right)
        optional = {"LEFT": "left", "RIGHT": "right", "FULL": "both"}.get(relation.kind)
        if optional == "both":
            self._refuse("a FULL join")
        # the side whose rows all stay has every combination; the other one only where it reads them
        left = left or optional == "left" or (optional is None and not right)
        right = right or optional == "right"
        one, own_left = self.lift(relation.left) if left else (relation.left, {})
        other, own_right = self.lift(relation.right) if right else (relation.right, {})
        own = own_right if optional == "right" or not left else own_left
        conditions = [substitute(n, _references(own)) for n in relation.conditions]
        if left and right:
            conditions += [
                Call("notdistinctfrom", (Identifier(own_left[i].id), Identifier(own_right[i].id))) for i in own
            ]
        return replace(relation, left=one, right=other, conditions=tuple(conditions)), own

    def _sort(self, relation: Sort) -> tuple[Relation, Own]:
        inner, own = self.lift(relation.input)
        if not relation.offset and relation.limit is None:
            return inner, own
        names = {i: c.id for i, c in own.items()}
        number = self.ids.column("", BIGINT)
        order = tuple(replace(k, column=names.get(k.column, k.column)) for k in relation.keys)
        call = WindowCall(number, "ROW_NUMBER", (), tuple(c.id for c in own.values()), order)
        conditions: list[Node] = []
        if relation.offset:
            conditions.append(Call(">", (Identifier(number.id), Literal(relation.offset, LONG))))
        if relation.limit is not None:
            conditions.append(Call("<=", (Identifier(number.id), Literal(relation.offset + relation.limit, LONG))))
        return Filter(Window(inner, (call,)), tuple(conditions)), own

    def _union(self, relation: Union) -> tuple[Relation, Own]:
        branches: list[Relation] = []
        own: Own = {i: self.ids.column("", c.type) for i, (c, _) in self.values.items()}
        for branch in relation.inputs:
            inner, below = self.lift(branch)
            columns = (*branch.columns, *(below[i] for i in own))
            branches.append(Project(inner, columns, tuple(Identifier(c.id) for c in columns)))
        return Union(tuple(branches), (*relation.columns, *own.values())), own

    def _window(self, relation: Window) -> tuple[Relation, Own]:
        inner, own = self.lift(relation.input)
        names = {i: c.id for i, c in own.items()}
        calls = []
        for call in relation.calls:
            order = tuple(SortKey(names.get(k.column, k.column), k.descending) for k in call.order)
            partition = dict.fromkeys([*(names.get(p, p) for p in call.partition), *names.values()])
            args = tuple(replace(a, node=substitute(a.node, _references(own)), source=None) for a in call.args)
            calls.append(replace(call, partition=tuple(partition), order=order, args=args))
        return Window(inner, tuple(calls)), own

    def _unnest(self, relation: Unnest) -> tuple[Relation, Own]:
        inner, own = self.lift(relation.input)
        mapping = _references(own)
        conditions = tuple(substitute(n, mapping) for n in relation.conditions)
        return Unnest(inner, relation.element, substitute(relation.node, mapping), conditions), own

    def _refuse(self, what: str) -> None:
        refuse(
            f"This correlated subquery is not supported: {what} cannot read columns of the outer query", self.position
        )


def _references(own: Own) -> dict[str, Node]:
    return {i: Identifier(c.id) for i, c in own.items()}
