"""Plans of recorded tasks: the native query of each payload is planned anew and compared with the report's stages."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import msq.aggregate  # noqa: F401  (aggregators register on import)
from msq.codec import decode
from msq.datatypes import RowSignature
from msq.native.query import NativeQuery
from msq.plan.planner import plan
from msq.stage.destination import ColumnMapping, Destination

GOLDEN = Path(__file__).parents[2] / "golden" / "statements.jsonl.gz"
KNOWN = {
    "srt-max-rows-in-memory": "Druid 33 knew maxRowsInMemory as rowsInMemory only and printed the default",
}
"""Cases whose plan differs, with the reason; an entry that agrees again must be taken out."""


@dataclass(frozen=True)
class Recorded:
    query: NativeQuery
    column_mappings: tuple[ColumnMapping, ...]
    destination: Destination


def _body(answer: Any) -> Any:
    return answer.get("body", answer) if isinstance(answer, dict) else None


def _cases() -> Iterator[Any]:
    with gzip.open(GOLDEN, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            report = _body(case.get("report"))
            if isinstance(report, dict) and report.get("multiStageQuery", {}).get("payload", {}).get("stages"):
                yield pytest.param(case, id=case["id"])


def recorded_definitions(case: dict[str, Any]) -> list[dict[str, Any]]:
    stages = _body(case["report"])["multiStageQuery"]["payload"]["stages"]
    return [stage["definition"] for stage in stages]


def planned_definitions(case: dict[str, Any]) -> list[dict[str, Any]]:
    payload = _body(case["payload"])["payload"]
    spec = payload["spec"]
    recorded = Recorded(
        decode(NativeQuery, spec["query"]),  # type: ignore[type-abstract]
        decode(tuple[ColumnMapping, ...], spec["columnMappings"]),
        decode(Destination, spec["destination"]),  # type: ignore[type-abstract]
    )
    definition = plan(
        recorded, query_id=payload["id"], context=case["context"], max_workers=spec["tuningConfig"]["maxNumWorkers"],
        # a worker of the recorded Druid 37 had two threads, one of Druid 33 had one
        target_partitions_per_worker=1 if case.get("druid") == 33 else 2,
        table_signature=lambda table: RowSignature(),
        results_context={
            "sqlTypeNames": payload["sqlTypeNames"], "sqlResultsContext": payload["sqlResultsContext"],
        },
    )  # fmt: skip
    made: list[dict[str, Any]] = json.loads(json.dumps([s.to_json(payload["id"]) for s in definition.stages]))
    return made


def masked(definition: dict[str, Any], druid: int) -> dict[str, Any]:
    """`definition` without what has no order, and without what Druid 33 printed in another way than 37."""
    out = copy.deepcopy(definition)
    schema = out["processor"].get("dataSchema")
    if schema is not None:
        schema["dimensionsSpec"]["dimensionExclusions"].sort()
        if druid == 33:
            schema["transformSpec"] = None  # 33 kept no filter there
    if druid == 33:
        for spec in out["input"]:
            spec.pop("filter", None)  # 33 pushed filters into table inputs
            spec.pop("filterFields", None)
        context = out["processor"].get("query", {}).get("context")
        if context is not None and out["processor"]["type"] == "window":
            context.pop("windowFunctionOperatorTransformation", None)  # 33 left it out in subqueries
    return out


def differences(want: Any, got: Any, path: str = "") -> Iterator[str]:
    if isinstance(want, dict) and isinstance(got, dict):
        for key in [*want, *(k for k in got if k not in want)]:
            if key not in want or key not in got:
                yield f"{path}.{key}: only {'wanted' if key in want else 'got'}"
            else:
                yield from differences(want[key], got[key], f"{path}.{key}")
        if set(want) == set(got) and list(want) != list(got):
            yield f"{path}: order of keys {list(want)} {list(got)}"
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for number, (a, b) in enumerate(zip(want, got)):
            yield from differences(a, b, f"{path}[{number}]")
    elif want != got:
        yield f"{path}: want {json.dumps(want)[:200]} got {json.dumps(got)[:200]}"


@pytest.mark.parametrize("case", list(_cases()))
def test_stages_are_those_of_the_report(case: dict[str, Any]) -> None:
    druid = case.get("druid", 37)
    want = [masked(d, druid) for d in recorded_definitions(case)]
    got = [masked(d, druid) for d in planned_definitions(case)]
    found = list(differences(want, got, "stages"))
    if case["id"] in KNOWN:
        assert found, f"[{case['id']}] agrees now: take it out of KNOWN"
        return
    assert not found, "\n".join(found)
