"""Every scalar function with arguments of every kind: refused, run, or failed by name; never a Python exception."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from msq.expr.registry import sql_functions
from tests.properties.calls import arguments, outcome

CALLS = 4


@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls_of_every_function(seed: int) -> None:
    dice = Random(seed)
    counts = Counter[str]()
    for name in sql_functions():
        for _ in range(CALLS):
            args = arguments(dice, name)
            try:
                counts[outcome(name, args)] += 1
            # only to say which call it was: the failure stays one
            except Exception as error:
                raise AssertionError(f"{name}({', '.join(str(a.node) for a in args)})") from error
    assert min(counts[what] for what in ("refused", "ran")) > len(sql_functions())
