"""Values of Avro records as the plain values that conversions know, and the branches of unions by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Value = Callable[[Any], Any]


def plain_values(binary_as_string: bool) -> Value:
    """From what the reader gives: bytes are text where that is asked for, and lists lose their nulls, as in Druid."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace") if binary_as_string else value
        if isinstance(value, list):
            return [plain(v) for v in value if v is not None]
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return value

    return plain


def without_logical_types(schema: Any) -> Any:
    """The schema whose values are those that are stored: a timestamp is its number, a decimal its bytes."""
    if isinstance(schema, list):
        return [without_logical_types(s) for s in schema]
    if isinstance(schema, dict):
        dropped = ("logicalType", "__fastavro_parsed__", "__named_schemas")
        return {k: without_logical_types(v) for k, v in schema.items() if k not in dropped}
    return schema


class UnionsByType:
    """Turns a field of a record that is a union of several types into an object with one key: the type of its value,
    a primitive's own name or a named type's name without its namespace.

    Takes what the reader gives with names of records, enums and fixed values in unions: `(name, value)`.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._named: dict[str, Any] = {}
        self._learn(schema, "")

    def __call__(self, record: Any) -> Any:
        return self._value(record, self._schema)

    def _learn(self, schema: Any, space: str) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch, space)
        elif isinstance(schema, dict):
            if "name" in schema:
                space = schema.get("namespace") or space
                self._named[_short(schema["name"])] = schema
            for field in schema.get("fields") or ():
                self._learn(field["type"], space)
            for key in ("items", "values"):
                self._learn(schema.get(key), space)
            if isinstance(schema.get("type"), (dict, list)):
                self._learn(schema["type"], space)

    def _resolved(self, schema: Any) -> Any:
        while isinstance(schema, dict) and isinstance(schema.get("type"), (dict, list)):
            schema = schema["type"]
        return self._named.get(_short(schema), schema) if isinstance(schema, str) else schema

    def _value(self, value: Any, schema: Any) -> Any:
        schema = self._resolved(schema)
        if isinstance(schema, list):
            branch = self._branch(value, schema)
            return self._value(value[1] if isinstance(value, tuple) else value, branch)
        kind = schema.get("type") if isinstance(schema, dict) else schema
        if isinstance(value, dict) and kind == "record":
            return {f["name"]: self._field(value.get(f["name"]), f["type"]) for f in schema["fields"]}
        if isinstance(value, dict):
            return {k: self._value(v, schema["values"]) for k, v in value.items()}
        if isinstance(value, list):
            return [self._value(v, schema["items"]) for v in value]
        return value[1] if isinstance(value, tuple) else value

    def _field(self, value: Any, schema: Any) -> Any:
        resolved = self._resolved(schema)
        several = isinstance(resolved, list) and sum(branch != "null" for branch in resolved) > 1
        if not several or value is None:
            return self._value(value, schema)
        branch = self._branch(value, resolved)
        named = self._resolved(branch)
        name = named.get("name") or named["type"] if isinstance(named, dict) else branch
        return {_short(str(name)): self._value(value, schema)}

    def _branch(self, value: Any, branches: list[Any]) -> Any:
        """The branch that a value is of; integers and floats are of the first that holds them."""
        for branch in branches:
            resolved = self._resolved(branch)
            if isinstance(value, tuple):
                if isinstance(resolved, dict) and _short(str(resolved.get("name"))) == _short(value[0]):
                    return branch
            elif _holds(resolved.get("type") if isinstance(resolved, dict) else resolved, value):
                return branch
        return "null"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _holds(kind: Any, value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(kind == ("null" if value is None else "boolean"))
    if isinstance(value, int):
        return bool(kind == "long" or (kind == "int" and -(2**31) <= value < 2**31))
    kinds = {float: ("float", "double"), str: ("string", "enum"), bytes: ("bytes", "fixed")}
    for python, names in {**kinds, list: ("array",), dict: ("map", "record")}.items():
        if isinstance(value, python):
            return kind in names
    return False
