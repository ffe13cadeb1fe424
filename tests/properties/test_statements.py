"""Random statements of the registries' functions: the same values here, in DuckDB, and by every other way to them.

`python -m tests.properties.fuzz 100000` does the same for as many statements as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.engine import Engine
from msq.sql.functions import functions
from tests.properties import oracle
from tests.properties import vocabulary as words
from tests.properties.checks import CHECKS, Comparison
from tests.properties.oracle import Places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with Engine(oracle.settings(Path(tmp_path_factory.mktemp("engine")))) as engine:
        made = Places(engine, Random(3), wild=False)
        yield made
        made.close()


@pytest.mark.parametrize("kind", CHECKS)
@settings(max_examples=4, derandomize=True, deadline=None, database=None, suppress_health_check=[*HealthCheck])
@given(dice=st.randoms(use_true_random=False))
def test_random_statements(places: Places, kind: str, dice: Random) -> None:
    comparison = Comparison(places, dice)
    became = comparison.one(kind)
    assert comparison.counts[kind, became] == 1


def test_every_function_can_be_called() -> None:
    reached = {template.name for template in words.templates()}
    assert {f.name for f in functions() if f.kind != "table"} - reached == {"EXISTS"}
