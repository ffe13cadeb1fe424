"""Child processes for workers: some wait, ready to begin, and more come from a nursery (worker.remote.nursery).

The nursery is started once and shared by everything in this process. It and its children end when this process does,
however it ends: their sockets do.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from worker.remote.nursery import ENDED, EVENT, FORK, KILL, PID, STARTED

log = logging.getLogger(__name__)

_COMMAND = "import sys; sys.path[:] = sys.argv[2:]; from worker.remote.nursery import main; main(int(sys.argv[1]))"
_CLOSE_SECONDS = 10.0
FILL_SECONDS = 0.2


def _memory_kills() -> int:
    """How many processes the system has ended for lack of memory; 0 where it does not tell."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return 0 if found is None else int(found[1])


class Child:
    """A forked process. `connection` is our end of its pipe; `pid` is None until it is known. `is_taken`: it has been
    given to a worker."""

    def __init__(self, nursery: _Nursery, connection: Connection) -> None:
        self.connection = connection
        self.pid: int | None = None
        self.is_taken = False
        self._nursery = nursery
        self._status: int | None = None
        self._kills_before = 0
        self._known = threading.Event()
        self._ended = threading.Event()

    def started(self, pid: int) -> None:
        """It runs under that process id."""
        self.pid = pid
        self._known.set()

    def wait_known(self, seconds: float) -> bool:
        """Whether its process id is known, after waiting at most so long: the nursery tells it on a way of its own."""
        return self._known.wait(seconds)

    @property
    def is_out_of_memory(self) -> bool:
        """Whether it was killed, and the system has ended processes for lack of memory since it was taken."""
        return self.exit_code == -signal.SIGKILL and _memory_kills() > self._kills_before

    def end(self, status: int | None) -> None:
        """It has ended with this wait status, None when nobody knows."""
        self._status = status
        self._ended.set()

    def taken(self) -> None:
        """It begins to work now."""
        self.is_taken = True
        self._kills_before = _memory_kills()

    @property
    def exit_code(self) -> int | None:
        """Negative for the signal that ended it; None while it runs or when it is not known."""
        return None if self._status is None else os.waitstatus_to_exitcode(self._status)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after waiting at most so long."""
        return self._ended.wait(seconds)

    @property
    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def kill(self) -> None:
        """Ends it at once; it is gone when `wait` says so."""
        self._nursery.kill(self)


class _Nursery:
    """The nursery's process, and the children that came from it."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._starting: deque[Child] = deque()
        self._children: dict[int, Child] = {}
        self.is_gone = False
        environment = {
            **os.environ,
            # threads of a library would not survive the fork
            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
        }  # fmt: skip
        with theirs:
            # the modules are those of this process; the terminal's signals are not for the nursery
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, str(theirs.fileno()), *sys.path], pass_fds=[theirs.fileno()],
                env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def fork(self) -> Child:
        """Asks for a child; returns before it is there. Raises OSError when the nursery is gone."""
        ours, theirs = socket.socketpair()
        child = Child(self, Connection(ours.detach()))
        with theirs, self._lock:
            if self.is_gone:
                raise ConnectionError("the nursery of worker processes is gone")
            self._starting.append(child)
            socket.send_fds(self._sock, [FORK], [theirs.fileno()])
        return child

    @property
    def busy(self) -> set[int]:
        """Process ids of the children that were taken and have not ended."""
        with self._lock:
            return {pid for pid, child in self._children.items() if child.is_taken}

    def kill(self, child: Child) -> None:
        with self._lock:
            if child.pid is None or child.exit_code is not None:
                return
            try:
                # its parent knows whether the id is still that of the child
                self._sock.sendall(KILL + PID.pack(child.pid))
            except OSError:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def _listen(self) -> None:
        try:
            while record := self._sock.recv(EVENT.size, socket.MSG_WAITALL):
                kind, pid, status = EVENT.unpack(record)
                with self._lock:
                    if kind == STARTED:
                        child = self._starting.popleft()
                        if pid < 0:
                            child.end(None)
                        else:
                            self._children[pid] = child
                            child.started(pid)
                    elif kind == ENDED:
                        self._children.pop(pid).end(status)
        except OSError:
            log.debug("the nursery's socket is closed")
        with self._lock:
            self.is_gone = True
            for child in (*self._starting, *self._children.values()):
                child.end(None)
            self._starting.clear()
        self._sock.close()
        self._process.wait()

    def close(self) -> None:
        """Ends the nursery and all of its children."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Children:
    """`idle`: how many children wait, ready to begin. Thread-safe; the first use starts the nursery."""

    def __init__(self, idle: int) -> None:
        self.idle = idle
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None
        self._waiting: deque[Child] = deque()
        self._filling: threading.Timer | None = None
        self._closed = False

    def take(self) -> Child:
        """A child that waits, or a new one. Raises OSError when no process can be started."""
        with self._lock:
            while self._waiting:
                child = self._waiting.popleft()
                if child.is_alive:
                    child.taken()
                    return child
                child.connection.close()
            if self._closed:
                raise ConnectionError("this process is about to end")
            child = self._fork()
            child.taken()
            return child

    def fill_later(self) -> None:
        """As `fill`, a moment from now: the end of a query need not share the processors with new children."""
        with self._lock:
            if self._filling is not None:
                return
            self._filling = threading.Timer(FILL_SECONDS, self.fill)
            self._filling.daemon = True
            self._filling.start()

    def fill(self) -> None:
        """Brings the number of waiting children up to `idle`; returns at once."""
        with self._lock:
            self._filling = None
            if self._closed:
                return
            self._waiting = deque(c for c in self._waiting if c.is_alive)
            try:
                while len(self._waiting) < self.idle:
                    self._waiting.append(self._fork())
            except OSError:
                log.warning("no process could be started in advance", exc_info=True)

    def _fork(self) -> Child:
        if self._nursery is not None and not self._nursery.is_gone:
            with suppress(OSError):
                return self._nursery.fork()
        if self._nursery is not None:
            self._nursery.close()
        self._nursery = _Nursery()
        return self._nursery.fork()

    @property
    def busy(self) -> set[int]:
        """Process ids of children that were taken and have not ended."""
        with self._lock:
            nursery = self._nursery
        return set() if nursery is None else nursery.busy

    def close(self) -> None:
        """Ends everything, for good."""
        with self._lock:
            self._closed = True
            nursery, self._nursery = self._nursery, None
            waiting, self._waiting = self._waiting, deque()
        for child in waiting:
            child.connection.close()
        if nursery is not None:
            nursery.close()


CHILDREN = Children(max(2, min(os.cpu_count() or 1, 4)))
"""Those of this process."""
atexit.register(CHILDREN.close)
