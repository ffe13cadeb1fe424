"""FROM: tables, external tables, lookups, subqueries, VALUES, UNNEST and joins, as relations with their scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from msq.datatypes import STRING, RowSignature
from msq.expr import operators
from msq.expr.binding import Typed, refuse
from msq.expr.nodes import Identifier, Node, identifiers
from msq.expr.sqltypes import SqlType, least_restrictive, native, of_native
from msq.faults import invalid_sql
from msq.native.datasource import (
    ExternalDataSource,
    InlineDataSource,
    LookupDataSource,
    TableDataSource,
    UnionDataSource,
)  # fmt: skip
from msq.sql.bind.decorrelate import free_ids
from msq.sql.bind.inline import inline_rows, inline_source
from msq.sql.bind.lateral import Lateral
from msq.sql.bind.pivot import bind_pivoted
from msq.sql.bind.relation import Column, Join, Project, Relation, Source, Unnest
from msq.sql.bind.scope import Item, Scope
from msq.sql.bind.session import Session
from msq.sql.nodes import AppendTable, ExternalTable, JoinedTables, PivotedTable, position_of

if TYPE_CHECKING:
    from msq.sql.bind.query import Queries

_SYSTEM = ("INFORMATION_SCHEMA", "sys")


@dataclass(frozen=True)
class Tables:
    """A FROM clause: its relation and what its names mean."""

    relation: Relation
    scope: Scope


def bind_from(queries: Queries, first: exp.Expr, joins: list[exp.Join], scope: Scope, algorithm: str) -> Tables:
    """The tables of a FROM clause, joined from the left."""
    made = bind_table(queries, first, scope, algorithm, None)
    for join in joins:
        made = _join(queries, made, join, algorithm)
    return made


def bind_table(queries: Queries, node: exp.Expr, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    """One table of FROM. `before`: what stands to its left, for UNNEST of its columns."""
    method = _TABLES.get(type(node))
    if method is None:
        refuse(f"[{type(node).__name__}] is not supported in FROM", position_of(node))
    return method(queries, node, scope, algorithm, before)


# --- named tables ---


def _table(queries: Queries, node: exp.Table, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    name, schema, catalog = node.name, node.args.get("db"), node.args.get("catalog")
    if catalog is not None and catalog.name != "druid":
        refuse(f"Object '{catalog.name}' not found", position_of(node))
    if schema is None and name in scope.common:
        common = scope.common[name]
        bound = queries.query(common.query, common.scope)
        if common.columns and len(common.columns) != len(bound.columns):
            refuse("Number of columns must match number of query columns", position_of(node))
        return _aliased(bound.relation, bound.columns, node, common.columns, name, scope)
    session = queries.session
    word = "druid" if schema is None else schema.name
    if word in _SYSTEM:
        source = system_source(session, word, name)
    elif word == "lookup":
        source = lookup_source(session, name, node)
    elif word == "druid":
        source = table_source(session, name, node, qualified=schema is not None)
    else:
        refuse(f"Object '{word}' not found", position_of(schema))
    return _aliased(source, source.columns, node, (), name, scope, word)


def system_source(session: Session, schema: str, name: str) -> Source:
    """A system table, its rows in the query. Raises invalid SQL where the statement's engine cannot read it."""
    table = session.catalog.system(schema, name)
    if table is None:
        raise invalid_sql(f"Cannot query table(s) [{schema}.{name}] with SQL engine [msq-task]")
    columns = [session.ids.column(c.name, of_native(c.type)) for c in table.signature]
    return inline_source(columns, list(table.rows))


def table_source(session: Session, name: str, node: exp.Expr, *, qualified: bool = False) -> Source:
    """A datasource. Raises invalid SQL where there is none of that name."""
    schema = session.catalog.table(name)
    if schema is None:
        inside = " within 'druid'" if qualified else ""
        refuse(f"Object '{name}' not found{inside}", position_of(node))
    session.tables.add(name)
    columns = tuple(
        session.ids.column(c.name, of_native(c.type, time=c.name == "__time"), c.name in schema.multi_value)
        for c in schema.signature
    )
    return Source(TableDataSource(name), columns, schema.signature.names, schema.signature)


