"""Joins: which conditions a native join can hold, which sides are read in place, and the data source they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msq.datatypes import Column as NativeColumn
from msq.datatypes import RowSignature
from msq.expr.nodes import Call, Identifier, Literal, Node, identifiers, rename
from msq.expr.printer import to_text
from msq.expr.sqltypes import VARCHAR, native, of_native
from msq.expr.types import infer
from msq.faults import not_plannable
from msq.native.datasource import (
    DataSource,
    ExternalDataSource,
    InlineDataSource,
    JoinDataSource,
    QueryDataSource,
    TableDataSource,
)  # fmt: skip
from msq.sql.bind.level import Level
from msq.sql.bind.naming import join_prefix
from msq.sql.bind.relation import Column, Filter, Join, Project, Relation, Source, substitute

if TYPE_CHECKING:
    from msq.sql.bind.emit import Emitter


@dataclass(frozen=True)
class Equality:
    """`left op right`, one side over each input; op is `==` or `notdistinctfrom`."""

    operator: str
    left: Node
    right: Node


def _check_keys(join: Join, pairs: Sequence[Equality]) -> None:
    """Refuses keys that are complex values. Raises DruidException."""
    types = {c.id: c.type for side in (join.left, join.right) for c in side.columns}
    for key in (k for pair in pairs for k in (pair.left, pair.right)):
        of = types.get(key.name) if isinstance(key, Identifier) else None
        if of is not None and of.name == "OTHER":
            raise not_plannable(
                "Query could not be planned. A possible reason is [Cannot join when the join condition has column of "
                f"type [{native(of)}]]"
            )


@dataclass(frozen=True)
class Side:
    """One input of a join as a data source: native names of its columns by id."""

    source: DataSource
    names: dict[str, str]
    signature: RowSignature


def lower_join(emitter: Emitter, join: Join, needed: frozenset[str]) -> Level:
    """The level over a join's data source. Conditions that are no equality filter above an INNER join; those of an
    outer join, which Druid refuses, are conditions of the join itself."""
    join = _with_text_keys(_table_first(_with_filtered_side(join)))
    pairs, rest = _split(join)
    _check_keys(join, pairs)
    above = needed | {i for n in rest for i in identifiers(n)}
    merge = join.algorithm == "sortMerge"
    left, left_keys = _side(emitter, join.left, above, [p.left for p in pairs], in_place=not merge, keys_apart=merge)
    right, right_keys = _side(
        emitter, join.right, above, [p.right for p in pairs], in_place=False if merge else None, keys_apart=True
    )
    prefix = join_prefix(left.signature.names, left.source, right.source)
    names = {**left.names, **{i: prefix + n for i, n in right.names.items()}}
    conditions: list[Node] = [
        Call(p.operator, (rename(a, left.names), rename(b, {i: prefix + n for i, n in right.names.items()})))
        for p, a, b in zip(pairs, left_keys, right_keys)
    ]
    if join.kind != "INNER":
        conditions += [rename(n, names) for n in rest]
        rest = []
    source = JoinDataSource(
        left.source, right.source, prefix, _condition(conditions), join.kind,
        join_algorithm="sortMerge" if merge else None,
    )  # fmt: skip
    signature = RowSignature([*left.signature, *(NativeColumn(prefix + c.name, c.type) for c in right.signature)])
    level = Level.over(source, [c for c in join.columns if c.id in names], names, signature)
    level.learn(join.columns)
    level.where.extend(rest)
    return level


def _with_filtered_side(join: Join) -> Join:
    """Conditions of a one-sided outer join over its optional side alone filter that side before it is joined."""
    if join.kind not in ("LEFT", "RIGHT"):
        return join
    optional = join.right if join.kind == "LEFT" else join.left
    mine = {c.id for c in optional.columns}
    only = tuple(n for n in join.conditions if identifiers(n) and set(identifiers(n)) <= mine)
    if not only:
        return join
    rest = tuple(n for n in join.conditions if n not in only)
    left, right = (join.left, Filter(optional, only)) if join.kind == "LEFT" else (Filter(optional, only), join.right)
    return replace(join, left=left, right=right, conditions=rest)


def with_computed_left(join: Join, items: list[tuple[Column, Node]]) -> tuple[Join, list[tuple[Column, Node]]] | None:
    """A sort-merge join over an external table on the left computes there what a projection above needs of it alone.

    Answers the join with a projection below its left side and the items over it, None where nothing moves.
    """
    moves = (
        join.algorithm == "sortMerge" and join.kind in ("INNER", "LEFT") and isinstance(join.left, Source)
        and isinstance(join.left.source, ExternalDataSource)
    )  # fmt: skip
    left = {c.id for c in join.left.columns}
    computed = [(c, n) for c, n in items if not isinstance(n, Identifier)]
    below = [(c, n) for c, n in computed if identifiers(n) and set(identifiers(n)) <= left]
    if not moves or not below or _table_first(join) is not join:
        return None
    above = {i for c, n in items if (c, n) not in below for i in identifiers(n)}
    above |= {i for n in join.conditions for i in identifiers(n)}
    kept = [c for c in join.left.columns if c.id in above]
    nodes: list[Node] = [Identifier(c.id) for c in kept]
    project = Project(join.left, (*kept, *(c for c, _ in below)), (*nodes, *(n for _, n in below)))
    moved = {c.id for c, _ in below}
    return replace(join, left=project), [(c, Identifier(c.id) if c.id in moved else n) for c, n in items]


def _split(join: Join) -> tuple[list[Equality], list[Node]]:
    """The equalities between the two sides among the conditions, and the rest; conditions that always hold go."""
    left = {c.id for c in join.left.columns}
    right = {c.id for c in join.right.columns}
    pairs: list[Equality] = []
    rest: list[Node] = []
    for node in join.conditions:
        pair = _equality(node, left, right)
        if pair is not None:
            pairs.append(pair)
        elif not (isinstance(node, Literal) and node.value == 1):
            rest.append(node)
    return pairs, rest


def is_equality_between(node: Node, left: Relation, right: Relation) -> bool:
    """Whether a condition equates one expression of each relation."""
    return _equality(node, {c.id for c in left.columns}, {c.id for c in right.columns}) is not None


def _equality(node: Node, left: set[str], right: set[str]) -> Equality | None:
    node = _not_distinct(node) or node
    if not isinstance(node, Call) or node.function not in ("==", "notdistinctfrom") or len(node.args) != 2:
        return None
    for a, b in (node.args, node.args[::-1]):
        reads_a, reads_b = set(identifiers(a)), set(identifiers(b))
        if reads_b and reads_b <= right and reads_a and reads_a <= left:
            return Equality(node.function, a, b)
    return None


def _not_distinct(node: Node) -> Call | None:
    """`notdistinctfrom(a, b)` of the long form of IS NOT DISTINCT FROM; None for other conditions."""
    if not isinstance(node, Call) or node.function != "||" or len(node.args) != 2:
        return None
    known = node.args[1]
    if not isinstance(known, Call) or known.function != "istrue" or not isinstance(known.args[0], Call):
        return None
    equal = known.args[0]
    nulls = Call("&&", tuple(Call("isnull", (a,)) for a in equal.args))
    return Call("notdistinctfrom", equal.args) if equal.function == "==" and node.args[0] == nulls else None


def _table_first(join: Join) -> Join:
    """A sort-merge INNER join of an external table with a datasource, as Druid's planner turns it round."""
    a, b = join.left, join.right
    turned = (
        join.algorithm == "sortMerge" and join.kind == "INNER" and isinstance(a, Source) and isinstance(b, Source)
        and isinstance(a.source, ExternalDataSource) and isinstance(b.source, TableDataSource)
    )  # fmt: skip
    return replace(join, left=b, right=a) if turned else join


