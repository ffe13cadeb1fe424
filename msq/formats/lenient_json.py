"""A JSON parser with Jackson's optional leniencies, for formats whose featureSpec switches some on."""

from __future__ import annotations

import re
from typing import Any

from msq.codec import CodecError

FEATURES = frozenset({
    "ALLOW_COMMENTS", "ALLOW_YAML_COMMENTS", "ALLOW_UNQUOTED_FIELD_NAMES", "ALLOW_SINGLE_QUOTES",
    "ALLOW_UNQUOTED_CONTROL_CHARS", "ALLOW_BACKSLASH_ESCAPING_ANY_CHARACTER", "ALLOW_NUMERIC_LEADING_ZEROS",
    "ALLOW_LEADING_DECIMAL_POINT_FOR_NUMBERS", "ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS",
    "ALLOW_TRAILING_DECIMAL_POINT_FOR_NUMBERS", "ALLOW_NON_NUMERIC_NUMBERS", "ALLOW_MISSING_VALUES",
    "ALLOW_TRAILING_COMMA",
})  # fmt: skip
_IGNORED = frozenset({
    "AUTO_CLOSE_SOURCE", "STRICT_DUPLICATE_DETECTION", "IGNORE_UNDEFINED", "INCLUDE_SOURCE_IN_LOCATION",
    "USE_FAST_DOUBLE_PARSER", "USE_FAST_BIG_NUMBER_PARSER", "CLEAR_CURRENT_TOKEN_ON_CLOSE",
})  # fmt: skip
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NAME = re.compile(r"[^\s:,{}\[\]\"']+")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NON_NUMBERS = {"NaN": "nan"} | {s + w: s + "inf" for s in ("", "+", "-") for w in ("Infinity", "INF")}
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _joined(halves: re.Match[str]) -> str:
    """The character that two escapes stand for together."""
    return halves[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


class JsonSyntaxError(ValueError):
    """The text is no JSON, leniencies included."""


class LenientParser:
    """`first_value` of a text. `any` tells whether some leniency is on at all."""

    def __init__(self, features: dict[str, bool]) -> None:
        for name in features:
            if name not in FEATURES and name not in _IGNORED:
                raise CodecError(f"Unknown JSON parser feature [{name}]")
        self._on = frozenset(n for n, on in features.items() if on and n in FEATURES)
        self.any = bool(self._on)

    def first_value(self, text: str) -> Any:
        value, _ = self._value(text, self._skip(text, 0))
        return value

    def _skip(self, text: str, at: int) -> int:
        while at < len(text):
            if text[at] in " \t\r\n":
                at += 1
            elif text.startswith("/*", at) and "ALLOW_COMMENTS" in self._on:
                end = text.find("*/", at + 2)
                if end < 0:
                    raise JsonSyntaxError("unfinished comment")
                at = end + 2
            elif (text.startswith("//", at) and "ALLOW_COMMENTS" in self._on) or (
                text[at] == "#" and "ALLOW_YAML_COMMENTS" in self._on
            ):
                return len(text)
            else:
                break
        return at

    def _value(self, text: str, at: int) -> tuple[Any, int]:
        if at >= len(text):
            raise JsonSyntaxError("nothing to read")
        c = text[at]
        if c == "{":
            return self._object(text, at + 1)
        if c == "[":
            return self._list(text, at + 1)
        if c == '"' or (c == "'" and "ALLOW_SINGLE_QUOTES" in self._on):
            return self._string(text, at + 1, c)
        sign = c if c in "+-" else ""
        word = _WORD.match(text, at + len(sign))
        if word is not None:
            return self._word(sign + word.group(), word.end())
        return self._number(text, at)

    def _word(self, word: str, end: int) -> tuple[Any, int]:
        if word in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word], end
        if word in _NON_NUMBERS and "ALLOW_NON_NUMERIC_NUMBERS" in self._on:
            return float(_NON_NUMBERS[word]), end
        raise JsonSyntaxError(f"unknown word [{word}]")

    def _number(self, text: str, at: int) -> tuple[Any, int]:
        found = _NUMBER.match(text, at)
        if found is None:
            raise JsonSyntaxError(f"unexpected [{text[at]}]")
        digits = found.group()
        plain = digits.lstrip("+-")
        checks = (
            (digits[0] == "+", "ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS"),
            (plain[0] == ".", "ALLOW_LEADING_DECIMAL_POINT_FOR_NUMBERS"),
            (re.search(r"\.(?![0-9])", plain) is not None, "ALLOW_TRAILING_DECIMAL_POINT_FOR_NUMBERS"),
            (re.match(r"0[0-9]", plain) is not None, "ALLOW_NUMERIC_LEADING_ZEROS"),
        )
        for needed, feature in checks:
            if needed and feature not in self._on:
                raise JsonSyntaxError(f"[{digits}] needs {feature}")
        return (int(digits) if re.fullmatch(r"[-+]?[0-9]+", digits) else float(digits)), found.end()

    def _string(self, text: str, at: int, quote: str) -> tuple[str, int]:
        out: list[str] = []
        while at < len(text):
            c = text[at]
            if c == quote:
                return _PAIR.sub(_joined, "".join(out)), at + 1
            if c == "\\":
                part, at = self._escape(text, at + 1)
                out.append(part)
                continue
            if c < " " and "ALLOW_UNQUOTED_CONTROL_CHARS" not in self._on:
                raise JsonSyntaxError("control character in a string")
            out.append(c)
            at += 1
        raise JsonSyntaxError("unfinished string")

    def _escape(self, text: str, at: int) -> tuple[str, int]:
        c = text[at : at + 1]
        if c == "u":
            digits = text[at + 1 : at + 5]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits) is None:
                raise JsonSyntaxError("bad unicode escape")
            return chr(int(digits, 16)), at + 5
        if c in _ESCAPES:
            return _ESCAPES[c], at + 1
        if c == "'" and "ALLOW_SINGLE_QUOTES" in self._on:
            return c, at + 1
        if c and "ALLOW_BACKSLASH_ESCAPING_ANY_CHARACTER" in self._on:
            return c, at + 1
        raise JsonSyntaxError("bad escape")

    def _object(self, text: str, at: int) -> tuple[dict[str, Any], int]:
        out: dict[str, Any] = {}
        at = self._skip(text, at)
        if text[at : at + 1] == "}":
            return out, at + 1
        while True:
            key, at = self._key(text, at)
            at = self._skip(text, at)
            if text[at : at + 1] != ":":
                raise JsonSyntaxError("missing colon")
            out[key], at = self._value(text, self._skip(text, at + 1))
            at = self._skip(text, at)
            if text[at : at + 1] == "}":
                return out, at + 1
            if text[at : at + 1] != ",":
                raise JsonSyntaxError("missing comma")
            at = self._skip(text, at + 1)
            if text[at : at + 1] == "}" and "ALLOW_TRAILING_COMMA" in self._on:
                return out, at + 1

    def _key(self, text: str, at: int) -> tuple[str, int]:
        c = text[at : at + 1]
        if c == '"' or (c == "'" and "ALLOW_SINGLE_QUOTES" in self._on):
            return self._string(text, at + 1, c)
        name = _NAME.match(text, at) if "ALLOW_UNQUOTED_FIELD_NAMES" in self._on else None
        if name is None:
            raise JsonSyntaxError("missing key")
        return name.group(), name.end()

    def _list(self, text: str, at: int) -> tuple[list[Any], int]:
        out: list[Any] = []
        at = self._skip(text, at)
        if text[at : at + 1] == "]":
            return out, at + 1
        while True:
            if text[at : at + 1] in (",", "]") and "ALLOW_MISSING_VALUES" in self._on:
                out.append(None)
            else:
                value, at = self._value(text, at)
                out.append(value)
            at = self._skip(text, at)
            if text[at : at + 1] == "]":
                return out, at + 1
            if text[at : at + 1] != ",":
                raise JsonSyntaxError("missing comma")
            at = self._skip(text, at + 1)
            if text[at : at + 1] == "]" and "ALLOW_TRAILING_COMMA" in self._on:
                return out, at + 1
