"""Messages between processes: one JSON text, with byte strings attached behind it. Nothing in them can run code.

Layout: the length of the JSON text (4 bytes, little endian), the text, then each attachment. The text is
`{"m": message, "a": [lengths]}`; a byte string in the message stands as `{"$bytes": number}`.
"""

from __future__ import annotations

import json
import struct
from typing import Any

_HEAD = struct.Struct("<I")
_MARK = "$bytes"


def pack(message: Any) -> bytes:
    """A message made of JSON values and byte strings. Keys become texts and tuples lists, as JSON has it."""
    attached: list[bytes] = []

    def other(value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            attached.append(bytes(value))
            return {_MARK: len(attached) - 1}
        if hasattr(value, "item"):  # a numpy scalar
            return value.item()
        raise TypeError(f"A message cannot hold a value of type [{type(value).__name__}]")

    body = json.dumps(message, default=other, separators=(",", ":"))
    text = f'{{"m":{body},"a":{json.dumps([len(a) for a in attached])}}}'.encode()
    return b"".join([_HEAD.pack(len(text)), text, *attached])


def unpack(data: bytes) -> Any:
    """The message of `pack`. Raises ValueError for anything else."""
    try:
        (size,) = _HEAD.unpack_from(data)
        value = json.loads(data[_HEAD.size : _HEAD.size + size])
        lengths, message = value["a"], value["m"]
    except (struct.error, KeyError, TypeError) as error:
        raise ValueError("not a message") from error
    if not lengths:
        return message
    attached = []
    start = _HEAD.size + size
    for length in lengths:
        attached.append(data[start : start + length])
        start += length
    return _restore(message, attached)


def _restore(value: Any, attached: list[bytes]) -> Any:
    if isinstance(value, list):
        return [_restore(v, attached) for v in value]
    if isinstance(value, dict):
        if len(value) == 1 and _MARK in value:
            return attached[value[_MARK]]
        return {k: _restore(v, attached) for k, v in value.items()}
    return value
