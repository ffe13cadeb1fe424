"""segmentMetadata: what segments say of their columns, without reading rows where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controller.native.answers import answers, subquery
from controller.native.errors import refused
from controller.native.reading import Json, flag, intervals_of, items, obj, text
from controller.native.session import Session
from controller.native.sources import source_of
from msq.datatypes import STRING
from msq.intervals import DAY_MS, Interval
from msq.native.datasource import TableDataSource, UnionDataSource
from msq.segment.identity import DataSegment
from msq.segment.reader import ColumnInfo, Segment, open_segment
from msq.segment.reader.strings import StringColumn

ANALYSES = (
    "aggregators", "cardinality", "interval", "minmax", "projections", "queryGranularity", "rollup", "size",
    "timestampspec",
)  # fmt: skip
_DEFAULT_ANALYSES = ("cardinality", "interval", "minmax")
_DEFAULT_HISTORY_MS = 7 * DAY_MS
"""Without intervals a query looks at the last week of a table."""


@answers("segmentMetadata")
def segment_metadata(session: Session, body: Json) -> Iterator[Any]:
    source = source_of(session, body.get("dataSource"), subquery)
    if not isinstance(source, (TableDataSource, UnionDataSource)):
        raise refused("A segmentMetadata query needs a table or a union of tables")
    wanted = _analyses(body.get("analysisTypes"))
    within = intervals_of(body.get("intervals"), False).intervals
    found = [v.segment for v in session.segments(source, within)]
    if body.get("intervals") is None and found:
        newest = max(Interval.parse(s.interval).end for s in found)
        recent = Interval(newest - _DEFAULT_HISTORY_MS, newest)
        found = [s for s in found if Interval.parse(s.interval).overlaps(recent)]
    include = _included(body.get("toInclude"))
    analysed = [_analysis(session, s, wanted, include) for s in found]
    if flag(body.get("merge")) and analysed:
        strategy = body.get("aggregatorMergeStrategy") or (
            "lenient" if flag(body.get("lenientAggregatorMerge")) else "strict"
        )
        return iter([_merged(analysed, str(strategy))])
    return iter(analysed)


def _analyses(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset(_DEFAULT_ANALYSES)
    names = [text(v, "analysisTypes").lower() for v in items(value, "analysisTypes")]
    known = {a.lower() for a in ANALYSES}
    for name in names:
        if name not in known:
            raise refused(f"Unknown analysis type [{name}]: known are {', '.join(ANALYSES)}")
    return frozenset(names)


def _included(value: Any) -> frozenset[str] | None:
    """Names of columns; None for all."""
    if value is None:
        return None
    spec = obj(value, "toInclude")
    kind = spec.get("type")
    if kind == "all":
        return None
    if kind == "none":
        return frozenset()
    if kind == "list":
        return frozenset(text(c, "columns") for c in items(spec.get("columns"), "columns"))
    raise refused(f"Could not resolve type id '{kind}' as a subtype of [ColumnIncluderator]: known are all, list, none")


def _analysis(
    session: Session, segment: DataSegment, wanted: frozenset[str], include: frozenset[str] | None
) -> dict[str, Any]:
    opened = open_segment(session.engine.deep_storage.open(segment))
    columns = {n: _column(opened, n, wanted) for n in opened.names if include is None or n in include}
    metadata = opened.metadata
    aggregators = metadata.get("aggregators") or []
    return {
        "id": segment.id,
        "intervals": [segment.interval] if "interval" in wanted else None,
        "columns": columns,
        "size": sum(c["size"] for c in columns.values()),
        "numRows": opened.num_rows,
        "aggregators": {a["name"]: a for a in aggregators} if "aggregators" in wanted else None,
        "projections": {} if "projections" in wanted else None,
        "timestampSpec": metadata.get("timestampSpec") if "timestampspec" in wanted else None,
        "queryGranularity": metadata.get("queryGranularity") if "querygranularity" in wanted else None,
        "rollup": metadata.get("rollup") if "rollup" in wanted else None,
    }


def _column(segment: Segment, name: str, wanted: frozenset[str]) -> dict[str, Any]:
    info: ColumnInfo = segment.info(name)
    is_text = info.type == STRING
    low, high = _ends(segment, name) if is_text and "minmax" in wanted else (None, None)
    return {
        "typeSignature": str(info.type),
        "type": info.type.complex_name or "COMPLEX" if info.type.is_complex else str(info.type),
        "hasMultipleValues": info.has_multiple_values,
        "hasNulls": info.has_nulls,
        "size": info.size if "size" in wanted else 0,
        "cardinality": info.cardinality if is_text and "cardinality" in wanted else None,
        "minValue": low,
        "maxValue": high,
        "errorMessage": None,
    }


def _ends(segment: Segment, name: str) -> tuple[str | None, str | None]:
    """The least and the greatest text; of a dictionary where there is one."""
    column = segment.column(name)
    values = column.values if isinstance(column, StringColumn) else column.read(0, segment.num_rows)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    found = pc.min_max(values.cast(pa.string()))
    return found["min"].as_py(), found["max"].as_py()


# -- merging -----------------------------------------------------------------------------------------------------------


def _merged(analysed: list[dict[str, Any]], strategy: str) -> dict[str, Any]:
    first = analysed[0]
    columns: dict[str, dict[str, Any]] = {}
    for one in analysed:
        for name, column in one["columns"].items():
            columns[name] = _merged_column(columns[name], column) if name in columns else column
    intervals = None
    if first["intervals"] is not None:
        intervals = sorted({i for one in analysed for i in one["intervals"]})
    return {
        "id": first["id"] if len(analysed) == 1 else "merged", "intervals": intervals, "columns": columns,
        "size": sum(a["size"] for a in analysed), "numRows": sum(a["numRows"] for a in analysed),
        "aggregators": _merged_aggregators([a["aggregators"] for a in analysed], strategy),
        **{k: _same([a[k] for a in analysed]) for k in ("projections", "timestampSpec", "queryGranularity", "rollup")},
    }  # fmt: skip


def _same(values: list[Any]) -> Any:
    """The value that all have; None where they differ."""
    return values[0] if all(v == values[0] for v in values) else None


def _merged_aggregators(values: list[Any], strategy: str) -> Any:
    if any(v is None for v in values) and strategy == "strict":
        return None
    if strategy == "latest":
        return values[-1]
    if strategy == "earliest":
        return values[0]
    out: dict[str, Any] = {}
    for one in values:
        for name, aggregator in (one or {}).items():
            if name in out and out[name] != aggregator:
                if strategy == "strict":
                    return None
                aggregator = None
            out[name] = aggregator
    return out if any(v is not None for v in values) else None


def _merged_column(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    if a["errorMessage"] is not None:
        return a
    if a["typeSignature"] != b["typeSignature"]:
        message = f"error:cannot_merge_diff_types: [{a['type']}] and [{b['type']}]"
        return {
            **a, "type": "STRING", "typeSignature": "STRING", "size": -1, "cardinality": None, "minValue": None,
            "maxValue": None, "errorMessage": message,
        }  # fmt: skip
    return {
        **a,
        "hasMultipleValues": a["hasMultipleValues"] or b["hasMultipleValues"],
        "hasNulls": a["hasNulls"] or b["hasNulls"],
        "size": a["size"] + b["size"],
        "cardinality": _of(max, a["cardinality"], b["cardinality"]),
        "minValue": _of(min, a["minValue"], b["minValue"]),
        "maxValue": _of(max, a["maxValue"], b["maxValue"]),
    }


def _of(pick: Any, a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else pick(a, b)