def _with_text_keys(join: Join) -> Join:
    """Inline rows whose CHAR key meets a VARCHAR get the key a second time as VARCHAR, which is what Druid joins on."""
    source = join.right.source if isinstance(join.right, Source) and join.algorithm == "broadcast" else None
    if not isinstance(join.right, Source) or not isinstance(source, InlineDataSource):
        return join
    types = {c.id: c.type.name for c in join.columns}
    columns, names, rows = list(join.right.columns), list(source.column_names), [list(r) for r in source.rows]
    conditions = []
    for node in join.conditions:
        pair = _equality(node, {c.id for c in join.left.columns}, {c.id for c in join.right.columns})
        if pair is None or not isinstance(pair.left, Identifier) or not isinstance(pair.right, Identifier):
            conditions.append(node)
            continue
        if types.get(pair.left.name) != "VARCHAR" or types.get(pair.right.name) != "CHAR":
            conditions.append(node)
            continue
        place = next(n for n, c in enumerate(columns) if c.id == pair.right.name)
        name, number = names[place], 0
        while name in names:
            name, number = f"{names[place]}{number}", number + 1
        twin = Column(f"{pair.right.name} as text", "", VARCHAR)
        columns.append(twin)
        names.append(name)
        for row in rows:
            row.append(row[place])
        conditions.append(Call(pair.operator, (pair.left, Identifier(twin.id))))
    inline = InlineDataSource(tuple(names), tuple(c.native for c in columns), tuple(tuple(r) for r in rows))
    right = replace(join.right, source=inline, columns=tuple(columns), names=tuple(names), signature=inline.signature)
    return replace(join, right=right, conditions=tuple(conditions))


