"""Objects of a store, by URI, by the beginning of their keys, or by bucket and path: what all such sources share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import urlsplit

from msq.codec import CodecError, wire
from msq.faults import MSQError, UnknownFault, invalid_input
from msq.sources.base import InputItem, InputSource, SourceAccess, check_system_fields
from msq.sources.inline import NilInputSource
from msq.storage.stores import object_of, object_uri

_BUFFER = 8 << 20


@dataclass(frozen=True)
class ObjectInputSource(InputSource):
    """One of `uris` (`s3://bucket/key`), `prefixes` (`s3://bucket/start-of-key`) and `objects` (bucket and path).

    objectGlob must match the whole key. Objects without a byte are left out when listed by prefix.
    """

    uris: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] | None = None
    objects: tuple[dict[str, str], ...] | None = None
    object_glob: str | None = None
    system_fields: tuple[str, ...] | None = wire(default=None, omit=lambda v: not v)

    SCHEME: ClassVar[str] = ""

    @abstractmethod
    def filesystem(self, bucket: str, access: SourceAccess) -> Any:
        """The `pyarrow.fs` file system that holds a bucket. Raises DruidException for one that may not be asked."""

    def place(self, bucket: str, key: str) -> str:
        """An object as its file system names it."""
        return f"{bucket}/{key}"

    def __post_init__(self) -> None:
        if sum(bool(given) for given in (self.uris, self.prefixes, self.objects)) != 1:
            raise CodecError("Exactly one of uris, prefixes or objects must be specified")
        for uri in (*(self.uris or ()), *(self.prefixes or ())):
            if urlsplit(uri).scheme.lower() != self.SCHEME.lower() or not urlsplit(uri).netloc:
                raise CodecError(f"Invalid URI scheme [{uri}] must be [{self.SCHEME}]")
        for one in self.objects or ():
            if not one.get("bucket") or not one.get("path"):
                raise CodecError("An object needs a bucket and a path")
        for bucket, key in self._named():
            if "/" in bucket or any(part in (".", "..") for part in key.split("/")):
                raise CodecError(f"[{bucket}/{key}] is no bucket with a key")
        if self.object_glob is not None:
            glob_pattern(self.object_glob)
        check_system_fields(self.system_fields)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        wanted = glob_pattern(self.object_glob).fullmatch if self.object_glob is not None else None
        with _listing(self):
            found = [
                (bucket, key, size)
                for bucket, key, size in (self._listed(access) if self.prefixes else self._sized(access))
                if wanted is None or wanted(key)
            ]
        return tuple(
            InputItem(object_uri(self.SCHEME, bucket, key), None, size, key.rpartition("/")[2], (), n)
            for n, (bucket, key, size) in enumerate(found)
        )

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        if not items:
            return NilInputSource()
        uris = tuple(item.uri or "" for item in items)
        return replace(self, uris=uris, prefixes=None, objects=None, object_glob=None)

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        bucket, key = object_of(item.uri or "")
        store = self.filesystem(bucket, access)
        return cast(BinaryIO, store.open_input_stream(self.place(bucket, key), compression=None, buffer_size=_BUFFER))

    def describe(self) -> str:
        uris, prefixes = _plain(self.uris), _plain(self.prefixes)
        return f"{type(self).__name__}{{uris={uris}, prefixes={prefixes}, objects={self.objects or 'null'}}}"

    def system_value(self, item: InputItem, field: str) -> str | None:
        bucket, key = object_of(item.uri or "")
        return {"__file_uri": item.uri, "__file_bucket": bucket, "__file_path": key}.get(field)

    def _named(self) -> Iterator[tuple[str, str]]:
        for uri in self.uris or ():
            yield object_of(uri)
        for one in self.objects or ():
            yield one["bucket"], one["path"]

    def _sized(self, access: SourceAccess) -> Iterator[tuple[str, str, int]]:
        stores: dict[str, Any] = {}
        for bucket, key in self._named():
            if bucket not in stores:
                stores[bucket] = self.filesystem(bucket, access)
            yield bucket, key, stores[bucket].get_file_info(self.place(bucket, key)).size or 0

    def _listed(self, access: SourceAccess) -> Iterator[tuple[str, str, int]]:
        from pyarrow.fs import FileType

        for prefix in self.prefixes or ():
            bucket, start = object_of(prefix)
            root = self.place(bucket, "")
            for info in sorted(_below(self.filesystem(bucket, access), root, start), key=lambda i: i.path):
                key = info.path.removeprefix(root)
                if info.type == FileType.File and info.size and key.startswith(start):
                    yield bucket, key, info.size


def _below(store: Any, root: str, start: str) -> Iterator[Any]:
    """What lies below the keys that begin with `start`, and a few more. `root` ends with a slash, or is empty."""
    from pyarrow.fs import FileSelector, FileType

    folder = (root + start).rpartition("/")[0]
    if start.endswith("/") or not start or store.type_name == "gcs":  # which shows no folders
        yield from store.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
        return
    for info in store.get_file_info(FileSelector(folder, allow_not_found=True)):
        if not info.path.startswith(root + start):
            continue
        if info.type == FileType.Directory:
            yield from store.get_file_info(FileSelector(info.path, recursive=True, allow_not_found=True))
        else:
            yield info


@contextmanager
def _listing(source: ObjectInputSource) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = str(error).partition(". Detail:")[0]
        raise MSQError(UnknownFault(f"Cannot list the objects of {source.describe()}: {reason}")) from error


def made(build: Any, settings: Mapping[str, Any]) -> Any:
    """`build(settings)`; what it says of settings that make no sense is said of the source."""
    try:
        return build(settings)
    except ValueError as error:
        raise invalid_input(f"Invalid value for the field [inputSource]. Reason: [{error}]") from error


def _plain(values: Sequence[str] | None) -> str:
    return "null" if values is None else f"[{', '.join(values)}]"


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Java's glob over a whole key: `*` and `?` stay within a folder, `**` does not; `[..]`, `{a,b}` and backslash.

    Raises CodecError for a glob that is not closed.
    """
    out, at, depth = "", 0, 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if glob.startswith("*", at):
                at += 1
                out += ".*"
            else:
                out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            end = glob.find("]", at + 1)
            if end < 0:
                raise CodecError(f"Invalid objectGlob [{glob}]: missing [ ] ]")
            inner = glob[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out += "(?!/)[" + ("^" + inner[1:] if inner.startswith("!") else inner) + "]"
            at = end + 1
        elif char == "{":
            depth += 1
            out += "(?:"
        elif char == "}" and depth:
            depth -= 1
            out += ")"
        elif char == "," and depth:
            out += "|"
        else:
            if char == "\\" and at < len(glob):
                char = glob[at]
                at += 1
            out += re.escape(char)
    if depth:
        raise CodecError(f"Invalid objectGlob [{glob}]: missing [ }} ]")
    try:
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise CodecError(f"Invalid objectGlob [{glob}]: {error}") from error
