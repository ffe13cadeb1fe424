"""Virtual columns as expressions, and their lowering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msq.datatypes import LONG, STRING, STRING_ARRAY
from msq.expr.functions.json import fraction
from msq.expr.jsonpath import path_text
from msq.expr.lower import InputColumn, Lowered, LowerEnv, as_output, lower
from msq.expr.nodes import Call, Identifier, Lambda, Literal, Node
from msq.expr.parser import parse
from msq.faults import DruidException
from msq.native.virtual import (
    ExpressionVirtualColumn,
    ListFilteredVirtualColumn,
    NestedFieldVirtualColumn,
    PrefixFilteredVirtualColumn,
    RegexFilteredVirtualColumn,
    VirtualColumn,
)


def virtual_node(column: VirtualColumn) -> Node:
    """A virtual column as an expression over the columns it reads. Raises for a kind that has none."""
    made = _NODES.get(type(column))
    if made is None:
        raise DruidException(
            f"Virtual columns of type [{type(column).__name__}] are not supported", category="UNSUPPORTED"
        )
    return made(column)


def lower_virtual(column: VirtualColumn, inputs: Mapping[str, InputColumn], env: LowerEnv | None = None) -> Lowered:
    """The column's value, at its declared type."""
    return as_output(lower(virtual_node(column), inputs, env), column.column_type)


def fraction_of(node: Node, inputs: Mapping[str, InputColumn], env: LowerEnv | None = None) -> str | None:
    """`InputColumn.fraction` of a column that holds this expression; None for one that is no text of a JSON scalar."""
    if not (isinstance(node, Call) and node.function == "json_value" and isinstance(node.args[0], Identifier)):
        return None
    if len(node.args) > 2 and node.args[2] != Literal("STRING", STRING):
        return None
    return fraction(node, lower(node.args[0], inputs, env))


def _nested(column: NestedFieldVirtualColumn) -> Node:
    steps: list[str | int] = [p["field"] if p["type"] == "field" else p["index"] for p in column.path_parts]
    path = Literal(path_text(tuple(steps)), STRING)
    source = Identifier(column.column_name)
    if column.process_from_raw or column.expected_type.is_json:
        return Call("json_query", (source, path))
    return Call("json_value", (source, path, Literal(str(column.expected_type), STRING)))


def _listed(column: ListFilteredVirtualColumn) -> Node:
    inner: Node = Call("array_contains", (Literal(tuple(column.values), STRING_ARRAY), Identifier("x")))
    if not column.is_allow_list:
        inner = Call("!", (inner,))
    return Call("filter", (Lambda(("x",), inner), Identifier(column.delegate["dimension"])))


def _regex(column: RegexFilteredVirtualColumn) -> Node:
    """The pattern must match the whole value here, unlike in the expression form."""
    test = Call("regexp_matches_all", (Identifier("x"), Literal(column.pattern, STRING)))
    return Call("filter", (Lambda(("x",), test), Identifier(column.delegate["dimension"])))


def _prefix(column: PrefixFilteredVirtualColumn) -> Node:
    return _prefix_filter(Identifier(column.delegate["dimension"]), column.prefix)


def _prefix_filter(source: Node, prefix: str) -> Node:
    units = len(prefix.encode("utf-16-le")) // 2
    same = Call("==", (Call("left", (Identifier("x"), Literal(units, LONG))), Literal(prefix, STRING)))
    return Call("filter", (Lambda(("x",), same), source))


_NODES: dict[type[VirtualColumn], Callable[[Any], Node]] = {
    ExpressionVirtualColumn: lambda column: parse(column.expression),
    NestedFieldVirtualColumn: _nested,
    ListFilteredVirtualColumn: _listed,
    RegexFilteredVirtualColumn: _regex,
    PrefixFilteredVirtualColumn: _prefix,
}


def filtered_values(node: Node, name: str) -> VirtualColumn | None:
    """MV_FILTER_ONLY, _NONE, _REGEX and _PREFIX over a plain column as the virtual column Druid plans; else None."""
    if not isinstance(node, Call) or node.function != "filter" or len(node.args) != 2:
        return None
    made, source = node.args
    if not isinstance(source, Identifier) or not isinstance(made, Lambda) or not isinstance(made.body, Call):
        return None
    body, delegate = (
        made.body,
        {"type": "default", "dimension": source.name, "outputName": source.name, "outputType": "STRING"},
    )
    keep = body.function != "!"
    test = body if keep else body.args[0]
    if isinstance(test, Call) and test.function == "array_contains":
        values = _constants(test.args[0])
        return None if values is None else ListFilteredVirtualColumn(name, delegate, values, keep)
    if body.function == "regexp_like" and isinstance(body.args[1], Literal):
        return RegexFilteredVirtualColumn(name, delegate, str(body.args[1].value))
    if body.function == "==" and isinstance(body.args[1], Literal) and isinstance(body.args[0], Call):
        return PrefixFilteredVirtualColumn(name, delegate, str(body.args[1].value))
    return None


def _constants(node: Node) -> tuple[str | None, ...] | None:
    if isinstance(node, Literal) and isinstance(node.value, tuple):
        return node.value
    if isinstance(node, Call) and node.function == "array" and all(isinstance(a, Literal) for a in node.args):
        return tuple(a.value for a in node.args if isinstance(a, Literal))
    return None
