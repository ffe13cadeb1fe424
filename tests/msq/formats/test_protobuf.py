"""The protobuf format: one message a file, values as Druid makes them of fields."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from msq.codec import encode
from msq.faults import DruidException, MSQError
from msq.formats import parse_input_format
from msq.sources import SourceAccess
from tests.harness.reading import Reading, read_rows

KINDS = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "i": KINDS.TYPE_INT32, "l": KINDS.TYPE_INT64, "u": KINDS.TYPE_UINT64, "f": KINDS.TYPE_FLOAT, "d": KINDS.TYPE_DOUBLE,
    "b": KINDS.TYPE_BOOL, "some_text": KINDS.TYPE_STRING, "raw": KINDS.TYPE_BYTES,
}  # fmt: skip
WELL_KNOWN = {
    "ts": timestamp_pb2.Timestamp, "du": duration_pb2.Duration, "mask": field_mask_pb2.FieldMask,
    "st": struct_pb2.Struct, "wl": wrappers_pb2.Int64Value, "any": any_pb2.Any, "val": struct_pb2.Value,
    "list": struct_pb2.ListValue,
}  # fmt: skip


def _descriptors() -> descriptor_pb2.FileDescriptorSet:
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="acme", syntax="proto3")
    event = file.message_type.add(name="Event")
    file.message_type.add(name="Other").field.add(name="n", number=1, type=KINDS.TYPE_INT32, label=1)
    inner = event.nested_type.add(name="Inner")
    inner.field.add(name="x", number=1, type=KINDS.TYPE_STRING, label=1)
    entry = event.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=KINDS.TYPE_STRING, label=1)
    entry.field.add(name="value", number=2, type=KINDS.TYPE_INT32, label=1)
    color = file.enum_type.add(name="Color")
    color.value.add(name="NONE", number=0)
    color.value.add(name="RED", number=1)
    number = 0
    for name, kind in SCALARS.items():
        number += 1
        event.field.add(name=name, number=number, type=kind, label=1)
    for name, made in WELL_KNOWN.items():
        number += 1
        full = made.DESCRIPTOR.full_name
        event.field.add(name=name, number=number, type=KINDS.TYPE_MESSAGE, type_name=f".{full}", label=1)
    for name, type_name, kind, label in (
        ("color", ".acme.Color", KINDS.TYPE_ENUM, 1), ("inner", ".acme.Event.Inner", KINDS.TYPE_MESSAGE, 1),
        ("many", ".acme.Event.Inner", KINDS.TYPE_MESSAGE, 3), ("tags", None, KINDS.TYPE_STRING, 3),
        ("counts", ".acme.Event.CountsEntry", KINDS.TYPE_MESSAGE, 3),
    ):  # fmt: skip
        number += 1
        event.field.add(name=name, number=number, type=kind, type_name=type_name, label=label)
    out = descriptor_pb2.FileDescriptorSet()
    for made in WELL_KNOWN.values():
        proto = descriptor_pb2.FileDescriptorProto()
        made.DESCRIPTOR.file.CopyToProto(proto)
        if proto.name not in file.dependency:
            file.dependency.append(proto.name)
            out.file.append(proto)
    out.file.append(file)
    return out


SET = _descriptors()
INLINE = {"type": "inline", "descriptorString": base64.b64encode(SET.SerializeToString()).decode()}


def event(**fields: Any) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in SET.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Event"))(**fields)


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def run(data: bytes, signature: dict[str, str], name: str = "x.bin", **more: Any) -> Reading:
        (tmp_path / name).write_bytes(data)
        options = {k: more.pop(k) for k in ("access", "strict") if k in more}
        given = {"type": "protobuf", "protoBytesDecoder": {**INLINE, "protoMessageType": "acme.Event"}, **more}
        return read_rows(tmp_path / name, given, signature, **options)

    return run


def test_scalars(read: Any) -> None:
    made = event(i=-3, l=2**40, u=2**64 - 1, f=1.1, d=2.5, b=True, some_text="ö", raw=b"\x00\x01", color=1)
    names = ["i", "l", "u", "f", "d", "b", "someText", "raw", "color", "some_text", "missing"]
    texts = read(made.SerializeToString(), dict.fromkeys(names, "STRING"))
    assert texts.rows == [["-3", str(2**40), "-1", "1.1", "2.5", "true", "ö", "AAE=", "RED", None, None]]
    assert (texts.sink.counted_rows, texts.sink.files) == (1, 1) and texts.sink.counted_bytes == made.ByteSize()
    numbers = read(made.SerializeToString(), {"i": "LONG", "l": "DOUBLE", "f": "FLOAT", "color": "LONG"})
    assert numbers.rows[0][:2] == [-3, float(2**40)] and numbers.rows[0][3] is None


def test_fields_that_are_not_set_are_null(read: Any) -> None:
    made = event(l=1, i=0).SerializeToString()
    assert read(made, {"i": "LONG", "color": "STRING", "tags": "STRING", "ts": "STRING"}).rows == [[None] * 4]


def test_nested_values(read: Any) -> None:
    made = event(inner={"x": "a"}, many=[{"x": "b"}, {"x": "c"}], tags=["p", "q"], counts={"k": 5})
    made.ts.FromJsonString("2024-05-01T10:00:00.5Z")
    made.du.FromJsonString("3.5s")
    made.mask.FromJsonString("a,b")
    made.st.update({"n": 1, "deep": {"t": "x"}, "nothing": None})
    made.wl.value = 7
    made.val.string_value = "v"
    made.list.extend([1, "two"])
    made.any.Pack(wrappers_pb2.StringValue(value="packed"))
    fields = [{"type": "path", "name": n, "expr": e} for n, e in [("xs", "$.many[*].x"), ("k", "$.counts.k")]]
    fields.append({"type": "jq", "name": "j", "expr": '.inner.x + "!"'})
    found = read(
        made.SerializeToString(),
        {
            "inner": "COMPLEX<json>", "tags": "STRING", "ts": "STRING", "du": "STRING", "mask": "STRING",
            "st": "COMPLEX<json>", "wl": "LONG", "val": "STRING", "list": "COMPLEX<json>", "xs": "STRING", "k": "LONG",
            "j": "STRING", "many": "COMPLEX<json>",
        },
        flattenSpec={"fields": fields},
    )  # fmt: skip
    (row,) = found.rows
    assert row[:5] == ['{"x":"a"}', ["p", "q"], "2024-05-01T10:00:00.500Z", "3.500s", "a,b"]
    assert '"deep":{"t":"x"}' in row[5] and '"n":1.0' in row[5] and '"nothing":null' in row[5]
    assert row[6:] == [7, "v", '[1.0,"two"]', ["b", "c"], 5, "a!", '[{"x":"b"},{"x":"c"}]']
    assert "packed" in read(made.SerializeToString(), {"any": "STRING"}).rows[0][0]


def test_descriptors_from_files(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "event set.desc"
    path.write_bytes(SET.SerializeToString())
    data = event(i=4).SerializeToString()
    for descriptor in (str(path), path.as_uri()):
        decoder = {"type": "file", "descriptor": descriptor, "protoMessageType": "Event"}
        assert read(gzip.compress(data), {"i": "LONG"}, "x.bin.gz", protoBytesDecoder=decoder).rows == [[4]]
        with pytest.raises(DruidException, match="outside the folders"):
            read(data, {"i": "LONG"}, protoBytesDecoder=decoder, access=SourceAccess(folders=("/elsewhere",)))
    decoder = {"type": "file", "descriptor": "http://example.org/x.desc"}
    with pytest.raises(DruidException, match=r"Host \[example.org\]"):
        read(data, {"i": "LONG"}, protoBytesDecoder=decoder, access=SourceAccess(hosts=()))


def test_what_is_no_message(read: Any) -> None:
    done = read(b"\xff\xff\xff", {"i": "LONG"})
    assert done.rows == [] and done.sink.bad[0].startswith("Fail to decode protobuf message! (Path: file:")
    with pytest.raises(MSQError, match="Fail to decode protobuf message!"):
        read(b"\xff\xff\xff", {"i": "LONG"}, strict=True)


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ({**INLINE, "protoMessageType": "Nothing"}, "Protobuf message type Nothing not found"),
        ({"type": "inline", "descriptorString": "AAAA"}, "Descriptor not found, or it is broken"),
        ({"type": "inline", "descriptorString": ""}, "not found in the descriptor"),
        ({"type": "file", "descriptor": "/no/such/file"}, "No such file"),
    ],
)
def test_descriptors_that_are_none(read: Any, decoder: dict[str, Any], reason: str) -> None:
    with pytest.raises(MSQError, match=reason):
        read(b"\x08\x01", {"i": "LONG"}, protoBytesDecoder=decoder)


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ({"type": "schema_registry", "url": "http://x"}, "of type [schema_registry] is not supported"),
        ({"type": "inline", "descriptorString": "%%"}, "is not in base64"), ({"type": "inline"}, "descriptorString"),
        ({"type": "nosuch"}, "nosuch"),
    ],
)  # fmt: skip
def test_refused_with_a_reason(decoder: dict[str, Any], reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_format({"type": "protobuf", "protoBytesDecoder": decoder})
    assert reason in caught.value.message


def test_it_prints_as_it_came() -> None:
    given = {"type": "protobuf", "protoBytesDecoder": {**INLINE, "protoMessageType": "Event"}}
    assert encode(parse_input_format(given)) == given
