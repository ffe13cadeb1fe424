"""Protocol Buffers: as in Druid, a file is one message."""

from __future__ import annotations

import base64
import binascii
from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from msq.codec import CodecError, Wire
from msq.datatypes import STRING
from msq.faults import CannotParseExternalDataFault
from msq.formats import convert
from msq.formats.base import InputFormat, ReadRequest
from msq.formats.columnar import shortest_float
from msq.formats.flatten import FlattenSpec, places
from msq.formats.parquet import walk
from msq.formats.streams import unpack
from msq.sources.base import InputItem, SourceAccess

_MAX_BYTES = 2 << 30
_READ = 1 << 20


class ProtobufBytesDecoder(Wire):
    """Family of decoders, which know the descriptor of the messages."""

    proto_message_type: str | None

    @abstractmethod
    def descriptors(self, access: SourceAccess) -> bytes:
        """A serialised FileDescriptorSet."""


@dataclass(frozen=True)
class FileProtobufDecoder(ProtobufBytesDecoder, tag="file"):
    """`descriptor`: a path or `file:` URI, or an http(s) URI, within what input sources may reach."""

    descriptor: str
    proto_message_type: str | None = None

    def descriptors(self, access: SourceAccess) -> bytes:
        parts = urlsplit(self.descriptor)
        if parts.scheme in ("http", "https"):
            from msq.sources.http import HttpInputSource

            source = HttpInputSource((self.descriptor,))
            (item,) = source.list(access)
            with source.open(item, access) as body:
                return body.read()
        path = unquote(parts.path) if parts.scheme == "file" else self.descriptor
        access.check_path(path)
        with open(path, "rb") as file:
            return file.read()


@dataclass(frozen=True)
class InlineProtobufDecoder(ProtobufBytesDecoder, tag="inline"):
    """`descriptor_string`: the descriptor set in base64."""

    descriptor_string: str
    proto_message_type: str | None = None

    def __post_init__(self) -> None:
        try:
            base64.b64decode(self.descriptor_string, validate=True)
        except binascii.Error as error:
            raise CodecError(f"descriptorString is not in base64: {error}") from error

    def descriptors(self, access: SourceAccess) -> bytes:
        return base64.b64decode(self.descriptor_string)


class SchemaRegistryProtobufDecoder(ProtobufBytesDecoder, tag="schema_registry"):
    """Known by name, and refused by it."""

    @classmethod
    def from_wire(cls, value: Any) -> Any:
        raise CodecError("protoBytesDecoder of type [schema_registry] is not supported. Use [file] or [inline].")


@dataclass(frozen=True)
class ProtobufInputFormat(InputFormat, tag="protobuf"):
    """Fields go by their JSON names (`someField`); one that is not set is null. Enums are their names, well-known types
    what they stand for. A file that is no such message is a row that does not parse."""

    proto_bytes_decoder: ProtobufBytesDecoder
    flatten_spec: FlattenSpec | None = None

    def read_item(self, request: ReadRequest, item: InputItem) -> Generator[pa.RecordBatch, None, None]:
        message = _message(self.proto_bytes_decoder, request.options.access)
        data = _bytes(request, item)
        if request.source.counted:
            request.sink.bytes(len(data))
        from google.protobuf.message import DecodeError

        try:
            message.ParseFromString(data)
        except DecodeError as error:
            where = item.uri or "inline data"
            request.sink.bad_row(
                CannotParseExternalDataFault(f"Fail to decode protobuf message! (Path: {where}, {error})")
            )
            return
        record = _record(message)
        wanted = places(self.flatten_spec, request.columns)
        arrays = []
        for name in request.columns:
            place = wanted[name]
            value = place.find(record) if place.find is not None else walk(record.get(place.key or ""), place.steps)
            arrays.append(convert.typed_array([value], request.signature.type_of(name) or STRING))
        yield convert.with_rows(arrays, request.columns, 1)


def _bytes(request: ReadRequest, item: InputItem) -> bytes:
    out = bytearray()
    buffer = memoryview(bytearray(_READ))
    limit = min(_MAX_BYTES, request.options.memory_bytes)
    with closing(unpack(request.source.open(item, request.options.access), item.name)) as stream:
        while n := stream.readinto(buffer):
            out += buffer[:n]
            if len(out) > limit:
                raise ValueError(f"a protobuf message is longer than [{limit:,}] bytes")
    return bytes(out)


def _message(decoder: ProtobufBytesDecoder, access: SourceAccess) -> Any:
    """An empty message of the type that the decoder names, or of the first type that its descriptor has."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    found = descriptor_pb2.FileDescriptorSet()
    pool = descriptor_pool.DescriptorPool()
    try:
        found.ParseFromString(decoder.descriptors(access))
        for file in found.file:
            pool.Add(file)
        files = [pool.FindFileByName(file.name) for file in found.file]
    except (DecodeError, TypeError, KeyError) as error:
        raise ValueError(f"Descriptor not found, or it is broken: {error}") from error
    types = {message.full_name: message for file in files for message in file.message_types_by_name.values()}
    wanted = decoder.proto_message_type
    names = [n for n in types if wanted is None or n == wanted or n.rpartition(".")[2] == wanted]
    if not names:
        raise ValueError(f"Protobuf message type {wanted} not found in the descriptor. Available: {', '.join(types)}")
    return message_factory.GetMessageClass(types[names[0]])()


# -- values ------------------------------------------------------------------------------------------------------------

_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Int32", "UInt32", "Int64", "UInt64", "String", "Bytes", "Float", "Double")
)


def _as_text(message: Any) -> Any:
    return message.ToJsonString()


def _as_json_text(message: Any) -> Any:
    from google.protobuf.json_format import MessageToJson

    return MessageToJson(message)


def _of_value(message: Any) -> Any:
    fields = message.ListFields()
    return _field(*fields[0]) if fields else None


_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _as_text, "google.protobuf.Duration": _as_text,
    "google.protobuf.FieldMask": _as_text, "google.protobuf.Any": _as_json_text, "google.protobuf.Value": _of_value,
    "google.protobuf.Struct": lambda m: {k: _of_value(v) for k, v in m.fields.items()},
    "google.protobuf.ListValue": lambda m: [_of_value(v) for v in m.values],
}  # fmt: skip


def _record(message: Any) -> dict[str, Any]:
    return {field.json_name: _field(field, value) for field, value in message.ListFields()}


def _field(field: Any, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of = kind.fields_by_name["value"]
        return {_key(k): _single(of, v) for k, v in value.items()}
    if _is_repeated(field):
        return [_single(field, v) for v in value]
    return _single(field, value)


def _is_repeated(field: Any) -> bool:
    # the library has renamed it
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        name = field.message_type.full_name
        if name in _WRAPPERS:
            return _single(field.message_type.fields_by_name["value"], value.value)
        special = _WELL_KNOWN.get(name)
        return _record(value) if special is None else special(value)
    if field.enum_type is not None:
        if field.enum_type.full_name == "google.protobuf.NullValue":
            return None
        known = field.enum_type.values_by_number.get(value)
        return f"UNKNOWN_ENUM_VALUE_{field.enum_type.name}_{value}" if known is None else known.name
    if field.cpp_type == field.CPPTYPE_FLOAT:
        return shortest_float(value)
    if field.cpp_type == field.CPPTYPE_UINT64 and value >= 2**63:
        return value - 2**64  # a long has a sign
    if field.type == field.TYPE_BYTES:
        return bytes(value)
    return value
