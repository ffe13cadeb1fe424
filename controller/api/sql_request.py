"""The body of SQL requests, and the formats of their rows. Source: reference sql-surface 8.1, 8.2."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_plus

from controller.api.brokers import with_defaults
from controller.api.result_formats import FORMATS
from controller.api.routing import JSON_TYPE, Call, HttpError
from msq.faults import DruidException, invalid_input


@dataclass(frozen=True)
class SqlRequest:
    """`format` is one of result_formats.FORMATS; headers: names, native types, SQL types."""

    query: str
    format: str = "object"
    header: bool = False
    types_header: bool = False
    sql_types_header: bool = False
    context: dict[str, Any] = field(default_factory=dict)
    parameters: tuple[dict[str, Any], ...] = ()

    @property
    def query_id(self) -> str | None:
        given = self.context.get("sqlQueryId")
        return given if isinstance(given, str) and given else None

    @staticmethod
    def of(call: Call) -> SqlRequest:
        """Raises DruidException for a body of the wrong shape, HttpError for another media type."""
        request = SqlRequest._read(call)
        return replace(request, context=with_defaults(call, request.context))

    @staticmethod
    def _read(call: Call) -> SqlRequest:
        kind = call.media_type
        if kind == JSON_TYPE:
            return _of_json(call.parsed())
        if kind in ("text/plain", "application/x-www-form-urlencoded"):
            text = _text(call.body)
            return SqlRequest(_not_blank(text if kind == "text/plain" else unquote_plus(text)))
        if not kind:
            raise invalid_input("Missing Content-Type header")
        raise HttpError(415, f"Unsupported Content-Type: {kind}")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise invalid_input("The query is not UTF-8 text") from None


def _of_json(value: Any) -> SqlRequest:
    if not isinstance(value, dict):
        raise _malformed("it must be an object with the key [query]")
    query = value.get("query")
    if not isinstance(query, str):
        raise _malformed("the key [query] must hold the statement")
    context = {} if value.get("context") is None else value["context"]
    if not isinstance(context, dict):
        raise _malformed("the key [context] must hold an object")
    parameters = [] if value.get("parameters") is None else value["parameters"]
    if not isinstance(parameters, list) or not all(isinstance(p, dict) for p in parameters):
        raise _malformed("the key [parameters] must hold a list of objects with [type] and [value]")
    request = SqlRequest(
        _not_blank(query), format_of(value.get("resultFormat")), _flag(value, "header"), _flag(value, "typesHeader"),
        _flag(value, "sqlTypesHeader"), context, tuple(parameters),
    )  # fmt: skip
    for name, given in (("typesHeader", request.types_header), ("sqlTypesHeader", request.sql_types_header)):
        if given and not request.header:
            raise invalid_input(f"Cannot include '{name}' without 'header'")
    return request


def format_of(value: Any, default: str = "object") -> str:
    """A result format's own spelling. Raises DruidException for an unknown one."""
    if value is None or value == "":
        return default
    for name in FORMATS:
        if str(value).lower() == name.lower():
            return name
    raise invalid_input(f"Unknown result format [{value}]: use one of [{', '.join(FORMATS)}]")


def _flag(value: dict[str, Any], name: str) -> bool:
    """Clients send booleans as texts, too."""
    given = value.get(name)
    if isinstance(given, str):
        return given.strip().lower() == "true"
    return bool(given)


def _not_blank(query: str) -> str:
    if not query.strip():
        raise invalid_input("Empty query")
    return query


def _malformed(problem: str) -> DruidException:
    return invalid_input(f"Malformed SQL query wrapped in JSON: {problem}")
