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
from pathlib import Path
from random import Random

from controller.engine import Engine, EngineSettings
from msq.expr.registry import sql_functions
from tests.properties.calls import arguments, outcome
from tests.properties.oracle import Comparison, Difference

STATEMENTS_A_SEED = 500


def run(statements: int, seed: int) -> dict[str, int]:
    """Counts of what became of so many statements; `differences` among them."""
    total = {"same": 0, "refused": 0, "left out": 0, "differences": 0}
    began = time.monotonic()
    while (done := sum(total.values())) < statements:
        with (
            tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
            Engine(EngineSettings(data_dir=Path(folder), threads=2)) as engine,
        ):
            comparison = Comparison(engine, seed)
            for _ in range(min(STATEMENTS_A_SEED, statements - done)):
                try:
                    total[comparison.one()] += 1
                # whatever escapes the engine is a finding to print; the run goes on
                except Exception as error:
                    total["differences"] += 1
                    kind = "" if isinstance(error, Difference) else f"{type(error).__name__}: "
                    print(f"-- seed {seed}: {kind}{error}\n", flush=True)
            comparison.close()
        print(f"seed {seed}: {total}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
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
    given = parser.parse_args()
    total = run_calls(given.calls, given.seed) if given.calls else run(given.statements, given.seed)
    print(", ".join(f"{count:,} {name}" for name, count in total.items()))
    sys.exit(1 if total["differences"] else 0)


if __name__ == "__main__":
    main()
