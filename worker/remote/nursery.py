"""The nursery: a process with the libraries loaded and no threads, which forks workers in a few milliseconds.

It talks with the server over a socket. The server sends `F` with a pipe's end attached: fork a worker that serves this
pipe; or `K` and a process id: kill that worker. The nursery sends records of `EVENT`: `S` a worker was started (its id,
or -1 when it could not be), in the order of the requests; `X` a worker has ended (its id and wait status). When the
server is gone, the workers, whose pipes have ended too, get some time to end themselves.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import select
import signal
import socket
import struct
import time
import traceback
from multiprocessing.connection import Connection

from worker.remote.process import ORPHAN_SECONDS, main_exit, run_worker

EVENT = struct.Struct("<cii")
PID = struct.Struct("<i")
FORK, KILL, STARTED, ENDED = b"F", b"K", b"S", b"X"


class Nursery:
    """`sock`: the server's end is the other one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._alive: set[int] = set()
        # a signal of a child's end must wake `select`
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Serves until the server is gone and all workers have ended."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._sock.fileno(), self._wake_read], [], [])
            if self._wake_read in ready:
                os.read(self._wake_read, 512)
                self._reap()
            if self._sock.fileno() in ready and not self._serve():
                break
        deadline = time.monotonic() + ORPHAN_SECONDS + 1
        while self._alive and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)

    def _serve(self) -> bool:
        """Does what the server asks for; False when it is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, 1, 1)
            if data == FORK:
                self._fork(descriptors[0])
            elif data == KILL:
                (pid,) = PID.unpack(self._sock.recv(PID.size, socket.MSG_WAITALL))
                if pid in self._alive:
                    os.kill(pid, signal.SIGKILL)
            else:
                return False
        except ConnectionError:
            return False
        return True

    def _fork(self, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            logging.getLogger(__name__).warning("no process could be forked", exc_info=True)
            pid = -1
        if pid == 0:
            self._child(descriptor)
        os.close(descriptor)
        if pid > 0:
            self._alive.add(pid)
        self._tell(STARTED, pid, 0)

    def _child(self, descriptor: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._sock.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            run_worker(Connection(descriptor))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            main_exit(code)

    def _reap(self) -> None:
        while self._alive:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._alive.discard(pid)
            self._tell(ENDED, pid, status)

    def _tell(self, kind: bytes, pid: int, status: int) -> None:
        try:
            self._sock.sendall(EVENT.pack(kind, pid, status))
        except OSError:
            pass  # the server is gone, and `run` will see it


def main(descriptor: int) -> None:
    """`descriptor`: of the socket to the server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    importlib.import_module("worker.remote.preload")
    # what is loaded stays: collections in the workers need not touch it, so that its pages stay shared
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=descriptor)).run()
