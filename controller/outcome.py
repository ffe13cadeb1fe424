"""How a statement ended: its report, what it published, the rows of a SELECT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.publishing import Published

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `status` SUCCESS or FAILED, the final report, what was published, the rows of a SELECT."""

    task_id: str
    status: str
    report: dict[str, Any]
    published: Published | None = None

    @property
    def _payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.report["multiStageQuery"]["payload"]
        return payload

    @property
    def fault(self) -> dict[str, Any] | None:
        """The fault's JSON of a failed run."""
        item = self._payload["status"].get("errorReport")
        return None if item is None else item["error"]

    @property
    def names(self) -> list[str] | None:
        """Output columns of a SELECT, None otherwise."""
        results = self._payload.get("results")
        return None if results is None else [c["name"] for c in results["signature"]]

    @property
    def rows(self) -> list[list[Any]] | None:
        """Rows of a SELECT as the report prints them."""
        results = self._payload.get("results")
        return None if results is None else results["results"]

    def table(self) -> pa.Table | None:
        """Rows of a SELECT as an Arrow table, typed by their SQL types; None for an ingest."""
        results = self._payload.get("results")
        if results is None:
            return None
        from controller.tables import arrow_table

        return arrow_table(results)
