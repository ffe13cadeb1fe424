"""Broadcast joins: the right side loaded once into DuckDB, the left side streamed past it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from msq.datatypes import RowSignature
from msq.expr.filters import lower_filter
from msq.expr.lower import InputColumn, LowerEnv
from msq.faults import BroadcastTablesTooLargeFault, MSQError
from msq.frame.frame import common_schema, frame_bytes, to_schema
from msq.native.datasource import JoinDataSource
from msq.processors.conditions import JoinCondition
from msq.processors.lowering import filter_inputs, framed, groups, input_columns, quoted, stream_query, with_columns
from msq.protocol import ExecutionContext

BROADCAST_SHARE = 5
"""One part in so many of the order's memory may be taken by the tables of all its broadcast joins."""
_MATCHED = "__matched"


class BroadcastJoin:
    """One join of a stage. `read_right(columns)` reads the right side's columns, named without prefix."""

    def __init__(
        self, ctx: ExecutionContext, source: JoinDataSource, left: RowSignature, right: RowSignature,
        read_right: Callable[[Sequence[str]], Iterator[Any]],
    ) -> None:  # fmt: skip
        self._ctx = ctx
        self._source = source
        self._left = left
        self._right = right
        self._read_right = read_right
        self._condition = JoinCondition.parse(source.condition, source.right_prefix)
        self._lock = threading.Lock()
        self._connection: Any = None
        self._right_schema: Any = None
        self._env = LowerEnv(ctx.services.get("lookups") or {})

    @property
    def needs_all_left(self) -> bool:
        """Whether unmatched right rows come out, which is known only when the whole left side has passed."""
        return self._source.join_type in ("RIGHT", "FULL")

    def left_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Columns of the left side to read when `columns` are wanted of the join."""
        wanted = {*columns, *self._condition.inputs, *filter_inputs(self._source.left_filter)}
        return tuple(n for n in self._left.names if n in wanted)

    def _load(self) -> Any:
        """The connection that holds the right side as table `__right`, loaded on first use."""
        if self._connection is not None:
            return self._connection
        prefix = self._source.right_prefix
        batches = []
        size = 0
        limit = self._ctx.memory_bytes // BROADCAST_SHARE
        for batch in self._read_right(self._right.names):
            self._ctx.check_cancelled()
            size += frame_bytes(batch) + 8 * batch.num_rows
            if size > limit:
                algorithm = self._ctx.query.context.get("sqlJoinAlgorithm")
                raise MSQError(BroadcastTablesTooLargeFault(limit, algorithm))
            batches.append(batch)
        if batches:
            schema = common_schema(batches)
            table = pa.Table.from_batches([to_schema(b, schema) for b in batches], schema)
        else:
            table = self._right.arrow_schema().empty_table()
        table = table.rename_columns([prefix + n for n in table.schema.names])
        # the right side is the one to build on, and the left one's order is kept
        connection = self._ctx.connection("join_order,build_side_probe_side")
        connection.register("__loading", table)
        connection.execute("CREATE TEMP TABLE __right AS SELECT * FROM __loading")
        connection.unregister("__loading")
        self._right_schema = table.schema
        self._connection = connection
        return connection

    def run(self, batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Any]:
        """The join of one part of the left side (all of it for RIGHT and FULL), as batches of `columns`."""
        both = RowSignature([*self._left, *((self._source.right_prefix + c.name, c.type) for c in self._right)])
        outputs = both.select(columns)
        with self._lock:  # one statement at a time: DuckDB's own threads share the work
            connection = self._load()
            for schema, members in groups(with_columns(_whole(batches) if self.needs_all_left else batches)):
                sql = self._sql(schema, columns)
                for batch in stream_query(connection, sql, schema, members, self._ctx.max_batch_rows):
                    yield framed(batch, outputs) if columns else batch

    def _sql(self, schema: Any, columns: Sequence[str]) -> str:
        left = {n: InputColumn(f"l.{c.sql_name}", c.type, c.multi_value)
                for n, c in input_columns(schema, self._left).items()}  # fmt: skip
        types = RowSignature((self._source.right_prefix + c.name, c.type) for c in self._right)
        right = {n: InputColumn(f"r.{c.sql_name}", c.type, c.multi_value)
                 for n, c in input_columns(self._right_schema, types).items()}  # fmt: skip
        scope = {**left, **right}
        relation = "__input"
        if self._source.left_filter is not None:
            bare = {n: InputColumn(quoted(n), c.type, c.multi_value) for n, c in left.items()}
            relation = f"(SELECT * FROM __input WHERE {lower_filter(self._source.left_filter, bare, self._env)})"
        outs = ", ".join(f"{scope[n].sql_name} AS {quoted(n)}" for n in columns) or "1 AS __row"
        kind = self._source.join_type
        return f"SELECT {outs} FROM {relation} l {kind} JOIN __right r ON {self._condition.sql(scope, self._env)}"


def _whole(batches: Iterator[Any]) -> Iterator[Any]:
    """All batches in one schema, so that one statement sees them all."""
    held = list(batches)
    if held:
        schema = common_schema(held)
        yield from (to_schema(b, schema) for b in held)
