"""Keys of a stage definition that only the reports of Druid 24 have. Source: reference msq-engine 2.8.

They stand beside today's keys, whose values they never change: nulls of an http source, defaults of a json format, and
the signature of a scan in its context.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_OLD_SOURCE_KEYS: dict[str, dict[str, Any]] = {
    "http": {"httpAuthenticationUsername": None, "httpAuthenticationPassword": None},
}
_OLD_FORMAT_KEYS: dict[str, dict[str, Any]] = {
    "json": {"flattenSpec": None, "featureSpec": {}, "keepNullColumns": False},
}


def with_older_keys(definition: Mapping[str, Any]) -> dict[str, Any]:
    """`definition` with the older keys added; the argument is not changed."""
    out = dict(definition)
    if isinstance(out.get("input"), list):
        out["input"] = [_input(spec) for spec in out["input"]]
    processor = out.get("processor")
    if isinstance(processor, Mapping) and isinstance(processor.get("query"), Mapping):
        out["processor"] = {**processor, "query": _query(processor["query"])}
    return out


def _input(spec: Any) -> Any:
    if not isinstance(spec, Mapping) or spec.get("type") != "external":
        return spec
    return {
        key: _defaults(value, _OLD_SOURCE_KEYS) if key == "inputSource"
        else _defaults(value, _OLD_FORMAT_KEYS) if key == "inputFormat" else value
        for key, value in spec.items()
    }  # fmt: skip


def _defaults(value: Any, table: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {**value, **{k: v for k, v in table.get(str(value.get("type")), {}).items() if k not in value}}


def _query(query: Mapping[str, Any]) -> Mapping[str, Any]:
    types = query.get("columnTypes")
    context = query.get("context")
    if query.get("queryType") != "scan" or not types or not isinstance(context, Mapping) or "scanSignature" in context:
        return query
    signature = [{"name": n, "type": t} for n, t in zip(query.get("columns") or (), types)]
    text = json.dumps(signature, separators=(",", ":"), ensure_ascii=False)
    return {**query, "context": dict(sorted({**context, "scanSignature": text}.items()))}
