"""`python -m tests.properties.fuzz [STATEMENTS] [--seed N]`: the fuzzer by hand, for as long as one likes.

Every seed makes its own tables and statements in a data folder of its own. A difference is printed and counted, and the
next statement goes on; the last line tells the counts, and the exit code whether there was any difference.

`--calls N` makes N random calls of each scalar function instead (see calls.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from controller.engine import Engine
from msq.expr.registry import sql_functions
from msq.sql.functions import functions
from tests.properties.calls import arguments, outcome
from tests.properties.checks import CHECKS, Comparison
from tests.properties.oracle import Difference, Places, settings

CHECKS_A_SEED = 400


@dataclass
class Totals:
    """What became of all checks, by kind; calls by function; refusals by their text; statements that ran."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    differences: int = 0

    def show(self) -> None:
        """Prints a line a kind, the functions that were never called, and the most frequent refusals."""
        for kind in CHECKS:
            became = {what: count for (of, what), count in sorted(self.counts.items()) if of == kind}
            print(f"{kind:12} {sum(became.values()):>8,}  " + ", ".join(f"{n:,} {w}" for w, n in became.items()))
        names = {f.name for f in functions() if f.kind != "table" and not f.extension}
        print(f"{len(names & self.used.keys())} of {len(names)} functions and operators called")
        print("never called: " + (", ".join(sorted(names - self.used.keys())) or "none"))
        print("least called: " + ", ".join(f"{n} {c}" for n, c in self.used.most_common()[:-11:-1]))
        print("refusals: " + "; ".join(f"{count} {text}" for text, count in self.refusals.most_common(25)))


def run(statements: int, seed: int, kind: str | None = None) -> Totals:
    """Makes checks until so many statements have run, and prints what differs."""
    total = Totals()
    began = time.monotonic()
    while total.statements < statements:
        dice = Random(seed)
        wild = seed % 3 == 2
        with (
            tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
            Engine(settings(Path(folder))) as engine,
        ):
            comparison = Comparison(Places(engine, dice, wild), dice, total.used, total.counts, total.refusals)
            for _ in range(CHECKS_A_SEED):
                if total.statements + comparison.statements >= statements:
                    break
                try:
                    comparison.one(kind)
                # whatever escapes a check is a finding to print; the run goes on
                except Exception as error:
                    total.differences += 1
                    known = "" if isinstance(error, Difference) else traceback.format_exc()
                    print(f"-- seed {seed}: {known}{error}\n", flush=True)
            total.statements += comparison.statements
            comparison.places.close()
        spent = time.monotonic() - began
        became = f"{total.statements:,} statements, {total.differences} differences"
        print(f"seed {seed}: {became}, {total.statements / spent:.1f}/s", file=sys.stderr, flush=True)
        seed += 1
    return total


def run_calls(calls: int, seed: int) -> dict[str, int]:
    """Counts of what became of so many calls of each function; `differences` are defects."""
    total = {"ran": 0, "refused": 0, "failed": 0, "differences": 0}
    dice = Random(seed)
    for name in sql_functions():
        for _ in range(calls):
            args = arguments(dice, name)
            try:
                total[outcome(name, args)] += 1
            # whatever escapes a call is a finding to print; the run goes on
            except Exception as error:
                total["differences"] += 1
                shown = ", ".join(str(a.node) for a in args)
                print(f"-- {name}({shown}): {type(error).__name__}: {error}\n", flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.properties.fuzz", description=__doc__)
    parser.add_argument("statements", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--kind", choices=[*CHECKS])
    given = parser.parse_args()
    if given.calls:
        calls = run_calls(given.calls, given.seed)
        print(", ".join(f"{count:,} {name}" for name, count in calls.items()))
        sys.exit(1 if calls["differences"] else 0)
    total = run(given.statements, given.seed, given.kind)
    total.show()
    print(f"{total.statements:,} statements, {total.differences:,} differences")
    sys.exit(1 if total.differences else 0)


if __name__ == "__main__":
    main()
