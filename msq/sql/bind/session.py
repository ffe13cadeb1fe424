"""What binding one statement shares: catalog, time, context, column ids, and what the statement reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msq.catalog import Catalog
from msq.expr.binding import BindEnv
from msq.sql.bind.relation import Ids


@dataclass
class Session:
    catalog: Catalog
    env: BindEnv
    context: Mapping[str, Any]
    algorithm: str
    """How joins run unless a hint says otherwise: broadcast or sortMerge."""
    ids: Ids = field(default_factory=Ids)
    tables: set[str] = field(default_factory=set)
    """Datasources read."""
    externals: set[str] = field(default_factory=set)
    """Input source types read."""

    def flag(self, key: str, default: bool) -> bool:
        """A boolean context parameter, also given as text."""
        value = self.context.get(key, default)
        return value.strip().lower() == "true" if isinstance(value, str) else bool(value)
