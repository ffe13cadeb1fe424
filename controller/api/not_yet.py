"""Paths of Druid's API that have no answer here yet: each is refused in its family's shape and names what is missing.

A row leaves this table when a handler of its own is declared.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.api.routing import Call, route
from msq.faults import DruidException

_NATIVE = "places of a native query's segments"
_COMPACTION = "automatic compaction"
_INGESTION_STATS = "row statistics of native batch ingestion"
_INDEXER, _COORDINATOR = "/druid/indexer/v1", "/druid/coordinator/v1"

MISSING: dict[tuple[str, str], str] = {
    ("POST", "/druid/v2/candidates"): _NATIVE,
    ("POST", f"{_INDEXER}/compaction/config/cluster"): _COMPACTION,
    ("POST", _INDEXER + "/compaction/config/datasources/{datasource}"): _COMPACTION,
    ("DELETE", _INDEXER + "/compaction/config/datasources/{datasource}"): _COMPACTION,
    ("GET", _INDEXER + "/compaction/config/datasources/{datasource}/history"): _COMPACTION,
    ("POST", f"{_COORDINATOR}/config/compaction"): _COMPACTION,
    ("POST", f"{_COORDINATOR}/config/compaction/taskslots"): _COMPACTION,
    ("DELETE", _COORDINATOR + "/config/compaction/{datasource}"): _COMPACTION,
    ("GET", _COORDINATOR + "/config/compaction/{datasource}/history"): _COMPACTION,
    ("POST", f"{_COORDINATOR}/compaction/compact"): _COMPACTION,
    ("GET", f"{_COORDINATOR}/duties"): "the list of duties",
    ("POST", f"{_COORDINATOR}/broker/config"): "query blocking",
    ("GET", f"{_COORDINATOR}/broker/config/history"): "query blocking",
    ("GET", "/druid/worker/v1/chat/{task}/rowStats"): _INGESTION_STATS,
    ("GET", "/druid/worker/v1/chat/{task}/unparseableEvents"): _INGESTION_STATS,
}

_STRUCTURED = ("/druid/v2",)


def _refuse(what: str) -> Callable[[Call], object]:
    def handler(call: Call) -> object:
        raise DruidException(
            f"This server has no [{what}] yet", error_code="general", persona="OPERATOR", category="UNSUPPORTED"
        )

    return handler


for (_method, _path), _what in MISSING.items():
    route(_method, _path, errors="structured" if _path.startswith(_STRUCTURED) else "plain")(_refuse(_what))
