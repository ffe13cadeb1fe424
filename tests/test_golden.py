"""Statements of every golden kind, compared with what a real Druid answered, check by check."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.harness import golden

PREFIXES = ("ing-", "flt-", "sel-", "bad-", "rol-", "wrk-", "srt-", "seg-", "end-", "win-", "joi-", "ctx-", "dur-")
MISSES = json.loads((Path(__file__).parent / "golden" / "misses.json").read_text())
"""Checks that fall short, `id check` to its reason; an entry that passes again must be taken out."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, Any, Any]]:
    return golden.run_all(PREFIXES, tmp_path_factory.mktemp("golden"))


def test_golden_points(results: list[tuple[str, str, Any, Any]]) -> None:
    total, passed = Counter[str](), Counter[str]()
    short: dict[str, str] = {}
    for case, check, want, got in results:
        total[check] += 1
        if want == got:
            passed[check] += 1
        else:
            short[f"{case} {check}"] = f"want {str(want)[:300]} got {str(got)[:300]}"
    for check in total:
        print(f"golden {check}: {passed[check]}/{total[check]}")
    print(f"golden: {sum(passed.values())}/{sum(total.values())}")
    unexpected = {k: v for k, v in short.items() if k not in MISSES}
    assert not unexpected, "\n".join(f"{k}: {v}" for k, v in unexpected.items())
    seen = {f"{case} {check}" for case, check, _, _ in results}
    mended = [k for k in MISSES if k in seen and k not in short]
    assert not mended, f"no longer missed, take them out of misses.json: {mended}"


def test_real_data_is_there() -> None:
    if not golden.has_real_data():
        pytest.skip("Druid's sample files are not beside the checkout (../shared/data): their cases did not run")
    assert golden.has_real_data()
