"""Text keys grouped by place give the groups that texts give."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import msq.aggregate  # noqa: F401
from msq.aggregate import coded
from msq.aggregate.compute import Grouping, group
from msq.aggregate.counts import CountAggregator, LongSumAggregator
from msq.codec import decode
from msq.datatypes import LONG, STRING, RowSignature
from msq.native.filters import DimFilter
from msq.native.query import DefaultDimensionSpec
from tests.harness.processors import shared_connection

SIGNATURE = RowSignature([("a", STRING), ("b", STRING), ("n", LONG)])
SUMS = (CountAggregator("c"), LongSumAggregator("s", "n"))


def batches(plain: bool) -> Iterator[pa.RecordBatch]:
    """Rows of three segments, each with dictionaries of its own: many texts, few, and nulls."""
    rng = random.Random(7)
    for segment in range(3):
        rows = [
            (rng.choice([None, f"é{rng.randrange(300) + 100 * segment}", ""]), rng.choice("xyz"), rng.randrange(9))
            for _ in range(2_000)
        ]
        texts = [pa.array([r[i] for r in rows]) for i in (0, 1)]
        columns = texts if plain else [t.dictionary_encode() for t in texts]
        whole = pa.record_batch([*columns, pa.array([r[2] for r in rows])], names=list(SIGNATURE.names))
        yield from (whole.slice(0, 1_500), whole.slice(1_500))


def groups(grouping: Grouping, plain: bool) -> dict[Any, tuple[int, int]]:
    names = [k.output_name for k in grouping.keys]
    out: dict[Any, tuple[int, int]] = {}
    for batch in group(batches(plain), grouping, shared_connection()):
        for row in batch.to_pylist():
            key = tuple(row[n] for n in names)
            count, total = out.get(key, (0, 0))
            out[key] = count + row["c"], total + row["s"]
    return out


@pytest.mark.parametrize("block_rows", [1, 8_000_000])
@pytest.mark.parametrize("names", [("a",), ("b", "a"), ("a", "a"), ("b",)])
@pytest.mark.parametrize("filtered", [False, True])
def test_places_and_texts_give_the_same_groups(
    names: tuple[str, ...], filtered: bool, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded, "BLOCK_ROWS", block_rows)
    keys = tuple(DefaultDimensionSpec(name, f"k{i}", STRING) for i, name in enumerate(names))
    where = decode(DimFilter, {"type": "equals", "column": "a", "matchValueType": "STRING", "matchValue": "é150"})
    grouping = Grouping(keys, SUMS, SIGNATURE, filter=where if filtered else None)
    first = next(batches(False))
    assert coded.coded_columns(keys, (), first) == (["a"] if "a" in names else [])
    made = groups(grouping, plain=False)
    assert made == groups(grouping, plain=True)
    assert sum(count for count, _ in made.values()) == 6_000 or filtered


def test_what_stays_as_it_is() -> None:
    first = next(batches(False))
    keys = (DefaultDimensionSpec("a", "k0", STRING),)
    assert coded.coded_columns(keys, ("a",), first) == []  # a virtual column of the same name
    assert coded.coded_columns((DefaultDimensionSpec("a", "k0", LONG),), (), first) == []
    assert coded.coded_columns(keys, (), first.slice(0, 600)) == []  # too few rows for so many texts
    assert coded.coded_columns(keys, (), next(batches(True))) == []
