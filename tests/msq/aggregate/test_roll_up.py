"""States that were rolled up into segments answer as the rows they came from, also after a second roll-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine, EngineSettings

ROWS = [
    {"t": f"2024-03-0{1 + i % 3}T{i % 24:02d}:00:00Z", "k": "ab"[i % 2], "u": f"user{i % 37}",
     "n": i if i % 5 else None, "d": i / 4, "ms": i * 1000}
    for i in range(250)  # fewer than the quantiles sketch keeps exactly
]  # fmt: skip
EXTERN = (
    "TABLE(EXTERN('{}', '{{\"type\":\"json\"}}')) "
    'EXTEND ("t" VARCHAR, "k" VARCHAR, "u" VARCHAR, "n" BIGINT, "d" DOUBLE, "ms" BIGINT)'
)
DIRECT = {
    "c": "COUNT(*)", "cn": "COUNT(n)", "s": "SUM(n)", "sd": "SUM(d)", "lo": "MIN(n)", "hi": "MAX(d)",
    "f": "COUNT(*) FILTER (WHERE n > 100)", "e": "EARLIEST_BY(u, MILLIS_TO_TIMESTAMP(ms), 5)",
    "l": "LATEST_BY(n, MILLIS_TO_TIMESTAMP(ms))", "ld": "LATEST_BY(d, MILLIS_TO_TIMESTAMP(ms))",
    "h": "APPROX_COUNT_DISTINCT_DS_HLL(u)", "th": "APPROX_COUNT_DISTINCT_DS_THETA(u)", "cd": "COUNT(DISTINCT u)",
    "hs": "DS_HLL(n)", "ts": "DS_THETA(n, 64)", "q": "DS_QUANTILES_SKETCH(d)", "tu": "DS_TUPLE_DOUBLES(u, d, 64)",
    "va": "VAR_SAMP(d)",
}  # fmt: skip
AGAIN = {
    "c": "SUM(c)", "cn": "SUM(cn)", "s": "SUM(s)", "sd": "SUM(sd)", "lo": "MIN(lo)", "hi": "MAX(hi)", "f": "SUM(f)",
    "e": "EARLIEST_BY(e, __time, 5)", "l": "LATEST_BY(l, __time)", "ld": "LATEST_BY(ld, __time)",
    "h": "APPROX_COUNT_DISTINCT_DS_HLL(h)", "th": "APPROX_COUNT_DISTINCT_DS_THETA(th)", "cd": "COUNT(DISTINCT cd)",
    "hs": "DS_HLL(hs)", "ts": "DS_THETA(ts, 64)", "q": "DS_QUANTILES_SKETCH(q)", "tu": "DS_TUPLE_DOUBLES(tu, 64)",
    "va": "VAR_SAMP(va)",
}  # fmt: skip
READ = {
    "hs": "HLL_SKETCH_ESTIMATE({})", "ts": "THETA_SKETCH_ESTIMATE({})", "q": "DS_GET_QUANTILE({}, 0.3)",
    "tu": "DS_TUPLE_DOUBLES_METRICS_SUM_ESTIMATE({})",
}  # fmt: skip
ROLL_UP = {"finalizeAggregations": False, "groupByEnableMultiValueUnnesting": False}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(EngineSettings(data_dir=tmp_path_factory.mktemp("roll_up"), threads=2)) as made:
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return EXTERN.format(json.dumps({"type": "local", "files": [str(path)]}))


def run(engine: Engine, sql: str, context: dict[str, Any] | None = None) -> Any:
    outcome = engine.execute(sql, context or {})
    assert outcome.status == "SUCCESS", outcome.fault
    return outcome.rows


def items(calls: dict[str, str], read: bool) -> str:
    return ", ".join(f"{READ[k].format(c) if read and k in READ else c} AS {k}" for k, c in calls.items())


@pytest.mark.slow
def test_states_in_segments_answer_as_their_rows(engine: Engine, source: str) -> None:
    floor = "TIME_FLOOR(TIME_PARSE(t), '{}') AS __time"
    run(engine, f"REPLACE INTO fine OVERWRITE ALL SELECT {floor.format('PT1H')}, k, {items(DIRECT, False)} "
                f"FROM {source} GROUP BY 1, 2 PARTITIONED BY DAY", ROLL_UP)  # fmt: skip
    assert run(engine, "SELECT COUNT(*) FROM fine")[0][0] < len(ROWS)
    run(engine, "REPLACE INTO coarse OVERWRITE ALL SELECT TIME_FLOOR(__time, 'P1D') AS __time, k, "
                f"{items(AGAIN, False)} FROM fine GROUP BY 1, 2 PARTITIONED BY ALL", ROLL_UP)  # fmt: skip
    assert run(engine, "SELECT COUNT(*) FROM coarse") == [[6]]
    columns = dict(engine.table_columns("coarse"))
    assert columns["e"] == "COMPLEX<serializablePairLongString>"
    assert columns["tu"] == "COMPLEX<arrayOfDoublesSketch>"
    for keys, group in (("k, ", " GROUP BY 1 ORDER BY 1"), ("", "")):
        wanted = run(engine, f"SELECT {keys}{items(DIRECT, True)} FROM {source}{group}")
        for table in ("fine", "coarse"):
            got = run(engine, f"SELECT {keys}{items(AGAIN, True)} FROM {table}{group}")
            for one, other in zip(wanted, got, strict=True):
                for value, answer in zip(one, other, strict=True):
                    assert answer == (pytest.approx(value) if isinstance(value, float) else value)
