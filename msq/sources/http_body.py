"""One HTTP response body as a file: redirects within what is allowed, and a lost connection taken up where it broke."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from msq.sources.base import SourceAccess
from msq.sources.http import check_uri

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 10
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class HttpBody(io.RawIOBase):
    """The bytes behind `uri`, asked for at the first read. Raises OSError for what the server refuses and for
    connections lost more than `access.retries` times, DruidException for a redirect to a place not allowed."""

    def __init__(
        self, uri: str, headers: dict[str, str], auth: tuple[str, str] | None, access: SourceAccess
    ) -> None:  # fmt: skip
        super().__init__()
        self._uri, self._headers, self._auth, self._access = uri, headers, auth, access
        timeout = httpx.Timeout(access.read_timeout, connect=access.connect_timeout)
        proxies = urlsplit(uri).hostname not in _LOOPBACK
        self._client = httpx.Client(timeout=timeout, follow_redirects=False, trust_env=proxies)
        self._at = 0
        self._rest = memoryview(b"")
        self._retries = access.retries
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._next())
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def close(self) -> None:
        if not self.closed:
            self._drop()
            self._client.close()
        super().close()

    def _next(self) -> bytes:
        """The next piece, empty at the end."""
        while True:
            try:
                if self._pieces is None:
                    self._pieces = self._connect()
                piece = next(self._pieces, b"")
                self._at += len(piece)
                return piece
            except httpx.TransportError as error:
                self._drop()
                if self._retries <= 0:
                    raise OSError(f"{type(error).__name__}: {error}") from error
                self._retries -= 1

    def _drop(self) -> None:
        self._pieces = None
        if self._response is not None:
            self._response.close()
            self._response = None

    def _connect(self) -> Iterator[bytes]:
        """Pieces of the body from where we are."""
        response = self._ask()
        status = response.status_code
        if status == 416 and self._at:
            return iter(())
        if status not in (200, 206):
            raise OSError(f"HTTP status {status} {response.reason_phrase}".rstrip())
        pieces = response.iter_raw()  # pieces as they come: a chunker would lose what it holds when the line drops
        return _after(pieces, self._at) if self._at and status == 200 else pieces

    def _ask(self) -> httpx.Response:
        uri, auth = self._uri, self._auth
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={self._at}-"} if self._at else {})
        own = dict(self._headers)
        for _ in range(_MAX_REDIRECTS):
            check_uri(uri, self._access)
            request = self._client.build_request("GET", uri, headers=own | headers)
            response = self._response = self._client.send(request, stream=True, auth=auth)
            if response.status_code not in _REDIRECTS or "location" not in response.headers:
                return response
            target = urljoin(uri, response.headers["location"])
            if urlsplit(target)[:2] != urlsplit(uri)[:2]:
                auth, own = None, {}  # the user's password and headers do not follow to another place
            self._drop()
            uri = target
        raise OSError(f"more than {_MAX_REDIRECTS} redirects")


def _after(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The pieces behind the first `count` bytes, for a server that does not know ranges."""
    for piece in pieces:
        if count >= len(piece):
            count -= len(piece)
        else:
            yield piece[count:]
            count = 0
