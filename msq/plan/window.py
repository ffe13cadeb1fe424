"""Stages of window functions: one for each new partition or order requirement. Source: reference msq-engine 3.8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msq.codec import decode
from msq.datatypes import DOUBLE, LONG, STRING, Column, ColumnType, RowSignature
from msq.faults import MSQError, QueryNotSupportedFault
from msq.frame.keys import ClusterBy, KeyColumn
from msq.native.aggregators import Aggregator
from msq.native.datasource import QueryDataSource
from msq.native.query import ScanQuery, WindowOperatorQuery
from msq.plan.builder import PlanBuilder
from msq.plan.clustering import Key, segment_granularity
from msq.plan.queries import as_subquery, plan_query, plans
from msq.plan.shuffles import ResultShuffle, adjustable, hashed
from msq.plan.sources import plan_source
from msq.plan.types import final_type
from msq.processors.window import WindowProcessor
from msq.stage.inputs import StageInputSpec
from msq.stage.shuffle import MixShuffleSpec, ShuffleSpec

TRANSFORMATION_KEY = "windowFunctionOperatorTransformation"


@dataclass
class _Group:
    """The operators of one stage: rows of equal `partition` together, each ordered by `sort`, then `windows`."""

    partition: tuple[str, ...]
    sort: tuple[dict[str, Any], ...] | None
    windows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def input_shuffle(self) -> ShuffleSpec:
        if not self.partition:
            return MixShuffleSpec()
        return hashed(ClusterBy(tuple(KeyColumn(name) for name in self.partition)))

    def operators(self, max_rows: int) -> tuple[dict[str, Any], ...]:
        out: list[dict[str, Any]] = [
            {"type": "glueingPartition", "partitionColumns": list(self.partition), "maxRowsMaterialized": max_rows}
        ]
        if self.sort is not None:
            out.append({"type": "partitionSort", "columns": list(self.sort)})
        return (*out, *self.windows)


@plans(WindowOperatorQuery)
def plan_window(builder: PlanBuilder, query: WindowOperatorQuery, result_shuffle: ResultShuffle) -> int:
    groups = _groups(query.operator_definition)
    if not groups:
        raise MSQError(QueryNotSupportedFault())
    query = query.with_context({TRANSFORMATION_KEY: True, **query.context})
    number = plan_query(builder, as_subquery(_input_query(builder, query)), adjustable)
    columns = builder[number].signature
    builder.reshuffle(number, groups[0].input_shuffle)
    for group, following in zip(groups, [*groups[1:], None]):
        columns = _with_outputs(columns, group, query.output_signature)
        if following is not None:
            shuffle, offered = following.input_shuffle, columns
            signature = Key(shuffle.cluster_by.columns).signature(offered)
        else:
            key = Key((), bucketed=not segment_granularity(query.context).is_all).boosted()
            shuffle = result_shuffle(key.cluster_by, False)
            signature = key.signature(query.output_signature)
        processor = WindowProcessor(
            query, group.operators(builder.max_rows_in_window), signature, builder.max_rows_in_window, group.partition
        )
        number = builder.add(processor, [StageInputSpec(number)], [builder[number].signature], signature, shuffle)
    return number


def _groups(operators: Iterable[Mapping[str, Any]]) -> list[_Group]:
    """The operators cut into stages: a partition or sort operator behind a window begins the next one."""
    groups: list[_Group] = []
    for operator in operators:
        kind = operator["type"]
        if kind == "window":
            if not groups:
                groups.append(_Group((), None))
            groups[-1].windows.append(dict(operator))
            continue
        if not groups or groups[-1].windows:
            # what is not asked anew stays as it was: the shuffle in between keeps no order beyond its own key
            last = groups[-1] if groups else _Group((), None)
            groups.append(_Group(last.partition, last.sort))
        if kind in ("naiveSort", "partitionSort"):
            groups[-1].sort = tuple(dict(c) for c in operator["columns"])
        elif kind in ("naivePartition", "glueingPartition"):
            groups[-1].partition = tuple(operator["partitionColumns"])
        else:
            raise MSQError(QueryNotSupportedFault())
    return [g for g in groups if g.windows]


def _input_query(builder: PlanBuilder, query: WindowOperatorQuery) -> Any:
    """The query below; a source that is none is scanned for the columns that the windows and the output use."""
    if isinstance(query.data_source, QueryDataSource):
        return query.data_source.query
    offered = plan_source(replace(builder, stages=list(builder.stages)), query.data_source, query.intervals).columns
    used = {*query.output_signature.names, *_used(query.operator_definition)}
    columns = [c for c in offered if c.name in used]
    return ScanQuery(
        query.data_source, columns=tuple(c.name for c in columns), column_types=tuple(c.type for c in columns),
        context=query.context,
    )  # fmt: skip


_COLUMN_KEYS = ("column", "inputColumn", "fieldName")
_COLUMN_LISTS = ("group", "orderByColumns", "partitionColumns", "fields")


def _used(value: Any) -> Iterator[str]:
    """Every column name inside operators."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _COLUMN_KEYS and isinstance(inner, str):
                yield inner
            elif key in _COLUMN_LISTS and isinstance(inner, (list, tuple)):
                yield from (v for v in inner if isinstance(v, str))
            yield from _used(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _used(inner)


def _with_outputs(columns: RowSignature, group: _Group, output: RowSignature) -> RowSignature:
    """`columns` and what the group's windows add; types from the query's output where it keeps them."""
    added: dict[str, ColumnType] = {}
    for window in group.windows:
        for name, kind in _outputs(window["processor"], columns):
            added[name] = output.type_of(name) or kind
    return RowSignature([*(c for c in columns if c.name not in added), *(Column(n, t) for n, t in added.items())])


_FIXED_TYPES = {"rowNumber": LONG, "denseRank": LONG, "percentile": LONG, "cumeDist": DOUBLE}


def _outputs(processor: Mapping[str, Any], columns: RowSignature) -> Iterator[tuple[str, ColumnType]]:
    kind = processor["type"]
    if kind == "composing":
        for inner in processor["processors"]:
            yield from _outputs(inner, columns)
    elif kind == "framedAgg":
        for text in processor["aggregations"]:
            aggregator = decode(Aggregator, text)
            yield aggregator.name, final_type(aggregator)
    elif kind == "rank":
        yield processor["outputColumn"], DOUBLE if processor.get("asPercent") else LONG
    elif kind in _FIXED_TYPES:
        yield processor["outputColumn"], _FIXED_TYPES[kind]
    else:
        yield processor["outputColumn"], columns.type_of(processor.get("inputColumn", "")) or STRING
