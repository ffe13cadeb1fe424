"""A PostgreSQL of its own for tests: Debian's package, started on a free port in a temporary folder.

`server()` yields a function that makes an empty database and answers its SQLAlchemy URL. It installs the package where
that is possible (root, apt) and the machine has none; otherwise it raises Unavailable with the reason.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Unavailable(Exception):
    """There is no PostgreSQL to be had; the text says why."""


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql"
        subprocess.run(["sh", "-c", install], capture_output=True, check=False, timeout=240)
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise Unavailable("no PostgreSQL server is installed, and Debian's package could not be installed")
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path) -> Iterator[Callable[[str], str]]:
    """Starts a server under `folder` and stops it at the end."""
    bin_dir, port, data = _binaries(), _free_port(), folder / "pg"
    data.mkdir()
    # a server refuses to run as root
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        for parent in (folder, *folder.parents):
            if not os.stat(parent).st_mode & 0o001 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        shutil.chown(data, "postgres", "postgres")

    def call(*words: str) -> None:
        done = subprocess.run([*as_user, *words], capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise Unavailable(f"{words[0]} failed: {done.stderr[-500:]}")

    call(str(bin_dir / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-N", "--no-instructions")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call(str(bin_dir / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    try:

        def database(name: str) -> str:
            call(str(bin_dir / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "tester", name)
            return f"postgresql+psycopg://tester@127.0.0.1:{port}/{name}"

        yield database
    finally:
        subprocess.run(
            [*as_user, str(bin_dir / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
            capture_output=True, check=False, cwd="/",
        )  # fmt: skip
