"""SQL: distinct counts and sketches (HyperLogLog, HLL, theta, quantiles)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msq.aggregate.cardinality import CardinalityAggregator, HyperUniqueAggregator
from msq.aggregate.hll import HLLSketchBuildAggregator, HLLSketchMergeAggregator
from msq.aggregate.post import FieldAccess
from msq.aggregate.quantile_posts import QuantilesToQuantile
from msq.aggregate.quantiles import QuantilesAggregator
from msq.aggregate.registry import AggregateSite, EmitRule, SqlAggregate, TypeRule, add, unplanned, wrong_types
from msq.aggregate.singles import single
from msq.aggregate.sql_numbers import Emitted, distinct_function, is_number, number_field, power_of_two
from msq.aggregate.theta import ThetaSketchAggregator
from msq.expr.sqltypes import BIGINT, SQL_DOUBLE, SqlType, sql_complex
from msq.faults import invalid_sql
from msq.native.query import DefaultDimensionSpec

MAX_STREAM_LENGTH = 1_000_000_000
_HLL_TYPES = ("HLL_4", "HLL_6", "HLL_8")


def _is_sketch(of: SqlType, *names: str) -> bool:
    """Whether a column of the type holds sketches of one of these kinds, in any stage of aggregation."""
    name = of.complex_name if of.name == "OTHER" else None
    return name is not None and any(name.startswith(n) for n in names)


# --------------------------------------------------------------------------------------- Druid's own HyperLogLog


def _builtin_type(site: AggregateSite) -> SqlType:
    arg = site.args[0]
    if arg.sql_type.name in ("OTHER", "ARRAY") and not _is_sketch(arg.sql_type, "hyperUnique"):
        raise unplanned(
            "Using APPROX_COUNT_DISTINCT() or enabling approximation with COUNT(DISTINCT) is not supported for column "
            f"type [{arg.native_type}]. You can disable approximation by setting [useApproximateCountDistinct: false] "
            "in the query context."
        )
    return BIGINT


def _builtin(site: AggregateSite) -> Emitted:
    field = site.field()
    if _is_sketch(site.args[0].sql_type, "hyperUnique"):
        return [HyperUniqueAggregator(site.output, field, round=True)], ()
    spec = DefaultDimensionSpec(field, field, site.args[0].native_type)
    return [CardinalityAggregator(site.output, (spec,), by_row=False, round=True)], ()


def _approximate_type(site: AggregateSite) -> SqlType:
    return distinct_function(site).type(site)


def _approximate(site: AggregateSite) -> Emitted:
    return distinct_function(site).emit(site)


# ----------------------------------------------------------------------------------------------------------- HLL


def _hll_options(site: AggregateSite) -> tuple[int, str]:
    lg_k = site.literal(1, 12)
    kind = str(site.literal(2, "HLL_4")).upper()
    if not isinstance(lg_k, int) or not 4 <= lg_k <= 21:
        raise invalid_sql(f"[{site.name}] needs an lgK between 4 and 21, got [{lg_k}]")
    if kind not in _HLL_TYPES:
        raise invalid_sql(f"[{site.name}] needs a sketch type of [{', '.join(_HLL_TYPES)}], got [{kind}]")
    return lg_k, kind


def _check_sketched(site: AggregateSite, *names: str) -> None:
    of = site.args[0].sql_type
    if of.name == "ARRAY" or (of.name == "OTHER" and not _is_sketch(of, *names)):
        wrong_types(site)


def _hll_type(result: SqlType) -> TypeRule:
    def rule(site: AggregateSite) -> SqlType:
        _check_sketched(site, "HLLSketch")
        _hll_options(site)
        return result

    return rule


def _hll_rule(*, finalize: bool, encoding: str = "utf16le") -> EmitRule:
    def emit(site: AggregateSite) -> Emitted:
        lg_k, kind = _hll_options(site)
        merge = _is_sketch(site.args[0].sql_type, "HLLSketch")
        make = HLLSketchMergeAggregator if merge else HLLSketchBuildAggregator
        return [make(site.output, site.field(), lg_k, kind, encoding, _finalized(site, finalize), True)], ()

    return emit


def _finalized(site: AggregateSite, finalize: bool) -> bool:
    """Distinct counts are finalised, sketches only where the context asks for it."""
    return finalize or site.flag("sqlFinalizeOuterSketches", False)


# --------------------------------------------------------------------------------------------------------- theta


def _theta_size(site: AggregateSite) -> int:
    return power_of_two(site.literal(1, 16384), "size")


def _theta_type(result: SqlType) -> TypeRule:
    def rule(site: AggregateSite) -> SqlType:
        _check_sketched(site, "thetaSketch")
        _theta_size(site)
        return result

    return rule


def _theta_rule(*, finalize: bool) -> EmitRule:
    def emit(site: AggregateSite) -> Emitted:
        size = _theta_size(site)
        return [ThetaSketchAggregator(site.output, site.field(), size, _finalized(site, finalize))], ()

    return emit


# ----------------------------------------------------------------------------------------------------- quantiles


def _k(site: AggregateSite, at: int) -> int:
    k = power_of_two(site.literal(at, 128), "k")
    if not 2 <= k <= 32768:
        raise invalid_sql(f"K must be >= 2 and <= 32768 and a power of 2: {k}")
    return k


def _check_quantiles(site: AggregateSite) -> None:
    of = site.args[0].sql_type
    if not (is_number(of) or of.is_time or _is_sketch(of, "quantilesDoublesSketch")):
        wrong_types(site)


def _quantile_type(site: AggregateSite) -> SqlType:
    _check_quantiles(site)
    fraction = site.literal(1)
    if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
        raise invalid_sql(f"A normalized rank must be >= 0 and <= 1.0: {'null' if fraction is None else fraction}")
    _k(site, 2)
    return SQL_DOUBLE


def _quantile(site: AggregateSite) -> Emitted:
    inner = f"{site.output}:agg"
    field = _quantile_field(site)
    post = QuantilesToQuantile(site.output, FieldAccess(inner, inner), single(site.literal(1)))
    return [QuantilesAggregator(inner, field, _k(site, 2), MAX_STREAM_LENGTH)], [post]


def _quantile_field(site: AggregateSite) -> str:
    of = site.args[0].sql_type
    return site.field() if of.name == "OTHER" or of.is_time else number_field(site)


def _quantiles_type(site: AggregateSite) -> SqlType:
    _check_quantiles(site)
    _k(site, 1)
    return sql_complex("quantilesDoublesSketch")


def _quantiles(site: AggregateSite) -> Emitted:
    finalize = site.flag("sqlFinalizeOuterSketches", False)
    return [QuantilesAggregator(site.output, _quantile_field(site), _k(site, 1), MAX_STREAM_LENGTH, finalize)], ()


def _declare(
    names: Sequence[str], doc: str, most: int, type_rule: TypeRule, emit: EmitRule, least: int = 1,
    distinct: bool = False,
) -> None:  # fmt: skip
    first = SqlAggregate(names[0], doc, least, most, type_rule, emit, distinct, f"'{names[0]}(column, ...)'")
    add(first)
    for name in names[1:]:
        add(replace(first, name=name, forms=f"'{name}(column, ...)'"))


_declare(
    ["APPROX_COUNT_DISTINCT_BUILTIN"], "Number of distinct values by HyperLogLog of 2,048 registers.", 1,
    _builtin_type, _builtin,
)  # fmt: skip
_declare(
    ["APPROX_COUNT_DISTINCT"], "Number of distinct values by the sketch that the context names.", 1,
    _approximate_type, _approximate, distinct=True,
)  # fmt: skip
_declare(
    ["APPROX_COUNT_DISTINCT_DS_HLL"], "Number of distinct values by an HLL sketch: (column, lgK = 12, type = 'HLL_4').",
    3, _hll_type(BIGINT), _hll_rule(finalize=True),
)  # fmt: skip
_declare(
    ["APPROX_COUNT_DISTINCT_DS_HLL_UTF8"], "As APPROX_COUNT_DISTINCT_DS_HLL, texts hashed as UTF-8.", 3,
    _hll_type(BIGINT), _hll_rule(finalize=True, encoding="utf8"),
)  # fmt: skip
_declare(
    ["DS_HLL"], "An HLL sketch of a column or the union of sketches: (column, lgK = 12, type = 'HLL_4').", 3,
    _hll_type(sql_complex("HLLSketch")), _hll_rule(finalize=False),
)  # fmt: skip
_declare(
    ["APPROX_COUNT_DISTINCT_DS_THETA"], "Number of distinct values by a theta sketch: (column, size = 16384).", 2,
    _theta_type(BIGINT), _theta_rule(finalize=True),
)  # fmt: skip
_declare(
    ["DS_THETA"], "A theta sketch of a column or the union of sketches: (column, size = 16384).", 2,
    _theta_type(sql_complex("thetaSketch")), _theta_rule(finalize=False),
)  # fmt: skip
_declare(
    ["APPROX_QUANTILE_DS"], "The value at a fraction of a column's values: (column, fraction, k = 128).", 3,
    _quantile_type, _quantile, 2,
)  # fmt: skip
_declare(
    ["DS_QUANTILES_SKETCH"], "A quantiles sketch of a column or the union of sketches: (column, k = 128).", 2,
    _quantiles_type, _quantiles,
)  # fmt: skip
