"""The value of a scalar subquery: one row at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, Runs, Scope, combine, validity
from msq.aggregate.moments import as_text
from msq.datatypes import STRING, ColumnType, arrow_type
from msq.expr.lower import Lowered, convert
from msq.faults import DruidException, invalid_input


@dataclass(frozen=True)
class SingleValueAggregator(NativeAggregator, tag="singleValue"):
    """The value of the only row; null where there is none, refused where there are more.

    Rows of null that arrive in another partition than the one with a value are not noticed.
    """

    name: str
    field_name: str
    column_type: ColumnType

    @property
    def intermediate_type(self) -> ColumnType:
        return self.column_type

    def combining(self, name: str) -> NativeAggregator:
        return replace(self, name=name, field_name=name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        found = scope.column(self.field_name)
        text = self.column_type == STRING
        value = as_text(found) if text else convert(Lowered(found.sql_name, found.type), self.column_type)
        return {"v": Part(f"first({value})"), "n": Part("count(*)")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        if (combine(parts["n"]).to_numpy(zero_copy_only=False) > 1).any():
            raise _several()
        return combine(parts["v"]).cast(arrow_type(self.column_type))

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        rows = np.flatnonzero(validity(states))
        places = runs.ids()[rows]
        if len(np.unique(places)) < len(places):
            raise _several()
        chosen = np.full(len(runs), -1, dtype=np.int64)
        chosen[places] = rows
        return states.take(pa.array(chosen, mask=chosen < 0))


def _several() -> DruidException:
    return invalid_input("Subquery expression returned more than one row")
