"""Aggregators and post-aggregators: their wire form, how they compute, and what SQL calls them.

Importing the package makes every member known to the codec. `compute.group` and `runs.merge_sorted` are the two halves
of a group-by; `sql.bind_aggregate` is the SQL side.
"""

from __future__ import annotations

import importlib

_MEMBERS = (
    "bloom", "cardinality", "counts", "fold", "histogram_posts", "histograms", "hll", "kll", "mean", "moments",
    "post", "quantile_posts", "quantiles", "significance", "single", "sketch_constants", "sketch_posts", "spectator",
    "tdigest", "theta", "tuple_posts", "tuples", "variance", "wrappers",
)  # fmt: skip
_SQL = ("sql_numbers", "sql_values", "sql_sketches", "sql_statistics", "sql_histograms")
for _module in (*_MEMBERS, *_SQL):
    importlib.import_module(f"{__name__}.{_module}")
