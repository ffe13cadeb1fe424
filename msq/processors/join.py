"""The `sortMergeJoin` processor: two stages partitioned alike by their key columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from msq.datatypes import RowSignature
from msq.expr.lower import InputColumn, LowerEnv
from msq.faults import MSQError, TooManyRowsWithSameKeyFault
from msq.frame.frame import common_schema, frame_bytes, to_schema
from msq.processors.conditions import JoinCondition, plain_columns
from msq.processors.lowering import framed, input_columns, quoted, run_query
from msq.protocol import ExecutionContext, OutputBatch
from msq.stage.query import StageProcessor

SAME_KEY_BYTES = 22_500_000
"""Bytes of rows with one key that both sides may have; beyond it the product would not be finished."""


@dataclass(frozen=True)
class SortMergeJoinProcessor(StageProcessor, tag="sortMergeJoin"):
    """Input 0 joined with input 1, whose columns come out under `right_prefix`; join_type as in JoinDataSource.

    Both inputs are partitioned by the same hash of their keys, so a partition is joined by itself.
    """

    right_prefix: str
    condition: str
    join_type: str

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        left, right = ctx.inputs
        partitions = sorted({*left.partitions, *right.partitions})
        connection: Any = None
        for partition in partitions:
            ctx.check_cancelled()
            if connection is None:
                connection = ctx.connection()
            for batch in self._partition(ctx, connection, partition):
                yield OutputBatch(partition, batch)

    def _partition(self, ctx: ExecutionContext, connection: Any, partition: int) -> Iterator[Any]:
        left, right = ctx.inputs
        sizes = []
        schemas = []
        for name, readable, prefix in (("__left", left, ""), ("__right", right, self.right_prefix)):
            held, size = _load(ctx, connection, name, readable, partition, prefix)
            sizes.append(size)
            schemas.append(held)
        try:
            condition = JoinCondition.parse(self.condition, self.right_prefix)
            self._check_same_key(connection, condition, sizes)
            sql = self._sql(ctx, condition, schemas)
            for batch in run_query(connection, sql, {}, ctx.max_batch_rows):
                ctx.check_cancelled()
                yield framed(batch, ctx.stage.signature)
        finally:
            for name in ("__left", "__right"):
                connection.execute(f"DROP TABLE IF EXISTS {name}")

    def _sql(self, ctx: ExecutionContext, condition: JoinCondition, schemas: list[Any]) -> str:
        left, right = ctx.inputs
        prefixed = RowSignature((self.right_prefix + c.name, c.type) for c in right.signature)
        scope: dict[str, InputColumn] = {}
        for alias, schema, signature in (("l", schemas[0], left.signature), ("r", schemas[1], prefixed)):
            for name, column in input_columns(schema, signature).items():
                scope[name] = InputColumn(f"{alias}.{column.sql_name}", column.type, column.multi_value)
        outs = ", ".join(f"{scope[c.name].sql_name} AS {quoted(c.name)}" for c in ctx.stage.signature)
        on = condition.sql(scope, LowerEnv(ctx.services.get("lookups") or {}))
        return f"SELECT {outs} FROM __left l {self.join_type} JOIN __right r ON {on}"

    def _check_same_key(self, connection: Any, condition: JoinCondition, sizes: list[int]) -> None:
        """Raises TooManyRowsWithSameKey when rows of one key exceed the buffer on both sides."""
        columns = plain_columns(condition, self.right_prefix)
        if min(sizes) <= SAME_KEY_BYTES or not columns:
            return
        counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("__left", "__right")]
        rows = [max(1, SAME_KEY_BYTES * n // size) for n, size in zip(counts, sizes)]
        keys = ", ".join(f"{quoted(a)} AS k{i}" for i, (a, _) in enumerate(columns))
        others = ", ".join(f"{quoted(self.right_prefix + b)} AS k{i}" for i, (_, b) in enumerate(columns))
        names = ", ".join(f"k{i}" for i in range(len(columns)))
        same = " AND ".join(f"a.k{i} = b.k{i}" for i in range(len(columns)))
        found = connection.execute(
            f"SELECT {', '.join(f'a.k{i}' for i in range(len(columns)))}, least(a.n, b.n) "
            f"FROM (SELECT {keys}, count(*) AS n FROM __left GROUP BY {names} HAVING count(*) > {rows[0]}) a "
            f"JOIN (SELECT {others}, count(*) AS n FROM __right GROUP BY {names} HAVING count(*) > {rows[1]}) b "
            f"ON {same} LIMIT 1"
        ).fetchone()
        if found is not None:
            size = int(found[-1]) * max(s // max(n, 1) for s, n in zip(sizes, counts))
            raise MSQError(TooManyRowsWithSameKeyFault(tuple(found[:-1]), size, SAME_KEY_BYTES))


def _load(
    ctx: ExecutionContext, connection: Any, table: str, readable: Any, partition: int, prefix: str
) -> tuple[Any, int]:
    """Loads one side's partition into a DuckDB table, which spills; answers its Arrow schema and frame bytes."""
    names = [prefix + n for n in readable.signature.names]
    held: list[Any] = []
    size = 0
    schema: Any = None
    budget = max(ctx.memory_bytes // 8, 1 << 20)
    waiting = 0

    def flush() -> None:
        nonlocal held, waiting, schema
        made = common_schema(held)
        if schema is None:
            schema = made
        elif made != schema:
            schema, made = _widened(connection, table, schema, made)
        data = pa.Table.from_batches([to_schema(b, schema) for b in held], schema).rename_columns(names)
        connection.register("__loading", data)
        exists = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchone()
        verb = f"INSERT INTO {table}" if exists else f"CREATE TEMP TABLE {table} AS"
        connection.execute(f"{verb} SELECT * FROM __loading")
        connection.unregister("__loading")
        held, waiting = [], 0

    if partition in readable.partitions:
        for batch in readable.read(partition, readable.signature.names):
            ctx.check_cancelled()
            held.append(batch)
            size += frame_bytes(batch)
            waiting += batch.nbytes
            if waiting > budget:
                flush()
    if not held and schema is None:
        schema = readable.signature.arrow_schema()
        data = schema.empty_table().rename_columns(names)
        connection.register("__loading", data)
        connection.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM __loading")
        connection.unregister("__loading")
    elif held:
        flush()
    renamed = pa.schema([pa.field(n, t) for n, t in zip(names, schema.types)])
    return renamed, size


def _widened(connection: Any, table: str, have: Any, more: Any) -> tuple[Any, Any]:
    """Brings the table to a schema that also holds `more`: a text column becomes a list of texts."""
    from msq.frame.frame import common_type

    types = [common_type([a, b]) for a, b in zip(have.types, more.types)]
    schema = pa.schema([pa.field(n, t) for n, t in zip(have.names, types)])
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    for (name, *_), old, new in zip(described, have.types, types):
        if pa.types.is_list(new) and not pa.types.is_list(old):
            column = quoted(name)
            connection.execute(
                f"ALTER TABLE {table} ALTER {column} TYPE VARCHAR[] "
                f"USING CASE WHEN {column} IS NOT NULL THEN [{column}] END"
            )
    return schema, schema
