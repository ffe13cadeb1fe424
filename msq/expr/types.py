"""Types of native expressions: what a node evaluates to over a given signature.

FLOAT columns widen to DOUBLE inside expressions; a plain column keeps FLOAT. Unknown functions are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from msq.datatypes import DOUBLE, FLOAT, STRING, ColumnType, RowSignature, complex_of
from msq.expr.nodes import Call, Identifier, Lambda, Literal, Node
from msq.expr.registry import native_function
from msq.faults import invalid_input


def infer(node: Node, signature: RowSignature | Mapping[str, ColumnType]) -> ColumnType:
    """The type of `node`; STRING for a bare null or a column that is not there."""
    if isinstance(node, Identifier):
        return _column(node.name, signature) or STRING
    return argument_type(node, signature) or STRING


def argument_type(node: Node, signature: RowSignature | Mapping[str, ColumnType]) -> ColumnType | None:
    """As `infer`, but None for null literals and unknown columns, and FLOAT widened."""
    if isinstance(node, Literal):
        return node.type
    if isinstance(node, Identifier):
        found = _column(node.name, signature)
        return DOUBLE if found == FLOAT else found
    if isinstance(node, Lambda):
        return argument_type(node.body, signature)
    assert isinstance(node, Call)
    function = native_function(node.function)
    if function is None:
        raise invalid_input(f"function '{node.function}' is not defined.")
    if any(isinstance(a, Lambda) for a in node.args):
        signature = _with_parameters(node, signature)
    if node.function.lower() in ("cast", "json_value") and isinstance(node.args[-1], Literal):
        return named_type(node)
    if node.function.lower() == "complex_decode_base64" and isinstance(node.args[0], Literal):
        return complex_of(str(node.args[0].value))
    return function.result([argument_type(a, signature) for a in node.args])


def named_type(node: Call) -> ColumnType | None:
    """The type that the last argument of a cast-like call names; STRING for a json_value without one."""
    name, position = node.function.lower(), 1 if node.function.lower() == "cast" else 2
    if len(node.args) <= position:
        return STRING if name == "json_value" else None
    value = node.args[position]
    assert isinstance(value, Literal)
    try:
        found = ColumnType.parse(str(value.value))
    except ValueError as error:
        raise invalid_input(f"Invalid type [{value.value}] in [{node.function}]") from error
    return DOUBLE if found == FLOAT and name == "cast" else found


def _column(name: str, signature: RowSignature | Mapping[str, ColumnType]) -> ColumnType | None:
    return signature.type_of(name) if isinstance(signature, RowSignature) else signature.get(name)


def _with_parameters(node: Call, signature: RowSignature | Mapping[str, ColumnType]) -> Mapping[str, ColumnType]:
    """The signature with the lambda's parameters typed by the arrays they run over."""
    base = {c.name: c.type for c in signature} if isinstance(signature, RowSignature) else dict(signature)
    made = next(a for a in node.args if isinstance(a, Lambda))
    sources = [a for a in node.args if not isinstance(a, Lambda)]
    for name, source in zip(made.params, sources):
        found = argument_type(source, signature) or STRING
        base[name] = found.element if found.element is not None else found
    return base
