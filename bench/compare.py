"""`python -m bench.compare BEFORE.json AFTER.json`: two results of `python -m bench --json` as one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MEASURES = (("ratio", "×"), ("cpu_ratio", "×"), ("seconds", " s"), ("cpu_seconds", " s"), ("peak_mib", " MiB"))
"""What is compared of a job, where both results have it."""


def read(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The results of a file by job and number of rows."""
    return {(r["job"], r["rows"]): r for r in json.loads(path.read_text()) if "job" in r}


def table(before: dict[tuple[str, int], dict[str, Any]], after: dict[tuple[str, int], dict[str, Any]]) -> list[str]:
    """One line for each measure of each job that both hold, in the order of `after`."""
    lines = [f"{'job':26}{'rows':>12}  {'measure':14}{'before':>14}{'after':>14}{'change':>9}"]
    for (job, rows), new in after.items():
        old = before.get((job, rows), {})
        for name, unit in MEASURES:
            if name not in old or name not in new:
                continue
            change = (new[name] / old[name] - 1) * 100 if old[name] else 0.0
            was, now = f"{old[name]:.2f}{unit}", f"{new[name]:.2f}{unit}"
            lines.append(f"{job:26}{rows:>12,}  {name:14}{was:>14}{now:>14}{change:>+8.0f}%")
    return lines


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print("\n".join(table(read(Path(sys.argv[1])), read(Path(sys.argv[2])))))


if __name__ == "__main__":
    main()
