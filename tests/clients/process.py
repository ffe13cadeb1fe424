"""`msq serve` as a process of its own, as its users start it: start, speak to, end, kill, read what it logged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.controller.api.conftest import Client, poll

ROOT = Path(__file__).resolve().parents[2]


class ServerProcess:
    """A server over `data_dir` on a free port, ready to answer. Its standard error goes to a file beside the data.

    A context manager: whatever happens in the block, the process has ended and the client is closed behind it.
    """

    def __init__(self, data_dir: Path, *options: str) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = data_dir.parent / f"{data_dir.name}.{len(list(data_dir.parent.glob('*.stderr')))}.stderr"
        command = [sys.executable, "-m", "msq", "serve", "--port", "0", "--data-dir", str(data_dir), *options]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, stderr=out)
        try:
            self.client = Client(poll(self._url, bool))
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _url(self) -> str:
        assert self.process.poll() is None, f"the server did not start: {self.logged()}"
        found = re.search(r"Serving on (\S+),", self.logged())
        return found[1] if found else ""

    @property
    def port(self) -> int:
        return int(str(self.client.http.base_url).rstrip("/").rsplit(":", 1)[1])

    def logged(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits; answers the exit code."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(120)

    def kill(self) -> None:
        """As a power cut would: nothing is told to the process."""
        self.end(signal.SIGKILL)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill()
        self.client.close()
