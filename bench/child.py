"""One run of one job in a process of its own, so that its peak memory is its own: prints one JSON line.

python -m bench.child ours|duckdb JOB ROWS DATA_FOLDER WORK_FOLDER MEMORY
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from bench import jobs


def find(name: str, folder: Path, rows: int) -> jobs.Job:
    for make in (*jobs.SMALL, *jobs.LARGE):
        if make.__name__ == name:
            return make(folder, rows)
    raise SystemExit(f"unknown job [{name}]")


def run_ours(job: jobs.Job, work: Path, memory: str) -> dict[str, Any]:
    """Through the library, as a user's program would: parse to published."""
    import msq

    # imports are not part of a job, on either side
    for module in ("controller.library", "controller.engine", "msq.sql.bind", "worker.remote.preload"):
        importlib.import_module(module)

    started, cpu = time.perf_counter(), time.process_time()
    result = msq.run(job.sql, data_dir=work, context={"maxNumTasks": 2, **job.context}, memory=memory)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    stages = result.report_json["multiStageQuery"]["payload"]["stages"]
    return {
        "seconds": seconds, "cpu_seconds": cpu_seconds,
        "rows": sum(s.total_rows or 0 for s in result.segments), "files": len(result.segments),
        "bytes": sum(s.size for s in result.segments),
        "phases": {s["definition"]["processor"]["type"]: s.get("duration", 0) / 1000 for s in stages},
    }  # fmt: skip


def run_duckdb(job: jobs.Job, work: Path, memory: str) -> dict[str, Any]:
    """The sorted write: sort into a temporary table, one Parquet file for each chunk."""
    import duckdb

    work.mkdir(parents=True, exist_ok=True)
    started, cpu = time.perf_counter(), time.process_time()
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(work / "tmp")}) as con:
        keys = job.order if job.chunk is None else f"{job.chunk}, {job.order}"
        con.execute(f"CREATE TEMP TABLE sorted AS SELECT * FROM ({job.load}) ORDER BY {keys}")
        read = time.perf_counter() - started
        found = con.execute("SELECT count(*) FROM sorted").fetchone()
        assert found is not None
        if job.chunk is None:
            con.execute(f"COPY sorted TO '{work / 'all.parquet'}' (FORMAT parquet)")
        else:
            chunks = con.execute(f"SELECT {job.chunk} AS c, count(*) FROM sorted GROUP BY 1 ORDER BY 1").fetchall()
            at = 0
            for number, (_, count) in enumerate(chunks):
                # rows stand in chunk order, so a chunk is a range of row ids and costs one range scan
                con.execute(f"COPY (SELECT * FROM sorted WHERE rowid >= {at} AND rowid < {at + count}) "
                            f"TO '{work / f'{number}.parquet'}' (FORMAT parquet)")  # fmt: skip
                at += count
    files = list(work.glob("*.parquet"))
    return {
        "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
        "rows": found[0], "files": len(files),
        "bytes": sum(f.stat().st_size for f in files), "phases": {"read+sort": read},
    }  # fmt: skip


def main() -> None:
    side, name, rows, folder, work, memory = sys.argv[1:7]
    job = find(name, Path(folder), int(rows))
    run = run_ours if side == "ours" else run_duckdb
    out = run(job, Path(work), memory)
    out["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(out))


if __name__ == "__main__":
    main()
