"""SMILE, the binary JSON that raw documents of JSON columns are stored in: encode JSON values, decode to JSON text.

Documents are written with the header flags 00 (no shared names or texts). Those of Druid share names, and may share
texts; both are resolved in reading.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msq.expr.printer import double_text

HEADER = b":)\n\x00"
_NULL, _FALSE, _TRUE = b"\x21", b"\x22", b"\x23"
_EMPTY = b"\x20"
_INT_TOKENS = [bytes([0xC0 + ((v << 1) ^ (v >> 31) if v >= 0 else (-v << 1) - 1)]) for v in range(-16, 16)]


class SmileError(ValueError):
    """Bytes that are no SMILE document, or use a part of it that is not supported."""


# -- encode -----------------------------------------------------------------------------------------------------------


def encode_document(value: Any) -> bytes:
    """The document of a JSON value: dicts, lists, texts, ints, floats, booleans, None. Lone surrogates become `?`."""
    out = [HEADER]
    _encode(value, out.append)
    return b"".join(out)


def _encode(value: Any, put: Callable[[bytes], None]) -> None:
    kind = type(value)
    if kind is str:
        put(_text(value) if len(value) <= 64 else _long_text(value))
    elif kind is int:
        put(_INT_TOKENS[value + 16] if -16 <= value < 16 else _integer(value))
    elif kind is float:
        put(_double(value))
    elif kind is dict:
        put(b"\xfa")
        for key, inner in value.items():
            put(_key(key))
            if type(inner) is str and len(inner) <= 64:
                put(_text(inner))
            else:
                _encode(inner, put)
        put(b"\xfb")
    elif kind is list:
        put(b"\xf8")
        for inner in value:
            _encode(inner, put)
        put(b"\xf9")
    elif value is None:
        put(_NULL)
    elif value is True:
        put(_TRUE)
    elif value is False:
        put(_FALSE)
    else:
        raise SmileError(f"A value of type [{kind.__name__}] is no JSON")


@lru_cache(maxsize=8192)
def _text(value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    size = len(data)
    if size == 0:
        return _EMPTY
    if size == len(value):
        return bytes([0x40 + size - 1 if size <= 32 else 0x60 + size - 33]) + data if size <= 64 else _long(data, True)
    if size <= 65:
        return bytes([0x80 + size - 2 if size <= 33 else 0xA0 + size - 34]) + data
    return _long(data, False)


def _long_text(value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    return _long(data, len(data) == len(value))


def _long(data: bytes, ascii_only: bool) -> bytes:
    return (b"\xe0" if ascii_only else b"\xe4") + data + b"\xfc"


@lru_cache(maxsize=8192)
def _key(value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    size = len(data)
    if size == 0:
        return _EMPTY
    if size == len(value) and size <= 64:
        return bytes([0x80 + size - 1]) + data
    if size != len(value) and 2 <= size <= 57:
        return bytes([0xC0 + size - 2]) + data
    return b"\x34" + data + b"\xfc"


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"\x24" + _vint((value << 1) ^ (value >> 31))
    if -(2**63) <= value < 2**63:
        return b"\x25" + _vint((value << 1) ^ (value >> 63))
    size = (value.bit_length() + 8) // 8
    return b"\x26" + _vint(size) + _seven_bits(value.to_bytes(size, "big", signed=True))


def _vint(value: int) -> bytes:
    """Big-endian groups of seven bits; the last byte holds six and has its high bit set."""
    out = [0x80 | (value & 0x3F)]
    value >>= 6
    while value:
        out.append(value & 0x7F)
        value >>= 7
    return bytes(reversed(out))


def _double(value: float) -> bytes:
    (bits,) = _AS_BITS.unpack(_AS_DOUBLE.pack(value))
    pairs = _pairs()
    return b"".join((
        b"\x29", pairs[bits >> 56], pairs[bits >> 42 & 0x3FFF], pairs[bits >> 28 & 0x3FFF], pairs[bits >> 14 & 0x3FFF],
        pairs[bits & 0x3FFF],
    ))  # fmt: skip


_AS_DOUBLE, _AS_BITS = struct.Struct(">d"), struct.Struct(">Q")


@lru_cache(maxsize=1)
def _pairs() -> list[bytes]:
    """Two bytes of seven bits for each number of fourteen."""
    return [bytes((n >> 7, n & 0x7F)) for n in range(1 << 14)]


def _seven_bits(data: bytes) -> bytes:
    """Raw bytes in groups of seven bits; a short last group is not padded on the left."""
    out = bytearray()
    for at in range(0, len(data), 7):
        group = data[at : at + 7]
        bits = int.from_bytes(group, "big")
        total = 8 * len(group)
        while total > 7:
            total -= 7
            out.append((bits >> total) & 0x7F)
        out.append(bits & ((1 << total) - 1))
    return bytes(out)


# -- decode -----------------------------------------------------------------------------------------------------------


def document_text(data: bytes) -> str:
    """The JSON text of a document: no blanks, doubles as Java prints them. Raises SmileError."""
    if len(data) < 5 or data[:3] != b":)\n":
        raise SmileError("A document does not start with the header of SMILE")
    decoder = _Decoder(data)
    try:
        decoder.value()
    except IndexError:
        raise SmileError("A document of SMILE is cut short") from None
    return "".join(decoder.out)


@lru_cache(maxsize=8192)
def _quoted_name(text: str) -> str:
    return f"{json.dumps(text, ensure_ascii=False)}:"


def _number(value: float) -> str:
    return double_text(value) if math.isfinite(value) else f'"{double_text(value)}"'


_WORDS = {0x20: '""', 0x21: "null", 0x22: "false", 0x23: "true"}
_quote = json.JSONEncoder(ensure_ascii=False).encode


class _Decoder:
    """Walks one document and appends the pieces of its text to `out`."""

    __slots__ = ("at", "data", "names", "out", "texts")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 4
        self.out: list[str] = []
        flags = data[3]
        self.names: list[str] | None = [] if flags & 1 else None
        self.texts: list[str] | None = [] if flags & 2 else None

    def value(self) -> None:
        token = self.data[self.at]
        self.at += 1
        put = self.out.append
        if token >= 0xE0:
            self._structure(token)
        elif token >= 0xC0:
            raw = token & 0x1F
            put(str((raw >> 1) ^ -(raw & 1)))
        elif token >= 0x40:
            # ASCII of 1 to 64 bytes, then other text of 2 to 65
            size = token - 0x3F if token < 0x80 else token - 0x7E
            text = self._take(size).decode("utf-8", "replace")
            if self.texts is not None and size <= 64:
                self._share(self.texts, text)
            put(_quote(text))
        elif token < 0x20:
            if token == 0 or self.texts is None:
                raise SmileError(f"Token [{token:#x}] is not expected in a document of SMILE")
            put(_quote(self.texts[token - 1]))
        elif token in _WORDS:
            put(_WORDS[token])
        else:
            put(self._rare(token))

    def _rare(self, token: int) -> str:
        match token:
            case 0x24 | 0x25:
                raw = self._vint()
                return str((raw >> 1) ^ -(raw & 1))
            case 0x26:
                return str(int.from_bytes(self._raw(self._vint()), "big", signed=True))
            case 0x28:
                return _number(struct.unpack(">f", self._groups(5).to_bytes(4, "big"))[0])
            case 0x29:
                return _number(struct.unpack(">d", self._groups(10).to_bytes(8, "big"))[0])
            case 0x2A:
                scale = self._vint()
                exponent = (scale >> 1) ^ -(scale & 1)
                number = int.from_bytes(self._raw(self._vint()), "big", signed=True)
                return _number(float(number) * 10.0**-exponent)
        raise SmileError(f"Token [{token:#x}] is not expected in a document of SMILE")

    def _structure(self, token: int) -> None:
        put = self.out.append
        if token == 0xFA:
            self._object()
        elif token == 0xF8:
            put("[")
            first = True
            while self.data[self.at] != 0xF9:
                if not first:
                    put(",")
                first = False
                self.value()
            self.at += 1
            put("]")
        elif token in (0xE0, 0xE4):
            put(_quote(self._until_end()))
        elif 0xEC <= token <= 0xEF and self.texts is not None:
            self.at += 1
            put(_quote(self.texts[(token & 3) << 8 | self.data[self.at - 1]]))
        else:
            raise SmileError(f"Token [{token:#x}] is not expected in a document of SMILE")

    def _object(self) -> None:
        put = self.out.append
        put("{")
        first = True
        while True:
            token = self.data[self.at]
            self.at += 1
            if token == 0xFB:
                put("}")
                return
            if not first:
                put(",")
            first = False
            put(_quoted_name(self._name(token)))
            self.value()

    def _name(self, token: int) -> str:
        if 0x80 <= token <= 0xF7:
            size = token - 0x7F if token < 0xC0 else token - 0xBE
            name = self._take(size).decode("utf-8", "replace")
            if self.names is not None:
                self._share(self.names, name)
            return name
        if 0x40 <= token <= 0x7F and self.names is not None:
            return self.names[token - 0x40]
        if 0x30 <= token <= 0x33 and self.names is not None:
            self.at += 1
            return self.names[(token & 3) << 8 | self.data[self.at - 1]]
        if token == 0x20:
            return ""
        if token == 0x34:
            return self._until_end()
        raise SmileError(f"Token [{token:#x}] is no name of a field of SMILE")

    @staticmethod
    def _share(seen: list[str], text: str) -> None:
        # the table holds 1024 entries and starts anew when it is full
        if len(seen) == 1024:
            seen.clear()
        seen.append(text)

    def _take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise SmileError("A document of SMILE is cut short")
        return self.data[self.at - size : self.at]

    def _groups(self, count: int) -> int:
        bits = 0
        for byte in self._take(count):
            bits = bits << 7 | byte
        return bits

    def _until_end(self) -> str:
        end = self.data.find(b"\xfc", self.at)
        if end < 0:
            raise SmileError("A document of SMILE is cut short")
        text = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return text

    def _vint(self) -> int:
        value = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            if byte & 0x80:
                return value << 6 | (byte & 0x3F)
            value = value << 7 | byte

    def _raw(self, size: int) -> bytes:
        """`size` bytes that stand in groups of seven bits."""
        out = bytearray()
        while size > 0:
            count = min(size, 7)
            bits = 0
            total = 8 * count
            while total > 7:
                bits = bits << 7 | self.data[self.at]
                self.at += 1
                total -= 7
            bits = bits << total | self.data[self.at]
            self.at += 1
            out += bits.to_bytes(count, "big")
            size -= count
        return bytes(out)
