"""SQL: quantiles by histograms and t-digests: APPROX_QUANTILE and kin, TDIGEST_.., SPECTATOR_..."""

from __future__ import annotations

from typing import Any

from msq.aggregate.histogram_posts import HistogramQuantile
from msq.aggregate.histograms import (
    APPROXIMATE,
    DEFAULT_SIZE,
    FIXED,
    ApproximateHistogramAggregator,
    ApproximateHistogramFoldAggregator,
    FixedBucketsHistogramAggregator,
)
from msq.aggregate.post import FieldAccess
from msq.aggregate.registry import AggregateSite, SqlAggregate, add, wrong_types
from msq.aggregate.singles import shortest, single
from msq.aggregate.spectator import (
    SpectatorCount,
    SpectatorHistogramAggregator,
    SpectatorPercentile,
    SpectatorPercentiles,
)
from msq.aggregate.sql_numbers import Emitted, is_number
from msq.aggregate.tdigest import DEFAULT_COMPRESSION, TDIGEST, TDigestAggregator, TDigestToQuantile
from msq.datatypes import DOUBLE, FLOAT, STRING, ColumnType
from msq.expr.nodes import Call, Identifier, Literal
from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, SqlType, sql_array, sql_complex
from msq.faults import invalid_sql
from msq.segment.nullable import SPECTATOR_TYPES
from msq.sketches.fixed_buckets import MODES


def _check_input(site: AggregateSite, *names: str) -> None:
    """Numbers, times and texts, or states of the function's own kind."""
    of = site.args[0].sql_type
    if not (is_number(of) or of.is_time or (of.name == "OTHER" and of.complex_name in names)):
        wrong_types(site)


def _input(site: AggregateSite, computed: ColumnType = FLOAT) -> str:
    """The argument's column: a number or a state as it is, anything computed as a column of type `computed`."""
    arg = site.args[0]
    kind = arg.native_type
    if kind.is_complex or (kind.is_numeric and isinstance(arg.node, Identifier)):
        return site.field()
    node = arg.node if kind.is_numeric else Call("CAST", (arg.node, Literal("DOUBLE", STRING)))
    return site.column(node, computed)


def _number(site: AggregateSite, at: int, default: Any = None) -> Any:
    """A literal number. Refuses other literals for their types."""
    value = site.literal(at, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        wrong_types(site)
    return value


def _probability(site: AggregateSite) -> float:
    """The probability, which is a 32-bit float: the shortest number that means the same."""
    value = shortest(_number(site, 1))
    if not 0 <= value <= 1:
        raise invalid_sql(f"Illegal probability[{value}], must be strictly between 0 and 1")
    return value


# ----------------------------------------------------------------------------------------------------- histograms


def _quantile_type(site: AggregateSite) -> SqlType:
    _check_input(site, str(APPROXIMATE.complex_name))
    probability = _probability(site)
    if not 0 < probability < 1:
        raise invalid_sql("quantile probabilities must be strictly between 0 and 1")
    size = _number(site, 2, DEFAULT_SIZE)
    if not isinstance(size, int):
        wrong_types(site)
    if not 1 <= size <= 1_000_000:
        raise invalid_sql("resolution must be greater than 1")
    return SQL_DOUBLE


def _quantile(site: AggregateSite) -> Emitted:
    inner = f"{site.output}:agg"
    stored = site.args[0].native_type == APPROXIMATE
    make = ApproximateHistogramFoldAggregator if stored else ApproximateHistogramAggregator
    aggregator = make(inner, _input(site), int(_number(site, 2, DEFAULT_SIZE)))
    return [aggregator], [HistogramQuantile(site.output, inner, _probability(site))]


def _fixed_aggregator(site: AggregateSite, field: str) -> FixedBucketsHistogramAggregator:
    mode = site.literal(5, "ignore")
    if not isinstance(mode, str):
        wrong_types(site)
    if str(mode).lower() not in MODES:
        raise invalid_sql(
            "No enum constant org.apache.druid.query.aggregation.histogram.FixedBucketsHistogram.OutlierHandlingMode."
            f"{str(mode).upper()}"
        )
    buckets, lower, upper = int(_number(site, 2)), float(_number(site, 3)), float(_number(site, 4))
    if buckets > 10_000_000:
        raise invalid_sql(f"[{site.name}] takes 10000000 buckets at most, got [{buckets}]")
    try:
        return FixedBucketsHistogramAggregator(f"{site.output}:agg", field, buckets, lower, upper, str(mode).lower())
    except ValueError as error:
        raise invalid_sql(str(error)) from error


def _fixed_type(site: AggregateSite) -> SqlType:
    _check_input(site, str(FIXED.complex_name))
    _probability(site)
    _fixed_aggregator(site, "")
    return SQL_DOUBLE


def _fixed(site: AggregateSite) -> Emitted:
    aggregator = _fixed_aggregator(site, _input(site))
    return [aggregator], [HistogramQuantile(site.output, aggregator.name, _probability(site))]


# ------------------------------------------------------------------------------------------------------ t-digests


def _compression(site: AggregateSite, at: int) -> int:
    value = int(_number(site, at, DEFAULT_COMPRESSION))
    if not 1 <= value <= 1_000_000:
        raise invalid_sql(f"[{site.name}] needs a compression between 1 and 1000000, got [{value}]")
    return value


def _digest_type(site: AggregateSite) -> SqlType:
    _check_input(site, str(TDIGEST.complex_name))
    _compression(site, 1)
    return sql_complex(TDIGEST.complex_name)


def _digest(site: AggregateSite) -> Emitted:
    return [TDigestAggregator(f"{site.output}:agg", _input(site), _compression(site, 1))], ()


def _digest_quantile_type(site: AggregateSite) -> SqlType:
    _check_input(site, str(TDIGEST.complex_name))
    fraction = _number(site, 1)
    if not 0 <= fraction <= 1:
        raise invalid_sql(f"q should be in [0,1], got {single(fraction)}")
    _compression(site, 2)
    return SQL_DOUBLE


def _digest_quantile(site: AggregateSite) -> Emitted:
    inner = f"{site.output}:agg"
    aggregator = TDigestAggregator(inner, _input(site), _compression(site, 2))
    return [aggregator], [TDigestToQuantile(site.output, FieldAccess(inner, inner), single(_number(site, 1)))]


# ------------------------------------------------------------------------------------------------------ spectator


def _spectator_count_type(site: AggregateSite) -> SqlType:
    _check_input(site, *SPECTATOR_TYPES)
    return BIGINT


def _percents(site: AggregateSite) -> tuple[float, ...] | float:
    """The percentages: a literal number, or an array of such."""
    arg = site.args[1]
    value = arg.literal_value if arg.is_literal else _array_items(site)
    found = value if isinstance(value, (list, tuple)) else [value]
    if not found or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in found):
        raise invalid_sql(f"Argument 'percentile' of [{site.name}] must be a numeric literal or an array of them")
    if any(not 0 <= v <= 100 for v in found):
        raise invalid_sql(f"[{site.name}] needs percentiles between 0 and 100")
    return tuple(float(v) for v in found) if isinstance(value, (list, tuple)) else float(value)


