"""The ASGI application: finds the route, reads the body, runs the handler on a thread, and guards the door.

Guards: the size of bodies; basic authentication and roles where there are users; requests that a foreign web page
sends (by Origin) or that reach a loopback listener under a foreign name (by Host).
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

import controller.api
from controller.api.errors import error_response, json_response
from controller.api.routing import EMPTY, ROUTES, Call, HttpError, Route, parse_query
from controller.api.server import Server
from controller.api.streamed import StreamedRows
from controller.api.users import Role, require, require_table

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

SHORT_THREADS = 24
"""Requests that read or change metadata, at once."""
STREAM_THREADS = 40
"""Pieces of streamed answers that are made at once."""
LONG_THREADS = 512
"""Interactive queries that run or wait for their turn (controller.admission), at once; others wait at the door."""


def load_routes() -> None:
    """Imports every module of this package, each of which declares its routes."""
    for module in pkgutil.iter_modules(controller.api.__path__):
        importlib.import_module(f"{controller.api.__name__}.{module.name}")


class App:
    """`server` is what handlers work on."""

    def __init__(self, server: Server) -> None:
        load_routes()
        self._server = server
        self._short = anyio.CapacityLimiter(SHORT_THREADS)
        self._long = anyio.CapacityLimiter(LONG_THREADS)
        self._streams = anyio.CapacityLimiter(STREAM_THREADS)
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[Any, dict[str, Route]]] = []
        by_path: dict[str, dict[str, Route]] = {}
        for (method, path), found in ROUTES.items():
            by_path.setdefault(path, {})[method] = found
        # more literal text first, so that a fixed word wins over a parameter
        for path, methods in sorted(by_path.items(), key=lambda item: (item[0].count("{"), -len(item[0]))):
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._exact[path] = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        path = path.rstrip("/") or "/"
        methods, params = self._find(path)
        method = "GET" if request.method == "HEAD" else request.method
        route = methods.get(method)
        family = next(iter(methods.values())).errors if route is None and methods else "plain"
        family = route.errors if route is not None else family
        try:
            self._check_origin(request)
            if route is None:
                if not methods:
                    return self._server.static_file(path) or _unknown(path)
                allowed = ", ".join(sorted(methods))
                raise HttpError(405, f"Method [{request.method}] is not allowed: use {allowed}", {"Allow": allowed})
            user = None if route.open else self._server.authenticate(request.headers.get("authorization"))
            require(user, () if route.open else route.needs)
            if "datasource" in params:
                for role in (Role.READ, Role.WRITE):
                    if role in route.needs:
                        require_table(user, role, params["datasource"])
            call = Call(
                self._server, request.method, path, params, parse_query(request.url.query), request.headers,
                await self._body(request), user,
            )  # fmt: skip
            answer = await (self._run_long(route, call, request) if route.long else self._run(route, call, self._short))
        except Exception as error:
            # every failure of a handler has an answer in the shape of its family
            return error_response(family, error)
        if answer is EMPTY:
            return Response(status_code=200)
        if isinstance(answer, StreamedRows):
            answer.threads = self._streams
        return answer if isinstance(answer, Response) else json_response(answer)

    async def _run(self, route: Route, call: Call, limiter: anyio.CapacityLimiter) -> Any:
        return await anyio.to_thread.run_sync(route.handler, call, limiter=limiter)

    async def _run_long(self, route: Route, call: Call, request: Request) -> Any:
        """Runs a handler while it is watched whether the client is still there."""
        watching = asyncio.create_task(_watch(request, call))
        try:
            return await self._run(route, call, self._long)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def _find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, {}
        for pattern, methods in self._patterns:
            match = pattern.match(path)
            if match:
                return methods, match.groupdict()
        return {}, {}

    async def _body(self, request: Request) -> bytes:
        limit = self._server.settings.max_body_bytes
        whole = bytearray()
        try:
            async for chunk in request.stream():
                whole += chunk
                if len(whole) > limit:
                    raise HttpError(413, f"The request's body is longer than [{limit}] bytes")
        except ClientDisconnect:
            raise HttpError(400, "The client left before it had sent the request's body") from None
        return bytes(whole)

    def _check_origin(self, request: Request) -> None:
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise HttpError(403, f"Requests from pages of [{origin}] are refused: this server is [{host}]")
        if not self._server.is_own_name(host):
            raise HttpError(403, f"This server listens on loopback and does not answer to the name [{host}]")


async def _watch(request: Request, call: Call) -> None:
    """Once the body is read, nothing comes any more but the news that the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await anyio.to_thread.run_sync(call.hangup.happened)


def _unknown(path: str) -> Response:
    return error_response("plain", HttpError(404, f"There is nothing at [{path}]"))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
