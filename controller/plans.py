"""PlanCache: interactive statements that were bound and planned before, for those that ask the same again.

A statement is bound anew when it reads what may have changed: the clock, system tables, lookups, or a table whose
columns are others now.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.catalog import MetadataCatalog
from controller.prepared import Prepared, check_task_id
from msq.catalog import TableSchema
from msq.context import QueryContext

_MOST = 256
_LONGEST = 20_000
"""Characters of a statement with its context and parameters."""
_IDS = ("sqlQueryId", "queryId")


class PlanCache:
    """Those used last. Several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Prepared, Mapping[str, TableSchema | None]]] = OrderedDict()

    @staticmethod
    def key(sql: str, context: Mapping[str, Any], parameters: Sequence[Any], max_ms: int | None) -> str | None:
        """What tells a request from others, but for its ids; None for one that is not kept."""
        if not isinstance(context.get("sqlQueryId"), str) or "queryId" in context:
            return None
        asked = {k: v for k, v in context.items() if k not in _IDS}
        key = json.dumps([sql, asked, list(parameters), max_ms], sort_keys=True)
        return key if len(key) <= _LONGEST else None

    def get(self, key: str, query_id: str, catalog: MetadataCatalog) -> Prepared | None:
        """The statement as it would be prepared now, under another id. Raises DruidException for a bad id."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
        prepared, tables = found
        if any(catalog.table(name) != schema for name, schema in tables.items()):
            return None
        check_task_id(f"query-{query_id}")
        context = QueryContext({**prepared.context.raw, "sqlQueryId": query_id, "queryId": query_id})
        return replace(prepared, catalog=catalog, context=context, query_id=query_id)

    def put(self, key: str, query_id: str, prepared: Prepared) -> None:
        """Keeps a statement that was prepared under the id of its request, unless it must be bound each time."""
        bound = prepared.bound
        if prepared.explained is not None or prepared.query_id != query_id:
            return
        if bound.reads_clock or bound.lookups or prepared.catalog.reads_system:
            return
        seen = prepared.catalog
        # a catalog that holds nothing: neither the segments of this moment nor whoever asked
        kept = replace(prepared, catalog=MetadataCatalog(seen.store, seen.schema_of))
        with self._lock:
            self._known[key] = kept, dict(seen.tables)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
