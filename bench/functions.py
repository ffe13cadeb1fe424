"""`python -m bench functions`: every function's rows a second beside the bare DuckDB expression, slowest first.

A scalar function or operator is lowered as in a query and computed over a table of DuckDB's on one thread; so is its
peer. An aggregate goes through the partial step and finalisation over Arrow batches, grouped by 100 keys, as does a
window function through a whole query. What is more than five times slower than its peer is marked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bench import function_peers as peers
from msq.aggregate.base import NativeAggregator
from msq.aggregate.compute import Grouping, group
from msq.aggregate.registry import bind_aggregate
from msq.aggregate.runs import merge_sorted
from msq.datatypes import ColumnType, RowSignature
from msq.expr.lower import InputColumn, LowerEnv, as_output, lower
from msq.expr.nodes import Identifier, Node
from msq.expr.prepare import prepare
from msq.expr.printer import to_text
from msq.expr.sqltypes import native
from msq.expr.virtual import filtered_values, lower_virtual
from msq.native.query import DefaultDimensionSpec
from msq.native.virtual import ExpressionVirtualColumn
from msq.sql import function_examples as examples
from msq.sql.function_rules import bind_arguments, bind_example
from msq.sql.functions import FunctionInfo, functions

SLOW = 5.0
GROUPS = 100
BATCH_ROWS = 100_000
SKETCHES = {"hll": "DS_HLL", "theta": "DS_THETA", "quantiles": "DS_QUANTILES_SKETCH", "tuples": "DS_TUPLE_DOUBLES"}
LOOKUPS = {examples.LOOKUP_NAME: {f"{c}{i}{d}": f"name {i}" for i in range(100) for c in "abcd" for d in "bcd"}}
TYPES = {name: native(of) for name, of in examples.COLUMNS.items()}
INPUTS = {name: InputColumn(f'"{name}"', of, name in examples.MULTI_VALUE) for name, of in TYPES.items()}
ENV = LowerEnv(LOOKUPS)

SAMPLE = """
SELECT i AS __time, 'g' || (i % {groups}) AS g, 1704067200000 + (i * 7919) % 31536000000 AS t,
  1704067200000 + (i * 104729) % 63072000000 AS u, chr(CAST(97 + i % 4 AS INTEGER)) || (i * 31 % 1000)
  || chr(CAST(98 + i % 3 AS INTEGER)) AS s, chr(CAST(97 + i % 3 AS INTEGER)) || (i % 500) || 'x' AS w,
  ['a' || (i % 3), 'b' || (i % 5), 'c' || (i % 7)] AS m, (i * 2654435761) % 1000000 AS l, 1 + i % 3 AS n,
  ((i * 48271) % 100000) / 1000.0 + 0.005 AS d, ((i * 16807) % 100000) / 997.0 AS e,
  ['a' || (i % 3), s, 'c' || (i % 7)] AS sa, ['b' || (i % 5), 'c' || (i % 7)] AS sb, [i % 10, i % 100, i % 1000] AS la,
  [d, e, 1.5] AS da, '{{"a":' || (i % 100) || ',"b":["x",' || i || ']}}' AS j, '{{"c":' || i || '}}' AS k,
  strftime(make_timestamp_ms(t), '%Y-%m-%dT%H:%M:%S.%gZ') AS iso, CAST(i AS VARCHAR) AS digits,
  '10.' || (i % 256) || '.' || (i % 7) || '.' || (i % 199) AS ip, '2001:db8::' || (i % 9999) AS ip6, k AS json_text,
  to_base64(encode(s)) AS base64
