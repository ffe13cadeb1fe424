"""Processors run by themselves: inputs made of batches, and a context that holds what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from msq.datatypes import RowSignature
from msq.expr.prepare import prepare
from msq.stage.query import StageProcessor


@lru_cache(maxsize=1)
def shared_connection() -> Any:
    """One prepared database for a whole test run: preparing takes longer than a small query."""
    return prepare(duckdb.connect(config={"threads": 1}))


@dataclass
class BatchesInput:
    """An input whose partitions are lists of batches in frame layout."""

    signature: RowSignature
    parts: Mapping[int, Sequence[pa.RecordBatch]]

    @property
    def partitions(self) -> tuple[int, ...]:
        return tuple(sorted(self.parts))

    def read(self, partition: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        for batch in self.parts[partition]:
            yield batch if columns is None else batch.select(list(columns))

    def pieces(self) -> list[Any]:
        def reader(partition: int) -> Any:
            return lambda columns=None, max_rows=None: self.read(partition, columns)

        return [SimpleNamespace(partition=p, read=reader(p)) for p in self.partitions]


@dataclass
class FakeContext:
    """An ExecutionContext without a worker."""

    stage: Any
    inputs: Sequence[Any]
    max_batch_rows: int = 100_000
    worker_number: int = 0
    memory_bytes: int = 1 << 28
    threads: int = 1
    query: Any = None
    counters: Any = None
    temp_dir: Path = Path()
    extra: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)

    def connection(self, without_optimizers: str = "") -> Any:
        made = shared_connection().cursor()
        if without_optimizers:
            made.execute(f"SET disabled_optimizers = '{without_optimizers}'")
        return made

    def check_cancelled(self) -> None:
        pass


def run_processor(
    processor: StageProcessor, source: BatchesInput, signature: RowSignature, *, batch_rows: int = 100_000,
    worker: int = 0,
) -> list[tuple[int, pa.RecordBatch]]:  # fmt: skip
    """(partition, batch) pairs of a stage that reads one input; each batch fits `signature`."""
    stage = SimpleNamespace(signature=signature, input=[SimpleNamespace(TAG="stage")], broadcast=())
    context = FakeContext(stage, [source], batch_rows, worker)
    out = []
    for made in processor.run(context):  # type: ignore[arg-type]
        assert made.batch.schema.names == list(signature.names)
        assert 0 < made.batch.num_rows <= batch_rows
        out.append((made.partition, made.batch))
    return out


def rows_of(batches: Sequence[tuple[int, pa.RecordBatch]]) -> list[dict[str, Any]]:
    return [row for _, batch in batches for row in batch.to_pylist()]
