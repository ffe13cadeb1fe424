"""Files behind HTTP(S) URIs. What may be asked (scheme, host, header) `SourceAccess` says, behind redirects, too."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from msq.codec import CodecError, wire
from msq.faults import DruidException, invalid_input
from msq.sources.base import InputItem, InputSource, SourceAccess, check_system_fields
from msq.sources.inline import NilInputSource


@dataclass(frozen=True)
class HttpInputSource(InputSource, tag="http"):
    """`uris` are read one by one. A password is a text, or an object `{"type": "default" | "environment", ..}`."""

    uris: tuple[str, ...]
    http_authentication_username: str | None = None
    http_authentication_password: Any = None
    system_fields: tuple[str, ...] | None = wire(default=None, omit=lambda v: not v)
    request_headers: dict[str, str] | None = wire(default=None, omit=lambda v: not v)

    splits_by_size: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.uris:
            raise CodecError("Empty URIs")
        for uri in self.uris:
            if not urlsplit(uri).hostname:
                raise CodecError(f"[{uri}] is no URI with a host")
        password = self.http_authentication_password
        if password is not None and not isinstance(password, (str, Mapping)):
            raise CodecError("httpAuthenticationPassword must be a text or a password provider")
        check_system_fields(self.system_fields)

    def list(self, access: SourceAccess) -> tuple[InputItem, ...]:
        """One item each URI, sizes unknown. Raises DruidException for one that may not be asked."""
        for header in self.request_headers or {}:
            if header.lower() not in access.headers:
                allowed = ", ".join(access.headers)
                raise invalid_input(f"Got forbidden header [{header}], allowed headers are only [{allowed}]. ")
        for uri in self.uris:
            check_uri(uri, access)
        return tuple(
            InputItem(_shown(uri), None, 0, unquote(urlsplit(uri).path).rpartition("/")[2], (), n)
            for n, uri in enumerate(self.uris)
        )

    def with_items(self, items: Sequence[InputItem]) -> InputSource:
        return replace(self, uris=tuple(map(self._uri, items))) if items else NilInputSource()

    def open(self, item: InputItem, access: SourceAccess) -> BinaryIO:
        from msq.sources.http_body import HttpBody

        body = HttpBody(self._uri(item), self._headers(access), self._auth(access), access)
        return io.BufferedReader(body, 1 << 20)

    def describe(self) -> str:
        uris, user = ", ".join(map(_shown, self.uris)), self.http_authentication_username or "null"
        return f'HttpInputSource{{uris="[{uris}]", httpAuthenticationUsername={user}}}'

    def system_value(self, item: InputItem, field: str) -> str | None:
        if field == "__file_uri":
            return item.uri
        return unquote(urlsplit(item.uri or "").path) if field == "__file_path" else None

    def _uri(self, item: InputItem) -> str:
        return next(uri for uri in self.uris if _shown(uri) == item.uri)

    def _headers(self, access: SourceAccess) -> dict[str, str]:
        return {k: v for k, v in (self.request_headers or {}).items() if k.lower() in access.headers}

    def _auth(self, access: SourceAccess) -> tuple[str, str] | None:
        if self.http_authentication_username is None:
            return None
        return self.http_authentication_username, password_of(self.http_authentication_password, access)


def password_of(provider: Any, access: SourceAccess) -> str:
    """The password a text or a password provider says; empty for None."""
    if provider is None or isinstance(provider, str):
        return provider or ""
    kind = provider.get("type", "default")
    if kind == "default":
        return str(provider.get("password") or "")
    if kind == "environment" and access.environment:
        value = os.environ.get(str(provider.get("variable")))
        if value is None:
            raise invalid_input(f"Environment variable [{provider.get('variable')}] of the password is not set")
        return value
    raise invalid_input(f"Password provider type [{kind}] is not supported")


def check_uri(uri: str, access: SourceAccess) -> None:
    """Raises DruidException for a URI whose scheme or host may not be asked."""
    parts = urlsplit(uri)
    if parts.scheme.lower() not in access.schemes:
        raise invalid_input(f"Only [{', '.join(access.schemes)}] protocols are allowed")
    if access.hosts is None:
        return
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    if not any(_matches_host(host, port, allowed.lower()) for allowed in access.hosts):
        raise DruidException(
            f"Host [{host}] is not one this server may read from", error_code="forbidden", category="FORBIDDEN"
        )


def _matches_host(host: str, port: int, allowed: str) -> bool:
    name, colon, number = allowed.rpartition(":")
    if colon and number.isdigit() and not name.endswith(":"):
        if int(number) != port:
            return False
        allowed = name
    allowed = allowed.strip("[]")
    return host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:]))


def _shown(uri: str) -> str:
    """The URI without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