def lookup_source(session: Session, name: str, node: exp.Expr) -> Source:
    if not session.catalog.lookup(name):
        refuse(f"Object '{name}' not found within 'lookup'", position_of(node))
    session.env.lookups_read.add(name)
    signature = RowSignature([("k", STRING), ("v", STRING)])
    columns = tuple(session.ids.column(c.name, of_native(c.type)) for c in signature)
    return Source(LookupDataSource(name), columns, signature.names, signature, direct=True)


def _external(queries: Queries, node: ExternalTable, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    session = queries.session
    session.externals.add(str(node.source.get("type")))
    signature = node.signature
    columns = tuple(session.ids.column(c.name, of_native(c.type, time=c.name == "__time")) for c in signature)
    data = ExternalDataSource(node.source, _shown_format(node.format), signature)
    source = Source(data, columns, signature.names, signature)
    return _aliased(source, columns, node, (), None, scope)


def _shown_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """An input format as Druid writes it again: TSV always tells its delimiter."""
    if given is not None and given.get("type") == "tsv" and "delimiter" not in given:
        return {**given, "delimiter": "\t"}
    return given


def _append(queries: Queries, node: AppendTable, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    """TABLE(APPEND(..)): a union by name; types that differ widen as columns of a table do."""
    session = queries.session
    types: dict[str, SqlType] = {}
    multi: set[str] = set()
    names = []
    for literal in node.expressions:
        name = str(literal.this)
        schema = session.catalog.table(name)
        if schema is None:
            refuse(f"Table [{name}] not found", position_of(literal))
        session.tables.add(name)
        names.append(name)
        multi |= schema.multi_value
        for column in schema.signature:
            kind = of_native(column.type, time=column.name == "__time")
            known = types.get(column.name)
            wider = kind if known is None else least_restrictive([known, kind])
            if wider is None:
                raise invalid_sql(
                    f"Can't create TABLE(APPEND()). Conflicting types for column [{column.name}]: "
                    f"[{known}] and [{kind}] of table [{name}]"
                )
            types[column.name] = wider
    signature = RowSignature((n, native(t)) for n, t in types.items())
    columns = tuple(session.ids.column(n, t, n in multi) for n, t in types.items())
    union = UnionDataSource(tuple(TableDataSource(n) for n in names))
    source = Source(union if len(names) > 1 else TableDataSource(names[0]), columns, signature.names, signature)
    return _aliased(source, columns, node, (), None, scope)


def _aliased(
    relation: Relation, columns: tuple[Column, ...], node: exp.Expr, names: tuple[str, ...], default: str | None,
    scope: Scope, schema: str | None = None,
) -> Tables:  # fmt: skip
    """The relation under its alias, its columns renamed by `alias(a, b)` or by a WITH item's list."""
    alias = node.args.get("alias")
    renamed = list(names)
    if alias is not None:
        default, schema = alias.this.name if alias.this is not None else default, None
        given = [c.name for c in alias.args.get("columns") or ()]
        if given:
            if len(given) != len(columns):
                refuse(
                    f"List of column aliases must have same degree as table; table has {len(columns)} columns "
                    f"({', '.join(repr(c.name) for c in columns)}), whereas alias list has {len(given)} columns",
                    position_of(alias),
                )
            renamed = given
    shown = columns
    if renamed:
        shown = tuple(replace(c, name=n) for c, n in zip(columns, renamed))
    return Tables(relation, replace(scope, items=(Item(default, shown, schema),), merged={}))


# --- derived tables ---


def _subquery(queries: Queries, node: exp.Subquery, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    bound = queries.query(node.this, replace(scope, items=(), merged={}))
    made = _aliased(bound.relation, bound.columns, node, (), None, scope)
    if isinstance(bound.relation, Source) and isinstance(bound.relation.source, InlineDataSource):
        shown = made.scope.items[0].columns
        if tuple(c.id for c in shown) == tuple(c.id for c in bound.relation.columns):
            return replace(made, relation=inline_source(list(shown), list(bound.relation.source.rows)))
    return made


def _pivoted(queries: Queries, node: PivotedTable, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    inner = bind_table(queries, node.this, scope, algorithm, None)
    bound = bind_pivoted(queries, node, inner.relation, inner.scope, algorithm)
    return _aliased(bound.relation, bound.columns, node, (), None, scope)


def _lateral(queries: Queries, node: exp.Lateral, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    """UNNEST or a subquery that may read the tables to its left."""
    if before is None or not isinstance(node.this, exp.Subquery):
        return bind_table(queries, node.this, scope, algorithm, before)
    bound = queries.query(node.this.this, before.scope.inner())
    return _aliased(bound.relation, bound.columns, node.this, (), None, scope)


def _joined(queries: Queries, node: JoinedTables, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    return bind_from(queries, node.this, list(node.args.get("joins") or ()), scope, algorithm)


def _unnest(queries: Queries, node: exp.Unnest, scope: Scope, algorithm: str, before: Tables | None) -> Tables:
    """UNNEST(array): beside the tables to its left, or alone over a constant."""
    if len(node.expressions) != 1:
        refuse("UNNEST takes one argument", position_of(node))
    visible = before.scope if before is not None else scope
    array = queries.expressions(visible, None, "UNNEST").bind(node.expressions[0])
    if array.sql_type.name != "ARRAY" or array.sql_type.element is None:
        shown = f"Cannot apply 'UNNEST' to arguments of type 'UNNEST(<{array.sql_type}>)'. Supported form(s): "
        forms = "'UNNEST(<MULTISET>)'\n'UNNEST(<ARRAY>)'\n'UNNEST(<MAP>)'"
        refuse(shown + forms, position_of(node))
    element = queries.session.ids.column("EXPR$0", _element_type(array))
    if not identifiers(array.node):
        source = _constant_unnest(queries, array, element, node)
        made = _aliased(source, source.columns, node, (), None, scope)
        return made if before is None else _side_by_side(before, made, algorithm)
    assert before is not None
    relation = Unnest(before.relation, element, array.node)
    alone = _aliased(relation, (element,), node, (), None, scope)
    return Tables(relation, replace(before.scope, items=(*before.scope.items, *alone.scope.items)))


def _element_type(array: Typed) -> SqlType:
    element = array.sql_type.element
    assert element is not None
    return element


def _constant_unnest(queries: Queries, array: Typed, element: Column, node: exp.Expr) -> Source:
    values = inline_rows(queries.session, array, position_of(node))
    return inline_source([replace(element, id=element.id)], [(v,) for v in values])


# --- joins ---


def _side_by_side(left: Tables, right: Tables, algorithm: str) -> Tables:
    relation = Join(left.relation, right.relation, "INNER", (), algorithm)
    return Tables(relation, _together(left.scope, right.scope))


def _together(left: Scope, right: Scope) -> Scope:
    return replace(left, items=(*left.items, *right.items), merged={**left.merged, **right.merged})


def _join(queries: Queries, left: Tables, node: exp.Join, algorithm: str) -> Tables:
    outer = replace(left.scope, items=(), merged={})
    kind = str(node.args.get("side") or "INNER")
    unnest = node.this.this if isinstance(node.this, exp.Lateral) else node.this
    if isinstance(unnest, exp.Unnest):
        made = bind_table(queries, node.this, outer, algorithm, left)
        condition = node.args.get("on")
        if condition is not None and not (isinstance(condition, exp.Boolean) and condition.this):
            bound = queries.expressions(made.scope, None, "ON").condition(condition)
            if kind != "INNER":
                refuse("An outer join with UNNEST only takes ON TRUE", position_of(condition))
            return Tables(queries.filter(made.relation, bound.node), made.scope)
        # LEFT drops rows without elements like INNER: a real Druid answers so, whatever its documentation says
        if kind not in ("INNER", "LEFT"):
            refuse(f"{kind} JOIN UNNEST is not supported", position_of(node))
        return made
    right = bind_table(queries, node.this, outer, algorithm, left)
    _check_aliases(left.scope, right.scope, node)
    scope = _together(left.scope, right.scope)
    conditions: list[Node] = []
    shared: list[tuple[str, Column, Column]] = []
    if node.args.get("on") is not None:
        bound = queries.expressions(scope, None, "ON").condition(node.args["on"])
        conditions = queries.conjuncts(bound.node)
    elif node.args.get("using") or node.args.get("method") == "NATURAL":
        names = [i.name for i in node.args.get("using") or ()]
        if node.args.get("method") == "NATURAL":
            others = {c.name for c in right.scope.columns()}
            names = [c.name for c in left.scope.columns() if c.name in others]
        for name in names:
            shared.append((name, *_merged(left.scope, right.scope, name, node)))
            one, other = (c.typed for c in shared[-1][1:])
            conditions.append(operators.bind_comparison("=", one, other, queries.session.env).node)
    elif node.args.get("side") is not None or node.args.get("kind") == "INNER" or node.args.get("kind") is None:
        refuse(f"{kind} join requires a condition (NATURAL keyword or ON or USING clause)", position_of(node))
    if kind in ("RIGHT", "FULL"):
        algorithm = "sortMerge"
    inner, more = _for_each_row(queries, left, right, node, algorithm)
    joined = Tables(Join(left.relation, inner, kind, (*conditions, *more), algorithm), scope)
    return _with_shared(queries, joined, left.scope, shared, kind) if shared else joined


def _for_each_row(
    queries: Queries, left: Tables, right: Tables, node: exp.Join, algorithm: str
) -> tuple[Relation, tuple[Node, ...]]:
    """The right side of a join without references to the left one, which a LATERAL subquery may have, and the
    conditions that they became."""
    free = free_ids(right.relation) if isinstance(node.this, exp.Lateral) else frozenset()
    values = {c.id: (c, Identifier(c.id)) for c in left.relation.columns if c.id in free}
    if not values:
        return right.relation, ()
    if node.args.get("side") in ("RIGHT", "FULL"):
        refuse(f"{node.args['side']} JOIN LATERAL is not supported", position_of(node))
    lateral = Lateral(left.relation, values, queries.session.ids, algorithm, position_of(node))
    relation, own = lateral.lift(right.relation)
    return relation, lateral.conditions(own)


def _check_aliases(left: Scope, right: Scope, node: exp.Expr) -> None:
    taken = {i.alias for i in left.items if i.alias is not None}
    for item in right.items:
        if item.alias in taken:
            refuse(f"Duplicate relation name '{item.alias}' in FROM clause", position_of(node))


def _merged(left: Scope, right: Scope, name: str, node: exp.Expr) -> tuple[Column, Column]:
    """The two columns of one USING name."""
    sides = []
    for side in (left, right):
        found = [c for c in side.columns() if c.name == name]
        if name in side.merged:
            found = [c for c in found if c.id == side.merged[name][0]]
        if len(found) != 1:
            word = "not found in any table" if not found else "in USING clause is not unique on one side of join"
            refuse(f"Column '{name}' {word}", position_of(node))
        sides.append(found[0])
    return sides[0], sides[1]


def _with_shared(
    queries: Queries, joined: Tables, left: Scope, shared: list[tuple[str, Column, Column]], kind: str
) -> Tables:
    """The scope in which USING columns stand once, with the value of the side that always has one; of a FULL join
    they are columns of their own, with the value of the side that has one."""
    session = queries.session
    merged = dict(joined.scope.merged)
    made: list[tuple[Column, Node]] = []
    for name, one, other in shared:
        hidden = [*left.merged.get(name, (one.id,)), other.id]
        visible = other if kind == "RIGHT" else one
        if kind == "FULL":
            value = operators.bind_coalesce([one.typed, other.typed], session.env)
            visible = session.ids.column(name, value.sql_type, value.multi_value)
            made.append((visible, value.node))
        merged[name] = (visible.id, *(i for i in hidden if i != visible.id))
    scope = replace(joined.scope, merged=merged)
    if not made:
        return Tables(joined.relation, scope)
    columns = joined.relation.columns
    nodes: list[Node] = [Identifier(c.id) for c in columns]
    project = Project(joined.relation, (*columns, *(c for c, _ in made)), (*nodes, *(n for _, n in made)))
    return Tables(project, replace(scope, items=(*scope.items, Item(None, tuple(c for c, _ in made)))))


_TABLES: dict[type[exp.Expr], Callable[[Any, Any, Scope, str, Tables | None], Tables]] = {
    exp.Table: _table, ExternalTable: _external, AppendTable: _append, exp.Subquery: _subquery, exp.Lateral: _lateral,
    JoinedTables: _joined, exp.Unnest: _unnest, PivotedTable: _pivoted,
}  # fmt: skip
