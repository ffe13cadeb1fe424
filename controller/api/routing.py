"""Routes: the decorators that declare them, what a handler is given, and what it may answer.

A handler is a plain function `(call) -> answer`; it runs on a thread, never on the event loop. An answer is a JSON
value (200), a `Response`, or `EMPTY`. Refusals are raised: `DruidException`, or `HttpError` for what only HTTP knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from controller.api.hangup import Hangup
from controller.api.users import Role, User, require, require_table, require_tables, roles_of
from msq.faults import DruidException, invalid_input
from msq.intervals import Interval

if TYPE_CHECKING:
    from controller.api.server import Server
    from controller.metadata.task_list import TaskSummary
    from controller.prepared import Prepared

JSON_TYPE = "application/json"


class HttpError(Exception):
    """A refusal with a status of its own; `text` answers in text/plain as some Overlord rows do."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, text: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.text = text


@dataclass(frozen=True)
class Call:
    """One request. `params`: of the path, decoded. `body`: whole, within the server's limit.

    `user`: None where nobody is asked who he is. `hangup`: tells when the client goes away; only on `long` routes.
    """

    server: Server
    method: str
    path: str
    params: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    user: User | None = None
    hangup: Hangup = field(default_factory=Hangup)

    def require(self, *roles: Role) -> None:
        """Raises DruidException (403) that names what the user lacks; for needs that only the handler knows."""
        require(self.user, roles)

    def require_for(self, prepared: Prepared) -> None:
        """As `require`, for what a statement reads and writes."""
        require(self.user, roles_of(prepared.bound))
        require_tables(self.user, prepared.bound)

    def require_table(self, role: Role, table: str) -> None:
        """As `require`, for one table."""
        require_table(self.user, role, table)

    def may_read(self, table: str) -> bool:
        """Whether lists show the table to the user."""
        return self.user is None or not self.user.is_limited(Role.READ) or self.user.may(Role.READ, table)

    def may_see(self, task: TaskSummary) -> bool:
        """Whether the user may know of a task: of a table he may read, or a query of his own."""
        if self.user is None or not self.user.is_limited(Role.READ):
            return True
        if task.is_of_table:
            return self.user.may(Role.READ, task.datasource)
        payload = self.server.tasks.payload(task.group_id) or {}
        context = payload.get("spec", {}).get("query", {}).get("context") or {}
        return bool(context.get("__user") == self.user.name)

    @property
    def own_context(self) -> dict[str, Any]:
        """Keys of a statement's context that tell who asked, whatever the statement says of it."""
        return {"__user": "allowAll" if self.user is None else self.user.name}

    def flag(self, name: str) -> bool:
        """A flag parameter: set when it is there at all, whatever its value."""
        return any(key == name for key, _ in self.query)

    def true(self, name: str) -> bool:
        """A boolean parameter: only `true` sets it."""
        return (self.get(name) or "").lower() == "true"

    def get(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]

    def integer(self, name: str) -> int | None:
        value = self.get(name)
        if value is None or value == "":
            return None
        try:
            return int(value)
        except ValueError:
            raise invalid_input(f"Query parameter [{name}] must be a whole number, but is [{value}]") from None

    def interval(self, name: str) -> Interval | None:
        """An interval of a query parameter, its ends joined by `/` or `_`."""
        value = self.get(name)
        return None if not value else parse_interval(value)

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON. Raises 415 for another media type and 400 for what is no JSON."""
        if self.media_type != JSON_TYPE:
            shown = self.media_type or "none"
            raise HttpError(415, f"Unsupported Content-Type [{shown}]: this path takes [{JSON_TYPE}]")
        return self.parsed()

    def parsed(self) -> Any:
        """The body as JSON, whatever its media type says. Raises 400 for what is no JSON."""
        return parse_json(self.body, self.server.settings.max_json_depth)

    def json_object(self) -> dict[str, Any]:
        value = self.json()
        if not isinstance(value, dict):
            raise invalid_input("The request's body must be a JSON object")
        return value


def parse_json(body: bytes, max_depth: int) -> Any:
    """Raises DruidException (400) for what is no JSON, names a number JSON does not have, or nests too deep."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError as error:
        raise invalid_input(f"The request's body is not JSON: {error}") from None
    # most bodies do not even have that many brackets
    if body.count(b"[") + body.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise _too_deep(max_depth)
    return value


def _too_deep(max_depth: int) -> DruidException:
    return invalid_input(f"The request's JSON is nested too deep: this server takes [{max_depth}] levels")


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [v for v in level if isinstance(v, (dict, list))]
        if not level:
            return False
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return True


def _no_constant(word: str) -> Any:
    raise ValueError(f"[{word}] is not a JSON value")


def parse_interval(text: str) -> Interval:
    """Raises DruidException (400) for a text that is no interval; `_` joins the ends as well as `/`."""
    try:
        return Interval.parse(text.replace("_", "/"))
    except ValueError as error:
        raise invalid_input(f"Invalid interval [{text}]: {error}") from None


def header_text(text: str) -> str:
    """What a user named, fit for a header: a character that may not stand there becomes a question mark."""
    return "".join(c if " " <= c <= "~" else "?" for c in text).strip()


def parse_query(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(text, keep_blank_values=True))


EMPTY = Response(status_code=200)
"""A status without a body."""

Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Route:
    """One declared route. `errors` names its family of error bodies (controller.api.errors).

    `open`: needs no user. `long`: may run for as long as a query, so it has threads of its own. `needs`: roles that the
    user must have to get in; a handler asks for more where that depends on the body.
    """

    method: str
    path: str
    handler: Handler
    errors: str = "plain"
    open: bool = False
    long: bool = False
    needs: tuple[Role, ...] = (Role.WRITE,)


ROUTES: dict[tuple[str, str], Route] = {}
"""By method and path; filled by importing the modules of this package."""


def route(
    method: str, *paths: str, errors: str = "plain", open: bool = False, long: bool = False,
    needs: Role | tuple[Role, ...] | None = None,
) -> Callable[[Handler], Handler]:  # fmt: skip
    """Declares a handler. A path parameter is `{name}` and never holds a slash.

    `needs`: None means `read` for a GET and `write` for all else; empty: the handler alone decides.
    """
    if needs is None:
        needs = Role.READ if method == "GET" else Role.WRITE
    roles = needs if isinstance(needs, tuple) else (needs,)

    def declare(handler: Handler) -> Handler:
        for path in paths:
            key = (method, path)
            if key in ROUTES:
                raise ValueError(f"[{method} {path}] is declared twice")
            ROUTES[key] = Route(method, path, handler, errors, open, long, roles)
        return handler

    return declare


def get(*paths: str, **more: Any) -> Callable[[Handler], Handler]:
    return route("GET", *paths, **more)


def post(*paths: str, **more: Any) -> Callable[[Handler], Handler]:
    return route("POST", *paths, **more)


def delete(*paths: str, **more: Any) -> Callable[[Handler], Handler]:
    return route("DELETE", *paths, **more)
