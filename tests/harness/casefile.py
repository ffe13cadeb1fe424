"""Reads and runs case files; the format stands in tests/README.md."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.engine import Engine, EngineSettings, Outcome
from msq.faults import DruidException, MSQError

DATA = Path(__file__).resolve().parent.parent / "data"


class CaseFailure(AssertionError):
    """A block that did not do what it says; the text names file and line."""


@dataclass
class Block:
    """One directive with its lines; `expected` is what stands behind `----`, None without."""

    line: int
    words: list[str]
    body: list[str]
    expected: list[str] | None


def read_blocks(text: str) -> Iterator[Block]:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].strip() or lines[at].startswith("#"):
            at += 1
            continue
        start = at
        words = lines[at].split()
        at += 1
        body: list[str] = []
        expected: list[str] | None = None
        while at < len(lines) and lines[at].strip():
            if lines[at] == "----":
                expected = []
            elif expected is not None:
                expected.append(lines[at])
            else:
                body.append(lines[at])
            at += 1
        yield Block(start + 1, words, body, expected)


@dataclass
class CaseRunner:
    """Runs the blocks of one file in its own data folder."""

    path: Path
    tmp: Path
    settings: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    last: Outcome | None = None

    def run(self) -> int:
        """Runs all blocks; answers how many. Raises CaseFailure at the first that fails."""
        count = 0
        with Engine(EngineSettings(data_dir=self.tmp / "data", **self.settings)) as engine:
            for block in read_blocks(self.path.read_text(encoding="utf-8")):
                try:
                    self._block(engine, block)
                except CaseFailure as failure:
                    raise CaseFailure(f"{self.path.name}:{block.line}: {failure}") from failure.__cause__
                count += 1
        if not count:
            raise CaseFailure(f"{self.path.name} holds no block")
        return count

    def _fill(self, text: str) -> str:
        return text.replace("{data}", str(DATA)).replace("{tmp}", str(self.tmp))

    def _block(self, engine: Engine, block: Block) -> None:
        handler = getattr(self, f"_do_{block.words[0]}", None)
        if handler is None:
            raise CaseFailure(f"unknown directive [{block.words[0]}]")
        handler(engine, block)

    def _do_file(self, _engine: Engine, block: Block) -> None:
        text = "".join(self._fill(line) + "\n" for line in block.body).encode()
        path = self.tmp / block.words[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text) if block.words[2:] == ["gz"] else text)

    def _do_context(self, _engine: Engine, block: Block) -> None:
        self.context = {}
        for pair in block.words[1:]:
            key, _, value = pair.partition("=")
            try:
                self.context[key] = json.loads(value)
            except ValueError:
                self.context[key] = value

    def _do_statement(self, engine: Engine, block: Block) -> None:
        kind, rest = block.words[1], block.words[2:]
        sql = self._fill("\n".join(block.body))
        try:
            self.last = outcome = engine.execute(sql, self.context)
        except DruidException as refused:
            if kind != "refused":
                raise CaseFailure(f"refused: {refused.message}") from refused
            if " ".join(rest) not in refused.message:
                raise CaseFailure(f"refused with [{refused.message}], without [{' '.join(rest)}]") from refused
            return
        fault = outcome.fault or {}
        if kind == "refused":
            raise CaseFailure(f"was not refused: {outcome.status} {fault}")
        if kind == "ok" and outcome.status != "SUCCESS":
            raise CaseFailure(f"failed: {fault}")
        if kind == "error":
            if outcome.status == "SUCCESS" or fault.get("errorCode") != rest[0]:
                raise CaseFailure(f"wanted fault [{rest[0]}], got {outcome.status} {fault}")
            if " ".join(rest[1:]) not in str(fault.get("errorMessage", "")):
                raise CaseFailure(f"fault text [{fault.get('errorMessage')}] lacks [{' '.join(rest[1:])}]")

    def _do_query(self, engine: Engine, block: Block) -> None:
        sql = self._fill("\n".join(block.body))
        try:
            self.last = outcome = engine.execute(sql, self.context)
        except DruidException as refused:
            raise CaseFailure(f"refused: {refused.message}") from refused
        if outcome.status != "SUCCESS" or outcome.rows is None:
            raise CaseFailure(f"failed: {outcome.fault}")
        types = block.words[1]
        got = [[_shown(v, t) for v, t in zip(row, types, strict=True)] for row in outcome.rows]
        want = [re.split(r"\s{2,}", line.strip()) for line in map(self._fill, block.expected or [])]
        if "order by" not in sql.lower() or "sorted" in block.words[2:]:
            got, want = sorted(got), sorted(want)
        if got != want:
            raise CaseFailure("rows differ:\n  got  " + "\n       ".join("  ".join(r) for r in got)
                              + "\n  want " + "\n       ".join("  ".join(r) for r in want))  # fmt: skip

    def _do_segments(self, engine: Engine, block: Block) -> None:
        from msq.segment.reader import open_segment

        got = []
        for visible in engine.visible_segments(block.words[1]):
            spec = visible.segment.shard_spec
            rows = open_segment(engine.deep_storage.open(visible.segment)).num_rows
            got.append(f"{visible.segment.interval} {spec.TAG} rows={rows}")
        if got != (block.expected or []):
            raise CaseFailure(f"segments differ: got {got}")

    def _do_plan(self, engine: Engine, block: Block) -> None:
        from msq.plan.text import plan_text

        try:
            got = plan_text(engine.prepare(self._fill("\n".join(block.body)), self.context).definition())
        except MSQError as error:
            raise CaseFailure(f"not planned: {error}") from error
        if got.strip() != "\n".join(block.expected or []).strip():
            raise CaseFailure(f"plan differs:\n{got}")

    def _do_counters(self, _engine: Engine, block: Block) -> None:
        _, stage, name, key = block.words
        workers = self._payload()["counters"].get(stage, {}).values()
        values = [w.get(name, {}).get(key, 0) for w in workers]
        got = sum(sum(v) if isinstance(v, list) else v for v in values)
        if [str(got)] != block.expected:
            raise CaseFailure(f"counter is {got}")

    def _do_report(self, _engine: Engine, block: Block) -> None:
        value: Any = self._payload()
        for part in block.words[1].split("."):
            value = value[int(part)] if isinstance(value, list) else (value or {}).get(part)
        if [json.dumps(value)] != block.expected:
            raise CaseFailure(f"value is {json.dumps(value)}")

    def _payload(self) -> dict[str, Any]:
        if self.last is None:
            raise CaseFailure("no statement before it")
        payload: dict[str, Any] = self.last.report["multiStageQuery"]["payload"]
        return payload


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return "null"
    if kind == "R" and isinstance(value, float):
        return f"{value:.10g}"
    if kind == "J":
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "(empty)" if value == "" else str(value)
