"""Runnable: what a controller needs of a statement, or of a native query."""

from __future__ import annotations

from typing import Protocol

from controller.catalog import MetadataCatalog
from msq.context import QueryContext
from msq.sql.bind import BoundQuery
from msq.stage.query import QueryDefinition


class Runnable(Protocol):
    @property
    def bound(self) -> BoundQuery: ...

    @property
    def context(self) -> QueryContext: ...

    @property
    def catalog(self) -> MetadataCatalog: ...

    @property
    def task_id(self) -> str: ...

    @property
    def max_workers(self) -> int: ...

    def definition(self) -> QueryDefinition:
        """The stages. Raises MSQError for what planning refuses."""
        ...
