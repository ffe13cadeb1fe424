"""Clustering keys: `__boost`, `__bucket`, and which columns of a stage's signature come first.

Source: reference msq-engine 3.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msq.datatypes import LONG, Column, ColumnType, RowSignature
from msq.frame.keys import ClusterBy, KeyColumn
from msq.intervals import Granularity

BOOST = "__boost"
"""Distinct number of a row within its processor: lets rows with equal keys go to several partitions."""
BUCKET = "__bucket"
"""Start of the segment granularity's time chunk that a row falls in."""
RESERVED = (BOOST, BUCKET)

BOOST_KEY = KeyColumn(BOOST)
BUCKET_KEY = KeyColumn(BUCKET)

GRANULARITY_KEY = "sqlInsertSegmentGranularity"
TIME_COLUMN_KEY = "__timeColumn"


def segment_granularity(context: Mapping[str, Any]) -> Granularity:
    """The granularity by which a query's output must be bucketed: that of its context, ALL when it names none."""
    text = context.get(GRANULARITY_KEY)
    if text is None:
        return Granularity("ALL")
    return Granularity.from_json(json.loads(text) if isinstance(text, str) else text)


@dataclass(frozen=True)
class Key:
    """A clustering key on its way into a shuffle: user columns, and whether time chunks go in front of them."""

    columns: tuple[KeyColumn, ...]
    bucketed: bool = False

    @property
    def cluster_by(self) -> ClusterBy:
        if not self.bucketed:
            return ClusterBy(self.columns)
        return ClusterBy((BUCKET_KEY, *self.columns), bucket_by_count=1)

    def boosted(self) -> Key:
        return Key((*self.columns, BOOST_KEY), self.bucketed)

    def signature(self, columns: RowSignature) -> RowSignature:
        """`columns` with the special columns that this key has, key columns first."""
        extra: list[Column | tuple[str, ColumnType]] = []
        for name in (BOOST, BUCKET):
            if name in self.cluster_by.names and name not in columns:
                extra.append((name, LONG))
        return key_first(RowSignature([*columns, *extra]), self.cluster_by)


def key_first(columns: RowSignature, key: ClusterBy) -> RowSignature:
    """The key's columns in key order, then the others in their own order."""
    names = dict.fromkeys(key.names)
    first = [column_of(columns, name) for name in names]
    return RowSignature([*first, *(c for c in columns if c.name not in names)])


def column_of(columns: RowSignature, name: str) -> Column:
    found = columns.type_of(name)
    if found is None:
        raise ValueError(f"Key column [{name}] is not among the columns {list(columns.names)}")
    return Column(name, found)


def ordered(columns: Iterable[tuple[str, str]]) -> tuple[KeyColumn, ...]:
    """Key columns of (name, "ascending" | "descending") pairs, a repeated name once."""
    out: dict[str, KeyColumn] = {}
    for name, order in columns:
        out.setdefault(name, KeyColumn(name, "DESCENDING" if order.lower().startswith("desc") else "ASCENDING"))
    return tuple(out.values())
