"""Lowering of the scan-like part of a native query: virtual columns, a filter and a projection become one SELECT.

A `Projection` is planned once from the query and turned into SQL for each layout of input batches, since a STRING
column may hold several values in one batch and not in the next. AGGREGATE's and the joins' inputs use it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from msq.datatypes import Column, RowSignature, arrow_type
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn, Lowered, LowerEnv, as_output, sql_type
from msq.expr.nodes import identifiers
from msq.expr.parser import parse
from msq.expr.virtual import fraction_of, lower_virtual, virtual_node
from msq.faults import CannotParseExternalDataFault, MSQError, TooManyWarningsFault
from msq.frame.frame import plain_column
from msq.native.filters import DimFilter, ExpressionFilter
from msq.native.virtual import VirtualColumn


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def virtual_inputs(column: VirtualColumn) -> tuple[str, ...]:
    """Names of the columns that a virtual column reads."""
    return identifiers(virtual_node(column))


def filter_inputs(condition: DimFilter | None) -> tuple[str, ...]:
    """Names of the columns that a filter reads, virtual ones included."""
    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, ExpressionFilter):
            found.update(dict.fromkeys(identifiers(parse(node.expression))))
            return
        if not is_dataclass(node):
            return
        for field in fields(node):
            value = getattr(node, field.name)
            if field.name in ("column", "dimension"):
                found[value] = None
            elif field.name == "dimensions":
                found.update(dict.fromkeys(value))
            elif field.name in ("field", "fields"):
                for inner in value if isinstance(value, tuple) else (value,):
                    visit(inner)

    visit(condition)
    return tuple(found)


def input_columns(schema: Any, types: RowSignature) -> dict[str, InputColumn]:
    """How SQL names and types the columns of a batch with this Arrow schema."""
    made = {}
    for field in schema:
        kind = types.type_of(field.name)
        if kind is None:
            continue
        made[field.name] = InputColumn(quoted(field.name), kind, kind.kind == "STRING" and pa.types.is_list(field.type))
    return made


@dataclass(frozen=True)
class Projection:
    """`outputs` computed of rows of `source`, kept where `condition` holds.

    An output is a virtual column or a source column; one that is neither reads as null. `source` may list more columns
    than are needed: see `needed`.
    """

    source: RowSignature
    virtuals: tuple[VirtualColumn, ...]
    condition: DimFilter | None
    outputs: RowSignature
    lookups: Mapping[str, Any]

    @cached_property
    def _virtual(self) -> dict[str, VirtualColumn]:
        return {v.output: v for v in self.virtuals}

    @cached_property
    def _levels(self) -> list[list[VirtualColumn]]:
        """Virtual columns in use, each level reading only source columns and earlier levels."""
        wanted = self._closure((*self.outputs.names, *filter_inputs(self.condition)))
        levels: list[list[VirtualColumn]] = []
        done: set[str] = set()
        pending = [v for name, v in self._virtual.items() if name in wanted]
        while pending:
            ready = [
                v for v in pending
                if all(n in done or n not in self._virtual or n == v.output for n in virtual_inputs(v))
            ]  # fmt: skip
            if not ready:
                raise ValueError(f"Virtual columns {[v.output for v in pending]} refer to each other in a circle")
            levels.append(ready)
            done.update(v.output for v in ready)
            pending = [v for v in pending if v.output not in done]
        return levels

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in found:
                continue
            found.add(name)
            if name in self._virtual:
                todo += [n for n in virtual_inputs(self._virtual[name]) if n != name]
        return found

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Source columns that must be read, in the source's order."""
        wanted = self._closure((*self.outputs.names, *filter_inputs(self.condition)))
        for name in list(wanted):
            if name in self._virtual:
                wanted.update(virtual_inputs(self._virtual[name]))
        shadowed = {n for n in self._virtual if n not in self._self_read}
        return tuple(n for n in self.source.names if n in wanted and n not in shadowed)

    @cached_property
    def _self_read(self) -> set[str]:
        """Virtual columns that read a source column of their own name."""
        return {v.output for v in self.virtuals if v.output in virtual_inputs(v)}

    @cached_property
    def is_plain(self) -> bool:
        """Whether the outputs are source columns as they are, all rows of them."""
        return self.condition is None and not any(n in self._virtual for n in self.outputs.names)

    def sql(self, schema: Any, relation: str) -> str:
        """The SELECT over `relation`, which has the Arrow `schema`."""
        env = LowerEnv(self.lookups)
        scope = input_columns(schema, self.source)
        inner = relation
        for level in self._levels:
            names = {v.output for v in level}
            made = {v.output: lower_virtual(v, scope, env) for v in level}
            fractions = {v.output: fraction_of(virtual_node(v), scope, env) for v in level} if self.condition else {}
            kept = [c.sql_name for n, c in scope.items() if n not in names]
            select = kept + [f"{made[n].sql} AS {quoted(n)}" for n in made]
            inner = f"(SELECT {', '.join(select)} FROM {inner})"
            scope = {n: c for n, c in scope.items() if n not in names}
            for name, value in made.items():
                scope[name] = InputColumn(quoted(name), value.type, value.multi_value, fractions.get(name))
        if not scope:
            # a row without columns still counts
            inner = f"(SELECT 1 AS __row FROM {relation})"
        where = ""
        if self.condition is not None:
            where = f" WHERE {lower_filter(self.condition, scope, env)}"
        outs = [f"{self._output(c, scope)} AS {quoted(c.name)}" for c in self.outputs]
        return f"SELECT {', '.join(outs) or '1 AS __row'} FROM {inner}{where}"

    def _output(self, column: Column, scope: Mapping[str, InputColumn]) -> str:
        have = scope.get(column.name)
        if have is None:
            return f"CAST(NULL AS {sql_type(column.type)})"
        if have.type == column.type or column.type.is_complex:
            return have.sql_name
        return as_output(Lowered(have.sql_name, have.type, have.multi_value), column.type).sql


