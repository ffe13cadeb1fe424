"""Endpoint: one side of a pipe between controller and worker, with calls in both directions.

Arguments and answers are JSON values and byte strings (worker.remote.messages). Calls that arrive are served one after
the other on the thread that runs `serve`, in the order in which they were sent; those named in `apart` have a thread of
their own, because they wait for something that only later messages bring.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from msq.faults import Fault, MSQError, fault_of
from worker.remote.messages import pack, unpack

log = logging.getLogger(__name__)

Handler = Callable[..., Any]


class EndpointClosed(EOFError):
    """The other side is gone, or this side was closed."""


class Endpoint:
    """`handlers`: what the other side may call, by name."""

    def __init__(self, connection: Connection, handlers: Mapping[str, Handler], apart: frozenset[str] = frozenset()):
        self._connection = connection
        self._handlers = handlers
        self._apart = apart
        self._send_lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._state_lock = threading.Lock()
        self._closed = False

    def tell(self, name: str, *args: Any) -> None:
        """Calls `name` on the other side without waiting. Raises EndpointClosed."""
        self._send(("call", None, name, args))

    def ask(self, name: str, *args: Any, timeout: float | None = None) -> Any:
        """Calls `name` on the other side and answers its value. Raises MSQError for its fault, EndpointClosed,
        TimeoutError."""
        number = next(self._numbers)
        future: Future[Any] = Future()
        with self._state_lock:
            if self._closed:
                raise EndpointClosed("the connection is closed")
            self._waiting[number] = future
        try:
            self._send(("call", number, name, args))
            return future.result(timeout)
        finally:
            with self._state_lock:
                self._waiting.pop(number, None)

    def _send(self, message: Any) -> None:
        data = pack(message)
        try:
            with self._send_lock:
                self._connection.send_bytes(data)
        except (OSError, EOFError, BrokenPipeError) as error:
            raise EndpointClosed(f"the connection is closed ({error})") from error

    def serve(self) -> None:
        """Serves calls until the connection ends. Everybody who waits for an answer then gets EndpointClosed."""
        try:
            while True:
                self._receive(unpack(self._connection.recv_bytes()))
        except (EOFError, OSError):
            log.debug("the other side of the pipe is gone")
        except ValueError:
            log.warning("the other side of the pipe sent what is no message", exc_info=True)
        finally:
            self.close()
            self._connection.close()

    def _receive(self, message: Any) -> None:
        kind, number, *rest = message
        if kind == "answer":
            with self._state_lock:
                future = self._waiting.get(number)
            if future is not None:
                value, fault = rest
                if fault is None:
                    future.set_result(value)
                else:
                    future.set_exception(MSQError(Fault.from_json(fault)))
            return
        name, args = rest
        if name in self._apart:
            threading.Thread(
                target=self._serve_call, args=(number, name, args), name=f"serve-{name}", daemon=True
            ).start()
        else:
            self._serve_call(number, name, args)

    def _serve_call(self, number: int | None, name: str, args: tuple[Any, ...]) -> None:
        value: Any = None
        fault: Fault | None = None
        try:
            value = self._handlers[name](*args)
        except EndpointClosed as error:
            log.debug("call of [%s] has lost the other side", name)
            fault = fault_of(error)
        except Exception as error:
            fault = fault_of(error)
            if number is None:
                log.warning("call of [%s] failed", name, exc_info=True)
        if number is None:
            return
        try:
            try:
                self._send(("answer", number, value, None if fault is None else fault.to_json()))
            except (TypeError, ValueError) as error:  # an answer that is no JSON
                self._send(("answer", number, None, fault_of(error).to_json()))
        except EndpointClosed:
            log.debug("nobody waits for the answer of [%s] any more", name)

    def close(self) -> None:
        """Ends the connection on both sides; `serve` returns there and here."""
        with self._state_lock:
            if self._closed:
                return
            self._closed = True
            waiting, self._waiting = list(self._waiting.values()), {}
        for future in waiting:
            if not future.done():
                future.set_exception(EndpointClosed("the connection is closed"))
        # closing the descriptor would not wake a thread that reads from it; shutting the socket down does
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)
