"""Stages for tests: small queries over inline rows and files, put together by hand."""

from __future__ import annotations

from typing import Any

from msq.datatypes import LONG, STRING, ColumnType, RowSignature
from msq.frame.keys import ClusterBy, KeyColumn
from msq.native.datasource import (
    DataSource,
    ExternalDataSource,
    InlineDataSource,
    InputNumberDataSource,
)
from msq.native.query import ScanQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.processors.scan import ScanProcessor
from msq.processors.select_results import SelectResultsProcessor
from msq.stage.inputs import ExternalInputSlice, ExternalInputSpec, InlineInputSlice, InlineInputSpec, StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import HashShuffleSpec, MaxCountShuffleSpec, MixShuffleSpec, ShuffleSpec, TargetSizeShuffleSpec

ROWS = RowSignature([("id", LONG), ("k", STRING), ("v", LONG)])


def json_source(*files: str) -> dict[str, Any]:
    """An external source of JSON lines: each text is one piece of inline data, or a file when it is a path."""
    if files and files[0].startswith("/"):
        return {"type": "local", "files": list(files)}
    return {"type": "inline", "data": "\n".join(files)}


def key(*columns: str, bucket: int = 0) -> ClusterBy:
    """`-name` is a descending column."""
    return ClusterBy(
        tuple(KeyColumn(c.lstrip("-"), "DESCENDING" if c.startswith("-") else "ASCENDING") for c in columns), bucket
    )


def inline(signature: RowSignature, rows: list[tuple[Any, ...]]) -> InlineDataSource:
    return InlineDataSource(signature.names, tuple(c.type for c in signature), tuple(rows))


def scan(
    number: int, source: DataSource, inputs: tuple[Any, ...], input_signatures: tuple[RowSignature, ...],
    outputs: list[tuple[str, ColumnType]], shuffle: ShuffleSpec | None, *,
    virtual: dict[str, tuple[str, ColumnType]] | None = None,
    max_workers: int = 10, broadcast: tuple[int, ...] = (), context: dict[str, Any] | None = None, check: bool = False,
    **query: Any,
) -> StageDefinition:  # fmt: skip
    """A scan stage; its signature is the shuffle's key columns, then the rest, with __boost."""
    columns = dict(outputs)
    types = {**columns, "__boost": LONG, "__bucket": LONG}
    first = () if shuffle is None else shuffle.cluster_by.names
    names = [*first, *(n for n in ("__boost", *columns) if n not in first)]
    made = ScanQuery(
        source,
        virtual_columns=tuple(ExpressionVirtualColumn(n, e, t) for n, (e, t) in (virtual or {}).items()),
        columns=tuple(columns), column_types=tuple(columns.values()), context=context or {}, **query,
    )  # fmt: skip
    return StageDefinition(
        number, inputs, ScanProcessor(made), RowSignature((n, types[n]) for n in names), shuffle,
        max_worker_count=max_workers, broadcast=broadcast, input_signatures=input_signatures,
        check_multiple_values=check,
    )  # fmt: skip


def inline_scan(
    number: int, rows: list[tuple[Any, ...]], shuffle: ShuffleSpec | None, signature: RowSignature = ROWS, **more: Any
) -> StageDefinition:
    """A scan of inline rows, all columns unless `outputs` says otherwise."""
    source = inline(signature, rows)
    outputs = more.pop("outputs", [(c.name, c.type) for c in signature])
    return scan(number, source, (InlineInputSpec(source),), (signature,), outputs, shuffle, **more)


def external_scan(
    number: int, source: dict[str, Any], shuffle: ShuffleSpec | None, signature: RowSignature = ROWS, **more: Any
) -> StageDefinition:
    data = ExternalDataSource(source, {"type": "json"}, signature)
    spec = ExternalInputSpec(source, {"type": "json"}, signature)
    outputs = more.pop("outputs", [(c.name, c.type) for c in signature])
    return scan(number, data, (spec,), (signature,), outputs, shuffle, **more)


def stage_scan(number: int, below: StageDefinition, shuffle: ShuffleSpec | None, **more: Any) -> StageDefinition:
    outputs = more.pop("outputs", [(c.name, c.type) for c in below.signature if c.name != "__boost"])
    source = more.pop("source", InputNumberDataSource(0))
    return scan(number, source, (StageInputSpec(below.number),), (below.signature,), outputs, shuffle, **more)


def results(number: int, below: StageDefinition) -> StageDefinition:
    """selectResults over a stage."""
    return StageDefinition(
        number, (StageInputSpec(below.number),), SelectResultsProcessor(), below.signature, max_worker_count=10,
        input_signatures=(below.signature,),
    )  # fmt: skip


def query(*stages: StageDefinition, **context: Any) -> QueryDefinition:
    return QueryDefinition("query-x", stages, context)


def slicer(definition: QueryDefinition, workers: int = 1) -> Any:
    """Deals the files of external inputs out over the workers; inline inputs go to all."""
    from msq.codec import encode
    from msq.sources.base import SourceAccess, parse_input_source

    def slice_of(stage: int, number: int, worker: int) -> Any:
        spec = definition.stages[stage].input[number]
        if isinstance(spec, ExternalInputSpec):
            items = [encode(i) for i in parse_input_source(spec.input_source).list(SourceAccess())]
            mine = tuple(items[worker::workers])
            return ExternalInputSlice(spec.input_source, spec.input_format, spec.signature, mine)
        assert isinstance(spec, InlineInputSpec)
        return InlineInputSlice(spec.data_source)

    return slice_of


__all__ = [
    "ROWS", "HashShuffleSpec", "MaxCountShuffleSpec", "MixShuffleSpec", "TargetSizeShuffleSpec", "external_scan",
    "inline", "inline_scan", "json_source", "key", "query", "results", "scan", "slicer", "stage_scan",
]  # fmt: skip