def _side(
    emitter: Emitter, relation: Relation, above: frozenset[str], keys: list[Node], *, in_place: bool | None,
    keys_apart: bool,
) -> tuple[Side, list[Node]]:  # fmt: skip
    """A side as a data source, and its key expressions over the ids that the side names.

    in_place: whether the source may stand bare (None: only when it is `direct`). keys_apart: computed keys must
    become columns of a subquery.
    """
    mine = frozenset(c.id for c in relation.columns)
    plain_keys = {k.name for k in keys if isinstance(k, Identifier)}
    computed = keys_apart and any(not isinstance(k, Identifier) for k in keys)
    wanted = mine & (above | plain_keys)
    reads = mine & (above | {i for k in keys for i in identifiers(k)})
    if not computed:
        wanted = reads = unpruned(relation, reads)
    level = emitter.plain(relation, reads)
    keys_are_columns = all(isinstance(substitute(k, level.outputs), Identifier) for k in keys)
    allowed = level.direct if in_place is None else in_place
    if allowed and level.is_mapping and (keys_are_columns or not keys_apart):
        return Side(level.close_source(), {**level.names, **level.mapped_names()}, level.signature), keys
    outputs = [i for i in level.outputs if i in wanted]
    names: list[Node] = []
    for key in keys:
        if keys_apart and not isinstance(key, Identifier):
            outputs.append(_key_column(level, key))
            key = Identifier(outputs[-1])
        names.append(key)
    if level.is_mapping and isinstance(level.source, QueryDataSource) and level.unnest is None:
        return Side(level.source, level.mapped_names(), level.signature), names
    done = emitter.finish(level, outputs or list(level.outputs)[:1])
    return Side(QueryDataSource(done.query), done.names, done.signature), names


def _key_column(level: Level, node: Node) -> str:
    """An output of the level that holds a join key's expression."""
    kind = infer(node, {i: c.native for i, c in level.columns.items()})
    column = Column(f"{to_text(node)} of a join", "", of_native(kind))
    level.learn([column])
    level.outputs[column.id] = substitute(node, level.outputs)
    return column.id


def _condition(nodes: list[Node]) -> str:
    if not nodes:
        return "1"
    if len(nodes) == 1:
        return to_text(nodes[0])
    return "(" + " && ".join(to_text(n) for n in nodes) + ")"


def unpruned(relation: Relation, needed: frozenset[str]) -> frozenset[str]:
    """What a join keeps of a side that needs `needed`: everything of external and inline sources read as they are."""
    if isinstance(relation, Source):
        whole = isinstance(relation.source, (ExternalDataSource, InlineDataSource))
        return frozenset(c.id for c in relation.columns) if whole else needed
    if isinstance(relation, Filter):
        return unpruned(relation.input, needed)
    if isinstance(relation, Join):
        left = unpruned(relation.left, needed & {c.id for c in relation.left.columns})
        return left | unpruned(relation.right, needed & {c.id for c in relation.right.columns})
    return needed
