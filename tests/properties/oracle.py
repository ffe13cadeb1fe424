"""DuckDB as the oracle of random statements: the same random rows in both, the same rows out of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import duckdb

from controller.engine import Engine
from msq.faults import DruidException
from tests.properties.statements import TABLES, Generator, random_rows

MOST_ROWS = 3000
"""A statement that answers more is left out: it is a cross join of cross joins."""
CONTEXTS: list[dict[str, Any]] = [{}, {}, {"sqlJoinAlgorithm": "sortMerge"}, {"maxNumTasks": 3}]


class Difference(AssertionError):
    """Both answered, and not the same; or one failed where the other answered."""


@dataclass
class Comparison:
    """Random statements of one seed, compared one by one. Counts what became of them."""

    engine: Engine
    seed: int
    counts: dict[str, int] = field(default_factory=lambda: {"same": 0, "refused": 0, "left out": 0})

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)
        self._other = duckdb.connect()
        self._other.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        self._fill()
        self._generator = Generator(self._dice)

    def close(self) -> None:
        self._other.close()

    def _fill(self) -> None:
        """The same rows in both, in tables that are replaced."""
        for table, columns in TABLES.items():
            rows = random_rows(self._dice, table, self._dice.randint(8, 16))
            declared = ", ".join(f"{c} {k}" for c, k in columns.items())
            self._other.execute(f"CREATE TABLE {table} ({declared})")
            places = ", ".join("?" * len(columns))
            self._other.executemany(f"INSERT INTO {table} VALUES ({places})", [[*row.values()] for row in rows])
            source = json.dumps({"type": "inline", "data": "\n".join(map(json.dumps, rows))})
            self._answer(
                f"""REPLACE INTO {table} OVERWRITE ALL
                SELECT TIMESTAMP '2024-01-01' AS __time, {", ".join(columns)}
                FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND ({declared}) PARTITIONED BY ALL""",
                {},
            )

    def _answer(self, sql: str, context: dict[str, Any]) -> list[list[Any]]:
        payload = self.engine.execute(sql, context).report["multiStageQuery"]["payload"]
        if payload["status"]["status"] != "SUCCESS":
            raise Difference(f"{sql}\n{context}\n{payload['status']}")
        rows: list[list[Any]] = payload.get("results", {}).get("results", [])
        return rows

    def one(self) -> str:
        """Compares the next statement; says what became of it: a key of `counts`. Raises Difference."""
        sql, context = self._generator.statement(), self._dice.choice(CONTEXTS)
        became = self._compare(sql, context)
        self.counts[became] += 1
        return became

    def _compare(self, sql: str, context: dict[str, Any]) -> str:
        wanted = self._other.execute(sql).fetchmany(MOST_ROWS + 1)
        if len(wanted) > MOST_ROWS:
            return "left out"
        try:
            found = self._answer(sql, context)
        except DruidException as refused:
            if "could not be planned" not in refused.message:
                raise Difference(f"{sql}\n{context}\nrefused: {refused.message}") from refused
            return "refused"
        if comparable(found) != comparable(wanted):
            raise Difference(f"{sql}\n{context}\nhere   {comparable(found)}\nDuckDB {comparable(wanted)}")
        return "same"


def comparable(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows without an order, numbers as integers."""
    made = [tuple(v if v is None or isinstance(v, str) else int(v) for v in row) for row in rows]
    return sorted(made, key=lambda row: [(v is not None, str(v)) for v in row])
