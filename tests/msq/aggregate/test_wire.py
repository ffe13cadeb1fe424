"""Aggregators and post-aggregators as a real Druid prints them, in its key order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msq.aggregate  # noqa: F401  (its members register on import)
from msq.aggregate.base import NativeAggregator
from msq.codec import decode, encode
from msq.native.aggregators import Aggregator, PostAggregator
from tests.harness.golden import statements


def found(value: Any, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for key in keys:
            yield from (v for v in value.get(key) or () if isinstance(v, dict))
        for inner in value.values():
            yield from found(inner, keys)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, keys)


def test_recorded_aggregators_survive_a_round_trip() -> None:
    kinds = set()
    for value in found(list(statements()), ("aggregations", "metricsSpec")):
        made = decode(Aggregator, value)
        assert json.dumps(encode(made)) == json.dumps(value)
        assert isinstance(made, NativeAggregator)
        kinds.add(value["type"])
    assert len(kinds) > 20


def test_recorded_post_aggregators_survive_a_round_trip() -> None:
    kinds = set()
    for value in found(list(statements()), ("postAggregations",)):
        assert json.dumps(encode(decode(PostAggregator, value))) == json.dumps(value)
        kinds.add(value["type"])
    assert kinds >= {"arithmetic", "expression", "HLLSketchEstimate", "thetaSketchEstimate"}


def test_recorded_metrics_are_what_combines_the_query_s_aggregators() -> None:
    """Names aside, each metric of a roll-up is the combining form of one of its query's aggregators."""
    checked = 0
    for statement in statements():
        queries = list(found(statement.get("report"), ("stages",)))
        forms = set()
        for value in found(statement.get("report"), ("aggregations",)):
            made = decode(Aggregator, value)
            assert isinstance(made, NativeAggregator)
            forms.add(json.dumps(encode(made.combining("m")), sort_keys=True))
        for value in found(queries, ("metricsSpec",)):
            if value["type"] == "passthrough":
                continue
            renamed = {**value, "name": "m", **({"fieldName": "m"} if "fieldName" in value else {})}
            assert json.dumps(renamed, sort_keys=True) in forms
            checked += 1
    assert checked > 20
