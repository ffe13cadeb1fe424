"""ClusterBy: the key that orders and partitions a stage's output. Source: reference msq-engine 2.5 and 4.6."""

from __future__ import annotations

from dataclasses import dataclass

from msq.codec import Wire, wire


@dataclass(frozen=True)
class KeyColumn(Wire):
    """One key column: order ASCENDING (nulls first), DESCENDING (nulls last) or NONE (hashed, not sorted)."""

    column_name: str
    order: str = "ASCENDING"


@dataclass(frozen=True)
class ClusterBy(Wire):
    """Key columns; the first `bucket_by_count` of them name the bucket (time chunk), which no partition spans."""

    columns: tuple[KeyColumn, ...] = ()
    bucket_by_count: int = wire(default=0, omit=lambda v: v == 0)

    @property
    def is_empty(self) -> bool:
        return not self.columns

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.column_name for c in self.columns)

    @property
    def sortable(self) -> bool:
        """Whether every column is ordered; an empty key is not."""
        return bool(self.columns) and all(c.order != "NONE" for c in self.columns)