FROM (SELECT CAST(range AS BIGINT) AS i FROM range({rows}))
"""


@dataclass(frozen=True)
class Timed:
    """Seconds for all rows, here and of the peer; None where there is no peer."""

    name: str
    kind: str
    seconds: float
    peer_seconds: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.peer_seconds is None else self.seconds / self.peer_seconds


class Sample:
    """The sample table in a prepared connection of one thread; `ts` and `us` are its times as TIMESTAMP."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.connection: Any = prepare(duckdb.connect(config={"threads": 1}))
        self.connection.execute(f"CREATE TABLE plain AS {SAMPLE.format(rows=rows, groups=GROUPS)}")
        self._add_sketches()

    def _add_sketches(self) -> None:
        columns = [name for name in TYPES if name not in SKETCHES]
        self.connection.execute(f"CREATE VIEW sample AS SELECT {', '.join(columns)} FROM plain")
        for name, function in SKETCHES.items():
            made = self.aggregate(f"{function}(s, d)" if name == "tuples" else
                                  f"{function}({'d' if name == 'quantiles' else 's'})", rows=20_000)  # fmt: skip
            self.connection.register(f"of_{name}", made)
        joined = " ".join(f"JOIN of_{name} ON of_{name}.g = plain.g" for name in SKETCHES)
        states = ", ".join(f"of_{name}.a0 AS {name}" for name in SKETCHES)
        lookup = LOOKUPS[examples.LOOKUP_NAME]
        self.connection.execute("CREATE TEMP TABLE lookup (names MAP(VARCHAR, VARCHAR))")
        self.connection.execute("INSERT INTO lookup SELECT map(?, ?)", [list(lookup), list(lookup.values())])
        self.connection.execute(
            f"CREATE OR REPLACE TABLE sample2 AS SELECT plain.*, make_timestamp_ms(plain.t) AS ts, "
            f"make_timestamp_ms(plain.u) AS us, {states} FROM plain {joined}"
        )
        self.connection.execute("DROP VIEW sample")
        self.connection.execute("ALTER TABLE sample2 RENAME TO sample")

    def scalar(self, expression: str) -> None:
        """Computes an expression for every row; the hash keeps DuckDB from leaving it out."""
        source = "sample, lookup" if "names" in expression else "sample"
        self.run(f"SELECT bit_xor(hash({expression})) FROM {source}")

    def run(self, sql: str) -> None:
        self.connection.execute(sql).fetchall()

    def peer_aggregate(self, example: str, call: str) -> None:
        """The peer reads the same Arrow table that the aggregate reads."""
        self.connection.register("arrow", self._arrow(grouping_of(example).reads))
        self.connection.sql(f"SELECT g, {call} FROM arrow GROUP BY g").to_arrow_table()

    @lru_cache(maxsize=4)  # noqa: B019 - there is one sample
    def _arrow(self, columns: tuple[str, ...], rows: int | None = None) -> pa.Table:
        limit = "" if rows is None else f" LIMIT {rows}"
        return self.connection.sql(f"SELECT {', '.join(columns)} FROM sample{limit}").to_arrow_table()

    def aggregate(self, example: str, rows: int | None = None) -> pa.Table:
        """Final values of an aggregate by `g`; its states, over the first rows only, where `rows` says so."""
        grouping = grouping_of(example)
        batches = self._arrow(grouping.reads, rows).to_batches(BATCH_ROWS)
        grouped = pa.Table.from_batches(list(group(iter(batches), grouping, self.connection)))
        merged = pa.concat_tables(merge_sorted([grouped.sort_by("g")], ["g"], grouping.aggregators))
        if rows is not None:
            return merged
        finals = [a.finalize(merged.column(a.name).combine_chunks()) for a in grouping.aggregators]
        return pa.table([merged.column("g"), *finals], names=["g", *(a.name for a in grouping.aggregators)])


def lowered(example: str) -> str:
    """SQL of a scalar example, as a query of the engine computes it."""
    node = bind_example(example, LOOKUPS)
    planned = filtered_values(node.node, "v")
    made = lower_virtual(planned, INPUTS, ENV) if planned is not None else lower(node.node, INPUTS, ENV)
    return as_output(made, node.native_type).sql


@cache
def grouping_of(example: str) -> Grouping:
    """A group-by of `g` with one aggregate call."""
    virtual: list[ExpressionVirtualColumn] = []

    def column(node: Node, of: ColumnType) -> str:
        if isinstance(node, Identifier):
            return node.name
        virtual.append(ExpressionVirtualColumn(f"v{len(virtual)}", to_text(node), of))
        return virtual[-1].name

    name, arguments = bind_arguments(example)
    bound = bind_aggregate(name, arguments, output="a0", column=column, groupings=("g",))
    made = tuple(a for a in bound.aggregators if isinstance(a, NativeAggregator))
    return Grouping((DefaultDimensionSpec("g", "g", TYPES["g"]),), made, RowSignature(TYPES.items()), tuple(virtual))


