"""`python -m bench [JOB ...]`: every job on ours and on DuckDB's sorted write, interleaved; ratios, memory, phases.

python -m bench                      the small jobs (465 k events)
python -m bench --large 1000000      the order-line jobs too, at that many rows
python -m bench --curve              one job over 1, 5 and 10 M rows
python -m bench --start              `msq run` on a small file as a whole process
python -m bench --segments           growth over 1 to 1,000 segments
python -m bench functions [--only X] every function beside the bare DuckDB expression, slowest first
python -m bench --rounds 5 --json results.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import data, jobs

HERE = Path(__file__).resolve().parent
# programs that are installed have their modules compiled; a setting of the developer's shell must not count as start-up
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def child(side: str, job: str, rows: int, folder: Path, outputs: Path, memory: str) -> dict[str, Any]:
    """One run in a process of its own, which reads of `folder` and writes into a new folder under `outputs`."""
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=outputs))
    done = subprocess.run(
        [sys.executable, "-m", "bench.child", side, job, str(rows), str(folder), str(work), memory],
        capture_output=True, text=True, cwd=HERE.parent, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{side} {job} failed:\n{done.stderr[-3000:]}")
    out: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return out


def compare(name: str, rows: int, folder: Path, memory: str, rounds: int) -> dict[str, Any]:
    """Interleaved rounds of one job; medians, and of the pairs' ratios too, by the clock and in CPU seconds."""
    jobs_made = next(m for m in (*jobs.SMALL, *jobs.LARGE) if m.__name__ == name)(folder, rows)
    ours, theirs = [], []
    outputs = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    try:
        # what the runs wrote stays until the last one: file systems make new files slowly behind many deleted ones
        for _ in range(rounds):
            ours.append(child("ours", name, rows, folder, outputs, memory))
            theirs.append(child("duckdb", name, rows, folder, outputs, memory))
    finally:
        shutil.rmtree(outputs, ignore_errors=True)
    for mine, peer in zip(ours, theirs, strict=True):
        if mine["rows"] != peer["rows"]:
            raise SystemExit(f"{name}: {mine['rows']} rows here, {peer['rows']} in DuckDB")
    return {
        "job": jobs_made.name, "rows": rows,
        "ratio": statistics.median(m["seconds"] / p["seconds"] for m, p in zip(ours, theirs, strict=True)),
        "seconds": statistics.median(m["seconds"] for m in ours),
        "duckdb_seconds": statistics.median(p["seconds"] for p in theirs),
        "cpu_ratio": statistics.median(m["cpu_seconds"] / p["cpu_seconds"] for m, p in zip(ours, theirs, strict=True)),
        "cpu_seconds": statistics.median(m["cpu_seconds"] for m in ours),
        "duckdb_cpu_seconds": statistics.median(p["cpu_seconds"] for p in theirs),
        "peak_mib": max(m["peak_mib"] for m in ours), "duckdb_peak_mib": max(p["peak_mib"] for p in theirs),
        "segments": ours[0]["files"], "phases": ours[-1]["phases"],
    }  # fmt: skip


HEAD = f"{'job':26}{'rows':>12}{'ours':>9}{'DuckDB':>9}{'ratio':>8}{'of CPU':>8}{'peak':>10}{'DuckDB':>10}  phases (s)"


def show(row: dict[str, Any]) -> None:
    phases = ", ".join(f"{k} {v:.2f}" for k, v in row["phases"].items())
    print(
        f"{row['job']:26}{row['rows']:>12,}{row['seconds']:>8.2f}s{row['duckdb_seconds']:>8.2f}s{row['ratio']:>7.2f}×"
        f"{row['cpu_ratio']:>7.2f}×"
        f"{row['peak_mib']:>6.0f} MiB{row['duckdb_peak_mib']:>6.0f} MiB  {phases}",
        flush=True,
    )


