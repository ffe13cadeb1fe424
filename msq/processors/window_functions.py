"""Window operators over a table of whole window partitions: sorting, ranks, offsets, and aggregates over frames.

Sorting and framed aggregates are DuckDB's; ranks and offsets are numpy over the sorted rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import msq.aggregate
from msq.aggregate.base import NativeAggregator, Part, Runs, combine, quote
from msq.aggregate.compute import as_type
from msq.aggregate.runs import find_runs
from msq.codec import decode
from msq.datatypes import RowSignature
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn
from msq.faults import DruidExceptionFault, MSQError, QueryNotSupportedFault
from msq.native.aggregators import Aggregator
from msq.native.filters import DimFilter

_ROWS = "window_rows"
_PARTITION, _ORDINAL, _PEERS = "__window_partition", "__window_row", "__window_peers"
MAX_LISTED_ROWS = 50_000_000
"""Most values that frames of sketch and array aggregates may hold together."""
_COLUMN_KEYS = ("column", "inputColumn", "fieldName", "timeColumn", "dimension")
_COLUMN_LISTS = ("partitionColumns", "group", "orderByColumns", "fields")


def columns_read(value: Any) -> Iterator[str]:
    """Every column name inside operators (and names of results, which are no input columns)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _COLUMN_KEYS and isinstance(inner, str):
                yield inner
            elif key in _COLUMN_LISTS and isinstance(inner, (list, tuple)):
                yield from (v for v in inner if isinstance(v, str))
            yield from columns_read(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from columns_read(inner)


class WindowRows:
    """The operators of one stage, ready to run over tables of its input."""

    def __init__(
        self, connection: Any, signature: RowSignature, operators: Sequence[Mapping[str, Any]], results: RowSignature
    ) -> None:
        """`results`: the types that results are wanted as."""
        self._connection = connection
        self._signature = signature
        self._operators = operators
        self._results = results

    def compute(self, table: pa.Table) -> pa.Table:
        """The rows in window order, with a column for each result."""
        partition: Sequence[str] = ()
        for operator in self._operators:
            kind = operator["type"]
            if kind in ("glueingPartition", "naivePartition"):
                partition = operator["partitionColumns"]
            elif kind in ("partitionSort", "naiveSort"):
                table = self._sorted(table, operator["columns"])
            elif kind == "window":
                table = self._processed(table, partition, operator["processor"])
            else:
                raise MSQError(QueryNotSupportedFault())
        return table

    # ---------------------------------------------------------------------------------------------------- sorting

    def _sorted(self, table: pa.Table, columns: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Nulls first ascending and last descending; -0.0 below 0.0; equal rows keep their order."""
        keys: list[str] = []
        for column in columns:
            name, direction = column["column"], column.get("direction", "ASC")
            kind = table.schema.field(name).type
            if pa.types.is_list(kind):
                keys.append(f"d_order({quote(name)}) {direction}")
                continue
            keys.append(f"{quote(name)} {direction}")
            if pa.types.is_floating(kind):
                keys.append(f"(NOT signbit({quote(name)})) {direction}")
        names = list(dict.fromkeys(c["column"] for c in columns))
        ordinal = pa.array(np.arange(table.num_rows))
        order = self._select(
            table.select(names).append_column(_ORDINAL, ordinal), quote(_ORDINAL), [*keys, quote(_ORDINAL)]
        )
        return table.take(order.column(0))

    def _select(self, table: pa.Table, items: str, order: Sequence[str], group: str = "") -> pa.Table:
        self._connection.register(_ROWS, table)
        try:
            made: pa.Table = self._connection.sql(
                f"SELECT {items} FROM {_ROWS}{group} ORDER BY {', '.join(order)}"
            ).to_arrow_table()
        finally:
            self._connection.unregister(_ROWS)
        return made

    # -------------------------------------------------------------------------------------------------- processors

    def _processed(self, table: pa.Table, partition: Sequence[str], processor: Mapping[str, Any]) -> pa.Table:
        kind = processor["type"]
        if kind == "composing":
            for inner in processor["processors"]:
                table = self._processed(table, partition, inner)
            return table
        if kind == "framedAgg":
            return self._framed(table, partition, processor["frame"], processor["aggregations"])
        runs = find_runs([table.column(n) for n in partition], table.num_rows)
        make = _PROCESSORS.get(kind)
        if make is None:
            raise MSQError(QueryNotSupportedFault())
        return table.append_column(processor["outputColumn"], make(table, partition, runs, processor))

    def _framed(
        self, table: pa.Table, partition: Sequence[str], frame: Mapping[str, Any], aggregations: Sequence[Any]
    ) -> pa.Table:
        runs = find_runs([table.column(n) for n in partition], table.num_rows)
        ordinal = pa.array(np.arange(table.num_rows))
        rows = table.append_column(_PARTITION, pa.array(runs.ids())).append_column(_ORDINAL, ordinal)
        if frame["type"] == "groups":
            peers = find_runs([table.column(n) for n in (*partition, *frame["orderByColumns"])], table.num_rows)
            rows = rows.append_column(_PEERS, pa.array(peers.ids()))
        whole = frame.get("lowerOffset") is None and frame.get("upperOffset") is None
        scope = _FrameScope(table, self._signature)
        made = [_native(a) for a in aggregations]
        parts = [a.parts(scope) for a in made]
        if not whole:
            _check_lists(made, parts, runs, frame)
        window = _window(frame)
        items = [
            f"{p.sql() if whole else p.over(window)} AS {quote(f'a{n}_{k}')}"
            for n, found in enumerate(parts)
            for k, p in found.items()
        ]
        # a frame that is the whole partition has one value for all of its rows
        group = f" GROUP BY {quote(_PARTITION)}" if whole else ""
        result = self._select(rows, ", ".join(items), [quote(_PARTITION if whole else _ORDINAL)], group)
        at = 0
        for aggregator, found in zip(made, parts):
            values = {key: combine(result.column(at + i)) for i, key in enumerate(found)}
            at += len(found)
            states = as_type(aggregator.state(values), aggregator.intermediate_type)
            wanted = self._results.type_of(aggregator.name)
            # a sketch that is wanted stays one, also where its final value would be a number
            sketch = wanted is not None and wanted.is_complex
            final = states if sketch and not aggregator.final_type.is_complex else aggregator.finalize(states)
            table = table.append_column(aggregator.name, final.take(pa.array(runs.ids())) if whole else final)
        return table


def _check_lists(
    aggregators: Sequence[NativeAggregator], parts: Sequence[Mapping[str, Part]], runs: Runs, frame: Mapping[str, Any]
) -> None:
    """Refuses frames whose rows, all together, are too many to hold for aggregators that keep every row."""
    for aggregator, found in zip(aggregators, parts):
        if not any(p.keeps_rows for p in found.values()):
            continue
        sizes = np.diff(runs.offsets()).astype(np.float64)
        bounds = [frame.get("lowerOffset"), frame.get("upperOffset")]
        bounded = frame["type"] == "rows" and None not in bounds
        width = float(bounds[1] - bounds[0] + 1) if bounded else np.inf  # type: ignore[operator]
        rows = float(np.minimum(sizes * width, sizes * (sizes + 1)).sum())
        if rows > MAX_LISTED_ROWS:
            message = (
                f"Aggregation [{aggregator.TAG}] over a frame of [{frame['type']}] needs [{int(rows)}] values in "
                f"memory, more than [{MAX_LISTED_ROWS}]. Use smaller partitions or a bounded frame."
            )
            raise MSQError(DruidExceptionFault("general", message))


def _native(value: Any) -> NativeAggregator:
    made = decode(Aggregator, value) if isinstance(value, Mapping) else value
    assert isinstance(made, NativeAggregator)
    return made


def _window(frame: Mapping[str, Any]) -> str:
    """The text inside OVER (..): rows count rows, groups count sets of peers; null bounds are unbounded."""
    order, mode = (_PEERS, "GROUPS") if frame["type"] == "groups" else (_ORDINAL, "ROWS")
    first, last = frame.get("lowerOffset"), frame.get("upperOffset")
    lower, upper = _bound(first, "PRECEDING"), _bound(last, "FOLLOWING")
    if first is not None and last is not None and first > last:
        # a frame without rows, in the one form that DuckDB's parser takes
        lower, upper = "1 FOLLOWING", "0 FOLLOWING"
    return f"PARTITION BY {quote(_PARTITION)} ORDER BY {quote(order)} {mode} BETWEEN {lower} AND {upper}"


def _bound(offset: int | None, side: str) -> str:
    if offset is None:
        return f"UNBOUNDED {side}"
    if offset == 0:
        return "CURRENT ROW"
    return f"{abs(offset)} {'PRECEDING' if offset < 0 else 'FOLLOWING'}"


class _FrameScope:
    """Columns of the sorted rows as aggregators see them."""

    def __init__(self, table: pa.Table, signature: RowSignature) -> None:
        self._columns = {}
        for field in table.schema:
            kind = signature.type_of(field.name)
            if kind is not None:
                multi = kind.kind == "STRING" and pa.types.is_list(field.type)
                self._columns[field.name] = InputColumn(quote(field.name), kind, multi)

    def column(self, name: str) -> InputColumn:
        from msq.datatypes import STRING

        return self._columns.get(name, InputColumn("CAST(NULL AS VARCHAR)", STRING))

    def codes(self, name: str) -> InputColumn | None:
        return None

    def condition(self, condition: DimFilter) -> str:
        return lower_filter(condition, self._columns)


# ------------------------------------------------------------------------------------------------ ranks and offsets

_Processor = Callable[[pa.Table, Sequence[str], Runs, Mapping[str, Any]], pa.Array]


def _row_number(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    return pa.array(np.arange(table.num_rows) - runs.starts[runs.ids()] + 1)


def _peers(table: pa.Table, partition: Sequence[str], processor: Mapping[str, Any]) -> Runs:
    """Runs of rows that a ranking function holds for equal."""
    return find_runs([table.column(n) for n in (*partition, *processor["group"])], table.num_rows)


def _rank(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    peers = _peers(table, partition, processor)
    first = peers.starts[peers.ids()]
    ranks = first - runs.starts[runs.ids()] + 1
    if not processor.get("asPercent"):
        return pa.array(ranks)
    sizes = np.diff(runs.offsets())[runs.ids()]
    return pa.array(np.where(sizes > 1, (ranks - 1) / np.maximum(sizes - 1, 1), 0.0))


def _dense_rank(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    ids = _peers(table, partition, processor).ids()
    return pa.array(ids - ids[runs.starts][runs.ids()] + 1)


def _cume_dist(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    peers = _peers(table, partition, processor)
    last = peers.offsets()[1:][peers.ids()]
    sizes = np.diff(runs.offsets())[runs.ids()]
    return pa.array((last - runs.starts[runs.ids()]) / sizes)


def _percentile(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    """NTILE: buckets of equal size, the first ones one larger where rows are left over."""
    buckets = int(processor["numBuckets"])
    if buckets < 1:
        raise MSQError(DruidExceptionFault("general", f"numBuckets[{buckets}] must be greater than zero"))
    row = np.arange(table.num_rows) - runs.starts[runs.ids()]
    sizes = np.diff(runs.offsets())[runs.ids()]
    small, larger = sizes // buckets, sizes % buckets
    border = larger * (small + 1)
    rest = (row - border) // np.maximum(small, 1) + larger
    return pa.array(np.where(row < border, row // (small + 1), rest) + 1)


def _offset(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    ids = runs.ids()
    place = np.arange(table.num_rows) + int(processor["offset"])
    offsets = runs.offsets()
    outside = (place < offsets[ids]) | (place >= offsets[ids + 1])
    index = pa.array(np.where(outside, 0, place), mask=outside)
    return combine(table.column(processor["inputColumn"])).take(index)


def _edge(last: bool) -> _Processor:
    def take(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
        rows = runs.offsets()[1:] - 1 if last else runs.starts
        return combine(table.column(processor["inputColumn"])).take(pa.array(rows[runs.ids()]))

    return take


def _nth(table: pa.Table, partition: Sequence[str], runs: Runs, processor: Mapping[str, Any]) -> pa.Array:
    """The value of the n-th row of the frame, NULL where the frame has fewer."""
    frame = processor["frame"]
    ids, offsets, row = runs.ids(), runs.offsets(), np.arange(table.num_rows)
    begin, end = offsets[ids], offsets[ids + 1]
    lower, upper = frame.get("lowerOffset"), frame.get("upperOffset")
    first, last = begin, end
    if frame["type"] == "groups":
        # bounds are unbounded or the peers of the row
        peers = find_runs([table.column(n) for n in (*partition, *frame["orderByColumns"])], table.num_rows)
        peer = peers.ids()
        first = begin if lower is None else peers.offsets()[peer]
        last = end if upper is None else peers.offsets()[peer + 1]
    else:
        first = begin if lower is None else np.maximum(begin, row + lower)
        last = end if upper is None else np.minimum(end, row + upper + 1)
    place = first + int(processor["position"]) - 1
    outside = place >= last
    return combine(table.column(processor["inputColumn"])).take(pa.array(np.where(outside, 0, place), mask=outside))


_PROCESSORS: dict[str, _Processor] = {
    "rowNumber": _row_number,
    "rank": _rank,
    "denseRank": _dense_rank,
    "cumeDist": _cume_dist,
    "percentile": _percentile,
    "offset": _offset,
    "first": _edge(False),
    "last": _edge(True),
    "nth": _nth,
}

_ = msq.aggregate  # its members must be known to the codec
