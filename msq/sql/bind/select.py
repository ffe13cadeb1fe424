"""One SELECT: its clauses in the order in which they mean something, as a relation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from msq.aggregate.registry import is_aggregate
from msq.expr.binding import Typed, refuse
from msq.expr.nodes import Identifier, Node
from msq.expr.sqltypes import BOOLEAN
from msq.sql.bind import from_, quantified, subqueries
from msq.sql.bind.expressions import Expressions
from msq.sql.bind.groups import Groups
from msq.sql.bind.inline import fold_projection, inline_source, is_foldable
from msq.sql.bind.relation import Aggregate, Column, Project, Relation, Sort, SortKey, Source
from msq.sql.bind.scope import Bound, Scope
from msq.sql.bind.windows import Windows
from msq.sql.nodes import Call, position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries

Attachment = Callable[[Relation], Relation]


@dataclass(frozen=True)
class Item:
    """One item of the SELECT list: its expression, or the column that a star stands for, and its output name."""

    name: str
    node: exp.Expr | None
    column: Column | None = None

    def bind(self, binder: Expressions) -> Typed:
        if self.column is not None:
            return self.column.typed
        assert self.node is not None
        return binder.bind(self.node)


@dataclass
class BlockHost:
    """What may stand in an expression of one clause: subqueries are attached to the rows the clause reads."""

    block: Block
    final: bool
    """Whether the clause reads the block's final rows rather than those of FROM."""
    aggregates: bool = False
    windows: bool = False

    def attach(self, attachment: Attachment) -> None:
        if self.final:
            self.block.attached.append(attachment)
        else:
            self.block.attach(attachment)

    def outer_value(self, node: Node) -> Node:
        groups = self.block.groups
        return groups.over_groups(Typed(node, BOOLEAN), None).node if self.final and groups is not None else node

    def outer_columns(self) -> tuple[Column, ...]:
        groups = self.block.groups
        made = tuple(groups.columns.values()) if self.final and groups is not None else ()
        return (*self.block.outer_columns(), *made)

    def outer_rows(self) -> Relation:
        groups = self.block.groups
        rows = self.block.outer_rows()
        return groups.rows_of(rows) if self.final and groups is not None else rows

    def aggregate(self, node: Call, binder: Expressions) -> Typed:
        if binder.clause == "aggregate":
            refuse("Aggregate expressions cannot be nested", position_of(node))
        if not self.aggregates or self.block.groups is None:
            refuse(f"Aggregate expression is illegal in {binder.clause} clause", position_of(node))
        return self.block.groups.call(node, binder)

    def window(self, node: Call, binder: Expressions) -> Typed:
        if not self.windows and binder.clause == "HAVING":
            refuse("Window functions are not allowed in HAVING", position_of(node))
        if not self.windows:
            refuse(f"Windowed aggregate expression is illegal in {binder.clause} clause", position_of(node))
        return self.block.windows.call(node)

    def scalar(self, node: exp.Subquery, binder: Expressions) -> Typed:
        return subqueries.scalar(self.block.queries, node, binder, self, self.block.algorithm)

    def membership(self, node: exp.In, binder: Expressions) -> Typed:
        if isinstance(node.this, exp.Tuple):
            return quantified.row_membership(self.block.queries, node, binder, self, self.block.algorithm)
        return subqueries.membership(self.block.queries, node, binder, self, self.block.algorithm)

    def exists(self, node: exp.Exists, binder: Expressions) -> Typed:
        return subqueries.exists(self.block.queries, node, binder, self, self.block.algorithm)

    def quantified(self, node: exp.Binary, word: str, binder: Expressions) -> Typed:
        return quantified.quantified(self.block.queries, node, word, binder, self, self.block.algorithm)


@dataclass
class Block:
    """A SELECT being bound."""

    queries: Queries
    node: exp.Select
    scope: Scope
    relation: Relation | None
    algorithm: str
    groups: Groups | None = None
    attached: list[Attachment] = field(default_factory=list)
    """Joins of subqueries to the rows that SELECT, HAVING and ORDER BY read."""
    rows: Relation | None = None
    """The rows of FROM, filtered by WHERE once that is bound, without subqueries of other clauses."""

    def __post_init__(self) -> None:
        self.rows = self.relation
        self.windows = Windows(self)

    def binder(self, clause: str, *, aggregates: bool = False, windows: bool = False) -> Expressions:
        """A binder for clauses that read the block's final rows."""
        host = BlockHost(self, True, aggregates, windows)
        return self.queries.expressions(self.scope, host, clause)

    def binder_below(self, clause: str) -> Expressions:
        """A binder for what is evaluated over the rows of FROM; subqueries join these at once."""
        return self.queries.expressions(self.scope, BlockHost(self, False), clause)

    def outer_value(self, node: Node) -> Node:
        return node

    def outer_columns(self) -> tuple[Column, ...]:
        return self.outer_rows().columns

    def outer_rows(self) -> Relation:
        """The rows of FROM, as far as they are bound."""
        assert self.relation is not None
        return self.relation if self.rows is None else self.rows

    def attach(self, attachment: Attachment) -> None:
        """Joins a subquery to the rows of FROM."""
        assert self.relation is not None
        self.relation = attachment(self.relation)


