"""The whole engine against DuckDB: random statements over the same random rows give the same rows.

`python -m tests.properties.fuzz 100000` does the same for as many statements as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.engine import Engine, EngineSettings
from tests.properties.oracle import Comparison

SEEDS = range(3)
STATEMENTS = 40


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(EngineSettings(data_dir=Path(tmp_path_factory.mktemp("engine")), threads=2)) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements(engine: Engine, seed: int) -> None:
    comparison = Comparison(engine, seed)
    for _ in range(STATEMENTS):
        comparison.one()
    comparison.close()
    assert comparison.counts["same"] > STATEMENTS * 0.7
