"""Names in scope: which tables a query block sees, and what a column name means there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from msq.expr.binding import refuse
from msq.sql.bind.relation import Column, Relation
from msq.sql.nodes import position_of


@dataclass(frozen=True)
class Item:
    """One table of FROM: its alias (None when it has none) and its columns."""

    alias: str | None
    columns: tuple[Column, ...]
    schema: str | None = None


@dataclass(frozen=True)
class CommonTable:
    """A WITH item: its query and the names around it; bound anew at each use."""

    query: exp.Query
    columns: tuple[str, ...]
    scope: Scope


@dataclass(frozen=True)
class Scope:
    """Tables of a query block, and what lies around it: outer blocks and WITH items."""

    items: tuple[Item, ...] = ()
    common: Mapping[str, CommonTable] = field(default_factory=dict)
    outer: Scope | None = None
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that USING or NATURAL merged: name to the ids that stand behind it, the visible one first."""

    def columns(self) -> Iterator[Column]:
        for item in self.items:
            yield from item.columns

    def resolve(self, node: exp.Column) -> Column:
        """The column of a name. Raises invalid SQL with Druid's words when it is unknown or ambiguous."""
        name = node.name
        table = node.args.get("table")
        if table is not None:
            return self._qualified(node, table, name)
        found = [c for c in self.columns() if c.name == name]
        if len(found) > 1 and name in self.merged:
            visible = self.merged[name][0]
            found = [c for c in found if c.id not in self.merged[name] or c.id == visible]
        if not found:
            if self.outer is not None and self.outer.knows(name):
                return self.outer.resolve(node)
            refuse(f"Column '{name}' not found in any table{self._meant(name)}", position_of(node))
        if len(found) > 1:
            refuse(f"Column '{name}' is ambiguous", position_of(node))
        return found[0]

    def _meant(self, name: str) -> str:
        """The hint at a column that differs in the case of its letters alone."""
        other = next((c.name for c in self.columns() if c.name.lower() == name.lower()), None)
        return f"; did you mean '{other}'?" if other is not None else ""

    def knows(self, name: str) -> bool:
        return any(c.name == name for c in self.columns()) or (self.outer is not None and self.outer.knows(name))

    def _qualified(self, node: exp.Column, table: exp.Expr, name: str) -> Column:
        items = self.named(table.name, node.args.get("db"))
        if not items:
            if self.outer is not None and self.outer.reaches(table.name, node.args.get("db")):
                return self.outer.resolve(node)
            shown = ".".join(p.name for p in (node.args.get("catalog"), node.args.get("db"), table) if p is not None)
            refuse(f"Table '{shown}' not found", position_of(table))
        found = [c for i in items for c in i.columns if c.name == name]
        if not found:
            refuse(f"Column '{name}' not found in table '{table.name}'", position_of(node.this))
        if len(found) > 1:
            refuse(f"Column '{name}' is ambiguous", position_of(node.this))
        return found[0]

    def reaches(self, alias: str, schema: exp.Expr | None) -> bool:
        """Whether a table of that name stands in this block or around it."""
        return bool(self.named(alias, schema)) or (self.outer is not None and self.outer.reaches(alias, schema))

    def named(self, alias: str, schema: exp.Expr | None = None) -> list[Item]:
        return [
            i for i in self.items
            if i.alias == alias and (schema is None or i.schema == schema.name)
        ]  # fmt: skip

    def star(self, table: exp.Expr | None) -> list[Column]:
        """The columns that `*` or `t.*` stands for, merged ones once."""
        if table is not None:
            items = self.named(table.name)
            if not items:
                refuse(f"Unknown identifier '{table.name}'", position_of(table))
            return [c for i in items for c in i.columns]
        if not self.items:
            refuse("SELECT * requires a FROM clause", None)
        hidden = {i for ids in self.merged.values() for i in ids[1:]}
        first = [ids[0] for ids in self.merged.values()]
        by_id = {c.id: c for c in self.columns()}
        rest = [c for c in self.columns() if c.id not in hidden and c.id not in first]
        return [*(by_id[i] for i in first), *rest]

    def inner(self) -> Scope:
        """The scope in which a subquery of this block begins."""
        return Scope(common=self.common, outer=self)


@dataclass(frozen=True)
class Bound:
    """A bound query: relation, its visible columns in order, and their names as SQL shows them."""

    relation: Relation
    columns: tuple[Column, ...]

    def item(self, alias: str | None, names: Sequence[str] = ()) -> Item:
        if not names:
            return Item(alias, self.columns)
        renamed = [Column(c.id, n, c.type, c.multi) for c, n in zip(self.columns, names)]
        return Item(alias, (*renamed, *self.columns[len(renamed) :]))
