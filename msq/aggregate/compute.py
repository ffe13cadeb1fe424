"""Partial aggregation of a stream of batches by DuckDB.

Batches of one layout (which text columns hold several values) are grouped by one query, streamed: DuckDB spills what
does not fit. Aggregators that keep something for every row (sketches, arrays) make it work in chunks of rows instead;
the same key may then come out several times, and merging behind the shuffle makes it one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from msq.aggregate.base import NativeAggregator, Part, combine, quote
from msq.aggregate.coded import blocks, by_places, coded_columns, with_places, with_texts
from msq.aggregate.layout import Layout, runs_of_one_layout
from msq.aggregate.rows import MULTI_VALUE_MARK, ROW_NUMBER, RowScope, virtual_inputs
from msq.aggregate.wrappers import filter_columns
from msq.datatypes import ColumnType, RowSignature, arrow_type
from msq.expr.lower import LowerEnv
from msq.faults import MSQError, QueryRuntimeErrorFault
from msq.native.filters import DimFilter
from msq.native.query import DefaultDimensionSpec
from msq.native.virtual import VirtualColumn
from msq.sketches.binary import list_parts

CHUNK_ROWS, CHUNK_BYTES = 2_000_000, 512 << 20
"""Most rows and bytes of a chunk when states keep something for every row; lists of Arrow hold less than 2 GiB."""
_INPUT = "group_input"


@dataclass(frozen=True)
class Grouping:
    """What to group: `keys` (none: all rows are one group), aggregators, virtual columns and the rows' filter.

    `signature` types the input columns. `unnest`: a multi-valued key makes one row a value, else it is an error.
    """

    keys: tuple[DefaultDimensionSpec, ...]
    aggregators: tuple[NativeAggregator, ...]
    signature: RowSignature
    virtual_columns: tuple[VirtualColumn, ...] = ()
    filter: DimFilter | None = None
    unnest: bool = True
    env: LowerEnv = field(default_factory=LowerEnv)

    @property
    def reads(self) -> tuple[str, ...]:
        """Input columns that the query needs, in the signature's order."""
        wanted: set[str] = {k.dimension for k in self.keys}
        wanted.update(name for a in self.aggregators for name in a.inputs)
        if self.filter is not None:
            wanted.update(filter_columns(self.filter))
        known: set[str] = set()
        while known != wanted:  # virtual columns may read each other
            known = set(wanted)
            wanted.update(i for v in self.virtual_columns if v.output in known for i in virtual_inputs(v))
        return tuple(c.name for c in self.signature if c.name in wanted)

    @property
    def output(self) -> RowSignature:
        """Keys, then states."""
        return RowSignature(
            [(k.output_name, k.output_type) for k in self.keys]
            + [(a.name, a.intermediate_type) for a in self.aggregators]
        )


