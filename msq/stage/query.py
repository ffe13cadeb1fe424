"""StageDefinition and QueryDefinition: the plan that runs and that the report prints. Source: msq-engine 2.4, 2.5."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msq.codec import Wire, decode, encode
from msq.datatypes import RowSignature
from msq.stage.inputs import InputSpec, StageInputSpec
from msq.stage.shuffle import ShuffleSpec

if TYPE_CHECKING:
    from msq.protocol import ExecutionContext, OutputBatch


class StageProcessor(Wire, ABC):
    """What a stage does with its rows: a family whose members live in msq.processors, one file each.

    The fields are those that Druid prints for the processor. `run` is called once for a work order, on a worker
    thread: it reads `ctx.inputs`, yields batches of the stage's signature in frame layout, tagged with the input
    partition they came from (0 for leaf inputs), and checks `ctx.check_cancelled()` at least once a batch. A processor
    that has a result instead of rows (segments) hands it to `ctx.add_result`.
    """

    @abstractmethod
    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]: ...


@dataclass(frozen=True)
class StageDefinition:
    """One stage. `input` order gives input numbers; `broadcast` numbers are read whole by every worker.

    `signature`: output columns, clusterBy columns first; empty for the segment generator. `max_worker_count` is the
    bound after runtime bounds. `check_multiple_values`: track whether key columns hold several values in some row.
    """

    number: int
    input: tuple[InputSpec, ...]
    processor: StageProcessor
    signature: RowSignature
    shuffle_spec: ShuffleSpec | None = None
    max_worker_count: int = 1
    broadcast: tuple[int, ...] = ()
    check_multiple_values: bool = False
    input_signatures: tuple[RowSignature, ...] = ()
    """Row signature of every input, by input number: what a worker decodes them to. Not printed."""

    @property
    def input_stages(self) -> tuple[int, ...]:
        """Numbers of the stages this one reads, in input order."""
        return tuple(i.stage for i in self.input if isinstance(i, StageInputSpec))

    @property
    def is_leaf(self) -> bool:
        """Whether some non-broadcast input is no stage."""
        return any(not isinstance(i, StageInputSpec) for n, i in enumerate(self.input) if n not in self.broadcast)

    def to_json(self, query_id: str) -> dict[str, Any]:
        """The `definition` of a report."""
        out: dict[str, Any] = {"id": f"{query_id}_{self.number}", "input": encode(self.input)}
        if self.broadcast:
            out["broadcast"] = list(self.broadcast)
        out["processor"] = encode(self.processor)
        out["signature"] = self.signature.to_json()
        if self.shuffle_spec is not None:
            out["shuffleSpec"] = encode(self.shuffle_spec)
        out["maxWorkerCount"] = self.max_worker_count
        if self.check_multiple_values:
            out["shuffleCheckHasMultipleValues"] = True
        return out

    @staticmethod
    def from_json(value: dict[str, Any]) -> StageDefinition:
        """Reads both a report's definition and the message form (which adds `inputSignatures`).

        The caller has called `msq.processors.load()`: processors are known once their modules are.
        """
        return StageDefinition(
            number=int(str(value["id"]).rpartition("_")[2]),
            input=tuple(decode(InputSpec, i) for i in value["input"]),
            processor=decode(StageProcessor, value["processor"]),
            signature=RowSignature.from_json(value["signature"]),
            shuffle_spec=decode(ShuffleSpec, value["shuffleSpec"]) if value.get("shuffleSpec") else None,
            max_worker_count=value.get("maxWorkerCount", 1),
            broadcast=tuple(value.get("broadcast", ())),
            check_multiple_values=value.get("shuffleCheckHasMultipleValues", False),
            input_signatures=tuple(RowSignature.from_json(s) for s in value.get("inputSignatures", ())),
        )


@dataclass(frozen=True)
class QueryDefinition:
    """All stages of a query, `stages[n].number == n`, inputs before readers; the last one is final."""

    query_id: str
    stages: tuple[StageDefinition, ...]
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> StageDefinition:
        return self.stages[-1]

    def readers(self, number: int) -> tuple[int, ...]:
        """Numbers of the stages that read stage `number`."""
        return tuple(s.number for s in self.stages if number in s.input_stages)

    def to_json(self) -> dict[str, Any]:
        stages = []
        for stage in self.stages:
            stages.append({
                **stage.to_json(self.query_id), "inputSignatures": [s.to_json() for s in stage.input_signatures]
            })  # fmt: skip
        return {"queryId": self.query_id, "stages": stages, "context": self.context}

    @staticmethod
    def from_json(value: dict[str, Any]) -> QueryDefinition:
        return QueryDefinition(
            value["queryId"], tuple(StageDefinition.from_json(s) for s in value["stages"]), value["context"]
        )
