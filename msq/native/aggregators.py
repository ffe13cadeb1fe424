"""Families of aggregators and post-aggregators; their members are declared with their kernels in msq.aggregate."""

from __future__ import annotations

from msq.codec import Wire


class Aggregator(Wire):
    """A native aggregator (`{"type":..,"name":..}`). Every member has a field `name`, its output column."""

    name: str


class PostAggregator(Wire):
    """A value computed from aggregated columns (`{"type":..,"name":..}`)."""

    name: str | None