def bind_select(queries: Queries, node: exp.Select, scope: Scope) -> Bound:
    """The relation of a SELECT with its ORDER BY and LIMIT."""
    algorithm = _algorithm(queries.session.algorithm, node)
    clause = node.args.get("from_")
    if clause is None:
        return _without_from(queries, node, scope, algorithm)
    tables = from_.bind_from(queries, clause.this, list(node.args.get("joins") or ()), scope, algorithm)
    outer = scope.outer if not scope.items else scope
    inner = replace(tables.scope, outer=outer, common=scope.common)
    return bind_block(queries, node, inner, tables.relation, algorithm)


def bind_block(queries: Queries, node: exp.Select, scope: Scope, relation: Relation, algorithm: str) -> Bound:
    """A SELECT whose FROM is bound already: `relation`, named as in `scope`."""
    return _bind(Block(queries, node, scope, relation, algorithm))


def _algorithm(default: str, node: exp.Select) -> str:
    """The join algorithm of the block: a hint's, else the statement's."""
    hint = node.args.get("hint")
    words = {str(v.this).lower().replace("_", "") for v in hint.expressions} if hint is not None else set()
    if "sortmerge" in words:
        return "sortMerge"
    return "broadcast" if "broadcast" in words else default


def _bind(block: Block) -> Bound:
    assert block.relation is not None
    node = block.node
    where = node.args.get("where")
    if where is not None:
        block.relation = block.rows = subqueries.where(block, where.this)
    items = list(_items(block))
    if _is_grouped(block, items):
        block.groups = Groups(block, items)
    binder = block.binder("SELECT", aggregates=block.groups is not None, windows=True)
    typed = [_regrouped(block, i.bind(binder), i.node) for i in items]
    having = node.args.get("having")
    condition = None
    if having is not None:
        bound = block.binder("HAVING", aggregates=True).condition(_with_aliases(block, having.this, items, first=False))
        condition = _regrouped(block, bound, having.this).node
    columns = tuple(_column(block, i.name, t) for i, t in zip(items, typed))
    keys, hidden = _order(block, items, columns, typed)
    qualify = node.args.get("qualify")
    kept = None
    if qualify is not None:
        bound = block.binder("QUALIFY", aggregates=True, windows=True).condition(
            _with_aliases(block, qualify.this, items, first=False)
        )
        kept = _regrouped(block, bound, qualify.this).node

    relation = block.groups.relation() if block.groups is not None else block.relation
    for attach in block.attached:
        relation = attach(relation)
    if condition is not None:
        relation = block.queries.filter(relation, condition)
    relation = block.windows.relation(relation)
    if kept is not None:
        relation = block.queries.filter(relation, kept)
    relation = _project(block, relation, columns, typed, hidden)
    if node.args.get("distinct") is not None:
        if hidden:
            place = position_of(node.args["order"])
            refuse("Expression in ORDER BY of SELECT DISTINCT must be in the select list", place)
        relation, columns, keys = _distinct(block, relation, columns, keys)
    offset, limit = block.queries.limits(node)
    if keys or offset or limit is not None:
        relation = Sort(relation, tuple(keys), offset, limit)
    return Bound(relation, columns)


def _without_from(queries: Queries, node: exp.Select, scope: Scope, algorithm: str) -> Bound:
    """SELECT without FROM: one row. Constants stand in the row; what cannot be folded reads a row of one zero."""
    from msq.expr.sqltypes import INTEGER

    zero = inline_source([queries.session.ids.column("ZERO", INTEGER)], [(0,)])
    return bind_block(queries, node, Scope(common=scope.common, outer=scope.outer), zero, algorithm)


# --- SELECT list ---


def _items(block: Block) -> Iterator[Item]:
    for at, node in enumerate(block.node.expressions):
        if isinstance(node, exp.Star):
            yield from (Item(c.name, None, c) for c in block.scope.star(None))
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            yield from (Item(c.name, None, c) for c in block.scope.star(node.args.get("table")))
        elif isinstance(node, exp.Alias):
            yield Item(node.alias, node.this)
        elif isinstance(node, exp.Column):
            yield Item(node.name, node)
        else:
            yield Item(f"EXPR${at}", node)