def timed(run: Callable[[], object], rounds: int) -> float:
    """The least of some rounds: what the work takes when nothing disturbs it."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


def measure(sample: Sample, f: FunctionInfo, rounds: int) -> Timed | None:
    """None for what has nothing to be timed: table functions, EXISTS, windows (see `windows`)."""
    if f.kind == "aggregate":
        call = peers.AGGREGATE.get(f.name)
        peer = None if call is None else timed(lambda: sample.peer_aggregate(f.example, call), rounds)
        return Timed(f.name, f.kind, timed(lambda: sample.aggregate(f.example), rounds), peer)
    if f.kind == "operator":
        if f.name not in peers.OPERATORS:
            return None
        example, expression = peers.OPERATORS[f.name]
    elif f.kind == "scalar":
        example, expression = f.example, peers.SCALAR.get(f.name)
    else:
        return None
    sql = lowered(example)
    peer = None if expression is None else timed(lambda: sample.scalar(expression), rounds)
    return Timed(f.name, f.kind, timed(lambda: sample.scalar(sql), rounds), peer)


def windows(folder: Path, sample: Sample, wanted: Sequence[FunctionInfo], rounds: int) -> Iterable[Timed]:
    """Window functions through whole queries over Parquet, with the same query of DuckDB over the same file."""
    import msq

    file = folder / f"windows-{sample.rows}.parquet"
    if wanted and not file.exists():
        sample.connection.execute(f"COPY (SELECT g, l FROM sample) TO '{file}'")
    source = (
        f'TABLE(EXTERN(\'{{"type":"local","files":["{file}"]}}\', \'{{"type":"parquet"}}\')) '
        "EXTEND (g VARCHAR, l BIGINT)"
    )
    for f in wanted:
        ours = f"SELECT COUNT(x) AS n FROM (SELECT {f.example} AS x FROM {source})"
        theirs = f"SELECT bit_xor(hash(x)) FROM (SELECT {f.example} AS x FROM '{file}')"
        seconds = timed(partial(msq.run, ours, data_dir=folder / "windows-data", threads=1), rounds)
        yield Timed(f.name, f.kind, seconds, timed(partial(sample.run, theirs), rounds))


def show(rows: int, found: Sequence[Timed]) -> None:
    """Slowest first; `!` marks what is more than `SLOW` times slower than its peer."""
    print(f"{'function':42}{'kind':11}{'rows/s':>14}{'DuckDB':>14}{'ratio':>8}")
    for one in sorted(found, key=lambda t: -t.seconds):
        peer = "" if one.peer_seconds is None else f"{rows / one.peer_seconds:,.0f}"
        ratio = "" if one.ratio is None else f"{one.ratio:.1f}×{' !' if one.ratio > SLOW else ''}"
        print(f"{one.name:42}{one.kind:11}{rows / one.seconds:>14,.0f}{peer:>14}{ratio:>9}")
    slow = [t for t in found if t.ratio is not None and t.ratio > SLOW]
    print(f"{len(found)} functions, {len(slow)} more than {SLOW:.0f}× slower than DuckDB's")


def main(folder: Path, rows: int, rounds: int, only: str) -> list[dict[str, Any]]:
    """Times what `only` (part of a name, or a kind) leaves."""
    word = only.upper()
    wanted = [f for f in functions() if not word or word in f.name or word == f.kind.upper()]
    sample = Sample(rows)
    found = [t for f in wanted if (t := measure(sample, f, rounds)) is not None]
    found += windows(folder, sample, [f for f in wanted if f.kind == "window"], rounds)
    show(rows, found)
    return [
        {"function": t.name, "kind": t.kind, "rows_per_second": rows / t.seconds,
         "duckdb_rows_per_second": None if t.peer_seconds is None else rows / t.peer_seconds, "ratio": t.ratio}
        for t in found
    ]  # fmt: skip
