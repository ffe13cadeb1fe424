"""What every command reads from its arguments: the statement's text and the context."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.lookups import LookupStore
    from msq.sources.base import SourceAccess


class UsageError(Exception):
    """An argument that cannot be used; the text says what to give instead."""


def read_statement(file: str) -> str:
    """The text of a file, or of standard input for `-`. Raises UsageError."""
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Cannot read [{file}]: {error.strerror}. Give an SQL file, or - for standard input."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"[{file}] is no UTF-8 text (byte {error.start})") from error


def read_context(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs as a context; values that are JSON (numbers, true, objects) are read as such."""
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"Context [{pair}] is no key=value pair")
        try:
            out[key.strip()] = json.loads(text)
        except ValueError:
            out[key.strip()] = text
    return out


def lookups_of(file: Path | None, access: SourceAccess | None = None) -> LookupStore:
    """The lookups of a file, loaded; `access`: what lookups that are added later may read. Raises UsageError."""
    from controller.lookups import LookupStore, read_lookups

    try:
        return LookupStore({} if file is None else read_lookups(file), access)
    except ValueError as error:
        raise UsageError(str(error)) from error
