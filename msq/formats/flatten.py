"""flattenSpec: columns that lie deeper in a record than its top level.

A column is read from the field of its name in `fields`, else from the top-level key of its name. A path of keys and
indexes is handed to DuckDB; any other JSONPath is evaluated on the whole record by `jsonpath`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msq.codec import CodecError, Wire, wire
from msq.formats.jq import compile_jq
from msq.formats.jsonpath import compile_path

_STEP = re.compile(
    r"""\.([^.\[\]()*?'"@\s]+)|\[(-?[0-9]+)\]|\[\s*'((?:[^'\\]|\\.)*)'\s*\]|\[\s*"((?:[^"\\]|\\.)*)"\s*\]"""
)


@dataclass(frozen=True)
class FlattenField:
    """`type` root (expr: a key), path (expr: JSONPath), jq (expr: a program), tree (nodes: keys)."""

    type: str
    name: str
    expr: str | None = None
    nodes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.type not in ("root", "path", "tree", "jq"):
            raise CodecError(f"Unknown flattenSpec field type [{self.type}]: known types = [jq, path, root, tree]")
        if self.type in ("path", "jq"):
            if not self.expr:
                raise CodecError(f"flattenSpec field [{self.name}] needs an expr")
            _place(self)  # refuses what is no path or program


@dataclass(frozen=True)
class FlattenSpec(Wire):
    use_field_discovery: bool = True
    fields: tuple[Any, ...] = wire(default=())

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name in (f.name for f in self.parsed()):
            if name in seen:
                raise CodecError(f"Cannot have duplicate field definition: [{name}]")
            seen.add(name)

    def parsed(self) -> tuple[FlattenField, ...]:
        """The fields; a bare string stands for a root field of that name."""
        out = []
        for one in self.fields:
            if isinstance(one, str):
                out.append(FlattenField("root", one, one))
            elif isinstance(one, dict) and isinstance(one.get("name"), str):
                nodes = one.get("nodes")
                out.append(
                    FlattenField(one.get("type", "root"), one["name"], one.get("expr"), tuple(nodes) if nodes else None)
                )
            else:
                raise CodecError(f"A flattenSpec field is a string or an object with a name, got [{one!r:.80}]")
        return tuple(out)


@dataclass(frozen=True)
class Place:
    """Where a value lies: top-level `key`, then `steps` (keys and indexes), or what `find` makes of a record."""

    key: str | None
    steps: tuple[str | int, ...] = ()
    find: Callable[[Any], Any] | None = field(default=None, compare=False)

    @property
    def duckdb_path(self) -> str:
        """The steps as DuckDB writes a JSON path."""
        out = "$"
        for step in self.steps:
            if isinstance(step, int):
                out += f"[{step}]" if step >= 0 else f"[#{step}]"
            else:
                out += '."' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return out


def refuse_jq(spec: FlattenSpec | None, input_format: str) -> None:
    """Raises CodecError where the records of a format are no JSON, which jq is for."""
    if spec is not None and any(one.type == "jq" for one in spec.parsed()):
        raise CodecError(f"{input_format} + JQ not supported")


def places(spec: FlattenSpec | None, columns: Sequence[str]) -> dict[str, Place]:
    """The place of each column."""
    named = {f.name: f for f in spec.parsed()} if spec is not None else {}
    return {name: _place(named[name]) if name in named else Place(name) for name in columns}


def paths_of_whole_records(spec: FlattenSpec | None, columns: Sequence[str]) -> dict[str, Place]:
    """The places of columns with a path, each found in the whole record, however simple the path is."""
    fields = [] if spec is None else [f for f in spec.parsed() if f.type == "path" and f.name in columns]
    return {f.name: Place(None, (), compile_path(f.expr or "")) for f in fields}


def _place(one: FlattenField) -> Place:
    if one.type == "root":
        return Place(one.expr if one.expr is not None else one.name)
    if one.type == "tree":
        nodes = one.nodes or (one.expr or one.name,)
        return Place(nodes[0], tuple(nodes[1:]))
    expr = one.expr or ""
    if one.type == "jq":
        return Place(None, (), compile_jq(one.name, expr))
    steps = simple_steps(expr)
    if steps is not None and steps and isinstance(steps[0], str):
        return Place(steps[0], tuple(steps[1:]))
    return Place(None, (), compile_path(expr))


def simple_steps(expr: str) -> list[str | int] | None:
    """Keys and indexes of a path without wildcards, filters or functions; None for any other."""
    if not expr.startswith("$"):
        expr = "$." + expr
    at, steps = 1, list[str | int]()
    while at < len(expr):
        found = _STEP.match(expr, at)
        if found is None:
            return None
        dotted, index, single, double = found.groups()
        if index is not None:
            steps.append(int(index))
        elif dotted is not None:
            steps.append(dotted)
        else:
            steps.append(re.sub(r"\\(.)", r"\1", single if single is not None else double))
        at = found.end()
    return steps