def _column(block: Block, name: str, typed: Typed) -> Column:
    """The output column of an item; a plain reference keeps its id."""
    if isinstance(typed.node, Identifier):
        known = block.groups.columns.get(typed.node.name) if block.groups is not None else None
        return Column(typed.node.name, name, typed.sql_type, typed.multi_value, known is not None and known.aggregate)
    return block.queries.session.ids.column(name, typed.sql_type, typed.multi_value)


def _project(
    block: Block, relation: Relation, columns: tuple[Column, ...], typed: list[Typed], hidden: list[tuple[Column, Node]]
) -> Relation:
    computes = any(not isinstance(t.node, Identifier) for t in typed)
    if isinstance(relation, Source) and computes and not hidden and all(is_foldable(t) for t in typed):
        folded = fold_projection(block.queries.session, relation, columns, typed)
        if folded is not None:
            return folded
    nodes = [t.node for t in typed]
    made = list(columns)
    for column, node in hidden:
        made.append(column)
        nodes.append(node)
    return Project(relation, tuple(made), tuple(nodes))


# --- grouping ---


def _is_grouped(block: Block, items: list[Item]) -> bool:
    node = block.node
    if node.args.get("group") is not None or node.args.get("having") is not None:
        return True
    nodes = [i.node for i in items if i.node is not None]
    nodes += [o.this for o in (node.args["order"].expressions if node.args.get("order") is not None else ())]
    return any(_has_aggregate(n) for n in nodes)


def _has_aggregate(node: exp.Expr) -> bool:
    """Whether an aggregate call of this block stands in an expression; calls with OVER are none themselves."""
    if isinstance(node, (exp.Subquery, exp.Select, exp.SetOperation)):
        return False
    if isinstance(node, Call) and node.args.get("over") is None and is_aggregate(node.upper):
        return True
    children = (c for v in node.args.values() for c in (v if isinstance(v, list) else [v]))
    return any(_has_aggregate(c) for c in children if isinstance(c, exp.Expr))


def _regrouped(block: Block, typed: Typed, node: exp.Expr | None) -> Typed:
    """In a grouped block, the value in terms of group keys and aggregates."""
    return typed if block.groups is None else block.groups.over_groups(typed, node)


# --- ORDER BY ---


def _order(
    block: Block, items: list[Item], columns: tuple[Column, ...], typed: list[Typed]
) -> tuple[list[SortKey], list[tuple[Column, Node]]]:
    """The sort keys, and what they read that is not selected."""
    from msq.sql.bind.query import is_descending, order_items, output_reference

    keys: list[SortKey] = []
    hidden: list[tuple[Column, Node]] = []
    binder = block.binder("ORDER BY", aggregates=block.groups is not None, windows=True)
    for item in order_items(block.node):
        column = output_reference(item.this, columns)
        if column is None:
            bound = _regrouped(block, binder.bind(_with_aliases(block, item.this, items, first=True)), item.this)
            column = next((c for c, t in zip(columns, typed) if t.node == bound.node), None)
            if column is None:
                column = _column(block, "", bound)
                hidden.append((column, bound.node))
        if all(k.column != column.id for k in keys):
            keys.append(SortKey(column.id, is_descending(item)))
        else:
            is_descending(item)
    return keys, hidden


def _with_aliases(block: Block, node: exp.Expr, items: list[Item], *, first: bool) -> exp.Expr:
    """`node` with output aliases replaced by what they name; `first`: even where a column of that name is in scope."""
    aliases = {i.name: i.node for i in items if i.node is not None and not isinstance(i.node, exp.Column)}

    def change(at: exp.Expr) -> exp.Expr:
        if not isinstance(at, exp.Column) or at.args.get("table") is not None or at.name not in aliases:
            return at
        if not first and block.scope.knows(at.name):
            return at
        meaning = aliases[at.name]
        assert meaning is not None
        return meaning.copy()

    if not any(isinstance(c, exp.Column) and c.name in aliases for c in node.walk()):
        return node
    return node.copy().transform(change)


# --- DISTINCT ---


def _distinct(
    block: Block, relation: Relation, columns: tuple[Column, ...], keys: list[SortKey]
) -> tuple[Relation, tuple[Column, ...], list[SortKey]]:
    """SELECT DISTINCT as a grouping by every output column."""
    made: dict[str, Column] = {}
    grouped: list[tuple[Column, Node]] = []
    for column in columns:
        if column.id not in made:
            made[column.id] = block.queries.session.ids.column(column.name, column.type, column.multi)
            grouped.append((made[column.id], Identifier(column.id)))
    shown = tuple(replace(made[c.id], name=c.name) for c in columns)
    return Aggregate(relation, tuple(grouped), ()), shown, [replace(k, column=made[k.column].id) for k in keys]
