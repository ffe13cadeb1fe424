"""SQL: COUNT, SUM, MIN, MAX, AVG, GROUPING, ANY_VALUE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msq.aggregate.counts import (
    CountAggregator,
    DoubleMaxAggregator,
    DoubleMinAggregator,
    DoubleSumAggregator,
    FloatMaxAggregator,
    FloatMinAggregator,
    LongMaxAggregator,
    LongMinAggregator,
    LongSumAggregator,
)  # fmt: skip
from msq.aggregate.post import ArithmeticPostAggregator, FieldAccess
from msq.aggregate.registry import AggregateSite, SqlAggregate, add, filtered, sql_aggregates, wrong_types
from msq.aggregate.wrappers import GroupingAggregator
from msq.datatypes import DOUBLE, FLOAT, LONG, STRING, ColumnType
from msq.expr.nodes import Call, Identifier, Literal
from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, SqlType, without_length
from msq.faults import invalid_sql
from msq.native.aggregators import Aggregator, PostAggregator
from msq.native.filters import DimFilter, NotFilter, NullFilter

Emitted = tuple[Sequence[Aggregator], Sequence[PostAggregator]]


def not_null(column: str) -> DimFilter:
    return NotFilter(NullFilter(column))


def is_number(of: SqlType) -> bool:
    """Whether arithmetic aggregates take the type: numbers, NULL, and texts that are read as numbers."""
    return of.is_numeric or of.is_character or of.is_null


def _count_type(site: AggregateSite) -> SqlType:
    if site.distinct and site.args and site.flag("useApproximateCountDistinct", True):
        distinct_function(site).type(distinct_site(site))
    return BIGINT


def distinct_function(site: AggregateSite) -> SqlAggregate:
    """The function that COUNT(DISTINCT ..) stands for, by context."""
    name = str(site.context.get("sqlApproxCountDistinctFunction") or "APPROX_COUNT_DISTINCT_BUILTIN")
    found = sql_aggregates().get(name.upper())
    if found is None:
        raise invalid_sql(f"Unknown sqlApproxCountDistinctFunction [{name}]")
    return found


def distinct_site(site: AggregateSite) -> AggregateSite:
    from dataclasses import replace

    return replace(site, distinct=False)


def _count(site: AggregateSite) -> Emitted:
    if site.distinct and site.flag("useApproximateCountDistinct", True):
        return distinct_function(site).emit(distinct_site(site))
    counter = CountAggregator(site.output)
    if not site.args or (site.args[0].is_literal and not site.args[0].is_null):
        return [counter], ()
    return [filtered(counter, not_null(site.field()))], ()


def _sum_type(site: AggregateSite) -> SqlType:
    of = site.args[0].sql_type
    if not is_number(of):
        wrong_types(site, f"'{site.name}(<NUMERIC>)'")
    return BIGINT if of.is_integer else SQL_DOUBLE


def _sum(site: AggregateSite) -> Emitted:
    if site.args[0].sql_type.is_integer:
        return [LongSumAggregator(site.output, site.field())], ()
    return [DoubleSumAggregator(site.output, number_field(site))], ()


_LARGEST_SKETCH = 1 << 26


def power_of_two(value: Any, word: str) -> int:
    """A literal that sizes a sketch. Refuses what is no power of two, in the words of Druid's library."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or value & (value - 1):
        raise invalid_sql(
            f'The value of the int argument "{word}" must be a positive integer-power of 2 and greater than 0: '
            f"{'null' if value is None else value}"
        )
    if value > _LARGEST_SKETCH:
        raise invalid_sql(f'The value of the int argument "{word}" must be at most {_LARGEST_SKETCH}: {value}')
    return value


def number_field(site: AggregateSite, at: int = 0) -> str:
    """The column of an argument as a number; texts are cast to DOUBLE."""
    arg = site.args[at]
    if not arg.native_type.is_numeric:
        return site.column(Call("CAST", (arg.node, Literal("DOUBLE", STRING))), DOUBLE)
    return site.field(at)


_EXTREMES: dict[tuple[str, str], Any] = {
    ("MIN", "LONG"): LongMinAggregator, ("MIN", "DOUBLE"): DoubleMinAggregator, ("MIN", "FLOAT"): FloatMinAggregator,
    ("MAX", "LONG"): LongMaxAggregator, ("MAX", "DOUBLE"): DoubleMaxAggregator, ("MAX", "FLOAT"): FloatMaxAggregator,
}  # fmt: skip


def _extreme_type(site: AggregateSite) -> SqlType:
    arg = site.args[0]
    kind: ColumnType = arg.native_type
    if kind not in (LONG, DOUBLE, FLOAT) and not arg.sql_type.is_null:
        # Druid reads a VARCHAR through a virtual column here, and names that
        plain = isinstance(arg.node, Identifier) and not arg.sql_type.is_character
        name = arg.node.name if plain and isinstance(arg.node, Identifier) else "v0"
        raise invalid_sql(f"Aggregation [{site.name}] does not support type [{kind}], column [{name}]")
    return without_length(arg.sql_type)


def _extreme(site: AggregateSite) -> Emitted:
    kind = site.args[0].native_type.kind
    make = _EXTREMES[site.name, kind if kind != "STRING" else "LONG"]
    return [make(site.output, site.field())], ()


def _avg_type(site: AggregateSite) -> SqlType:
    if not is_number(site.args[0].sql_type):
        wrong_types(site, "'AVG(<NUMERIC>)'")
    return SQL_DOUBLE


def _avg(site: AggregateSite) -> Emitted:
    column = number_field(site)
    total, count = f"{site.output}:sum", f"{site.output}:count"
    mean = ArithmeticPostAggregator(site.output, "quotient", (FieldAccess(None, total), FieldAccess(None, count)))
    return [DoubleSumAggregator(total, column), filtered(CountAggregator(count), not_null(column))], [mean]


add(
    SqlAggregate(
        "COUNT", "Number of rows, or of those where the argument is not null.", 0, None, _count_type, _count, True
    )
)
add(SqlAggregate("SUM", "Sum of a number: BIGINT for integers, else DOUBLE.", 1, 1, _sum_type, _sum))
add(SqlAggregate("MIN", "Least number or time.", 1, 1, _extreme_type, _extreme, True))
add(SqlAggregate("MAX", "Greatest number or time.", 1, 1, _extreme_type, _extreme, True))
add(SqlAggregate("AVG", "Mean of a number, as DOUBLE.", 1, 1, _avg_type, _avg))
add(SqlAggregate(
    "GROUPING", "One bit for each grouping column: 1 where the row is not grouped by it.", 1, None,
    lambda site: BIGINT, lambda site: ([GroupingAggregator(site.output, site.groupings)], ()),
))  # fmt: skip
