"""`msq demo`: the main job on data made on the spot: ingest, report, segment, query."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

from controller.cli import exits
from controller.cli.console import output
from msq.intervals import format_instant

_START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_PAGES = ("home", "search", "product", "cart", "checkout", "help", "about", "login")
_COUNTRIES = ("FR", "DE", "US", "BR", "IN", "JP", "NG", "AU", None)
_DEVICES = ("phone", "tablet", "desktop")
_TAGS = ("new", "promo", "bot", "mobile", "returning")


def demo_command(rows: int, data_dir: Path, memory: str) -> int:
    """Runs the demonstration and answers the exit code of the first step that fails, else SUCCESS."""
    from controller.cli.report import report_command
    from controller.cli.run import run_command
    from controller.cli.segment import segment_command

    console = output()
    folder = data_dir / "demo"
    source = folder / "clicks.json.gz"
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"[bold]Sample data[/]: {rows:,} click events in {source}")
    write_clicks(source, rows)
    ingest, select, report = folder / "ingest.sql", folder / "query.sql", folder / "report.json"
    ingest.write_text(ingest_sql(source.resolve()), encoding="utf-8")
    select.write_text(QUERY, encoding="utf-8")
    console.print(f"\n[bold]msq run {ingest}[/]\n[dim]{ingest.read_text()}[/]")
    code = run_command(str(ingest), data_dir, ["maxNumTasks=3"], memory, None, report, "auto", False)
    if code != exits.SUCCESS:
        return code
    console.print(f"\n[bold]msq report {report}[/]")
    code = report_command(str(report), data_dir, False)
    if code != exits.SUCCESS:
        return code
    console.print("\n[bold]msq segment clicks[/]")
    code = segment_command("clicks", data_dir, False, None, None, False)
    if code != exits.SUCCESS:
        return code
    console.print(f"\n[bold]msq run {select}[/]\n[dim]{QUERY}[/]")
    return run_command(str(select), data_dir, [], memory, None, None, "table", False)


def ingest_sql(source: Path) -> str:
    files = json.dumps({"type": "local", "files": [str(source)]}).replace("'", "''")
    return f"""REPLACE INTO "clicks" OVERWRITE ALL
SELECT
  TIME_PARSE("timestamp") AS __time,
  "country", "page", "device", "user_id", "duration_ms", "price", "tags"
FROM TABLE(
  EXTERN('{files}', '{{"type":"json"}}')
) EXTEND (
  "timestamp" VARCHAR, "country" VARCHAR, "page" VARCHAR, "device" VARCHAR, "user_id" VARCHAR,
  "duration_ms" BIGINT, "price" DOUBLE, "tags" VARCHAR
)
PARTITIONED BY DAY
CLUSTERED BY "country", "page"
"""


QUERY = """SELECT "country", COUNT(*) AS clicks, COUNT(DISTINCT "user_id") AS users, AVG("duration_ms") AS mean_ms
FROM "clicks"
WHERE "page" = 'product'
GROUP BY "country"
ORDER BY clicks DESC
LIMIT 5
"""


def write_clicks(path: Path, rows: int, seed: int = 7) -> None:
    """Writes `rows` click events over three days as gzipped JSON lines; the same for the same seed."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as out:
        out.writelines(_clicks(rows, random.Random(seed)))


def _clicks(rows: int, rng: random.Random) -> Iterator[str]:
    step = 3 * 86_400_000 / max(rows, 1)
    for number in range(rows):
        event = {
            "timestamp": format_instant(_START + int(number * step)), "country": rng.choice(_COUNTRIES),
            "page": rng.choice(_PAGES), "device": rng.choice(_DEVICES), "user_id": f"u{rng.randrange(rows // 8 + 1)}",
            "duration_ms": rng.randrange(20_000), "price": round(rng.random() * 90, 2) if rng.random() < 0.3 else None,
            "tags": rng.sample(_TAGS, rng.randrange(3)),
        }  # fmt: skip
        yield json.dumps(event) + "\n"