def start_time(folder: Path, rounds: int) -> dict[str, Any]:
    """`msq run` on 1,000 events: the whole process, imports included."""
    job = jobs.documented_example(folder, 1_000)
    seconds = []
    for _ in range(rounds):
        work = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        statement = work / "job.sql"
        statement.write_text(job.sql)
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "msq", "run", str(statement), "--data-dir", str(work / "data"), "--quiet"],
            cwd=HERE.parent, check=True, env=ENVIRONMENT,
        )  # fmt: skip
        seconds.append(time.perf_counter() - began)
        shutil.rmtree(work, ignore_errors=True)
    return {"job": "msq-run-small-file", "rows": 1_000, "seconds": statistics.median(seconds)}


def segments_growth(folder: Path) -> list[dict[str, Any]]:
    """How long a small append takes, and a count, behind 1, 10, 100 and 1,000 segments."""
    import msq

    work = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    out = []
    try:
        for count in (1, 10, 100, 1_000):
            table = f"grow_{count}"
            hours = ", ".join(f"('{h}')" for h in range(count))
            fill = (
                f"REPLACE INTO {table} OVERWRITE ALL "
                "SELECT MILLIS_TO_TIMESTAMP(CAST(h AS BIGINT) * 3600000) AS __time, h "
                f"FROM (VALUES {hours}) AS t(h) PARTITIONED BY HOUR"
            )
            append = (
                f"INSERT INTO {table} SELECT TIMESTAMP '1970-01-01 00:00:00' AS __time, 'x' AS h PARTITIONED BY HOUR"
            )
            began = time.perf_counter()
            made = msq.run(fill, data_dir=work)
            filled = time.perf_counter()
            msq.run(append, data_dir=work)
            appended = time.perf_counter()
            msq.run(f"SELECT COUNT(*) FROM {table}", data_dir=work)
            out.append({
                "segments": len(made.segments), "write": filled - began, "append": appended - filled,
                "count": time.perf_counter() - appended,
            })  # fmt: skip
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    known = [m.__name__ for m in (*jobs.SMALL, *jobs.LARGE)]
    parser.add_argument(
        "jobs", nargs="*", metavar="JOB", help=f"server, functions, or of {', '.join(known)} (default: the small ones)"
    )
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder of the generated data")
    parser.add_argument("--large", type=int, default=0, help="rows of the order-line jobs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--segments", action="store_true")
    parser.add_argument("--only", default="", help="of functions: part of a name, or a kind")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    args.data.mkdir(parents=True, exist_ok=True)
    unknown = [name for name in args.jobs if name not in known]
    if unknown and args.jobs not in (["server"], ["functions"]):
        parser.error(f"there is no job [{unknown[0]}]: known are [server], [functions], [{', '.join(known)}]")
    if args.jobs == ["server"]:
        from bench import server

        server.main(args.data, args.large or 1_000_000, args.rounds)
        return
    if args.jobs == ["functions"]:
        from bench import functions

        rates = functions.main(args.data, args.large or 1_000_000, args.rounds, args.only)
        if args.json:
            args.json.write_text(json.dumps(rates, indent=1) + "\n")
        return
    wanted = [(m.__name__, data.EVENT_ROWS) for m in jobs.SMALL]
    if args.large:
        wanted += [(m.__name__, args.large) for m in jobs.LARGE]
    if args.curve:
        wanted = [("lines_parquet", n) for n in (1_000_000, 5_000_000, 10_000_000)]
    if args.jobs:
        rows = args.large or 1_000_000
        small = {m.__name__ for m in jobs.SMALL}
        wanted = [(n, data.EVENT_ROWS if n in small else rows) for n in args.jobs]
    results: list[dict[str, Any]] = []
    if args.start:
        results.append(start_time(args.data, args.rounds))
        print(f"msq run, small file, whole process: {results[-1]['seconds']:.2f} s")
    elif args.segments:
        results = segments_growth(args.data)
        for row in results:
            print(f"{row['segments']:>6,} segments: write {row['write']:.2f} s, append {row['append']:.2f} s, "
                  f"count {row['count']:.2f} s")  # fmt: skip
    else:
        print(HEAD)
        for name, rows in wanted:
            results.append(compare(name, rows, args.data, args.memory, args.rounds))
            show(results[-1])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
