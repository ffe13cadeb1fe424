"""The native expression tree: what Druid's expression language says, as values.

Owns the node types and small helpers over them. Nodes carry no types of columns (see msq.expr.types) and no SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msq.datatypes import ColumnType

BINARY_OPERATORS = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "&&", "||"})
"""Calls of these with two arguments print as `(a op b)`."""
CHAIN_OPERATORS = frozenset({"&&", "||"})
"""Calls of these with two arguments or more print as `(a op b op c)`."""
UNARY_OPERATORS = frozenset({"!", "-"})
"""Calls of these with one argument print as `!a`, `-a`."""


class Node:
    """Base of expression nodes; all are immutable and hashable."""

    __slots__ = ()

    def children(self) -> tuple[Node, ...]:
        return ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, outer first, left to right."""
        yield self
        for child in self.children():
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """A column, or a lambda's parameter inside that lambda."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant. `value`: None, int (LONG), float (DOUBLE), str (STRING) or a tuple of these (arrays).

    `type` is None for a null of no particular type.
    """

    value: Any
    type: ColumnType | None


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function or operator by its native name. `CAST` and `cast` are one function printed in two ways."""

    function: str
    args: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        return self.args


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """`(params) -> body`, an argument of map, filter, fold and their kin."""

    params: tuple[str, ...]
    body: Node

    def children(self) -> tuple[Node, ...]:
        return (self.body,)


def call(function: str, *args: Node) -> Call:
    return Call(function, args)


def identifiers(node: Node) -> tuple[str, ...]:
    """Names of the columns a node reads, each once, in order of first use; lambda parameters are left out."""
    found: dict[str, None] = {}

    def visit(at: Node, bound: frozenset[str]) -> None:
        if isinstance(at, Identifier) and at.name not in bound:
            found.setdefault(at.name)
        if isinstance(at, Lambda):
            bound = bound | frozenset(at.params)
        for child in at.children():
            visit(child, bound)

    visit(node, frozenset())
    return tuple(found)


def is_constant(node: Node) -> bool:
    """Whether the node reads no column."""
    return not identifiers(node)


def transform(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """The node with `change` applied outer first; a node it answers None for is kept and looked into."""
    changed = change(node)
    if changed is not None:
        return changed
    if isinstance(node, Call):
        args = tuple(transform(a, change) for a in node.args)
        return node if args == node.args else Call(node.function, args)
    if isinstance(node, Lambda):
        body = transform(node.body, change)
        return node if body == node.body else Lambda(node.params, body)
    return node


def rename(node: Node, names: Mapping[str, str]) -> Node:
    """The node with its columns renamed; parameters of lambdas stay."""
    if isinstance(node, Identifier):
        return Identifier(names.get(node.name, node.name))
    if isinstance(node, Lambda):
        inner = {old: new for old, new in names.items() if old not in node.params}
        return Lambda(node.params, rename(node.body, inner))
    if isinstance(node, Call):
        return Call(node.function, tuple(rename(a, names) for a in node.args))
    return node
