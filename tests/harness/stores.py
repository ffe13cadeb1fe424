"""Real object stores for tests: versitygw (S3) and fake-gcs-server (Google's protocol), on free ports of this machine.

A server's program is what `VERSITYGW` or `FAKE_GCS_SERVER` names, else what stands on the path or was built before;
versitygw is built once, with Go, from the module proxy and kept in the user's cache folder, fake-gcs-server likewise
with `BUILD_STORES=1`. Unavailable says why there is none.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSITYGW = ("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
FAKE_GCS = ("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1")
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What the emulator documents as its only account."""
ACCESS_KEY, SECRET_KEY = "tester", "tester-secret"

BUILD_SECONDS = 240
START_SECONDS = 60


# why the first program could not be built: the next one is not tried then, since the same is missing
_failed: list[str] = []


class Unavailable(Exception):
    """There is no server to be had; the text says why."""


def _program(name: str, package: str, version: str, build: bool) -> Path:
    found = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    if found:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msq-tests" / f"{name}-{version}"
    if not cache.exists():
        if not build and not os.environ.get("BUILD_STORES"):
            raise Unavailable(f"[{name}] is not on the path, and BUILD_STORES=1, which has it built, is not set")
        _build(package, version, cache)
    return cache


def _build(package: str, version: str, target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Unavailable(f"[{target.name}] is not on the path, and there is no Go to build it")
    if _failed:
        raise Unavailable(_failed[0])
    try:
        _install(go, package, version, target)
    except Unavailable as reason:
        _failed.append(str(reason))
        raise


def _install(go: str, package: str, version: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            done = subprocess.run(
                [go, "install", f"{package}@{version}"], env={**os.environ, "GOBIN": folder, "GOFLAGS": "-mod=mod"},
                capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"[{target.name}] was not built within {BUILD_SECONDS} seconds") from None
        if done.returncode:
            raise Unavailable(f"[{target.name}] could not be built: {done.stderr.strip()[-500:]}")
        (made,) = Path(folder).iterdir()
        os.replace(made, target)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serving(words: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with open(log, "wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f"{words[0]} does not answer: {log.read_text()[-500:]}") from None
                time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[Mapping[str, Any]]:
    """An S3 store under `folder`; yields how it is reached, as msq.storage.stores reads it. Buckets are the folders
    of `folder`/buckets."""
    program, port = _program(*VERSITYGW, build=True), _free_port()
    (folder / "buckets").mkdir()
    (folder / "sidecar").mkdir()
    words = [
        str(program), "--quiet", "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", f"127.0.0.1:{port}", "posix",
        "--sidecar", str(folder / "sidecar"), str(folder / "buckets"),
    ]  # fmt: skip
    with _serving(words, port, folder / "s3.log"):
        yield {
            "endpointUrl": f"http://127.0.0.1:{port}", "region": "us-east-1", "accessKey": ACCESS_KEY,
            "secretKey": SECRET_KEY,
        }  # fmt: skip


@contextmanager
def azure_server(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Azurite's blob service, where `AZURITE_BLOB` names its program or the path has it; yields how it is reached."""
    found = os.environ.get("AZURITE_BLOB") or shutil.which("azurite-blob")
    if not found:
        raise Unavailable("[azurite-blob] is not on the path: npm install azurite")
    port = _free_port()
    words = [
        found, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--skipApiVersionCheck",
        "--silent", "--disableTelemetry",
    ]  # fmt: skip
    with _serving(words, port, folder / "azure.log"):
        yield {"endpointUrl": f"http://127.0.0.1:{port}", "account": AZURITE_ACCOUNT, "key": AZURITE_KEY}


@contextmanager
def google_server(folder: Path) -> Iterator[Mapping[str, Any]]:
    """A store that speaks Google's protocol; yields how it is reached."""
    program, port = _program(*FAKE_GCS, build=False), _free_port()
    words = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with _serving(words, port, folder / "google.log"):
        yield {"endpointUrl": f"http://127.0.0.1:{port}", "anonymous": True, "project": "tests", "retryTime": 10}
