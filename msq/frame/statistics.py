"""KeyStatistics: what a worker tells the controller about its keys, and the boundaries made of it.

Two kinds (reference msq-engine 4.2): for ordinary sorts, weighted samples of the sorted rows, all rows while they are
few; for aggregating sorts, the distinct keys with the weight of their first occurrence, thinned by hash when they are
many. Both merge. Boundaries follow 4.4 and are exact as long as nothing was thinned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.datatypes import RowSignature
from msq.faults import InsertTimeNullFault, MSQError, TooManyBucketsFault, TooManyPartitionsFault
from msq.frame.frame import decode_dictionary, longest_value, one_batch, plain_column, row_lengths, unify, value_lengths
from msq.frame.hashing import key_hash
from msq.frame.keys import ClusterBy
from msq.frame.order import key_words, new_key_mask, one_array, permutation
from msq.frame.partitions import ClusterByPartitions

if TYPE_CHECKING:
    from msq.stage.shuffle import ShuffleSpec

MAX_BUCKETS = 5_000
MAX_PARTITIONS = 25_000
EXACT_KEYS = 1_000_000
"""Keys of one sorted run that are kept as they are; longer runs are sampled."""
_MIN_BUCKET_SAMPLES = 2_048
_GROWTH = 1.05
_MAX_ROUNDS = 500


def row_weights(batch: Any) -> Any | None:
    """Weights (int64) of the rows: 1 + max(longest value / 1000, row length / 2000); None when all are 1."""
    most = [longest_value(c) for c in batch.columns]
    if max(most, default=0) < 1000 and sum(most) + 9 * len(most) < 2000:
        return None
    peak = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type) or pa.types.is_dictionary(column.type):
            np.maximum(peak, value_lengths(column), out=peak)
    weights = 1 + np.maximum(peak // 1000, row_lengths(batch) // 2000)
    return weights if int(weights.max(initial=1)) > 1 else None


def multi_value_columns(columns: Sequence[Any], signature: RowSignature) -> tuple[bool, ...]:
    """For each key column, whether some row holds several values or an array."""
    out = []
    for array, column in zip(columns, signature):
        if column.type.is_array:
            out.append(array.null_count < len(array))
        elif pa.types.is_list(array.type):
            out.append(bool(pc.any(pc.greater(pc.list_value_length(array), 1)).as_py()))
        else:
            out.append(False)
    return tuple(out)


class KeyStatistics:
    """Mergeable statistics of one worker's or one stage's keys. Not thread-safe."""

    def __init__(
        self, cluster_by: ClusterBy, signature: RowSignature, aggregate: bool = False, max_keys: int = EXACT_KEYS
    ) -> None:
        """`max_keys`: keys of one sorted run that are kept; two and a half times as many in all."""
        self.max_keys = min(max_keys, EXACT_KEYS)
        self.cluster_by = cluster_by
        self.signature = signature.select(cluster_by.names)
        self.aggregate = aggregate
        self.multi_value: tuple[bool, ...] = (False,) * len(cluster_by.columns)
        self.rows = 0
        """Rows that were added, before any combining."""
        self._buckets: set[Any] = set()
        self._samples: list[tuple[Any, Any]] = []
        self._kept = 0
        self._thinning = 0

    @staticmethod
    def of(spec: ShuffleSpec, signature: RowSignature, max_keys: int = EXACT_KEYS) -> KeyStatistics:
        return KeyStatistics(spec.cluster_by, signature, spec.aggregate, max_keys)

    @property
    def _most(self) -> int:
        return self.max_keys * 5 // 2

    @property
    def is_empty(self) -> bool:
        return not self._samples

    @property
    def buckets(self) -> tuple[Any, ...]:
        """Values of the bucket column, ascending; () when keys have no bucket."""
        return tuple(sorted(self._buckets))

    def check_buckets(self, column: Any) -> None:
        """Adds the distinct values of the bucket column; raises InsertTimeNull and TooManyBuckets."""
        if column.null_count:
            raise MSQError(InsertTimeNullFault())
        self._buckets.update(pc.unique(column).to_pylist())
        if len(self._buckets) > MAX_BUCKETS:
            raise MSQError(TooManyBucketsFault(MAX_BUCKETS))

    def note_multi_values(self, flags: Iterable[bool]) -> None:
        self.multi_value = tuple(a or b for a, b in zip(self.multi_value, flags))

    def add_sorted(
        self, columns: Sequence[Any], count: int, order: Any | None, fresh: Any, weights: Any | None
    ) -> None:
        """Adds a sorted run: its key `columns` (chunked or not), the sorted `order` of their rows (None: as stored),
        `fresh` (true, in order, where a new key begins) and the row `weights` in stored order (None: all 1)."""
        if not count:
            return
        self.rows += count
        weight = np.ones(count, np.int64) if weights is None else (weights if order is None else weights[order])
        at = np.flatnonzero(fresh) if self.aggregate else np.arange(count)
        weight = weight[at]
        rows = at if order is None else order[at]
        if self.cluster_by.bucket_by_count:
            bucket = one_array(columns[0])
            self.check_buckets(bucket)
            values = np.asarray(bucket)[rows]
            starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
        else:
            starts = np.zeros(1, np.int64)
        if self.aggregate or len(at) <= self.max_keys:
            keep, kept_weight = np.arange(len(at)), weight
        else:
            keep, kept_weight = _sample(starts, weight, self.max_keys)
        taken = pa.array(rows[keep])
        batch = pa.RecordBatch.from_arrays(
            [_stored(one_array(c.take(taken))) for c in columns], names=list(self.signature.names)
        )
        self._append(batch, kept_weight, starts)

    def _append(self, batch: Any, weights: Any, starts: Any) -> None:
        if self.aggregate and self._thinning:
            batch, weights = self._thinned(batch, weights, starts)
        self._samples.append((batch, weights))
        self._kept += batch.num_rows
        if self._kept > self._most:
            self._compress()

    def merge(self, other: KeyStatistics) -> None:
        """Adds what `other` knows; it may be another worker's. Raises TooManyBuckets."""
        self.rows += other.rows
        self.note_multi_values(other.multi_value)
        self._buckets |= other._buckets
        if len(self._buckets) > MAX_BUCKETS:
            raise MSQError(TooManyBucketsFault(MAX_BUCKETS))
        if self.aggregate and other._thinning > self._thinning:
            self._thinning = other._thinning
            self._samples = [self._thinned(b, w, self._bucket_starts(b)) for b, w in self._samples]
        for batch, weights in other._samples:
            starts = self._bucket_starts(batch)
            if self.aggregate and other._thinning < self._thinning:
                batch, weights = self._thinned(batch, weights, starts)
            self._samples.append((batch, weights))
        self._kept = sum(b.num_rows for b, _ in self._samples)
        if self._kept > self._most:
            self._compress()

    # -- thinning -----------------------------------------------------------------------------------------------

    def _bucket_starts(self, batch: Any) -> Any:
        if not self.cluster_by.bucket_by_count or not batch.num_rows:
            return np.zeros(min(batch.num_rows, 1), np.int64)
        values = np.asarray(batch.column(0))
        return np.flatnonzero(np.append(True, values[1:] != values[:-1]))

    def _thinned(self, batch: Any, weights: Any, starts: Any) -> tuple[Any, Any]:
        """The keys whose hash ends in `_thinning` zero bits; the first of each bucket stays, with weight 0."""
        mask = np.uint64((1 << self._thinning) - 1)
        chosen = (key_hash(batch.columns, batch.num_rows) & mask) == 0
        weights = np.where(chosen, weights, 0)
        chosen[starts] = True
        rows = np.flatnonzero(chosen)
        return batch.take(pa.array(rows)), weights[rows]

    def _compress(self) -> None:
        batch, weights, fresh = self._sorted()
        starts = self._bucket_starts(batch)
        if self.aggregate:
            rows = np.flatnonzero(fresh)
            self._samples = [(batch.take(pa.array(rows)), weights[rows])]
            while self._samples[0][0].num_rows > self._most // 2 and self._thinning < 40:
                self._thinning += 1
                kept, kept_weights = self._samples[0]
                self._samples = [self._thinned(kept, kept_weights, self._bucket_starts(kept))]
        else:
            rows, weights = _sample(starts, weights, self.max_keys)
            self._samples = [(batch.take(pa.array(rows)), weights)]
        self._kept = self._samples[0][0].num_rows

    def _sorted(self) -> tuple[Any, Any, Any]:
        """All samples as one sorted batch, their weights, and where new keys begin."""
        orders = [c.order for c in self.cluster_by.columns]
        weights = np.concatenate([w for _, w in self._samples])
        batch = one_batch(unify([b for b, _ in self._samples]))
        words = key_words(batch.columns, orders, batch.num_rows)
        order = permutation(words, batch.num_rows)
        fresh = new_key_mask(words, batch.num_rows, order)
        if order is not None:
            batch, weights = batch.take(pa.array(order)), weights[order]
        return batch, weights, fresh

    # -- boundaries ---------------------------------------------------------------------------------------------

    def boundaries(self, spec: ShuffleSpec, max_partitions: int = MAX_PARTITIONS) -> ClusterByPartitions:
        """Key ranges for a targetSize or maxCount shuffle. Raises TooManyPartitions.

        Without any key: the universal range.
        """
        if self.is_empty:
            return ClusterByPartitions(self.cluster_by, self.signature, None)
        batch, weights, fresh = self._sorted()
        group = np.cumsum(fresh) - 1
        if self.aggregate:
            rows = np.flatnonzero(fresh)
            weights = np.maximum.reduceat(weights, rows) << self._thinning
            first_row = rows
            starts = np.unique(group[self._bucket_starts(batch)])
        else:
            first_row = np.flatnonzero(fresh)
            starts = self._bucket_starts(batch)
        total = int(weights.sum())
        target = getattr(spec, "target_size", None)
        if target is not None:
            if total // max(target, 1) > max_partitions:
                raise MSQError(TooManyPartitionsFault(max_partitions))
            cuts = self._cut(weights, starts, group, max(target, 1))
        else:
            wanted = int(getattr(spec, "partitions", 1))
            size = max(-(-total // wanted), 1)
            for _ in range(_MAX_ROUNDS):
                cuts = self._cut(weights, starts, group, size)
                if len(cuts) <= wanted:
                    break
                size = max(math.ceil(size * _GROWTH), size + 1)
            else:
                raise RuntimeError(f"Unable to compute partition boundaries for [{wanted}] partitions")
        if len(cuts) > max_partitions:
            raise MSQError(TooManyPartitionsFault(max_partitions))
        return ClusterByPartitions(self.cluster_by, self.signature, batch.take(pa.array(first_row[cuts])))

    def _cut(self, weights: Any, starts: Any, group: Any, target: int) -> Any:
        """Numbers of the distinct keys at which partitions start, for a target weight."""
        cuts = []
        ends = np.append(starts[1:], len(weights))
        for start, end in zip(starts.tolist(), ends.tolist()):
            running = np.cumsum(weights[start:end])
            if self.aggregate:
                cuts.append(start + _distinct_cuts(running, target))
            else:
                count = int(running[-1])
                parts = -(-count // target)
                # as Druid's sketch: the natural rank of the i-th of evenly spaced quantiles, in floating point
                ranks = np.floor(np.arange(1, parts) * (1.0 / parts) * count).astype(np.int64)
                at = np.searchsorted(running, ranks, side="right")
                cuts.append(group[np.append(start, start + at)])
        return np.unique(np.concatenate(cuts))

    # -- transport ----------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The statistics as one Arrow IPC stream."""
        import json

        head = {
            "clusterBy": self.cluster_by.to_wire(), "signature": self.signature.to_json(), "aggregate": self.aggregate,
            "multiValue": list(self.multi_value), "rows": self.rows, "thinning": self._thinning,
            "buckets": list(self.buckets),
        }  # fmt: skip
        names = [*self.signature.names, "__weight"]
        if self._samples:
            batch, weights, _ = self._sorted()
            columns = [*batch.columns, pa.array(weights)]
        else:
            columns = [pa.array([], t) for t in self.signature.arrow_schema().types] + [pa.array([], pa.int64())]
        out = pa.RecordBatch.from_arrays(columns, names=names)
        schema = out.schema.with_metadata({b"msq": json.dumps(head).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(out.replace_schema_metadata(schema.metadata))
        data: bytes = sink.getvalue().to_pybytes()
        return data

    @staticmethod
    def from_bytes(data: bytes) -> KeyStatistics:
        import json

        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        head = json.loads(table.schema.metadata[b"msq"])
        made = KeyStatistics(
            ClusterBy.from_wire(head["clusterBy"]), RowSignature.from_json(head["signature"]), head["aggregate"]
        )
        made.multi_value = tuple(head["multiValue"])
        made.rows = head["rows"]
        made._thinning = head["thinning"]
        made._buckets = set(head["buckets"])
        if table.num_rows:
            batch = one_batch(table)
            keys = pa.RecordBatch.from_arrays(batch.columns[:-1], names=list(made.signature.names))
            made._samples = [(keys, np.asarray(batch.column(batch.num_columns - 1)))]
            made._kept = keys.num_rows
        return made


def _stored(array: Any) -> Any:
    return plain_column(decode_dictionary(array))


def _sample(starts: Any, weights: Any, keys: int) -> tuple[Any, Any]:
    """Every n-th row of each long bucket, with the weight of the rows up to the next sample."""
    limit = max(_MIN_BUCKET_SAMPLES, keys // len(starts))
    ends = np.append(starts[1:], len(weights))
    kept = []
    for start, end in zip(starts.tolist(), ends.tolist()):
        step = max(1, -(-(end - start) // limit))
        kept.append(np.arange(start, end, step))
    rows = np.concatenate(kept)
    return rows, np.add.reduceat(weights, rows)


def _distinct_cuts(running: Any, target: int) -> Any:
    """Indexes of the keys that start partitions: each is filled until the next key would overshoot the target by more
    than stopping undershoots."""
    cuts = [0]
    base = 0
    n = len(running)
    while True:
        at = int(np.searchsorted(running, base + target, side="right"))
        if at >= n:
            return np.array(cuts)
        before = int(running[at - 1]) - base if at else 0
        over = int(running[at]) - base - target
        if at <= cuts[-1] or over <= target - before:
            at += 1
        if at >= n:
            return np.array(cuts)
        cuts.append(at)
        base = int(running[at - 1])
