"""Window functions of one SELECT: checks, frames, and the relation that computes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.aggregate.registry import aggregate_type, bind_aggregate, is_aggregate
from msq.datatypes import LONG, STRING
from msq.expr.binding import Position, Typed, refuse
from msq.expr.nodes import Call as NativeCall
from msq.expr.nodes import Identifier, Literal, Node
from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, SqlType, native
from msq.faults import DruidException, invalid_sql
from msq.sql.bind.expressions import WINDOW_ONLY, Expressions
from msq.sql.bind.relation import Column, Project, Relation, SortKey, Window, WindowCall
from msq.sql.nodes import Call, FrameBound, WindowFrame, WindowOver, position_of

if TYPE_CHECKING:
    from msq.sql.bind.select import Block

Frame = tuple[str, int | None, int | None]

RESULTS = {
    "ROW_NUMBER": BIGINT, "RANK": BIGINT, "DENSE_RANK": BIGINT, "PERCENT_RANK": SQL_DOUBLE, "CUME_DIST": SQL_DOUBLE,
    "NTILE": BIGINT,
}  # fmt: skip
ARGUMENTS = {
    "ROW_NUMBER": (0, 0), "RANK": (0, 0), "DENSE_RANK": (0, 0), "PERCENT_RANK": (0, 0), "CUME_DIST": (0, 0),
    "NTILE": (1, 1), "LAG": (1, 3), "LEAD": (1, 3), "FIRST_VALUE": (1, 1), "LAST_VALUE": (1, 1),
    "NTH_VALUE": (2, 2),
}  # fmt: skip


class Windows:
    """The window calls of a block, and the columns that they read."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.calls: list[WindowCall] = []
        self._inputs: dict[Node, Column] = {}
        self._named = {w.this.name: w.args["window"] for w in block.node.args.get("windows") or ()}
        for named in self._named.values():
            if any(is_aggregate(c.upper) for c in named.find_all(Call)):
                refuse(
                    "Aggregation inside window is currently not supported with syntax WINDOW W AS <DEF>. Try providing "
                    "window definition directly without alias",
                    position_of(named),
                )

    def call(self, node: Call) -> Typed:
        """The value of a window call; equal calls share one column."""
        name, position = node.upper, position_of(node)
        if node.args.get("distinct"):
            refuse("DISTINCT is not supported for window functions", position)
        if node.args.get("filter") is not None:
            refuse("OVER must be applied to aggregate function", position)
        if node.args.get("nulls") is not None:
            refuse("IGNORE NULLS and RESPECT NULLS are not supported for window functions", position)
        if name not in ARGUMENTS and not is_aggregate(name):
            if name in WINDOW_ONLY:
                raise invalid_sql(f"The window function [{name}] is not supported")
            refuse("OVER must be applied to aggregate function", position)
        over = self._resolve(node.args["over"])
        inner = self.block.binder("window", aggregates=self.block.groups is not None)
        star = len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Star)
        args = [] if star else [self._regroup(a, n) for a, n in zip(inner.arguments(node), node.expressions)]
        partition = tuple(self._input(inner, p).id for p in over.args.get("partition_by") or ())
        order = self._order(inner, over)
        frame = self._frame(name, over, order, node)
        return self._add(name, args, partition, order, frame, node)

    def relation(self, below: Relation) -> Relation:
        """The rows with the windows' columns; `below` itself where there are none."""
        if not self.calls:
            return below
        computed = [(c, n) for n, c in self._inputs.items() if not isinstance(n, Identifier)]
        if computed:
            columns = (*below.columns, *(c for c, _ in computed))
            nodes: list[Node] = [Identifier(c.id) for c in below.columns]
            below = Project(below, columns, (*nodes, *(n for _, n in computed)))
        return Window(below, tuple(self.calls))

    # --- OVER ---

    def _resolve(self, over: exp.Expr) -> WindowOver:
        """The window that OVER means, the parts of a named one filled in."""
        if isinstance(over, exp.Identifier):
            if over.name not in self._named:
                refuse(f"Window '{over.name}' not found", position_of(over))
            return self._resolve(self._named[over.name])
        assert isinstance(over, WindowOver)
        base = over.this
        if not isinstance(base, exp.Identifier):
            return over
        named = self._resolve(base)
        merged = over.copy()
        merged.set("this", None)
        for key in ("partition_by", "order", "frame"):
            if not merged.args.get(key) and named.args.get(key):
                merged.set(key, named.args[key])
        return merged

    def _regroup(self, typed: Typed, node: exp.Expr) -> Typed:
        return typed if self.block.groups is None else self.block.groups.over_groups(typed, node)

    def _input(self, binder: Expressions, node: exp.Expr) -> Column:
        return self._column(self._regroup(binder.bind(node), node))

    def _column(self, typed: Typed) -> Column:
        """The column below the window that holds a value."""
        known = self._inputs.get(typed.node)
        if known is None:
            if isinstance(typed.node, Identifier):
                known = Column(typed.node.name, "", typed.sql_type, typed.multi_value)
            else:
                known = self.block.queries.session.ids.column("", typed.sql_type, typed.multi_value)
            self._inputs[typed.node] = known
        return known

    def _order(self, binder: Expressions, over: WindowOver) -> tuple[SortKey, ...]:
        from msq.sql.bind.query import is_descending

        clause = over.args.get("order")
        made: list[SortKey] = []
        for item in clause.expressions if clause is not None else ():
            column = self._input(binder, item.this)
            if all(k.column != column.id for k in made):
                made.append(SortKey(column.id, is_descending(item)))
        return tuple(made)

    # --- frames ---

    def _frame(self, name: str, over: WindowOver, order: tuple[SortKey, ...], node: Call) -> Frame | None:
        clause = over.args.get("frame")
        if clause is None:
            return ("groups", None, 0) if order else ("rows", None, None)
        assert isinstance(clause, WindowFrame)
        if name == "NTILE":
            refuse("Framing of NTILE is not supported.", position_of(node))
        start, end = clause.args["start"], clause.args.get("end")
        if end is None:
            current = FrameBound(this="CURRENT ROW")
            following = start.args["this"] == "FOLLOWING"
            start, end = (current, start) if following else (start, current)
        spec = position_of(over)
        lower, upper = self._bound(start, spec, lower=True), self._bound(end, spec, lower=False)
        if clause.args["this"] == "ROWS":
            # rows without an order have no neighbours: Druid takes the whole partition
            return ("rows", lower, upper) if order else ("rows", None, None)
        if lower not in (None, 0) or upper not in (None, 0):
            refuse(
                "Order By with RANGE clause currently supports only UNBOUNDED or CURRENT ROW. Use ROWS clause instead.",
                spec,
            )
        if lower is None and upper is None:
            return ("rows", None, None)
        return ("groups", lower, upper) if order else ("rows", None, None)

    def _bound(self, bound: FrameBound, spec: Position | None, *, lower: bool) -> int | None:
        """Rows from the current one, None for unbounded. `spec`: where the window stands."""
        word, distance = str(bound.args["this"]), bound.args.get("expression")
        if word == "CURRENT ROW":
            return 0
        if distance is None:
            if (word == "PRECEDING") != lower:
                refuse(f"UNBOUNDED {word} cannot be the {'lower' if lower else 'upper'} bound", position_of(bound))
            return None
        if not isinstance(distance, exp.Literal) or not str(distance.this).isdigit():
            refuse("Window frames with expression based lower/upper bounds are not supported.", spec)
        rows = int(str(distance.this))
        return -rows if word == "PRECEDING" else rows

    # --- calls ---

    def _add(
        self, name: str, args: list[Typed], partition: tuple[str, ...], order: tuple[SortKey, ...], frame: Frame | None,
        node: Call,
    ) -> Typed:  # fmt: skip
        if name not in ARGUMENTS:
            return self._aggregate(name, args, partition, order, frame, node)
        least, most = ARGUMENTS[name]
        if not least <= len(args) <= most:
            refuse(
                f"Invalid number of arguments to function '{name}'. Was expecting {least} arguments", position_of(node)
            )
        if name in ("NTILE", "LAG", "LEAD", "NTH_VALUE"):
            place = 0 if name == "NTILE" else 1
            if len(args) > place and not (args[place].is_literal and isinstance(args[place].literal_value, int)):
                refuse(f"Argument to function '{name}' must be a literal", position_of(node))
            if name == "NTILE" and args[0].literal_value < 1:
                raise DruidException(
                    f"numBuckets[{args[0].literal_value}] must be greater than zero", category="UNCATEGORIZED"
                )
            if name == "NTH_VALUE" and args[1].literal_value < 1:
                refuse("Argument to function 'NTH_VALUE' must be a positive number", position_of(node))
        if name in ("FIRST_VALUE", "LAST_VALUE"):
            name = self._end_of_frame(name, frame, node)
        if name not in RESULTS:
            args = [self._as_column(args[0]), *args[1:2]]
        of = RESULTS.get(name) or args[0].sql_type
        return self._named_call(name, args, of, partition, order, frame if name == "NTH_VALUE" else None, node)

    def _end_of_frame(self, name: str, frame: Frame | None, node: Call) -> str:
        """FIRST_VALUE and LAST_VALUE look at the partition, or at the row itself where the frame ends there."""
        assert frame is not None
        _, lower, upper = frame
        if lower not in (None, 0) or upper not in (None, 0):
            refuse(
                "Framing of FIRST_VALUE/LAST_VALUE is only allowed with UNBOUNDED or CURRENT ROW.", position_of(node)
            )
        end = lower if name == "FIRST_VALUE" else upper
        return name if end is None else "OWN_VALUE"

    def _aggregate(
        self, name: str, args: list[Typed], partition: tuple[str, ...], order: tuple[SortKey, ...], frame: Frame | None,
        node: Call,
    ) -> Typed:  # fmt: skip
        context = self.block.queries.session.context
        of = aggregate_type(name, args, context=context, position=position_of(node))
        if name == "AVG":
            return self._average(args, partition, order, frame, node)
        time = next((c for c in self.block.scope.columns() if c.name == "__time"), None)
        if name in ("EARLIEST", "LATEST") and time is not None:
            # the time they go by must reach the window
            name, args = f"{name}_BY", [args[0], self._regroup(time.typed, node), *args[1:]]
        # settings stay literals, and COUNT(1) is COUNT(*)
        args = [a if a.is_literal and (n or name == "COUNT") else self._as_column(a) for n, a in enumerate(args)]
        made = bind_aggregate(
            name, args, output="w", column=lambda n, kind: n.name if isinstance(n, Identifier) else "v",
            context=context, position=position_of(node),
        )  # fmt: skip
        if made.posts or len(made.aggregators) != 1:
            raise invalid_sql(f"Aggregation [{name}] is currently not supported for window functions")
        return self._named_call(name, args, of, partition, order, frame, node)

    def _average(
        self, args: list[Typed], partition: tuple[str, ...], order: tuple[SortKey, ...], frame: Frame | None, node: Call
    ) -> Typed:
        """AVG as the sum over the count, NULL without rows."""
        count = self._aggregate("COUNT", args, partition, order, frame, node)
        total = self._aggregate("SUM", args, partition, order, frame, node)
        positive = NativeCall(">", (count.node, Literal(0, LONG)))
        value: Node = NativeCall("case_searched", (positive, total.node, Literal(None, None)))
        if native(total.sql_type) == LONG:
            value = NativeCall("CAST", (value, Literal("DOUBLE", STRING)))
        return Typed(NativeCall("/", (value, count.node)), SQL_DOUBLE, position_of(node))

    def _as_column(self, typed: Typed) -> Typed:
        return replace(typed, node=Identifier(self._column(typed).id), source=None)

    def _named_call(
        self, name: str, args: list[Typed], of: SqlType, partition: tuple[str, ...], order: tuple[SortKey, ...],
        frame: Frame | None, node: Call,
    ) -> Typed:  # fmt: skip
        key = (name, tuple(a.node for a in args), partition, order, frame)
        for known in self.calls:
            if (known.name, tuple(a.node for a in known.args), known.partition, known.order, known.frame) == key:
                return known.column.at(position_of(node))
        column = self.block.queries.session.ids.column("", of)
        self.calls.append(WindowCall(column, name, tuple(args), partition, order, frame, position_of(node)))
        return column.at(position_of(node))