def groups(batches: Iterator[Any]) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Consecutive batches of equal schema: (schema, its batches). A group must be read before the next one."""
    ahead = next(batches, None)
    while ahead is not None:
        schema = ahead.schema

        def same(schema: Any = schema) -> Iterator[Any]:
            nonlocal ahead
            while ahead is not None and ahead.schema == schema:
                batch, ahead = ahead, None
                yield batch
                ahead = next(batches, None)

        members = same()
        yield schema, members
        for _ in members:
            pass


def run_query(connection: Any, sql: str, relations: Mapping[str, Any], batch_rows: int) -> Iterator[Any]:
    """Batches of a SELECT over Arrow readers or tables registered under the names of `relations`.

    Raises MSQError for errors that a statement can cause (msq.processors.errors), the readers' own errors as they are.
    """
    import duckdb

    from msq.processors.errors import statement_errors

    for name, value in relations.items():
        connection.register(name, value)
    reader: Any = None
    try:
        with statement_errors():
            reader = connection.sql(sql).to_arrow_reader(batch_rows)
        while True:
            with statement_errors():
                batch = next(reader, None)
            if batch is None:
                return
            if batch.num_rows:
                yield batch
    finally:
        # a result that was not read to its end keeps the connection busy
        if reader is not None:
            with suppress(OSError):  # of an interrupted one
                reader.close()
        # a cancelled query's connection is closed already, or an interrupt meets this statement
        with suppress(duckdb.ConnectionException, duckdb.InterruptException):
            for name in relations:
                connection.unregister(name)


def as_reader(schema: Any, batches: Iterator[Any], failures: list[BaseException]) -> Any:
    """The batches as an Arrow reader for DuckDB. An exception of theirs is kept in `failures`, since DuckDB hands on
    only its text; a bad row just ends the stream, so that the rows before it come out first."""

    def watched() -> Iterator[Any]:
        try:
            yield from batches
        except MSQError as error:
            failures.append(error)
            if not isinstance(error.fault, (CannotParseExternalDataFault, TooManyWarningsFault)):
                raise
        except BaseException as error:
            failures.append(error)
            raise

    return pa.RecordBatchReader.from_batches(schema, watched())


def project(connection: Any, projection: Projection, batches: Iterator[Any], batch_rows: int) -> Iterator[Any]:
    """Runs a projection over batches of its source (the `needed` columns, or more)."""
    for schema, members in groups(with_columns(batches)):
        sql = projection.sql(schema, "__input")
        yield from stream_query(connection, sql, schema, members, batch_rows)


def with_columns(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, those without columns with one that nobody reads, since a relation needs one to have rows."""
    try:
        for batch in batches:
            if batch.num_columns == 0:
                batch = pa.RecordBatch.from_arrays([pa.nulls(batch.num_rows, pa.int8())], names=["__row"])
            yield batch
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def stream_query(connection: Any, sql: str, schema: Any, batches: Iterator[Any], batch_rows: int) -> Iterator[Any]:
    """`run_query` over a stream of batches known to the SQL as `__input`."""
    failures: list[BaseException] = []
    reader = as_reader(schema, batches, failures)
    try:
        yield from run_query(connection, sql, {"__input": reader}, batch_rows)
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    if failures:
        raise failures[0]


def framed(batch: Any, signature: RowSignature) -> Any:
    """A result batch in frame layout: columns of `signature`, in its order."""
    columns = []
    for column in signature:
        array = plain_column(batch.column(column.name))
        if column.type.kind != "STRING" and not column.type.is_complex and array.type != arrow_type(column.type):
            array = array.cast(arrow_type(column.type))
        columns.append(array)
    return pa.RecordBatch.from_arrays(columns, names=list(signature.names))
