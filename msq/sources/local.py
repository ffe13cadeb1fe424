"""Files of this machine."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from msq.codec import CodecError, wire
from msq.sources.base import InputItem, InputSource, SourceAccess, check_system_fields

_NOT_IN_URI = re.compile(r'[\x00-\x20\x7f"<>#%?\[\]^`{|}\\]')


@dataclass(frozen=True)
class LocalInputSource(InputSource, tag="local"):
    """`files`, or everything below `base_dir` whose NAME matches `filter` (`*`, `?`; case-sensitive), or both.

    A missing file is an empty input, as are files without a byte. What `base_dir` holds comes before `files`.
    """

    base_dir: str | None = None
    filter: str | None = None
    files: tuple[str, ...] | None = None
    system_fields: tuple[str, ...] | None = wire(default=None, omit=lambda v: not v)

    def __post_init__(self) -> None:
        if self.base_dir is None and not self.files:
            raise CodecError("At least one of baseDir or files should be specified")
        if self.base_dir is not None and self.filter is None:
            raise CodecError("filter can't be null")
        check_system_fields(self.system_fields)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        named = [os.path.abspath(f) for f in self.files or ()]
        paths: builtins.list[str] = []
        if self.base_dir is not None:
            access.check_path(self.base_dir)
            taken = {os.path.basename(p) for p in named}
            matches = re.compile(_wildcard(self.filter or "*"), re.DOTALL).fullmatch
            for path in _walk(self.base_dir):
                name = os.path.basename(path)
                if matches(name) and name not in taken:
                    paths.append(path)
        paths += named
        items: builtins.list[InputItem] = []
        for path in paths:
            access.check_path(path)
            try:
                size = os.stat(path).st_size
            except (FileNotFoundError, NotADirectoryError):
                continue
            if size > 0 or os.path.isdir(path):  # reading a folder fails, and says so
                items.append(InputItem(file_uri(path), path, size, os.path.basename(path), (), len(items)))
        return tuple(items)

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        from msq.sources.inline import NilInputSource

        if not items:
            return NilInputSource()
        return replace(self, base_dir=None, filter=None, files=tuple(item.path or "" for item in items))

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        path = item.path or ""
        access.check_path(path)
        return open(path, "rb", buffering=0)

    def describe(self) -> str:
        base = "null" if self.base_dir is None else self.base_dir
        files = ", ".join(self.files or ())
        return f'LocalInputSource{{baseDir="{base}", filter={self.filter or "null"}, files=[{files}]}}'

    def system_value(self, item: InputItem, field: str) -> str | None:
        return {"__file_uri": item.uri, "__file_path": item.path}.get(field)


def file_uri(path: str) -> str:
    """`file:/dir/x.json` as Java's `File.toURI` prints it: what a URI may not hold is escaped, letters never are."""
    return "file:" + _NOT_IN_URI.sub(lambda found: f"%{ord(found[0]):02X}", path)


def _wildcard(pattern: str) -> str:
    """A regular expression for `*` (any run) and `?` (one character); nothing else is special."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)


def _walk(base: str) -> Iterator[str]:
    """Files below a folder, in order of their names. Links to folders are followed, each folder is visited once."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(os.path.abspath(base), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)
