"""Objects of S3 and of stores that speak its protocol, through `pyarrow.fs`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from msq.codec import CodecError, wire
from msq.faults import invalid_input
from msq.sources.base import InputItem, InputSource, SourceAccess, check_system_fields
from msq.sources.http import check_uri, password_of
from msq.sources.inline import NilInputSource

_BUFFER = 8 << 20


@dataclass(frozen=True)
class S3InputSource(InputSource, tag="s3"):
    """One of `uris` (`s3://bucket/key`), `prefixes` (`s3://bucket/start-of-key`) and `objects` (bucket and path).

    objectGlob must match the whole key. Without `properties` the environment's credentials are used. Objects without
    a byte are left out when listed by prefix.
    """

    uris: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] | None = None
    objects: tuple[dict[str, str], ...] | None = None
    object_glob: str | None = None
    system_fields: tuple[str, ...] | None = wire(default=None, omit=lambda v: not v)
    properties: dict[str, Any] | None = None
    endpoint_config: dict[str, Any] | None = None
    client_config: dict[str, Any] | None = None
    proxy_config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if sum(bool(given) for given in (self.uris, self.prefixes, self.objects)) != 1:
            raise CodecError("Exactly one of uris, prefixes or objects must be specified")
        for uri in (*(self.uris or ()), *(self.prefixes or ())):
            if urlsplit(uri).scheme != "s3" or not urlsplit(uri).netloc:
                raise CodecError(f"Invalid URI scheme [{uri}] must be [s3]")
        for one in self.objects or ():
            if not one.get("bucket") or not one.get("path"):
                raise CodecError("An object needs a bucket and a path")
        if self.object_glob is not None:
            glob_pattern(self.object_glob)
        check_system_fields(self.system_fields)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        store = self._store(access)
        wanted = glob_pattern(self.object_glob).fullmatch if self.object_glob is not None else None
        found = self._listed(store) if self.prefixes else self._named(store)
        kept = [(bucket, key, size) for bucket, key, size in found if wanted is None or wanted(key)]
        return tuple(
            InputItem(f"s3://{bucket}/{key}", None, size, key.rpartition("/")[2], (), n)
            for n, (bucket, key, size) in enumerate(kept)
        )

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        if not items:
            return NilInputSource()
        uris = tuple(item.uri or "" for item in items)
        return replace(self, uris=uris, prefixes=None, objects=None, object_glob=None)

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        bucket, key = _parts(item.uri or "")
        stream = self._store(access).open_input_stream(f"{bucket}/{key}", compression=None, buffer_size=_BUFFER)
        return cast(BinaryIO, stream)

    def describe(self) -> str:
        uris, prefixes = _plain(self.uris), _plain(self.prefixes)
        return f"S3InputSource{{uris={uris}, prefixes={prefixes}, objects={self.objects or 'null'}}}"

    def system_value(self, item: InputItem, field: str) -> str | None:
        bucket, key = _parts(item.uri or "")
        return {"__file_uri": item.uri, "__file_bucket": bucket, "__file_path": key}.get(field)

    def _named(self, store: Any) -> Iterator[tuple[str, str, int]]:
        names = [_parts(u) for u in self.uris or ()] or [(o["bucket"], o["path"]) for o in self.objects or ()]
        for (bucket, key), info in zip(names, store.get_file_info([f"{b}/{k}" for b, k in names])):
            yield bucket, key, info.size or 0

    def _listed(self, store: Any) -> Iterator[tuple[str, str, int]]:
        from pyarrow.fs import FileSelector, FileType

        for prefix in self.prefixes or ():
            bucket, start = _parts(prefix)
            folder = f"{bucket}/{start}".rpartition("/")[0]
            selector = FileSelector(folder, recursive=True, allow_not_found=True)
            for info in sorted(store.get_file_info(selector), key=lambda i: i.path):
                key = info.path.removeprefix(f"{bucket}/")
                if info.type == FileType.File and info.size and key.startswith(start):
                    yield bucket, key, info.size

    def _store(self, access: SourceAccess) -> Any:
        from pyarrow.fs import S3FileSystem

        given, endpoint, client = self.properties or {}, self.endpoint_config or {}, self.client_config or {}
        options: dict[str, Any] = {
            "access_key": password_of(given.get("accessKeyId"), access) or None,
            "secret_key": password_of(given.get("secretAccessKey"), access) or None,
            "session_token": password_of(given.get("sessionToken"), access) or None,
            "role_arn": given.get("assumeRoleArn"), "external_id": given.get("assumeRoleExternalId"),
            "region": endpoint.get("signingRegion"), "connect_timeout": access.connect_timeout,
            "request_timeout": access.read_timeout,
        }  # fmt: skip
        url = str(endpoint.get("url") or "")
        if url:
            parts = urlsplit(url if "://" in url else f"{client.get('protocol') or 'https'}://{url}")
            options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        host = options.get("endpoint_override") or f"s3.{options['region'] or 'us-east-1'}.amazonaws.com"
        check_uri(f"{options.get('scheme', 'https')}://{host}", access)
        if self.proxy_config is not None:
            proxy = self.proxy_config
            check_uri(f"http://{proxy.get('host')}:{proxy.get('port') or 80}", access)
            options["proxy_options"] = {
                "scheme": "http", "host": proxy.get("host"), "port": int(proxy.get("port") or 80),
                "username": proxy.get("username"), "password": password_of(proxy.get("password"), access) or None,
            }  # fmt: skip
        try:
            return S3FileSystem(**{k: v for k, v in options.items() if v is not None})
        except ValueError as error:
            raise invalid_input(f"Invalid value for the field [inputSource]. Reason: [{error}]") from error


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


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
