"""The whole engine against DuckDB: random statements over the same random rows give the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from controller.engine import Engine, EngineSettings
from msq.faults import DruidException
from tests.properties.statements import TABLES, Generator, random_rows

SEEDS = range(3)
STATEMENTS = 40
CONTEXTS: list[dict[str, Any]] = [{}, {}, {"sqlJoinAlgorithm": "sortMerge"}, {"maxNumTasks": 3}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(EngineSettings(data_dir=Path(tmp_path_factory.mktemp("engine")), threads=2)) as made:
        yield made


def fill(engine: Engine, other: duckdb.DuckDBPyConnection, dice: Random) -> None:
    """The same rows in both, in tables that are replaced."""
    for table, columns in TABLES.items():
        rows = random_rows(dice, table, dice.randint(8, 16))
        declared = ", ".join(f"{c} {k}" for c, k in columns.items())
        other.execute(f"CREATE TABLE {table} ({declared})")
        places = ", ".join("?" * len(columns))
        other.executemany(f"INSERT INTO {table} VALUES ({places})", [[*row.values()] for row in rows])
        source = json.dumps({"type": "inline", "data": "\n".join(map(json.dumps, rows))})
        answer(
            engine,
            f"""REPLACE INTO {table} OVERWRITE ALL
            SELECT TIMESTAMP '2024-01-01' AS __time, {", ".join(columns)}
            FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND ({declared}) PARTITIONED BY ALL""",
            {},
        )


def answer(engine: Engine, sql: str, context: dict[str, Any]) -> list[list[Any]]:
    payload = engine.execute(sql, context).report["multiStageQuery"]["payload"]
    assert payload["status"]["status"] == "SUCCESS", f"{sql}\n{payload['status']}"
    rows: list[list[Any]] = payload.get("results", {}).get("results", [])
    return rows


def comparable(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    made = [tuple(v if v is None or isinstance(v, str) else int(v) for v in row) for row in rows]
    return sorted(made, key=lambda row: [(v is not None, str(v)) for v in row])


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements(engine: Engine, seed: int) -> None:
    dice = Random(seed)
    answered = 0
    with duckdb.connect() as other:
        other.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        fill(engine, other, dice)
        made = Generator(dice)
        for _ in range(STATEMENTS):
            sql, context = made.statement(), dice.choice(CONTEXTS)
            wanted = other.execute(sql).fetchall()
            if len(wanted) > 3000:
                continue
            try:
                found = answer(engine, sql, context)
            except DruidException as refused:
                assert "could not be planned" in refused.message, f"{sql}\n{refused.message}"
                continue
            assert comparable(found) == comparable(wanted), f"{sql}\n{context}"
            answered += 1
    assert answered > STATEMENTS * 0.7
