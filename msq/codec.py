"""Dataclasses to and from Druid's JSON: one rule for every object that travels.

A *family* is a base class whose members are told apart by a JSON key (usually `type`); a member declares its word:

    class InputSource(Wire):
        TYPE_KEY = "type"

    @dataclass(frozen=True)
    class LocalInputSource(InputSource, tag="local"):
        base_dir: str | None = None
        filter: str | None = None
        files: tuple[str, ...] | None = None

`encode` prints `{"type":"local","baseDir":..}`: tag first, fields in declared order, camelCase, None left out.
A value class with `to_json` and `from_json` prints and reads itself.
`decode(InputSource, value)` finds the member by its tag and the fields by their type hints. Per-field rules stand in
`wire(..)` metadata. A member may override `to_wire` / `from_wire` for a shape that fields cannot say.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

from msq.datatypes import ColumnType

T = TypeVar("T")


class CodecError(ValueError):
    """JSON that does not fit: an unknown tag, a missing field, a value of the wrong kind. The text names the key."""


def camel(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def wire(
    *, name: str | None = None, keep_null: bool = False, omit: Callable[[Any], bool] | None = None,
    default: Any = dataclasses.MISSING, default_factory: Any = dataclasses.MISSING, inline: bool = False,
) -> Any:  # fmt: skip
    """A dataclass field with rules for the wire.

    name: the JSON key when camelCase of the field's name is not it. keep_null: print null instead of leaving the key
    out. omit: leave the key out when it answers true for the value. inline: the mapping's own keys stand beside the
    other fields (unknown keys of a decoded object land there).
    """
    metadata = {"wire": (name, keep_null, omit, inline)}
    if default is not dataclasses.MISSING:
        return dataclasses.field(default=default, metadata=metadata)
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(metadata=metadata)


class Wire:
    """Base of every family. A direct child names the family; a grandchild with `tag=` is a member."""

    TYPE_KEY: ClassVar[str] = "type"
    TAG: ClassVar[str | None] = None
    members: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, tag: str | None = None, aliases: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Wire in cls.__bases__:
            cls.members = {}
        if tag is not None:
            cls.TAG = tag
            for word in (tag, *aliases):
                known = cls.members.get(word)
                # dataclass(slots=True) makes the class twice: the second one replaces the first of the same name
                if known is not None and known.__qualname__ != cls.__qualname__:
                    raise ValueError(f"[{word}] is declared by {known.__qualname__} and {cls.__qualname__}")
                cls.members[word] = cls

    def to_wire(self) -> Any:
        return encode_fields(self)

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        return decode_fields(cls, value)


def encode(value: Any) -> Any:
    """JSON (dicts, lists, texts, numbers) of a value made of wire dataclasses, tuples, mappings and scalars."""
    if isinstance(value, Wire):
        return value.to_wire()
    if isinstance(value, ColumnType):
        return str(value)
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode_fields(value)
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return [encode(v) for v in sorted(value)]
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    return value


def encode_fields(value: Any) -> dict[str, Any]:
    """The fields of one dataclass, its tag first."""
    out: dict[str, Any] = {}
    tag = getattr(type(value), "TAG", None)
    if tag is not None:
        out[type(value).TYPE_KEY] = tag
    for f in dataclasses.fields(value):
        name, keep_null, omit, inline = f.metadata.get("wire", (None, False, None, False))
        inner = getattr(value, f.name)
        if inline:
            out.update(encode(inner))
        elif (inner is None and not keep_null) or (omit is not None and omit(inner)):
            continue
        else:
            out[name or camel(f.name)] = encode(inner)
    return out


def decode(kind: type[T], value: Any, where: str = "") -> T:
    """The object of type `kind` (a class, a family, or a type form such as `tuple[X, ...]`) that `value` says."""
    return typing.cast(T, _decode(kind, value, where or getattr(kind, "__name__", str(kind))))


def decode_fields(kind: type[Any], value: Any) -> Any:
    """`kind(**fields)` from a JSON object; unknown keys are ignored, as Druid does."""
    if not isinstance(value, Mapping):
        raise CodecError(f"[{kind.__name__}] expects a JSON object, got [{type(value).__name__}]")
    hints = _hints(typing.cast(Any, kind))
    given: dict[str, Any] = {}
    used = {kind.TYPE_KEY} if getattr(kind, "TAG", None) is not None else set()
    inline_field = None
    for f in dataclasses.fields(kind):
        name, _, _, inline = f.metadata.get("wire", (None, False, None, False))
        if inline:
            inline_field = f.name
            continue
        key = name or camel(f.name)
        used.add(key)
        if key in value:
            given[f.name] = _decode(hints[f.name], value[key], f"{kind.__name__}.{key}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            if type(None) in typing.get_args(hints[f.name]):
                given[f.name] = None
            else:
                raise CodecError(f"Missing key [{key}] of [{getattr(kind, 'TAG', None) or kind.__name__}]")
    if inline_field is not None:
        given[inline_field] = {k: v for k, v in value.items() if k not in used}
    return kind(**given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        options = [a for a in args if a is not type(None)]
        if len(options) == 1:
            return _decode(options[0], value, where)
        for option in options:
            try:
                return _decode(option, value, where)
            except (CodecError, ValueError):
                continue
        raise CodecError(f"[{where}] has a value of the wrong kind: [{value!r:.80}]")
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise CodecError(f"[{where}] expects a list, got [{type(value).__name__}]")
        items = [_decode(args[0] if args else Any, v, where) for v in value]
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise CodecError(f"[{where}] expects a JSON object, got [{type(value).__name__}]")
        return {k: _decode(args[1] if args else Any, v, where) for k, v in value.items()}
    if kind is ColumnType:
        return ColumnType.parse(value)
    if hasattr(kind, "from_json") and not isinstance(value, kind):
        try:
            return kind.from_json(value)
        except (KeyError, TypeError, AttributeError) as error:
            raise CodecError(f"[{where}] has a value of the wrong kind: [{value!r:.80}]") from error
    if isinstance(kind, type) and issubclass(kind, Wire):
        return _decode_wire(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return decode_fields(typing.cast(type[Any], kind), value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (str, int, float, bool, dict, list):
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CodecError(f"[{where}] expects [{kind.__name__}], got [{value!r:.80}]")
        return value
    return value


def _decode_wire(kind: type[Wire], value: Any, where: str) -> Any:
    if isinstance(value, Wire):
        return value
    if kind.TAG is not None or not getattr(kind, "members", None):
        return kind.from_wire(value)
    if not isinstance(value, Mapping):
        raise CodecError(f"[{where}] expects a JSON object, got [{type(value).__name__}]")
    tag = value.get(kind.TYPE_KEY)
    member = kind.members.get(tag) if isinstance(tag, str) else None
    if member is None:
        known = ", ".join(sorted(kind.members))
        raise CodecError(
            f"Could not resolve type id [{tag}] as a subtype of [{kind.__name__}]: known type ids = [{known}]"
        )
    return member.from_wire(value)
