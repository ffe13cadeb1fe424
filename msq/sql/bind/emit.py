"""Relations to native queries: cuts a relation into levels, bottom up, keeping only the columns that are used.

Follows what Druid's planner does to the same relation, so that the queries print alike: which side of a join is read in
place, where a subquery begins, which columns a subquery keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msq.datatypes import LONG, RowSignature
from msq.datatypes import Column as NativeColumn
from msq.expr.nodes import Identifier, Literal, Node, identifiers
from msq.expr.sqltypes import BIGINT
from msq.native.datasource import QueryDataSource
from msq.sql.bind import emit_window, join, unions
from msq.sql.bind.grouping import finish_grouping
from msq.sql.bind.level import Contexts, Finished, Level, OpenUnnest
from msq.sql.bind.naming import join_prefix
from msq.sql.bind.predicates import constants_of
from msq.sql.bind.relation import (
    Aggregate,
    Column,
    Filter,
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
from msq.sql.bind.scan import finish_scan


class Emitter:
    def __init__(self, contexts: Contexts, context: Mapping[str, Any]) -> None:
        self.contexts = contexts
        self.context = context

    # --- whole queries ---

    def outermost(self, relation: Relation, wanted: Sequence[str]) -> Finished:
        """The statement's query, with the `wanted` columns of `relation` in its output."""
        level = self.lower(relation, frozenset(wanted), top=True)
        return self.finish(level, list(wanted), outer=True)

    def finish(self, level: Level | emit_window.WindowLevel, wanted: Sequence[str], *, outer: bool = False) -> Finished:
        context = self.contexts.outer if outer else self.contexts.inner
        if isinstance(level, emit_window.WindowLevel):
            return level.finish(wanted, context)
        if level.aggregated:
            return finish_grouping(level, wanted, context, self.context)
        return finish_scan(level, wanted or [self._zero(level)], context)

    def wrap(self, level: Level | emit_window.WindowLevel, needed: frozenset[str]) -> Level:
        """A new level over `level` as a subquery that outputs its needed columns."""
        if isinstance(level, Level) and level.is_mapping and isinstance(level.source, QueryDataSource):
            return level
        kept = [i for i in level.outputs if i in needed]
        done = self.finish(level, kept or list(level.outputs)[:1])
        columns = [level.columns[i] for i in kept]
        return Level.over(QueryDataSource(done.query), columns, done.names, done.signature)

    def _zero(self, level: Level) -> str:
        """An output of zeros, for a subquery of which only the number of rows matters."""
        zero = Column("a zero", "", BIGINT)
        level.learn([zero])
        level.outputs[zero.id] = Literal(0, LONG)
        return zero.id

    # --- relations ---

    def lower(
        self, relation: Relation, needed: frozenset[str], *, top: bool = False
    ) -> Level | emit_window.WindowLevel:
        """The level of a relation whose `needed` columns are used above it."""
        match relation:
            case Source():
                return self._source(relation)
            case Filter():
                return self._filter(relation, needed)
            case Project():
                return self._project(relation, needed, top)
            case Aggregate():
                return self._aggregate(relation)
            case Sort():
                return self._sort(relation, needed, top)
            case Join():
                return join.lower_join(self, relation, needed)
            case Unnest():
                return self._unnest(relation, needed)
            case Window():
                return emit_window.lower_window(self, relation, None, needed, top)
            case Union():
                return unions.lower_union(self, relation, needed)
        raise TypeError(f"no native form of [{type(relation).__name__}]")

    def plain(self, relation: Relation, needed: frozenset[str]) -> Level:
        """As `lower`, a window query wrapped so that further clauses fit."""
        level = self.lower(relation, needed)
        return level if isinstance(level, Level) else self.wrap(level, needed)

    def _source(self, relation: Source) -> Level:
        names = {c.id: n for c, n in zip(relation.columns, relation.names)}
        return Level.over(relation.source, relation.columns, names, relation.signature, direct=relation.direct)

    def _filter(self, relation: Filter, needed: frozenset[str]) -> Level:
        reads = frozenset(i for n in relation.conditions for i in identifiers(n))
        level = self.plain(relation.input, needed | reads)
        if level.limited:
            level = self.wrap(level, needed | reads)
        for node in relation.conditions:
            self.add_condition(level, substitute(node, level.outputs))
        return level

    def add_condition(self, level: Level, node: Node) -> None:
        """One condition over a level's source or aggregates, put where Druid's planner would move it."""
        reads = set(identifiers(node))
        if level.aggregated:
            assert level.keys is not None
            keys = {c.id: n for c, n in level.keys}
            if level.sets is None and reads and reads <= keys.keys():
                self.add_condition_below(level, substitute(node, keys))
            else:
                level.having.append(node)
            return
        self.add_condition_below(level, node)

    def add_condition_below(self, level: Level, node: Node) -> None:
        reads = set(identifiers(node))
        part = level.unnest
        if part is not None and reads == {part.element.id}:
            part.kept.append(node)
        elif part is not None and reads and part.element.id not in reads:
            part.below.append(node)
        else:
            level.where.append(node)

    def _project(self, relation: Project, needed: frozenset[str], top: bool) -> Level | emit_window.WindowLevel:
        if isinstance(relation.input, Window):
            return emit_window.lower_window(self, relation.input, relation, needed, top)
        kept = [(c, n) for c, n in zip(relation.columns, relation.nodes) if c.id in needed]
        if isinstance(relation.input, Join):
            made = join.with_computed_left(relation.input, kept)
            if made is not None:
                relation, kept = replace(relation, input=made[0]), made[1]
        reads = frozenset(i for _, n in kept for i in identifiers(n))
        level = self.lower(relation.input, reads, top=False)
        if not isinstance(level, Level):
            level = self.wrap(level, reads)
        level.outputs = {c.id: substitute(n, level.outputs) for c, n in kept}
        level.learn(relation.columns)
        return level

    def _aggregate(self, relation: Aggregate) -> Level:
        reads = [i for _, n in relation.keys for i in identifiers(n)]
        reads += [i for c in relation.calls for i in c.inputs]
        level = self.plain(relation.input, frozenset(reads))
        if level.aggregated or level.limited:
            level = self.wrap(level, frozenset(reads))
        level.sort = []
        level.keys = [(c, substitute(n, level.outputs)) for c, n in relation.keys]
        level.calls = [c.over(level.outputs) for c in relation.calls]
        level.sets = relation.sets
        level.learn(relation.columns)
        level.outputs = {c.id: Identifier(c.id) for c in relation.columns}
        if level.sets is None:
            self._pull_constants(level)
        return level

    def _pull_constants(self, level: Level) -> None:
        """Keys that the filter fixes to one value do not group, as long as another key does."""
        assert level.keys is not None
        constants = constants_of(level.where, level.columns)
        fixed = {c.id: constants[n.name] for c, n in level.keys if isinstance(n, Identifier) and n.name in constants}
        if not fixed or len(fixed) == len(level.keys):
            return
        level.keys = [k for k in level.keys if k[0].id not in fixed]
        level.outputs.update(fixed)

    def _sort(self, relation: Sort, needed: frozenset[str], top: bool) -> Level:
        """An order without LIMIT only matters at the top."""
        limited = bool(relation.offset) or relation.limit is not None
        keys = relation.keys if limited or top else ()
        reads = needed | {k.column for k in keys}
        inner = relation.input
        if isinstance(inner, Sort) and not relation.keys:
            level = self._sort(inner, reads, top=True)
        else:
            level = self.plain(inner, reads)
        if keys and level.limited:
            level = self.wrap(level, reads)
        if keys:
            level.sort = [(level.columns[k.column], level.outputs[k.column], k.descending) for k in keys]
        if limited:
            level.offset, level.limit = combined(level.offset, level.limit, relation.offset, relation.limit)
        return level

    def _unnest(self, relation: Unnest, needed: frozenset[str]) -> Level:
        reads = (needed - {relation.element.id}) | set(identifiers(relation.node))
        level = self.plain(relation.input, reads)
        if level.aggregated or level.limited:
            level = self.wrap(level, reads)
        level.sort = []
        base = level.close_source()
        name = join_prefix(level.signature.names, base) + "unnest"
        part = OpenUnnest(
            base, dict(level.names), level.signature, relation.element, name, substitute(relation.node, level.outputs),
            below=list(level.where),
        )  # fmt: skip
        signature = RowSignature([*level.signature, NativeColumn(name, relation.element.native)])
        made = Level.over(base, (), {**level.names, relation.element.id: name}, signature)
        made.unnest = part
        made.columns = dict(level.columns)
        made.learn([relation.element])
        made.outputs = {**level.outputs, relation.element.id: Identifier(relation.element.id)}
        for node in relation.conditions:
            self.add_condition(made, node)
        return made


def combined(offset: int, limit: int | None, more_offset: int, other_limit: int | None) -> tuple[int, int | None]:
    """Offset and limit of skipping and limiting twice."""
    left = None if limit is None else max(0, limit - more_offset)
    limits = [n for n in (left, other_limit) if n is not None]
    return offset + more_offset, min(limits) if limits else None
