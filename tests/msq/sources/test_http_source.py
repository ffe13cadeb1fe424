"""HTTP against a server of our own: redirects, passwords, lost connections, and what may be asked."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from msq.codec import encode
from msq.faults import DruidException, MSQError
from msq.sources import SourceAccess, parse_input_source, reading

BODY = b"".join(b'{"n":%d}\n' % n for n in range(20_000))


class Handler(BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, str]]]

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers.items())))
        kind = self.path.split("?")[0].strip("/").split("/")[0]
        port = self.server.server_address[1]
        if kind == "moved":
            self._redirect("/file.json")
        elif kind == "elsewhere":
            self._redirect(f"http://localhost:{port}/file.json")
        elif kind == "local":
            self._redirect("file:///etc/hostname")
        elif kind == "round":
            self._redirect("/round")
        elif kind == "locked":
            wanted = "Basic " + base64.b64encode(b"ann:secret").decode()
            self._send(BODY if self.headers.get("Authorization") == wanted else None)
        elif kind in ("broken", "forgetful"):
            self._send_broken(kind == "broken")
        else:
            self._send(BODY if kind == "file.json" else None)

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, body: bytes | None) -> None:
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def _send_broken(self, knows_ranges: bool) -> None:
        """All but the last answers end early; the second kind always starts at the front."""
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and knows_ranges else 0
        part = BODY[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        tries = sum(path == self.path for path, _ in self.asked)
        self.wfile.write(part if tries > 2 else part[: len(BODY) // 4 * tries])
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("OneHandler", (Handler,), {"asked": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}", handler
    running.shutdown()
    thread.join()
    running.server_close()


def _read(uri: str, access: SourceAccess | None = None, **more: Any) -> bytes:
    access = access or SourceAccess()
    source = parse_input_source({"type": "http", "uris": [uri], **more})
    (item,) = source.list(access)
    with reading(item), source.open(item, access) as stream:
        return stream.read()


@pytest.mark.parametrize("path", ["file.json", "moved", "elsewhere", "broken", "forgetful"])
def test_a_body_comes_whole(server: Any, path: str) -> None:
    base, _ = server
    assert _read(f"{base}/{path}") == BODY


def test_a_connection_lost_too_often_is_a_fault(server: Any) -> None:
    base, _ = server
    with pytest.raises(MSQError, match=r"Error occurred while trying to read uri: http://127.0.0.1:\d+/broken"):
        _read(f"{base}/broken", SourceAccess(retries=1))


def test_refusals_name_the_status(server: Any) -> None:
    base, _ = server
    with pytest.raises(MSQError, match="HTTP status 404"):
        _read(f"{base}/none")
    with pytest.raises(MSQError, match="more than 10 redirects"):
        _read(f"{base}/round")


@pytest.mark.parametrize(
    "password",
    ["secret", {"type": "default", "password": "secret"}, {"type": "environment", "variable": "HTTP_SECRET"}],
)
def test_passwords(server: Any, password: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base, _ = server
    monkeypatch.setenv("HTTP_SECRET", "secret")
    given = {"httpAuthenticationUsername": "ann", "httpAuthenticationPassword": password}
    assert _read(f"{base}/locked/file.json", **given) == BODY
    with pytest.raises(MSQError, match="HTTP status 404"):
        _read(f"{base}/locked/file.json")


def test_password_and_headers_stay_with_their_host(server: Any) -> None:
    base, handler = server
    access = SourceAccess(headers=("x-key",))
    given = {"httpAuthenticationUsername": "ann", "httpAuthenticationPassword": "p", "requestHeaders": {"X-Key": "k"}}
    assert _read(f"{base}/elsewhere", access, **given) == BODY
    first, second = (headers for _, headers in handler.asked)
    assert "Authorization" in first
    assert first["X-Key"] == "k"
    assert "Authorization" not in second
    assert "X-Key" not in second


def test_only_allowed_hosts_schemes_and_headers(server: Any) -> None:
    base, handler = server
    access = SourceAccess(hosts=("127.0.0.1", "*.example.org"))
    assert _read(f"{base}/moved", access) == BODY
    with pytest.raises(DruidException, match=r"Host \[localhost\]"):
        _read(f"{base}/elsewhere", access)
    with pytest.raises(DruidException, match=r"Host \[example.org\]"):
        _read("http://example.org/x", access)
    with pytest.raises(DruidException, match=r"Host \[127.0.0.1\]"):
        _read(f"{base}/file.json", SourceAccess(hosts=("127.0.0.1:1",)))
    with pytest.raises(DruidException, match=r"Only \[http, https\] protocols are allowed"):
        _read(f"{base}/local")
    with pytest.raises(DruidException, match=r"Only \[https\] protocols are allowed"):
        _read(f"{base}/file.json", SourceAccess(schemes=("https",)))
    asked = len(handler.asked)
    with pytest.raises(DruidException, match=r"Got forbidden header \[X-Key\]"):
        _read(f"{base}/file.json", requestHeaders={"X-Key": "k"})
    assert len(handler.asked) == asked


def test_items_hide_users_and_still_find_their_uri(server: Any) -> None:
    base, _ = server
    source = parse_input_source(
        {"type": "http", "uris": [base.replace("//", "//ann:secret@") + "/file.json", f"{base}/b.gz"]}
    )
    items = source.list(SourceAccess())
    assert [(i.uri, i.name, i.size) for i in items] == [
        (f"{base}/file.json", "file.json", 0), (f"{base}/b.gz", "b.gz", 0),
    ]  # fmt: skip
    part = source.with_items(items[:1])
    assert encode(part)["uris"] == [base.replace("//", "//ann:secret@") + "/file.json"]
    assert "secret" not in source.describe()
    assert not source.splits_by_size