def _array_items(site: AggregateSite) -> list[Any]:
    node = site.args[1].node
    if isinstance(node, Call) and node.function == "array" and all(isinstance(a, Literal) for a in node.args):
        return [a.value for a in node.args if isinstance(a, Literal)]
    site.literal(1)  # refuses what is no literal
    return []


def _spectator_percentile_type(site: AggregateSite) -> SqlType:
    _check_input(site, *SPECTATOR_TYPES)
    return sql_array(SQL_DOUBLE) if isinstance(_percents(site), tuple) else SQL_DOUBLE


def _spectator_count(site: AggregateSite) -> Emitted:
    inner = f"{site.output}:agg"
    aggregator = SpectatorHistogramAggregator(inner, _input(site, DOUBLE))
    return [aggregator], [SpectatorCount(site.output, FieldAccess(inner, inner))]


def _spectator_percentile(site: AggregateSite) -> Emitted:
    inner = f"{site.output}:agg"
    aggregator = SpectatorHistogramAggregator(inner, _input(site, DOUBLE))
    field, percents = FieldAccess(inner, inner), _percents(site)
    if isinstance(percents, tuple):
        return [aggregator], [SpectatorPercentiles(site.output, field, percents)]
    return [aggregator], [SpectatorPercentile(site.output, field, percents)]


add(SqlAggregate(
    "APPROX_QUANTILE", "The value at a probability by an approximate histogram: (column, probability, bins = 50).",
    2, 3, _quantile_type, _quantile,
    forms="'APPROX_QUANTILE(column, probability)'\n'APPROX_QUANTILE(column, probability, resolution)'",
))  # fmt: skip
add(SqlAggregate(
    "APPROX_QUANTILE_FIXED_BUCKETS",
    "The value at a probability by equal buckets: (column, probability, buckets, lower, upper, outliers = 'ignore').",
    5, 6, _fixed_type, _fixed,
    forms="'APPROX_QUANTILE_FIXED_BUCKETS(column, probability, numBuckets, lowerLimit, upperLimit)'\n"
    "'APPROX_QUANTILE_FIXED_BUCKETS(column, probability, numBuckets, lowerLimit, upperLimit, outlierHandlingMode)'",
))  # fmt: skip
add(SqlAggregate(
    "TDIGEST_GENERATE_SKETCH", "A t-digest of a column or the union of t-digests: (column, compression = 100).", 1, 2,
    _digest_type, _digest, forms="'TDIGEST_GENERATE_SKETCH(column, compression)'",
))  # fmt: skip
add(SqlAggregate(
    "TDIGEST_QUANTILE", "The value at a fraction by a t-digest: (column, fraction, compression = 100).", 2, 3,
    _digest_quantile_type, _digest_quantile,
    forms="'TDIGEST_QUANTILE(column, quantile)'\n'TDIGEST_QUANTILE(column, quantile, compression)'",
))  # fmt: skip
add(SqlAggregate(
    "SPECTATOR_COUNT", "Number of values of a column or of spectator histograms.", 1, 1, _spectator_count_type,
    _spectator_count, forms="'SPECTATOR_COUNT(column)'",
))  # fmt: skip
add(SqlAggregate(
    "SPECTATOR_PERCENTILE", "The values at one or more percentages (0 to 100) by a spectator histogram.", 2, 2,
    _spectator_percentile_type, _spectator_percentile,
    forms="'SPECTATOR_PERCENTILE(column, percentile)'\n'SPECTATOR_PERCENTILE(column, ARRAY[percentile, ..])'",
))  # fmt: skip
