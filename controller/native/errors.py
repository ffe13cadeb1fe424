"""Refusals of native queries in the shape of their family: `{"error","errorMessage","errorClass","host"}` and more."""

from __future__ import annotations

from msq.faults import CATEGORY_STATUS, DruidException, MSQError

_WORDS = {
    "TIMEOUT": ("Query timeout", "org.apache.druid.query.QueryTimeoutException"),
    "CANCELED": ("Query cancelled", "org.apache.druid.query.QueryInterruptedException"),
    "UNSUPPORTED": ("Unsupported operation", "org.apache.druid.query.QueryUnsupportedException"),
    "CAPACITY_EXCEEDED": ("Resource limit exceeded", "org.apache.druid.query.ResourceLimitExceededException"),
}
_OTHERS = ("Unknown exception", "java.lang.RuntimeException")
JSON_CLASS = "com.fasterxml.jackson.core.JsonParseException"
TYPE_CLASS = "com.fasterxml.jackson.databind.exc.InvalidTypeIdException"
ARGUMENT_CLASS = "java.lang.IllegalArgumentException"


def refused(message: str, error_class: str = ARGUMENT_CLASS) -> DruidException:
    """400: the query is not one; the text names what is wrong."""
    error = "Json parse failed" if error_class == JSON_CLASS else "Unknown exception"
    return _legacy(message, error, error_class, "INVALID_INPUT")


def unsupported(message: str) -> DruidException:
    """501: Druid has it and this server does not."""
    error, error_class = _WORDS["UNSUPPORTED"]
    return _legacy(message, error, error_class, "UNSUPPORTED")


def legacy(error: DruidException | MSQError) -> DruidException:
    """The same refusal with the keys that readers of native errors look for."""
    if isinstance(error, MSQError):
        message, category = error.fault.status_message(), error.fault.category
    else:
        if error.error_class is not None:
            return error
        message, category = error.message, error.category
    word, error_class = _WORDS.get(category, _OTHERS)
    return _legacy(message, word, ARGUMENT_CLASS if CATEGORY_STATUS[category] == 400 else error_class, category)


def _legacy(message: str, error: str, error_class: str, category: str) -> DruidException:
    return DruidException(
        message, error=error, error_code="legacyQueryException", persona="OPERATOR", category=category,
        error_class=error_class,
    )  # fmt: skip
