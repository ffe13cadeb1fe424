"""The data source of a stage's query as batches: inputs, filters, joins with broadcast inputs, UNNEST and unions.

`source_pieces` is what processors read: independent parts in the order of the base input's pieces, each delivering the
columns that were asked for. `open_source` chains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from msq.datatypes import RowSignature, arrow_type
from msq.frame.frame import to_lists
from msq.native.datasource import (
    DataSource,
    ExternalDataSource,
    FilteredDataSource,
    InlineDataSource,
    InputNumberDataSource,
    JoinDataSource,
    LookupDataSource,
    UnionDataSource,
    UnnestDataSource,
)
from msq.processors.lowering import Projection, filter_inputs, framed, project, virtual_inputs, with_columns
from msq.protocol import ExecutionContext


@dataclass(frozen=True)
class SourcePiece:
    """A part of the source that is read by itself. `partition`: of the base input; `number`: the piece's place.

    `read(max_rows)` ends after that many rows of a bare input (other sources ignore it).
    """

    partition: int
    number: int
    read: Callable[[int | None], Iterator[Any]]


LOOKUP_COLUMNS = ("k", "v")


def input_numbers(source: DataSource) -> dict[int, int]:
    """For each leaf of the source, by its place in the walk, the number of the stage input it is.

    Leaves that stand as full objects (external, inline, lookup) take the numbers that no inputNumber names, in order.
    """
    leaves = [s for s in source.walk() if not s.children()]
    named = {s.input_number for s in leaves if isinstance(s, InputNumberDataSource)}
    free = (n for n in range(len(leaves) + len(named)) if n not in named)
    return {
        at: leaf.input_number if isinstance(leaf, InputNumberDataSource) else next(free)
        for at, leaf in enumerate(leaves)
    }


class Opened:
    """A data source tree over the inputs of a work order; joins load their broadcast side once."""

    def __init__(self, ctx: ExecutionContext, source: DataSource) -> None:
        self._ctx = ctx
        self._source = source
        numbers = input_numbers(source)
        self._numbers = {id(leaf): numbers[at] for at, leaf in enumerate(_leaves(source))}
        self._joins: dict[int, Any] = {}
        self.signature: RowSignature = self._signature(source)

    # -- signatures ---------------------------------------------------------------------------------------------

    def _signature(self, source: DataSource) -> RowSignature:
        if isinstance(source, (InputNumberDataSource, ExternalDataSource, InlineDataSource, LookupDataSource)):
            return self._ctx.inputs[self._numbers[id(source)]].signature
        if isinstance(source, FilteredDataSource):
            return self._signature(source.base)
        if isinstance(source, UnnestDataSource):
            made = source.virtual_column
            element = made.column_type.element or made.column_type
            base = [c for c in self._signature(source.base) if c.name != made.output]
            return RowSignature([*base, (made.output, element)])
        if isinstance(source, JoinDataSource):
            left, right = self._signature(source.left), self._signature(source.right)
            return RowSignature([*left, *((source.right_prefix + c.name, c.type) for c in right)])
        if isinstance(source, UnionDataSource):
            found: dict[str, Any] = {}
            for child in source.data_sources:
                for column in self._signature(child):
                    found.setdefault(column.name, column.type)
            return RowSignature(found.items())
        raise NotImplementedError(f"Data sources of type [{source.TAG}] are not supported inside a stage")

    # -- pieces -------------------------------------------------------------------------------------------------

    def pieces(self, columns: Sequence[str]) -> list[SourcePiece]:
        """The parts of the whole source; each delivers `columns`, in that order (none: a column that nobody reads,
        so that there are rows)."""
        made = self._pieces(self._source, tuple(columns))
        return [SourcePiece(p.partition, n, p.read if columns else _rows_only(p)) for n, p in enumerate(made)]

    def _pieces(self, source: DataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        if isinstance(source, (InputNumberDataSource, ExternalDataSource, InlineDataSource, LookupDataSource)):
            return self._input_pieces(source, columns)
        if isinstance(source, FilteredDataSource):
            return self._filtered(source, columns)
        if isinstance(source, UnnestDataSource):
            return self._unnested(source, columns)
        if isinstance(source, JoinDataSource):
            return self._joined(source, columns)
        if isinstance(source, UnionDataSource):
            return self._union(source, columns)
        raise NotImplementedError(f"Data sources of type [{source.TAG}] are not supported inside a stage")

    def _input_pieces(self, source: DataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        readable = self._ctx.inputs[self._numbers[id(source)]]
        have = [c for c in columns if c in readable.signature]

        def reader(piece: Any) -> Callable[[int | None], Iterator[Any]]:
            def read(max_rows: int | None) -> Iterator[Any]:
                batches = piece.read(have, max_rows)
                return batches if len(have) == len(columns) else _with_nulls(batches, columns, self.signature)

            return read

        return [SourcePiece(p.partition, n, reader(p)) for n, p in enumerate(readable.pieces())]

    def _mapped(self, base: list[SourcePiece], run: Callable[[Any, Iterator[Any]], Iterator[Any]]) -> list[SourcePiece]:
        """Each piece passed through `run(connection, batches)`."""

        def reader(piece: SourcePiece) -> Callable[[int | None], Iterator[Any]]:
            def read(max_rows: int | None) -> Iterator[Any]:
                # of its own: levels of a source stream through one another, and a connection streams one result
                with closing(self._ctx.connection()) as connection:
                    yield from run(connection, piece.read(None))

            return read

        return [SourcePiece(p.partition, p.number, reader(p)) for p in base]

    def _filtered(self, source: FilteredDataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        if source.filter is None:
            return self._pieces(source.base, columns)
        signature = self._signature(source.base)
        # batches without columns would not tell how many rows are left
        kept = [c for c in columns if c in signature] or signature.names[:1]
        plan = self._plan(signature, (), source.filter, signature.select(kept))

        def run(connection: Any, batches: Iterator[Any]) -> Iterator[Any]:
            for batch in project(connection, plan, batches, self._ctx.max_batch_rows):
                yield framed(batch, plan.outputs)

        return self._mapped(self._pieces(source.base, plan.needed), run)

    def _plan(self, source: RowSignature, virtuals: Any, condition: Any, outputs: RowSignature) -> Projection:
        return Projection(source, tuple(virtuals), condition, outputs, self._ctx.services.get("lookups") or {})

    def _unnested(self, source: UnnestDataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        from msq.processors.unnest import unnest

        base = self._signature(source.base)
        output = source.virtual_column.output
        reads = {*virtual_inputs(source.virtual_column), *columns, *filter_inputs(source.unnest_filter)} - {output}
        reads |= set(virtual_inputs(source.virtual_column))
        needed = tuple(n for n in base.names if n in reads)
        stored = self._reads_table(source.base)

        def run(connection: Any, batches: Iterator[Any]) -> Iterator[Any]:
            return unnest(self._ctx, connection, source, base.select(needed), columns, batches, stored)

        return self._mapped(self._pieces(source.base, needed), run)

    def _reads_table(self, source: DataSource) -> bool:
        leaf = next(iter(_leaves(source)))
        number = self._numbers[id(leaf)]
        inputs = self._ctx.stage.input
        return number < len(inputs) and inputs[number].TAG == "table"

    def _joined(self, source: JoinDataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        from msq.processors.broadcast import BroadcastJoin

        key = id(source)
        left, right = self._signature(source.left), self._signature(source.right)
        join = self._joins.get(key)
        if join is None:
            join = self._joins[key] = BroadcastJoin(
                self._ctx, source, left, right, lambda names: self._chained(source.right, names)
            )
        needed = join.left_columns(columns)
        base = self._pieces(source.left, needed)
        if join.needs_all_left:
            return [SourcePiece(0, 0, lambda _: join.run(_chain(base), columns))]

        def reader(piece: SourcePiece) -> Callable[[int | None], Iterator[Any]]:
            return lambda _: join.run(piece.read(None), columns)

        return [SourcePiece(p.partition, p.number, reader(p)) for p in base]

    def _chained(self, source: DataSource, columns: Sequence[str]) -> Iterator[Any]:
        return _chain(self._pieces(source, tuple(columns)))

    def _union(self, source: UnionDataSource, columns: tuple[str, ...]) -> list[SourcePiece]:
        made: list[SourcePiece] = []
        signature = self._signature(source)
        for child in source.data_sources:
            have = self._signature(child)
            names = tuple(c for c in columns if c in have)
            for piece in self._pieces(child, names):

                def read(max_rows: int | None, piece: SourcePiece = piece, names: Any = names) -> Iterator[Any]:
                    batches = piece.read(max_rows)
                    return batches if names == columns else _with_nulls(batches, columns, signature)

                made.append(SourcePiece(piece.partition, len(made), read))
        return made


def _rows_only(piece: SourcePiece) -> Callable[[int | None], Iterator[Any]]:
    return lambda max_rows: with_columns(piece.read(max_rows))


def _leaves(source: DataSource) -> list[DataSource]:
    return [s for s in source.walk() if not s.children()]


def _chain(pieces: Sequence[SourcePiece]) -> Iterator[Any]:
    for piece in pieces:
        yield from piece.read(None)


def _with_nulls(batches: Iterator[Any], columns: Sequence[str], signature: RowSignature) -> Iterator[Any]:
    """The batches with the columns they lack added as nulls."""
    for batch in batches:
        have = dict(zip(batch.schema.names, batch.columns))
        arrays = []
        for name in columns:
            kind = signature.type_of(name)
            missing = pa.string() if kind is None else arrow_type(kind)
            arrays.append(have[name] if name in have else pa.nulls(batch.num_rows, missing))
        yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def source_pieces(ctx: ExecutionContext, source: DataSource, columns: Sequence[str]) -> list[SourcePiece]:
    """The parts of `source` that may be read side by side; each delivers `columns`."""
    return Opened(ctx, source).pieces(columns)


def source_signature(ctx: ExecutionContext, source: DataSource) -> RowSignature:
    """Columns and types that `source` offers."""
    return Opened(ctx, source).signature


def open_source(ctx: ExecutionContext, source: DataSource, columns: Sequence[str]) -> Iterator[Any]:
    """All rows of `source` as batches of `columns`. A STRING column may be `list<string>` in some batches."""
    return _chain(source_pieces(ctx, source, columns))


__all__ = ["Opened", "SourcePiece", "open_source", "source_pieces", "source_signature", "to_lists"]
