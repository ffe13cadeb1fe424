"""SQL: variances, standard deviations, sketches of sums by key (DS_TUPLE_DOUBLES), bloom filters."""

from __future__ import annotations

from msq.aggregate.bloom import BloomFilterAggregator
from msq.aggregate.registry import AggregateSite, EmitRule, SqlAggregate, add, wrong_types
from msq.aggregate.sql_numbers import Emitted, is_number, number_field, power_of_two
from msq.aggregate.tuples import ArrayOfDoublesAggregator
from msq.aggregate.variance import StandardDeviation, VarianceAggregator
from msq.expr.sqltypes import SQL_DOUBLE, VARCHAR, SqlType, sql_complex
from msq.faults import invalid_sql
from msq.native.query import DefaultDimensionSpec

_DOUBLES = "arrayOfDoublesSketch"


def _variance_type(site: AggregateSite) -> SqlType:
    of = site.args[0].sql_type
    if not is_number(of) and of.complex_name != "variance":
        wrong_types(site, f"'{site.name}(<NUMERIC>)'")
    return SQL_DOUBLE


def _variance(estimator: str, deviation: bool) -> EmitRule:
    def emit(site: AggregateSite) -> Emitted:
        of = site.args[0]
        kind = {"FLOAT": "float", "LONG": "long", "COMPLEX": "variance"}.get(of.native_type.kind, "double")
        field = site.field() if kind == "variance" else number_field(site)
        name = f"{site.output}:agg" if deviation else site.output
        made = VarianceAggregator(name, field, estimator, kind)
        return [made], [StandardDeviation(site.output, name, estimator)] if deviation else ()

    return emit


def _declare(name: str, doc: str, estimator: str, deviation: bool, *aliases: str) -> None:
    add(SqlAggregate(name, doc, 1, 1, _variance_type, _variance(estimator, deviation)), *aliases)


_declare("VAR_POP", "Variance of a population.", "population", False)
_declare("VAR_SAMP", "Variance of a sample; 0 for one value.", "sample", False, "VARIANCE")
_declare("STDDEV_POP", "Standard deviation of a population.", "population", True)
_declare("STDDEV_SAMP", "Standard deviation of a sample; 0 for one value.", "sample", True, "STDDEV")


def _metrics(site: AggregateSite) -> tuple[int, int]:
    """(number of metrics, nominal entries): a last numeric literal is the latter."""
    last = site.args[-1]
    given = len(site.args) > 1 and last.is_literal and last.sql_type.is_integer
    size = power_of_two(last.literal_value if given else 16384, "nominalEntries")
    return len(site.args) - 1 - given, size


def _tuple_type(site: AggregateSite) -> SqlType:
    count, _ = _metrics(site)
    of = site.args[0].sql_type
    if count == 0 and not (of.name == "OTHER" and (of.complex_name or "").startswith(_DOUBLES)):
        wrong_types(site)
    if any(not is_number(a.sql_type) for a in site.args[1 : count + 1]):
        wrong_types(site)
    return sql_complex(_DOUBLES)


def _tuple(site: AggregateSite) -> Emitted:
    count, size = _metrics(site)
    if count == 0:
        return [ArrayOfDoublesAggregator(site.output, site.field(), size)], ()
    metrics = tuple(number_field(site, at) for at in range(1, count + 1))
    return [ArrayOfDoublesAggregator(site.output, site.field(), size, metrics, count)], ()


add(SqlAggregate(
    "DS_TUPLE_DOUBLES", "Sums of numbers by distinct key, or the union of such sketches: (key, number, .., [size]).", 1,
    None, _tuple_type, _tuple, forms="'DS_TUPLE_DOUBLES(expr, [metric, ..], [nominalEntries])'",
))  # fmt: skip


def _bloom_type(site: AggregateSite) -> SqlType:
    if site.args[0].sql_type.name in ("ARRAY", "OTHER"):
        wrong_types(site)
    entries = site.literal(1)
    if not isinstance(entries, int) or not 1 <= entries <= 100_000_000:
        raise invalid_sql(f"[{site.name}] needs a positive number of entries, got [{entries}]")
    return VARCHAR


def _bloom(site: AggregateSite) -> Emitted:
    field = site.field()
    spec = DefaultDimensionSpec(field, field, site.args[0].native_type)
    return [BloomFilterAggregator(site.output, spec, site.literal(1))], ()


add(
    SqlAggregate(
        "BLOOM_FILTER",
        "A bloom filter of a column's values as base64: (column, number of values it is made for).",
        2,
        2,
        _bloom_type,
        _bloom,
        forms="'BLOOM_FILTER(expr, numEntries)'",
    )
)
