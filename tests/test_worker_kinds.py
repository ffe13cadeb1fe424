"""The engine with worker processes: a task's statements give what threads give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine, EngineSettings
from controller.launch.children import CHILDREN


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_ingest_and_select(tmp_path: Path, kind: str) -> None:
    rows = [{"t": f"2024-03-0{n % 2 + 1}", "k": f"k{n % 3}", "v": n} for n in range(30)]
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(r) + "\n" for r in rows))
    source = json.dumps({"type": "local", "baseDir": str(tmp_path), "filter": "*.json"})
    sql = f"""REPLACE INTO t OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, COUNT(*) AS c, SUM(v) AS v
FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND (t VARCHAR, k VARCHAR, v BIGINT)
GROUP BY 1, 2 PARTITIONED BY DAY"""
    with Engine(EngineSettings(tmp_path / "data", threads=1, workers=kind)) as engine:
        done = engine.execute(sql, {"maxNumTasks": 3})
        assert done.status == "SUCCESS", done.fault
        select = engine.execute("SELECT k, SUM(c) AS c, SUM(v) AS v FROM t GROUP BY 1 ORDER BY 1", {"maxNumTasks": 3})
        assert select.rows == [["k0", 20, 270], ["k1", 20, 290], ["k2", 20, 310]]
        workers: dict[str, Any] = done.report["multiStageQuery"]["payload"]["status"]["workers"]
        assert len(workers) == 2
    assert not CHILDREN.busy