def group(
    batches: Iterator[pa.RecordBatch], grouping: Grouping, connection: duckdb.DuckDBPyConnection, *,
    memory_bytes: int = 1 << 30, max_batch_rows: int = 100_000, check: Callable[[], None] = lambda: None,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """States by key, in batches of `grouping.output`; equal keys may repeat, in no particular order.

    No rows in, no rows out; without keys every run of rows gives one row. `check` is called once a batch. Raises
    MSQError(QueryRuntimeErrorFault) for a multi-valued key that may not be unnested, and what `batches` raises.
    """
    for layout, stream in runs_of_one_layout(batches, grouping.signature, check):
        query, parts, coded = _query(layout, grouping)
        if any(p.keeps_rows for found in parts for p in found.values()):
            for table in _chunks(stream, layout, min(memory_bytes // 4, CHUNK_BYTES)):
                table, dictionaries = _with_codes(table, coded)
                for result in _results(table, query, connection, len(table)):
                    yield from _slices(_states(result, grouping, parts, dictionaries), max_batch_rows)
            continue
        first = next(stream)
        places = coded_columns(grouping.keys, [v.output for v in grouping.virtual_columns], first)
        stream = chain((first,), stream)
        if places:
            yield from _by_places(stream, layout, grouping, places, connection, memory_bytes, max_batch_rows)
            continue
        source = _Source(stream, layout.schema)
        for result in source.guard(_results(source.reader, query, connection, max_batch_rows)):
            yield _states(result, grouping, parts, {})


def _by_places(
    stream: Iterator[pa.RecordBatch], layout: Layout, grouping: Grouping, places: Sequence[str],
    connection: duckdb.DuckDBPyConnection, memory_bytes: int, max_batch_rows: int,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Rows whose text keys in `places` are grouped by the places of the texts (msq.aggregate.coded)."""
    coded = replace(grouping, keys=by_places(grouping.keys, places))
    query, parts, _ = _query(with_places(layout, places), coded)
    for block in blocks(stream, layout.schema, places, min(memory_bytes // 8, CHUNK_BYTES)):
        for result in _results(block.table, query, connection, max_batch_rows):
            yield _states(with_texts(result, grouping.keys, block.texts), grouping, parts, {})


def _with_codes(table: pa.Table, coded: Mapping[str, str]) -> tuple[pa.Table, dict[str, pa.Array]]:
    """The table with row numbers, a column of dictionary places for each text column of `coded`; the dictionaries."""
    dictionaries = {}
    table = table.append_column(ROW_NUMBER, pa.array(np.arange(len(table))))
    for name, output in coded.items():
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        encoded = combine(column).dictionary_encode()
        dictionaries[name] = encoded.dictionary
        table = table.append_column(output, encoded.indices)
    return table, dictionaries


def _slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _chunks(stream: Iterator[pa.RecordBatch], layout: Layout, max_bytes: int) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in stream:
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= CHUNK_ROWS or size >= max_bytes:
            yield pa.Table.from_batches(held, layout.schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, layout.schema)


class _Source:
    """A stream as a RecordBatchReader that keeps the exception its batches raised: DuckDB only passes on its text."""

    def __init__(self, stream: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._error: BaseException | None = None
        self.reader = pa.RecordBatchReader.from_batches(schema, self._watched(stream))

    def _watched(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from stream
        except BaseException as error:
            self._error = error
            raise

    def guard(self, results: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from results
        except Exception:
            if self._error is not None:
                raise self._error from None
            raise


def _results(
    source: Any, query: str, connection: duckdb.DuckDBPyConnection, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    connection.register(_INPUT, source)
    try:
        for batch in connection.sql(query).to_arrow_reader(max(batch_rows, 1)):
            if batch.num_rows:
                yield batch
    except duckdb.Error as error:
        raise translated(error) from error
    finally:
        # a cancelled query's connection is closed already, or an interrupt meets this statement
        with suppress(duckdb.ConnectionException, duckdb.InterruptException):
            connection.unregister(_INPUT)


def _query(layout: Layout, grouping: Grouping) -> tuple[str, Sequence[Mapping[str, Part]], Mapping[str, str]]:
    """The SQL, the parts of each aggregator, and the text columns whose dictionary places it reads."""
    scope = RowScope(_INPUT, layout.columns, grouping.virtual_columns, grouping.filter, grouping.env)
    outputs: list[str] = []
    by: list[str] = []
    for number, spec in enumerate(grouping.keys):
        key = scope.key(spec, grouping.unnest)
        by.append(key.sql_name)
        value = key.sql_name
        if spec.output_type.kind in ("DOUBLE", "FLOAT"):
            # DuckDB takes -0.0 and 0.0 for one value, Druid for two
            negative_zero = f"({value} = 0 AND signbit({value}))"
            by.append(negative_zero)
            zero = f"CAST('-0.0' AS {spec.output_type.kind})"
            value = f"CASE WHEN any_value({negative_zero}) THEN {zero} ELSE {value} END"
        outputs.append(f"{value} AS k{number}")
    parts = [a.parts(scope) for a in grouping.aggregators]
    # threads of DuckDB would put lists together in any order; sketches then would differ from run to run
    kept = any(p.keeps_rows for found in parts for p in found.values())
    numbered = any(p.numbered for found in parts for p in found.values())
    if numbered and not kept:
        scope.number_rows()
    row = scope.row_number() if kept or numbered else None
    outputs += [f"{p.sql(row)} AS {_part(n, key)}" for n, found in enumerate(parts) for key, p in found.items()]
    group_by = f" GROUP BY {', '.join(by)}" if by else ""
    return f"SELECT {', '.join(outputs) or '1 AS one'} FROM ({scope.sql()}){group_by}", parts, scope.coded


def _part(number: int, key: str) -> str:
    return quote(f"a{number}_{key}")


def _states(
    batch: pa.RecordBatch, grouping: Grouping, parts: Sequence[Mapping[str, Part]], dictionaries: Mapping[str, pa.Array]
) -> pa.RecordBatch:
    columns = [
        as_type(batch.column(number), spec.output_type) for number, spec in enumerate(grouping.keys)
    ]  # fmt: skip
    at = len(grouping.keys)
    for aggregator, found in zip(grouping.aggregators, parts, strict=True):
        values = {key: _texts(batch.column(at + i), p, dictionaries) for i, (key, p) in enumerate(found.items())}
        at += len(found)
        columns.append(as_type(aggregator.state(values), aggregator.intermediate_type))
    return pa.record_batch(columns, names=list(grouping.output.names))


def _texts(values: pa.Array, part: Part, dictionaries: Mapping[str, pa.Array]) -> pa.Array:
    """The part's values; lists of dictionary places as lists of the texts, still as a dictionary."""
    if part.dictionary is None:
        return values
    places, offsets = list_parts(values)
    texts = pa.DictionaryArray.from_arrays(places.cast(pa.int32()), dictionaries[part.dictionary])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts)


def as_type(array: pa.Array, column_type: ColumnType) -> pa.Array:
    """The array in the frame layout of `column_type`."""
    array = combine(array)
    wanted = arrow_type(column_type)
    return array if array.type == wanted or pa.types.is_dictionary(array.type) else array.cast(wanted)


def translated(error: duckdb.Error) -> Exception:
    """The fault that a DuckDB error stands for, else the error."""
    text = str(error)
    if MULTI_VALUE_MARK in text:
        name = text.split(MULTI_VALUE_MARK, 1)[1].split("\n", 1)[0]
        return MSQError(QueryRuntimeErrorFault(
            error_message=f"Column [{name}] is a multi-value string. Please wrap the column using MV_TO_ARRAY() to "
            "proceed further.",
            base_error_message=f"Encountered multi-value dimension [{name}] that cannot be processed with "
            "'groupByEnableMultiValueUnnesting' set to false. Consider setting 'groupByEnableMultiValueUnnesting' to "
            "true in your query context.",
        ))  # fmt: skip
    made: Exception = error
    return made
