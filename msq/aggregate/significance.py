"""Tests of significance: the z-test's score and p-value as post-aggregators, and p-values of Student's distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from msq.aggregate.base import numbers, numeric_array
from msq.aggregate.post import GroupedRows, NativePostAggregator, post
from msq.aggregate.sketch_base import sketch_faults
from msq.datatypes import DOUBLE, ColumnType, RowSignature
from msq.native.aggregators import PostAggregator

Doubles = np.ndarray[Any, np.dtype[np.float64]]


def _doubles(field: PostAggregator, rows: GroupedRows) -> tuple[Doubles, Any]:
    values, valid = numbers(post(field).compute(rows).cast(pa.float64(), safe=False))
    return values, valid


@dataclass(frozen=True)
class ZScore(NativePostAggregator, tag="zscore2sample"):
    """How far two shares of successes differ, in standard deviations; null where a field is null.

    NaN or infinite where nothing varies. Refuses successes that are negative or more than their sample.
    """

    name: str | None
    success_count1: PostAggregator
    sample1_size: PostAggregator
    success_count2: PostAggregator
    sample2_size: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        fields = (self.success_count1, self.sample1_size, self.success_count2, self.sample2_size)
        (hits, h), (size, s), (other_hits, oh), (other_size, os) = (_doubles(f, rows) for f in fields)
        valid = h & s & oh & os
        with sketch_faults():
            for successes, sample in ((hits, size), (other_hits, other_size)):
                if (successes[valid] < 0).any():
                    raise ValueError("success count can't be negative.")
                if (successes[valid] > sample[valid]).any():
                    raise ValueError("sample size can't be smaller than the success count.")
        with np.errstate(all="ignore"):
            rate, other = hits / size, other_hits / other_size
            score = (rate - other) / np.sqrt(rate * (1 - rate) / size + other * (1 - other) / other_size)
        return numeric_array(score, valid, pa.float64())


@dataclass(frozen=True)
class ZTest(NativePostAggregator, tag="pvalue2tailedZtest"):
    """The two-tailed p-value of a z-score; null of null."""

    name: str | None
    z_score: PostAggregator

    def output_type(self, columns: RowSignature) -> ColumnType:
        return DOUBLE

    def compute(self, rows: GroupedRows) -> pa.Array:
        scores, valid = _doubles(self.z_score, rows)
        below = np.array([0.5 * math.erfc(-abs(z) / math.sqrt(2)) for z in scores.tolist()])
        return numeric_array(2 * (1 - below), valid, pa.float64())


def welch(counts: Any, means: Doubles, variances: Doubles) -> Doubles:
    """Two-tailed p-values that pairs of samples have one mean, their variances being what they may.

    All have two rows, one a sample. NaN for samples of fewer than two values.
    """
    with np.errstate(all="ignore"):
        share = variances / counts
        both = share.sum(axis=0)
        t = (means[0] - means[1]) / np.sqrt(both)
        freedom = both**2 / (share**2 / (counts - 1)).sum(axis=0)
    values = [_student(a, b) for a, b in zip(t.tolist(), freedom.tolist(), strict=True)]
    return np.where((counts < 2).any(axis=0), np.nan, values)


def _student(t: float, freedom: float) -> float:
    """The two-tailed p-value of `t` at that many degrees of freedom."""
    if math.isnan(t) or math.isinf(t):
        return math.nan if math.isnan(t) else 0.0
    x = freedom / (freedom + t * t)
    a, b = freedom / 2, 0.5
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + _log(x) * a + _log(1 - x) * b)
    # the continued fraction converges fast on this side of the mean of the beta distribution
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + numerator * d, tiny)
            c = _away(1 + numerator / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
