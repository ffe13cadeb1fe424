"""ClusterByPartitions: the key ranges that the partitions of a globally sorted stage hold.

Partition i holds the keys from `start_key(i)` up to, and without, `end_key(i)`; the first also holds anything less.
No range spans two buckets. Without data, or without boundaries, there is one range that holds all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from msq.datatypes import RowSignature, arrow_type
from msq.frame.frame import to_type
from msq.frame.keys import ClusterBy
from msq.frame.order import search

Key = tuple[Any, ...]
_WORDS = {float("inf"): "Infinity", float("-inf"): "-Infinity"}


class ClusterByPartitions:
    """Immutable. `starts`: a record batch of the key columns, one row a partition; None for the universal range."""

    __slots__ = ("_keys", "cluster_by", "signature", "starts")

    def __init__(self, cluster_by: ClusterBy, signature: RowSignature, starts: Any | None) -> None:
        self.cluster_by = cluster_by
        self.signature = signature
        self.starts = starts
        self._keys: list[Key] | None = None

    @staticmethod
    def universal(cluster_by: ClusterBy, signature: RowSignature) -> ClusterByPartitions:
        """The single range [null, null); `signature` may be of the whole row."""
        return ClusterByPartitions(cluster_by, signature.select(cluster_by.names), None)

    @property
    def count(self) -> int:
        return 1 if self.starts is None else int(self.starts.num_rows)

    def __len__(self) -> int:
        return self.count

    def _start_keys(self) -> list[Key]:
        if self._keys is None:
            columns = [] if self.starts is None else [c.to_pylist() for c in self.starts.columns]
            self._keys = [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*columns)]
        return self._keys

    def start_key(self, partition: int) -> Key | None:
        """The least key that may be in the partition; None when it has no lower bound."""
        return None if self.starts is None else self._start_keys()[partition]

    def end_key(self, partition: int) -> Key | None:
        """The key that ends the partition, itself excluded; None for the last one."""
        return None if self.starts is None or partition + 1 >= self.count else self._start_keys()[partition + 1]

    def bucket(self, partition: int) -> Key:
        """The bucket (leading key columns) of the partition; () when the key has none or nothing is known."""
        start = self.start_key(partition)
        return () if start is None else start[: self.cluster_by.bucket_by_count]

    def cuts(self, columns: Sequence[Any], count: int, order: Any | None = None) -> Any:
        """Where the partitions begin among sorted rows of the key `columns`: count + 1 positions (int64).

        Partition i is rows cuts[i] to cuts[i+1]. `order`: the sorted order when the columns are not stored in it.
        """
        if self.starts is None:
            return np.array([0, count], np.int64)
        orders = [c.order for c in self.cluster_by.columns]
        inner = search(columns, count, [c.slice(1) for c in self.starts.columns], orders, "left", order)
        return np.concatenate(([0], inner, [count])).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        rows = None
        if self.starts is not None:
            rows = [[_plain(v) for v in row] for row in zip(*(c.to_pylist() for c in self.starts.columns))]
        return {"clusterBy": self.cluster_by.to_wire(), "signature": self.signature.to_json(), "starts": rows}

    @staticmethod
    def from_json(value: dict[str, Any]) -> ClusterByPartitions:
        cluster_by = ClusterBy.from_wire(value["clusterBy"])
        signature = RowSignature.from_json(value["signature"])
        rows = value["starts"]
        if rows is None:
            return ClusterByPartitions(cluster_by, signature, None)
        columns = []
        for i, column in enumerate(signature):
            values = [row[i] for row in rows]
            if column.type.kind in ("DOUBLE", "FLOAT"):
                values = [float(v) if isinstance(v, str) else v for v in values]
            lists = column.type.kind == "STRING" and any(isinstance(v, list) for v in values)
            if lists:
                values = [v if v is None or isinstance(v, list) else [v] for v in values]
            columns.append(pa.array(values, arrow_type(column.type, lists)))
        return ClusterByPartitions(
            cluster_by, signature, pa.RecordBatch.from_arrays(columns, names=list(signature.names))
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterByPartitions) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.cluster_by, self.signature, self.count))

    def __repr__(self) -> str:
        return f"ClusterByPartitions({self.count} of {', '.join(self.cluster_by.names)})"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if value != value else _WORDS.get(value, value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def key_columns(batch: Any, cluster_by: ClusterBy) -> list[Any]:
    """The key columns of a batch or table, in key order."""
    return [batch.column(name) for name in cluster_by.names]


def as_signature(column: Any, kind: Any) -> Any:
    """A key column without its dictionary, in the form `kind`."""
    return to_type(column, kind)
