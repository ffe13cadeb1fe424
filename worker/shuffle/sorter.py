"""The sorter behind globalSort, hash and hashLocalSort: runs in memory, spilled when they outgrow it, then a merge
for each output partition.

While everything fits in memory there is one run, sorted once, and a partition is one gather from it ("direct" in
`sortProgress`). Otherwise level 0 of the sort writes sorted runs; as long as there are more than can be merged at
once, further levels merge groups of them into longer ones; the last level merges a partition's share of every run.
Source: reference msq-engine 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from msq.counters import CounterTracker
from msq.datatypes import RowSignature
from msq.frame.frame import Compactor, FrameTally, common_schema, to_schema
from msq.frame.hashing import hash_partitions
from msq.frame.keys import ClusterBy
from msq.frame.order import Codes, key_words, new_key_mask, permutation
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics, multi_value_columns, row_weights
from msq.mapped import let_go
from worker.memory import LARGE_BYTES, OrderMemory, give_back_unused
from worker.outputs.local import LocalOutput
from worker.shuffle.merge import merge
from worker.shuffle.runs import Run, held_table, spilled_run

BOOST = "__boost"
_MIN_BLOCK_ROWS = 2


@dataclass
class SortSettings:
    """What a sorter needs from its work order. `block_rows`: most rows of a batch that is written."""

    signature: RowSignature
    cluster_by: ClusterBy
    memory: OrderMemory
    temp_dir: Path
    counters: CounterTracker
    threads: int
    block_rows: int
    check_cancelled: Callable[[], None]
    hash_partitions: int | None = None
    """Set for hash shuffles: the number of partitions."""
    limit: int | None = None
    """No more rows than this are wanted in all (limitHint)."""
    statistics: KeyStatistics | None = None
    check_multiple_values: bool = False
    max_fan_in: int | None = None
    """Most runs merged at once; None: as many as memory for one block each allows."""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = self.cluster_by.names


class Sorter:
    """Takes batches of a stage's output, then writes them by partition. One thread adds; `write` uses its own."""

    def __init__(self, settings: SortSettings) -> None:
        self._s = settings
        self._held: list[Any] = []
        self._held_bytes = 0
        self._held_rows = 0
        self._files = 0
        self._tidy_at = LARGE_BYTES
        self._compactor = Compactor()
        self._runs: list[tuple[Run, Any]] = []
        keys = settings.cluster_by.columns
        self._orders = [k.order for k in keys]
        # rows of one bucket differ only in __boost, whose order means nothing beyond which partition a row is in
        bare = settings.names[settings.cluster_by.bucket_by_count :] == (BOOST,)
        self._ordered = settings.cluster_by.sortable and not bare
        self.rows = 0

    # -- adding -------------------------------------------------------------------------------------------------

    def add(self, batch: Any) -> None:
        """Takes a batch of the stage's signature. Raises InsertTimeNull and TooManyBuckets."""
        if not batch.num_rows:
            return
        s = self._s
        with s.counters.cpu().measure("sortOutput"):
            batch = self._compactor.compact(batch)
        if s.statistics is not None:
            if s.cluster_by.bucket_by_count:
                s.statistics.check_buckets(batch.column(s.names[0]))
            if s.check_multiple_values:
                flags = multi_value_columns([batch.column(n) for n in s.names], s.statistics.signature)
                s.statistics.note_multi_values(flags)
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        self._held_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._held_bytes > s.memory.sort:
            self._relieve()
            self._tidy_at = LARGE_BYTES
        elif self._held_bytes > self._tidy_at:
            # reading leaves garbage behind: as much again as is held, were it not given back now and then
            give_back_unused()
            self._tidy_at = self._held_bytes + LARGE_BYTES

    def _relieve(self) -> None:
        """Makes room: a limited sort keeps its best rows, another one spills a run."""
        limit = self._s.limit
        if limit is not None and self._s.statistics is None and self._s.hash_partitions is None:
            run, _ = self._sorted_run()
            kept = list(run.read(0, min(limit, run.count), self._s.block_rows))
            size = sum(b.nbytes for b in kept)
            if size <= self._s.memory.sort // 2:
                self._held, self._held_bytes = kept, size
                self._held_rows = sum(b.num_rows for b in kept)
                return
            self._held = kept
        self._spill()

    def _spill(self) -> None:
        run, cuts = self._sorted_run(spilled=True)
        self._held, self._held_bytes, self._held_rows = [], 0, 0
        with self._s.counters.cpu().measure("sortOutput"):
            batches = run.read(0, run.count, self._s.block_rows, threads=self._gatherers(run, self._s.threads))
            self._runs.append((self._write_run(batches), cuts))
            del batches
            del run
            give_back_unused()

    def _gatherers(self, run: Run, threads: int) -> int:
        """How many of `threads` may gather batches of a run ahead of writing: large batches are held one by one."""
        block = run.table.nbytes * self._s.block_rows // max(run.table.num_rows, 1)
        return threads if block * (threads + 1) <= self._s.memory.merge else 1

    def _write_run(self, batches: Iterator[Any]) -> Run:
        self._s.temp_dir.mkdir(parents=True, exist_ok=True)
        path = self._s.temp_dir / f"run_{self._files}.arrow"
        self._files += 1
        run = spilled_run(path, self._checked(batches))
        path.unlink()  # the mapping keeps it
        return run

    def _checked(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._s.check_cancelled()
            let_go()
            yield batch

    def _sorted_run(self, spilled: bool = False) -> tuple[Run, Any]:
        """The held rows as a run, and for a hash shuffle where its partitions begin. `spilled`: it will be."""
        s = self._s
        weights = None
        cpu = s.counters.cpu()
        if s.statistics is not None:
            with cpu.measure("collectKeyStatistics"):
                weights = _all_weights(self._held)
        label = "hashPartitionOutput" if s.hash_partitions is not None else "sortOutput"
        with cpu.measure(label):
            table = held_table(self._held, s.threads, spilled)
            count = table.num_rows
            columns = [table.column(n) for n in s.names]
            words: list[Codes] = []
            parts = None
            if s.hash_partitions is not None:
                parts = hash_partitions(columns, count, s.hash_partitions)
                words.append((parts.astype(np.uint64), max(s.hash_partitions - 1, 0).bit_length()))
            if s.cluster_by.sortable:
                words += key_words(columns, self._orders, count)
            words = _packed([w for w in words if w[1]])
            order = permutation(words, count)
        if s.statistics is not None:
            with cpu.measure("collectKeyStatistics"):
                s.statistics.add_sorted(columns, count, order, new_key_mask(words, count, order), weights)
        if parts is not None:
            cuts = np.concatenate(([0], np.cumsum(np.bincount(parts, minlength=s.hash_partitions or 1))))
            return Run(table, order, count), cuts
        if s.limit is not None:
            count = min(count, s.limit)
        return Run(table, order, count), None

    # -- reading ends -------------------------------------------------------------------------------------------

    def finish_reading(self) -> None:
        """All rows are in: sorts what is still held."""
        if self._held:
            large = self._held_bytes > LARGE_BYTES
            self._runs.append(self._sorted_run())
            self._held, self._held_bytes, self._held_rows = [], 0, 0
            if large:
                give_back_unused()

    @property
    def spilled(self) -> bool:
        return self._files > 0

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, boundaries: ClusterByPartitions | None, output: LocalOutput) -> None:
        """Merges every partition into `output`, counting `shuffle` and, for a global sort, `sortProgress`.

        `boundaries`: the partitions of a global sort; None for hash shuffles.
        """
        s = self._s
        partitions = s.hash_partitions if boundaries is None else boundaries.count
        assert partitions is not None
        progress = s.counters.sort_progress() if boundaries is not None else None
        if not self._runs:
            if progress is not None:
                with s.counters.cpu().measure("sortOutput"):
                    progress.set_trivially_complete()
            return
        with s.counters.cpu().measure("sortOutput"):
            levels = self._reduce_runs(partitions, progress)
            if boundaries is not None:
                self._runs = [
                    (r, boundaries.cuts(r.columns(s.names), r.count, r.order) if c is None else c)
                    for r, c in self._runs
                ]
        if progress is not None and levels > 1 and not self._direct and levels == 3 and len(self._levels) == 1:
            progress.merged(1)
        block_rows = self._block_rows()
        workers = max(1, min(s.threads, partitions))
        last = levels - 1

        def one(partition: int) -> None:
            s.check_cancelled()
            with s.counters.cpu().measure("sortOutput"):
                self._write_partition(partition, output, block_rows // workers, s.threads // workers)
            if progress is not None:
                progress.merged(last)

        if workers == 1:
            for partition in range(partitions):
                one(partition)
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="merge") as pool:
                for done in [pool.submit(one, p) for p in range(partitions)]:
                    done.result()
        large = sum(r.table.nbytes for r, _ in self._runs) > LARGE_BYTES
        self._runs = []
        if large:
            give_back_unused()

    _direct = True
    _levels: Sequence[int] = ()

    def _reduce_runs(self, partitions: int, progress: Any | None) -> int:
        """Registers the levels of the sort, merges runs until few enough are left; answers the number of levels."""
        fan_in = self._fan_in()
        self._direct = not self.spilled
        if self._direct:
            if progress is not None:
                progress.set_levels(1)
                progress.set_ultimate(partitions)
            return 1
        totals = [len(self._runs)]
        while totals[-1] > fan_in:
            totals.append(-(-totals[-1] // fan_in))
        self._levels = totals
        levels = len(totals) + 1
        if len(totals) == 1 and partitions > 1:
            levels = 3  # between the runs and their merges they are cut by partition
        if progress is not None:
            progress.set_levels(levels)
            for level in range(levels - 1):
                progress.set_total(level, totals[level] if level < len(totals) else 1)
            progress.set_ultimate(partitions)
            progress.merged(0, totals[0])
        for level in range(1, len(totals)):
            merged = []
            for at in range(0, len(self._runs), fan_in):
                merged.append(self._merge_group(self._runs[at : at + fan_in]))
                if progress is not None:
                    progress.merged(level)
            self._runs = merged
        return levels

    def _fan_in(self) -> int:
        if self._s.max_fan_in is not None:
            return max(2, self._s.max_fan_in)
        block = max(1, self._row_bytes() * 1024)
        return int(max(2, min(512, self._s.memory.merge // block)))

    def _row_bytes(self) -> int:
        table = self._runs[0][0].table
        return int(max(1, table.nbytes // max(table.num_rows, 1)))

    def _block_rows(self) -> int:
        """Rows of a run that a merge may hold at once, were it alone."""
        held = self._s.memory.merge // (self._row_bytes() * 3)
        return int(max(_MIN_BLOCK_ROWS, held // max(len(self._runs), 1)))

    def _merge_group(self, runs: Sequence[tuple[Run, Any]]) -> tuple[Run, Any]:
        if len(runs) == 1:
            return runs[0]
        s = self._s
        rows = max(_MIN_BLOCK_ROWS, min(s.block_rows, s.memory.merge // (self._row_bytes() * 3 * len(runs))))
        cuts = None
        if s.hash_partitions is not None:
            counts = np.sum([np.diff(c) for _, c in runs], axis=0)
            cuts = np.concatenate(([0], np.cumsum(counts)))
            parts: Iterator[Any] = (
                batch
                for p in range(s.hash_partitions)
                for batch in self._merged([r.read(int(c[p]), int(c[p + 1]), rows) for r, c in runs], rows)
            )
        else:
            parts = self._merged([r.read(0, r.count, rows) for r, _ in runs], rows)
        schema = common_schema([r.table for r, _ in runs])
        run = self._write_run(to_schema(b, schema) for b in parts)
        if s.limit is not None and s.hash_partitions is None:
            run.count = min(run.count, s.limit)
        return run, cuts

    def _merged(self, streams: list[Iterator[Any]], rows: int) -> Iterator[Any]:
        if not self._ordered:
            for stream in streams:
                yield from stream
            return
        yield from merge(streams, self._s.cluster_by, rows)

    def _write_partition(self, partition: int, output: LocalOutput, held_rows: int, threads: int) -> None:
        s = self._s
        output.touch(partition)
        counter = s.counters.channel("shuffle")
        tally = FrameTally()
        shares = [(r, int(c[partition]), int(c[partition + 1])) for r, c in self._runs]
        shares = [share for share in shares if share[1] < share[2]]
        left = s.limit if s.hash_partitions is None else None
        batches: Iterator[Any]
        if len(shares) == 1:
            run, start, stop = shares[0]
            batches = run.read(start, stop, s.block_rows, self._ordered, self._gatherers(run, threads))
        else:
            rows = max(_MIN_BLOCK_ROWS, min(held_rows, s.block_rows))
            batches = self._merged([r.read(a, b, rows, self._ordered) for r, a, b in shares], rows)
        for batch in batches:
            s.check_cancelled()
            let_go()
            if left is not None:
                batch = batch.slice(0, left)
                left -= batch.num_rows
            if batch.num_rows:
                output.add(partition, batch)
                counter.add(partition, **tally.add(batch))
            if left == 0:
                return


def _packed(words: list[Codes]) -> list[Codes]:
    out: list[Codes] = []
    for codes, bits in words:
        if out and out[-1][1] + bits <= 64:
            held, used = out[-1]
            out[-1] = ((held << np.uint64(bits)) | codes, used + bits)
        else:
            out.append((codes, bits))
    return out


def _all_weights(batches: Sequence[Any]) -> Any | None:
    """Row weights of all batches together; None when all are 1."""
    each = [row_weights(b) for b in batches]
    if all(w is None for w in each):
        return None
    return np.concatenate([np.ones(b.num_rows, np.int64) if w is None else w for b, w in zip(batches, each)])


__all__ = ["BOOST", "SortSettings", "Sorter"]
