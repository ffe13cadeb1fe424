"""An extension package as a user would write it: two scalar functions, one with an Arrow kernel, and two aggregates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import Scope, combine, numbers, numeric_array
from msq.aggregate.counts import DoubleMaxAggregator, DoubleMinAggregator
from msq.aggregate.post import ArithmeticPostAggregator, FieldAccess
from msq.extend import (
    DOUBLE,
    SQL_DOUBLE,
    STRING,
    VARCHAR,
    AggregateSite,
    ColumnType,
    Kernel,
    NativeAggregator,
    Part,
    Runs,
    SqlAggregate,
    add_aggregate,
    add_kernel,
    plain,
    sql,
    whole,
)

# A scalar function that DuckDB can say.
plain("acme_half", "Half of a number.", "D", "({0} / 2)", DOUBLE)
sql("ACME_HALF", "NUMERIC", SQL_DOUBLE, "acme_half", "Half of a number.", example="ACME_HALF(l)")


# One that it cannot: a function over whole Arrow columns.
def _initials(texts: Any, separators: Any) -> Any:
    rows = zip(whole(texts).to_pylist(), whole(separators).to_pylist())
    made = [None if t is None else (s or "").join(word[0] for word in t.split()) for t, s in rows]
    return pa.array(made, pa.string())


add_kernel(Kernel("py_acme_initials", ("VARCHAR", "VARCHAR"), "VARCHAR", _initials))
plain("acme_initials", "First letters of the words.", "S", "py_acme_initials({0}, {1})", STRING)
sql("ACME_INITIALS", "CHARACTER CHARACTER", VARCHAR, "acme_initials", "First letters of the words.",
    example="ACME_INITIALS(s, '.')")  # fmt: skip


# An aggregate made of aggregators that are there.
def _range(site: AggregateSite) -> Any:
    low, high = f"{site.output}:low", f"{site.output}:high"
    column = site.field(0, DOUBLE)
    fields = (FieldAccess(None, high), FieldAccess(None, low))
    return (
        [DoubleMinAggregator(low, column), DoubleMaxAggregator(high, column)],
        [ArithmeticPostAggregator(site.output, "-", fields)],
    )


add_aggregate(
    SqlAggregate("ACME_RANGE", "Greatest number less least number.", 1, 1, lambda site: SQL_DOUBLE, _range,
                 example="ACME_RANGE(d)")
)  # fmt: skip


# An aggregator of its own, which travels to workers by its type.
@dataclass(frozen=True)
class ProductAggregator(NativeAggregator, tag="acmeProduct"):
    """Product of a column of doubles; null for no value."""

    name: str
    field_name: str

    @property
    def intermediate_type(self) -> ColumnType:
        return DOUBLE

    def combining(self, name: str) -> NativeAggregator:
        return ProductAggregator(name, name)

    def parts(self, scope: Scope) -> Mapping[str, Part]:
        return {"p": Part(f"product({scope.column(self.field_name).sql_name})")}

    def state(self, parts: Mapping[str, pa.Array]) -> pa.Array:
        return combine(parts["p"])

    def merge(self, states: pa.Array, runs: Runs) -> pa.Array:
        values, valid = numbers(states)
        some = np.logical_or.reduceat(valid, runs.starts)
        return numeric_array(np.multiply.reduceat(np.where(valid, values, 1.0), runs.starts), some, pa.float64())


add_aggregate(
    SqlAggregate("ACME_PRODUCT", "Product of numbers.", 1, 1, lambda site: SQL_DOUBLE,
                 lambda site: ([ProductAggregator(site.output, site.field(0, DOUBLE))], ()), example="ACME_PRODUCT(d)")
)  # fmt: skip
