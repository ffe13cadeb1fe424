"""Functions that apply a lambda over arrays: map, filter, fold, any, all and the cartesian forms."""

from __future__ import annotations

from collections.abc import Sequence

from msq.datatypes import LONG, ColumnType, array_of
from msq.expr.declare import native
from msq.expr.lower import InputColumn, Lowered, Lowering, as_array, as_long_sql, convert, truth
from msq.expr.nodes import Call, Lambda
from msq.expr.registry import ALL_ARGS, Types
from msq.faults import invalid_input


def _lambda(node: Call) -> Lambda:
    found = node.args[0] if node.args else None
    if not isinstance(found, Lambda):
        raise invalid_input(f"Function[{node.function}] first argument must be a lambda expression")
    return found


def _scope(lowering: Lowering, names: Sequence[str], arrays: Sequence[Lowered]) -> tuple[Lowering, list[str]]:
    """The walk inside the lambda, and the SQL names of its parameters."""
    made = [f"__l{lowering.depth}_{i}" for i in range(len(names))]
    columns = {}
    for name, variable, array in zip(names, made, arrays):
        assert array.type.element is not None
        columns[name] = InputColumn(variable, array.type.element)
    return lowering.child(columns), made


def _map(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    made, arrays = _lambda(node), [as_array(a) for a in args]
    inner, names = _scope(lowering, made.params, arrays)
    body = inner.plain(made.body)
    sql = as_long_sql(body)
    for position, (name, array) in enumerate(zip(reversed(names), reversed(arrays))):
        sql = f"list_transform({array.sql}, lambda {name}: {sql})"
        if position:
            sql = f"flatten({sql})"
    return Lowered(sql, array_of(body.type))


def _filter(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    made, array = _lambda(node), as_array(args[0])
    inner, names = _scope(lowering, made.params, [array])
    kept = f"list_filter({array.sql}, lambda {names[0]}: {truth(inner.plain(made.body))})"
    if not args[0].type.is_array:
        # A multi-value string of which nothing is left is NULL.
        kept = f"(CASE WHEN len({kept}) > 0 THEN {kept} END)"
    return Lowered(kept, array.type)


def _quantified(whole: bool) -> object:
    def rule(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
        made, array = _lambda(node), as_array(args[0])
        inner, names = _scope(lowering, made.params, [array])
        test = f"coalesce({truth(inner.plain(made.body))}, false)"
        kept = f"len(list_filter({array.sql}, lambda {names[0]}: {'NOT ' if whole else ''}{test}))"
        return Lowered(f"({kept} {'= 0' if whole else '> 0'})", LONG, boolean=True)

    return rule


def _fold(lowering: Lowering, node: Call, args: Sequence[Lowered]) -> Lowered:
    """fold((x, acc) -> body, array, initial)."""
    made, array, start = _lambda(node), as_array(args[0]), args[1]
    assert array.type.element is not None
    item, total = f"__l{lowering.depth}_x", f"__l{lowering.depth}_a"
    scope = {made.params[0]: InputColumn(item, array.type.element), made.params[1]: InputColumn(total, start.type)}
    body = lowering.child(scope).plain(made.body)
    sql = f"list_reduce({array.sql}, lambda {total}, {item}: {convert(body, start.type)}, {start.sql})"
    return Lowered(sql, start.type)


def _element_array(types: Types) -> ColumnType | None:
    return array_of(types[0] or LONG)


def _same_array(types: Types) -> ColumnType | None:
    of = types[1]
    return None if of is None else of if of.is_array else array_of(of)


native("map", "The lambda of every element.", _element_array, _map, (ALL_ARGS,))
native("cartesian_map", "The lambda of every combination of elements.", _element_array, _map, (ALL_ARGS,))
native("filter", "The elements for which the lambda is true.", _same_array, _filter, (ALL_ARGS,))
native("fold", "The lambda (element, total) run over the elements.", lambda types: types[2], _fold, (ALL_ARGS,))
native("any", "Whether the lambda is true of an element.", LONG, _quantified(False), (ALL_ARGS,))  # type: ignore[arg-type]
native("all", "Whether the lambda is true of every element.", LONG, _quantified(True), (ALL_ARGS,))  # type: ignore[arg-type]
