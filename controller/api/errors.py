"""Error bodies: one shape for each family of paths. Source: reference http-api 0.4.

| family | body |
|---|---|
| plain | `{"error": text, "errorMessage": text}`: Coordinator and Overlord |
| structured | Druid's ErrorResponse: SQL, statements and newer rows; readers of the older shape find its keys, too |
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from controller.api.routing import JSON_TYPE, HttpError
from msq.faults import CATEGORY_STATUS, DruidException, MSQError

log = logging.getLogger(__name__)

_CATEGORY_OF = {401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 501: "UNSUPPORTED"}


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(body, status, headers, JSON_TYPE)


def _plain(error: DruidException) -> dict[str, Any]:
    return {"error": error.message, "errorMessage": error.message}


def _structured(error: DruidException) -> dict[str, Any]:
    return error.to_json()


_BODIES: dict[str, Callable[[DruidException], dict[str, Any]]] = {
    "plain": _plain, "structured": _structured,
}  # fmt: skip


def error_response(family: str, error: Exception) -> Response:
    """The answer to a handler's exception; what nobody foresaw is logged and answered as 500."""
    if isinstance(error, HttpError):
        if error.text:
            return Response(error.message, error.status, error.headers, "text/plain")
        category = _CATEGORY_OF.get(error.status, "INVALID_INPUT" if error.status < 500 else "RUNTIME_FAILURE")
        known = DruidException(error.message, error_code="general", category=category)
        return json_response(_BODIES[family](known), error.status, error.headers)
    if isinstance(error, MSQError):
        error = DruidException(error.fault.status_message(), error_code=error.fault.code, category=error.fault.category)
    if not isinstance(error, DruidException):
        log.error("a request failed", exc_info=error)
        error = DruidException(
            f"{type(error).__name__}: {error}", error_code="general", persona="OPERATOR", category="RUNTIME_FAILURE"
        )
    return json_response(_BODIES[family](error), CATEGORY_STATUS[error.category])
