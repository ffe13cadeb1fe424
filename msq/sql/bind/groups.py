"""Grouping of one SELECT: group keys, grouping sets, the aggregates met in its clauses, exact distinct counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.aggregate.registry import aggregate_type, needs_exact_distinct
from msq.expr.binding import Typed, literal, refuse
from msq.expr.nodes import Identifier, Literal, Node, identifiers, transform
from msq.faults import not_plannable
from msq.sql.bind.distinct import exact_distinct
from msq.sql.bind.expressions import Expressions
from msq.sql.bind.relation import Aggregate, AggregateCall, Column, Relation
from msq.sql.nodes import Call, position_of

if TYPE_CHECKING:
    from msq.sql.bind.select import Block, Item


@dataclass
class Groups:
    """The GROUP BY of a block. `columns`: keys and aggregates by id."""

    block: Block
    items: list[Item]

    def __post_init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.keys: list[tuple[Column, Node]] = []
        self.calls: list[AggregateCall] = []
        self._by_node: dict[Node, Column] = {}
        self._unused: list[Node] = []
        self._several: set[str] = set()
        clause = self.block.node.args.get("group")
        elements = [self._sets(e) for e in clause.expressions] if clause is not None else []
        combined = [tuple(dict.fromkeys(k for part in choice for k in part)) for choice in product(*elements)]
        self.sets: tuple[tuple[int, ...], ...] | None = None
        if len(combined) > 1:
            places = {c.id: n for n, (c, _) in enumerate(self.keys)}
            self.sets = tuple(tuple(sorted(places[i] for i in one)) for one in combined)
        else:
            self._drop_constants()

    # --- keys ---

    def _sets(self, node: exp.Expr) -> list[tuple[str, ...]]:
        """The grouping sets of one GROUP BY element, as tuples of key ids."""
        if isinstance(node, exp.GroupingSets):
            return [s for e in node.expressions for s in self._sets(e)]
        if isinstance(node, exp.Rollup):
            parts = [self._key_ids(e) for e in node.expressions]
            return [tuple(k for p in parts[:n] for k in p) for n in range(len(parts), -1, -1)]
        if isinstance(node, exp.Cube):
            parts = [self._key_ids(e) for e in node.expressions]
            return [
                tuple(k for p, used in zip(parts, bits) if used for k in p)
                for bits in product((True, False), repeat=len(parts))
            ]
        return [self._key_ids(node)]

    def _key_ids(self, node: exp.Expr) -> tuple[str, ...]:
        if isinstance(node, exp.Tuple):
            return tuple(k for e in node.expressions for k in self._key_ids(e))
        return (self._key(node).id,)

    def _key(self, node: exp.Expr) -> Column:
        if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
            number = int(str(node.this))
            if not 1 <= number <= len(self.items):
                refuse("Ordinal out of range", position_of(node))
            item = self.items[number - 1]
            typed = item.bind(self.block.binder_below("GROUP BY"))
        else:
            typed = self.block.binder_below("GROUP BY").bind(node)
        known = self._by_node.get(typed.node)
        if known is None:
            known = self.block.queries.session.ids.column("", typed.sql_type, False)
            self._by_node[typed.node] = self.columns[known.id] = known
            self.keys.append((known, typed.node))
            if typed.multi_value:
                self._several.add(known.id)
        return known

    def _drop_constants(self) -> None:
        """Constant keys do not group unless they are all there is, or hold several values."""
        varying = [k for k in self.keys if identifiers(k[1]) or k[0].id in self._several]
        kept = varying or self.keys[:1]
        for column, node in self.keys:
            if all(column.id != c.id for c, _ in kept):
                del self._by_node[node]
        self.keys = kept

    # --- aggregates ---

    def call(self, node: Call, binder: Expressions) -> Typed:
        """The value of an aggregate call; equal calls share one column."""
        session = self.block.queries.session
        name = node.upper
        if node.args.get("order") is not None:
            raise not_plannable(
                f"Query could not be planned. A possible reason is [Aggregation [{name}] with ORDER BY inside it is "
                "not supported]"
            )
        if node.args.get("nulls") is not None:
            refuse(f"Cannot specify IGNORE NULLS or RESPECT NULLS following '{name}'", position_of(node))
        below = self.block.binder_below("aggregate")
        groupings: tuple[str, ...] = ()
        if name in ("GROUPING", "GROUPING_ID"):
            name = "GROUPING"
            if self.block.node.args.get("group") is None:
                refuse("GROUPING operator may only occur in an aggregate query", position_of(node))
            groupings = tuple(self._grouped(a) for a in node.expressions)
            args: tuple[Typed, ...] = tuple(literal(0) for _ in groupings)
        elif len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Star):
            if name != "COUNT":
                refuse(f"Unknown identifier '*' in the arguments of [{name}]", position_of(node))
            args = ()
        else:
            args = tuple(below.arguments(node))
        times = [c for c in self.block.scope.columns() if c.name == "__time"]
        if name in ("EARLIEST", "LATEST") and len(times) == 1 and len(args) in (1, 2):
            name, args = f"{name}_BY", (args[0], times[0].typed, *args[1:])
        condition = node.args.get("filter")
        bound = None if condition is None else below.within(below.scope, below.host, "FILTER").condition(condition).node
        distinct = bool(node.args.get("distinct"))
        if distinct and not args:
            refuse(f"Invalid number of arguments to function '{name}'. Was expecting 1 arguments", position_of(node))
        known = next(
            (
                c for c in self.calls
                if (c.name, c.distinct, c.filter, c.groupings) == (name, distinct, bound, groupings)
                and [a.node for a in c.args] == [a.node for a in args]
            ),
            None,
        )  # fmt: skip
        if known is None:
            of = aggregate_type(
                name, args, distinct=distinct, context=session.context, has_time=bool(times), position=position_of(node)
            )
            column = replace(session.ids.column("", of), aggregate=name not in ("AVG", "GROUPING"))
            known = AggregateCall(column, name, args, distinct, bound, position_of(node), groupings)
            self.calls.append(known)
            self.columns[column.id] = column
        return known.column.at(position_of(node))

    def _grouped(self, node: exp.Expr) -> str:
        """The key that an argument of GROUPING names."""
        typed = self.block.binder_below("GROUPING").bind(node)
        known = self._by_node.get(typed.node)
        if known is None:
            refuse("Argument to operator 'GROUPING' must be a grouped expression", position_of(node))
        return known.id

    # --- results ---

    def over_groups(self, typed: Typed, node: exp.Expr | None) -> Typed:
        """The value with keys in place of what they group by; anything else it reads is refused."""
        made = transform(typed.node, lambda at: self._key_of(at, whole=at is typed.node))
        assert self.block.relation is not None
        below = {c.id: c for c in self.block.relation.columns}
        for name in identifiers(made):
            if name in below and name not in self.columns:
                self._refuse_ungrouped(below[name], node)
        return replace(typed, node=made, source=None) if made != typed.node else typed

    def _key_of(self, node: Node, *, whole: bool) -> Node | None:
        """A reference to the key that groups by `node`; a constant key is meant only by a whole expression."""
        known = self._by_node.get(node)
        if known is None or (isinstance(node, Literal) and not whole):
            return None
        return Identifier(known.id)

    def _refuse_ungrouped(self, column: Column, node: exp.Expr | None) -> None:
        found = None
        for at in node.walk() if node is not None else ():
            if isinstance(at, exp.Column) and at.name == column.name:
                found = at
                break
        shown = column.name
        if found is not None:
            shown = ".".join(p.name for p in (found.args.get("table"), found.this) if p is not None)
        refuse(f"Expression '{shown}' is not being grouped", position_of(found) if found is not None else None)

    def rows_of(self, rows: Relation) -> Relation:
        """`rows` grouped, with the aggregates that are bound by now."""
        return Aggregate(rows, tuple(self.keys), tuple(self.calls), self.sets)

    def relation(self) -> Relation:
        """The grouped rows."""
        assert self.block.relation is not None
        made = Aggregate(self.block.relation, tuple(self.keys), tuple(self.calls), self.sets)
        context = self.block.queries.session.context
        if any(needs_exact_distinct(c.name, c.distinct, context) for c in self.calls):
            return exact_distinct(self.block.queries.session, made)
        return made
