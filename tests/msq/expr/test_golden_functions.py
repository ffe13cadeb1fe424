"""Every golden function entry that is a pure expression: values, types, refusals and native texts of a real Druid."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.harness.expressions import OutOfReach, answer, comparer, entries

FILES = ("numeric", "string", "time", "cast", "array", "multivalue", "json", "misc")
MISSES: dict[str, str] = {}
LEAST = {"numeric": 260, "string": 205, "time": 180, "cast": 80, "array": 115, "multivalue": 60, "json": 90, "misc": 50}
"""Entries that must be within reach, so that a broken harness cannot pass by skipping."""


@pytest.mark.parametrize("name", FILES)
def test_golden_functions(name: str) -> None:
    counts = Counter[str]()
    short = {}
    for entry in entries(name):
        try:
            got = answer(entry)
        except OutOfReach:
            continue
        counts["tried"] += 1
        why = comparer().miss(entry, got)
        if why is None and "native" in entry and "rows" in got:
            wanted = entry["native"] if isinstance(entry["native"], list) else [entry["native"]]
            have = got["native"][-len(wanted) :]
            # Paths of JSON columns become columns of their own only when a whole query is planned.
            why = None if wanted == have or '"v1"' in wanted[0] else f"native {have}, not {wanted}"
        if why is not None:
            short[f"{name} {entry['id']}"] = f"{why} | {entry['sql']}"
    unexpected = {k: v for k, v in short.items() if k not in MISSES}
    assert not unexpected, "\n".join(f"{k}: {v}" for k, v in unexpected.items())
    assert not [k for k in MISSES if k.startswith(f"{name} ") and k not in short], "no longer missed"
    assert counts["tried"] >= LEAST[name], counts
