"""Whole work orders on in-process workers: shuffles, counters, faults, and that nothing is left behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msq.datatypes import LONG, STRING, RowSignature
from msq.faults import CanceledFault, MSQError
from msq.storage.durable import DurableStorage, StagePlace
from msq.storage.folders import LocalFolder
from tests.worker.fake import FakeController
from tests.worker.plans import (
    ROWS,
    HashShuffleSpec,
    MaxCountShuffleSpec,
    MixShuffleSpec,
    TargetSizeShuffleSpec,
    external_scan,
    inline_scan,
    key,
    query,
    results,
    slicer,
    stage_scan,
)
from worker.chaos import Chaos
from worker.settings import WorkerSettings

Run = Callable[..., FakeController]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs stages and answers the controller; afterwards no worker may have left a file or a thread."""
    made: list[FakeController] = []

    def start(*stages: Any, workers: int = 1, settings: WorkerSettings | None = None, services: Any = None,
              context: dict[str, Any] | None = None, use: Any = None) -> FakeController:  # fmt: skip
        definition = query(*stages, **(context or {}))
        controller = FakeController(definition, tmp_path / "work" / str(len(made)), workers, settings, services)
        made.append(controller)
        controller.run(slicer(definition, workers), use)
        return controller

    before = {t.name for t in threading.enumerate()}
    yield start
    for controller in made:
        controller.finish()
    assert not list((tmp_path / "work").glob("*/*"))
    left = {t.name for t in threading.enumerate() if t.name.startswith(("stage-", "piece-", "merge", "release-"))}
    assert left <= before


def events(folder: Path, name: str, count: int, start: int = 0) -> str:
    path = folder / name
    rows = [{"id": n, "k": None if n % 7 == 3 else f"k{n % 3}", "v": n * 37 % 101} for n in range(start, start + count)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def local(*paths: str) -> dict[str, Any]:
    return {"type": "local", "files": list(paths)}


def test_a_sorted_scan_is_read_by_the_next_stage(run: Run, tmp_path: Path) -> None:
    spec = TargetSizeShuffleSpec(key("k", "-v", "__boost"), 25)
    first = external_scan(0, local(events(tmp_path, "a.json", 60)), spec)
    done = run(first, results(1, first))
    rows = done.rows(1)
    assert [(r["k"] or "", -r["v"]) for r in rows] == sorted((r["k"] or "", -r["v"]) for r in rows)
    assert len(rows) == 60
    counters = done.counters(0)
    assert counters["input0"]["rows"] == [60] and counters["input0"]["files"] == counters["input0"]["totalFiles"] == [1]
    assert counters["shuffle"]["rows"] == [20, 20, 20]
    assert counters["sortProgress"]["levelToMergedBatches"] == {"0": 3}
    assert set(counters["cpu"]) - {"type"} == {"main", "collectKeyStatistics", "sortOutput"}
    # what the next stage reads is what was written, in rows, bytes and frames
    below, above = counters["shuffle"], done.counters(1)["input0"]
    assert (above["rows"], above["bytes"], above["frames"]) == (below["rows"], below["bytes"], below["frames"])
    assert done.counters(1)["output"]["rows"] == [20, 20, 20]


def test_boost_counts_each_file_by_itself(run: Run, tmp_path: Path) -> None:
    """Partition sizes of a real Druid for files of 40, 20 and 10 rows on two workers (end-export-two-workers)."""
    paths = [events(tmp_path, n, c, s) for n, c, s in (("a.json", 40, 0), ("b.json", 20, 40), ("c.json", 10, 60))]
    stage = external_scan(0, local(*paths), TargetSizeShuffleSpec(key("__boost"), 20))
    done = run(stage, workers=2)
    totals = [sum(b.num_rows for b in done.read(0, p)) for p in range(4)]
    assert totals == [15, 19, 18, 18]


@pytest.mark.parametrize("workers", [1, 3])
def test_pieces_of_all_workers_are_merged_in_key_order(run: Run, tmp_path: Path, workers: int) -> None:
    paths = [events(tmp_path, f"f{n}.json", 10 * n + 5, 100 * n) for n in range(6)]
    first = external_scan(0, local(*paths), TargetSizeShuffleSpec(key("v", "id", "__boost"), 40))
    done = run(first, results(1, first), workers=workers)
    rows = [(r["v"], r["id"]) for r in done.rows(1)]
    assert rows == sorted(rows) and len(rows) == sum(10 * n + 5 for n in range(6))


def test_a_limited_sort_writes_no_more_than_is_wanted(run: Run, tmp_path: Path) -> None:
    stage = external_scan(
        0, local(events(tmp_path, "a.json", 60)), MaxCountShuffleSpec(key("-v", "id", "__boost"), 1, limit_hint=7)
    )
    done = run(stage)
    counters = done.counters(0)
    assert counters["output"]["rows"] == [60] and counters["shuffle"]["rows"] == [7]
    best = sorted((-(n * 37 % 101), n) for n in range(60))[:7]
    assert [(-r["v"], r["id"]) for r in done.rows(0)] == best
    assert "collectKeyStatistics" not in counters["cpu"]
    assert done.done_reading == [(0, 0)]


def test_mix_keeps_arrival_and_hash_keeps_keys_together(run: Run, tmp_path: Path) -> None:
    path = events(tmp_path, "a.json", 50)
    mixed = run(external_scan(0, local(path), MixShuffleSpec()))
    assert [r["id"] for r in mixed.rows(0)] == list(range(50))
    assert "mixOutput" in mixed.counters(0)["cpu"] and "sortProgress" not in mixed.counters(0)
    hashed = run(external_scan(0, local(path), HashShuffleSpec(key("k"), 4)))
    homes: dict[Any, set[int]] = {}
    for p in range(4):
        keys = [r["k"] for b in hashed.read(0, p) for r in b.to_pylist()]
        assert [k or "" for k in keys] == sorted(k or "" for k in keys)
        for k in keys:
            homes.setdefault(k, set()).add(p)
    assert all(len(p) == 1 for p in homes.values()) and len(homes) == 4
    assert "sortProgress" not in hashed.counters(0)
    assert {"hashPartitionOutput", "sortOutput"} <= set(hashed.counters(0)["cpu"])


def test_buckets_and_the_faults_of_time(run: Run) -> None:
    day = 86_400_000
    signature = RowSignature([("t", LONG), ("k", STRING)])
    rows = [(n * day // 3, f"x{n}") for n in range(9)]
    bucketed = {"context": {"sqlInsertSegmentGranularity": '"DAY"', "__timeColumn": "t"}}
    spec = TargetSizeShuffleSpec(key("__bucket", "__boost", bucket=1), 100)
    done = run(inline_scan(0, rows, spec, signature, **bucketed))
    assert [len([r for b in done.read(0, p) for r in b.to_pylist()]) for p in range(3)] == [3, 3, 3]
    assert [done.boundaries[0].bucket(p) for p in range(3)] == [(0,), (day,), (2 * day,)]
    with pytest.raises(MSQError, match="InsertTimeNull"):
        run(inline_scan(0, [*rows, (None, "z")], spec, signature, **bucketed))
    many = [(n * day, "x") for n in range(5_001)]
    with pytest.raises(MSQError, match="TooManyBuckets"):
        run(inline_scan(0, many, spec, signature, **bucketed))


def test_no_rows_are_trivially_complete(run: Run, tmp_path: Path) -> None:
    first = inline_scan(0, [], TargetSizeShuffleSpec(key("id", "__boost"), 10))
    done = run(first, results(1, first))
    assert done.counters(0)["sortProgress"]["triviallyComplete"] is True
    assert done.boundaries[0].count == 1 and done.rows(1) == []
    assert "output" not in done.counters(0) and "shuffle" not in done.counters(0)


def test_a_scan_that_is_limited_reads_one_row_more(run: Run, tmp_path: Path) -> None:
    path = events(tmp_path, "a.json", 60)
    done = run(external_scan(0, local(path), MixShuffleSpec(), limit=10, offset=2))
    assert done.counters(0)["input0"]["rows"] == [13] and done.counters(0)["input0"]["files"] == [1]
    assert [r["id"] for r in done.rows(0)] == list(range(12))


def test_three_row_batches_and_memory_that_spills_change_nothing(run: Run, tmp_path: Path) -> None:
    paths = [events(tmp_path, f"f{n}.json", 200, 1000 * n) for n in range(3)]
    first = external_scan(0, local(*paths), TargetSizeShuffleSpec(key("k", "v", "__boost"), 90))
    second = stage_scan(1, first, HashShuffleSpec(key("v"), 3))
    calm = run(first, second, results(2, second))
    tight = run(
        first, second, results(2, second), settings=WorkerSettings(memory_bytes=40_000, threads=2, max_batch_rows=3)
    )
    assert tight.counters(0)["sortProgress"]["totalMergingLevels"] >= 2
    assert calm.counters(0)["sortProgress"]["totalMergingLevels"] == 1
    assert tight.counters(0)["shuffle"]["rows"] == calm.counters(0)["shuffle"]["rows"]

    def plain(done: FakeController) -> list[Any]:
        return sorted((r["k"] or "", r["v"], r["id"]) for r in done.rows(2))

    assert plain(tight) == plain(calm)


def test_parse_errors_follow_the_limit(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"id":1}\nnope\n{"id":2}\nneither\n')
    stage = external_scan(0, local(str(path)), MixShuffleSpec())
    with pytest.raises(MSQError, match="CannotParseExternalData: Unable to parse row"):
        run(stage)
    lenient = run(stage, context={"maxParseExceptions": -1})
    assert [r["id"] for r in lenient.rows(0)] == [1, 2]
    assert lenient.counters(0)["warnings"]["CannotParseExternalData"] == 2 and len(lenient.warnings) == 2
    assert len(run(stage, context={"maxParseExceptions": 2}).rows(0)) == 2
    with pytest.raises(MSQError, match="TooManyWarnings"):
        run(stage, context={"maxParseExceptions": 1})


def test_a_value_that_cannot_be_computed_is_named(run: Run, tmp_path: Path) -> None:
    stage = external_scan(
        0, local(events(tmp_path, "a.json", 9)), MaxCountShuffleSpec(key("__boost"), 1), outputs=[("v0", LONG)],
        virtual={"v0": ('"id" / ("id" - 5)', LONG)},
    )  # fmt: skip
    with pytest.raises(MSQError) as caught:
        run(stage)
    fault = caught.value.fault.to_json()
    named = (fault["errorCode"], fault["column"], fault["rowNumber"], fault["errorMsg"])
    assert named == ("InvalidField", "v0", 6, "/ by zero")


def test_nul_characters_are_refused_where_they_would_be_stored(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nul.json"
    path.write_text('{"id":1,"k":"fine"}\n{"id":2,"k":"a\\u0000b"}\n')
    source = local(str(path))
    with pytest.raises(MSQError, match="InvalidNullByte") as caught:
        run(external_scan(0, source, MixShuffleSpec()))
    fault = caught.value.fault.to_json()
    assert (fault["column"], fault["rowNumber"], fault["position"], fault["value"]) == ("k", 2, 1, "a\0b")
    computed = {"outputs": [("id", LONG), ("v0", STRING)]}
    with pytest.raises(MSQError, match="InvalidNullByte") as caught:
        run(external_scan(0, source, MixShuffleSpec(), virtual={"v0": ('upper("k")', STRING)}, **computed))
    assert caught.value.fault.to_json()["column"] == "v0"
    # an expression that cleans the column may read it, and a length stores no text
    cleaned = {"v0": ("replace(\"k\",'\\u0000','')", STRING)}
    done = run(external_scan(0, source, MixShuffleSpec(), virtual=cleaned, **computed))
    assert [r["v0"] for r in done.rows(0)] == ["fine", "ab"]
    removed = run(external_scan(0, source, MixShuffleSpec()), context={"removeNullBytes": True})
    assert [r["k"] for r in removed.rows(0)] == ["fine", "ab"]


def test_a_row_that_fits_in_no_frame_fails_the_stage(run: Run) -> None:
    stage = inline_scan(0, [(1, "x" * 1_200_000, 1)], MixShuffleSpec())
    with pytest.raises(MSQError, match="RowTooLarge"):
        run(stage)


def test_cancelling_ends_the_stage_and_removes_its_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("".join(json.dumps({"id": n, "k": "x", "v": n}) + "\n" for n in range(10_000)))
    definition = query(external_scan(0, local(str(path)), MaxCountShuffleSpec(key("v", "__boost"), 1)))
    reading, cancelled = threading.Event(), threading.Event()

    class Pause(Chaos):
        """Holds the stage in the middle of its rows until it is cancelled."""

        def strike(self, place: str, stage: int, worker: int, attempt: int, step: int = 0) -> None:
            if (place, step) == ("output", 50):
                reading.set()
                assert cancelled.wait(120)

    settings = WorkerSettings(memory_bytes=1 << 18, threads=1, max_batch_rows=100, chaos=Pause(1, {}))
    controller = FakeController(definition, tmp_path / "work", 1, settings)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            controller.run(slicer(definition))
        except MSQError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert reading.wait(120)
    assert list((tmp_path / "work" / "w0").rglob("*"))
    controller.workers[0].cancel(CanceledFault("QUERY_TIMEOUT"))
    cancelled.set()
    thread.join(120)
    assert "Canceled" in str(failed[0])
    assert controller.errors[0][1] == CanceledFault("QUERY_TIMEOUT")
    controller.finish()
    assert not (tmp_path / "work" / "w0").exists()


def test_orders_before_a_query_or_twice_are_refused(run: Run, tmp_path: Path) -> None:
    from msq.stage.work_order import WorkOrder
    from worker.worker import Worker

    done = run(inline_scan(0, [(1, "a", 1)], MixShuffleSpec()))
    order = WorkOrder("query-x", 0, 0, 0, (slicer(done.query)(0, 0, 0),))
    with pytest.raises(RuntimeError, match=r"has stage \[0\] already"):
        done.workers[0].post_work_order(order)
    idle = Worker(0, "t", done, tmp_path / "idle", lambda n: done.workers[n])
    with pytest.raises(RuntimeError, match="has no query"):
        idle.post_work_order(order)
    with pytest.raises(LookupError):
        done.workers[0].read_partition(5, 0)
    done.workers[0].cleanup_stage(0)
    done.workers[0].cleanup_stage(0)


@pytest.mark.parametrize("place", ["start", "output", "write", "results"])
def test_injected_faults_strike_where_they_are_asked_to(run: Run, place: str) -> None:
    stage = inline_scan(0, [(1, "a", 1), (2, "b", 2)], MaxCountShuffleSpec(key("id", "__boost"), 1))
    with pytest.raises(MSQError, match=rf"Injected failure at \[{place}\]"):
        run(stage, settings=WorkerSettings(chaos=Chaos(1, {place: 1.0})))
    assert len(run(stage, settings=WorkerSettings(chaos=Chaos(1, {place: 0.0}))).rows(0)) == 2
    later = Chaos(1, {place: 1.0}, max_attempt=-1)
    assert len(run(stage, settings=WorkerSettings(chaos=later)).rows(0)) == 2


def test_chaos_is_the_same_in_every_run_and_knows_its_places() -> None:
    def struck(seed: int) -> list[int]:
        chaos = Chaos(seed, {"output": 0.3})
        hits = []
        for step in range(50):
            try:
                chaos.strike("output", 0, 0, 0, step)
            except MSQError:
                hits.append(step)
        return hits

    assert struck(1) == struck(1) != struck(2)
    assert 5 <= len(struck(1)) <= 25
    with pytest.raises(ValueError, match="Unknown places"):
        Chaos(1, {"lunch": 1.0})


def test_outputs_in_durable_storage_outlive_their_worker(tmp_path: Path) -> None:
    from msq.stage.inputs import StageInputSlice
    from msq.stage.work_order import WorkOrder

    storage = DurableStorage(LocalFolder(tmp_path / "durable"))
    first = inline_scan(0, [(n, f"k{n % 2}", n) for n in range(10)], HashShuffleSpec(key("k"), 2))
    definition = query(first, results(1, first))
    one = FakeController(definition, tmp_path / "one", 1, services={"durable_storage": storage})
    one.workers[0].post_work_order(
        WorkOrder("query-x", 0, 0, 0, (slicer(definition)(0, 0, 0),), output_mode="durableStorage")
    )
    one._wait(lambda: 0 in one.complete)
    one.finish()
    place = StagePlace("query-x", 0)
    assert storage.winner(place, 0) == "query-x-worker0_0" and storage.workers(place) == (0,)
    assert storage.partitions(place, 0)
    assert (tmp_path / "durable/controller_query-x/stage_0/worker_0/__success").exists()

    # another worker reads them, long after the one that wrote them is gone
    two = FakeController(definition, tmp_path / "two", 1, services={"durable_storage": storage})
    two.workers[0].post_work_order(
        WorkOrder("query-x", 1, 0, 0, (StageInputSlice(0, (0, 1), (0,)),), output_mode="durableStorageQueryResults")
    )
    two._wait(lambda: 1 in two.complete)
    assert sorted(r["id"] for r in two.rows(1)) == list(range(10))
    two.finish()
    kept = StagePlace("query-x", 1, results=True)
    stored = [r for p in (0, 1) for b in storage.read(kept, 0, p) for r in b.to_pylist()]
    assert sorted(r["id"] for r in stored) == list(range(10))
    storage.delete("query-x")
    assert storage.controllers() == () and storage.controllers(results=True) == ("query-x",)
    with pytest.raises(LookupError):
        list(storage.read(place, 0, 0))


def test_the_first_attempt_to_succeed_wins(tmp_path: Path) -> None:
    storage = DurableStorage(LocalFolder(tmp_path))
    place = StagePlace("q", 3)
    assert storage.winner(place, 1) is None
    storage.succeed(place, 1, "a_0")
    storage.succeed(place, 1, "a_1")
    assert storage.winner(place, 1) == "a_0"
    assert [f.name for f in (tmp_path / "controller_q/stage_3/worker_1").iterdir()] == ["__success"]
    with pytest.raises(ValueError, match="no task id"):
        storage.delete("../x")


def test_durable_output_without_storage_is_a_fault(tmp_path: Path) -> None:
    from msq.stage.work_order import WorkOrder

    definition = query(inline_scan(0, [(1, "a", 1)], MixShuffleSpec()))
    controller = FakeController(definition, tmp_path / "w", 1)
    controller.workers[0].post_work_order(
        WorkOrder("query-x", 0, 0, 0, (slicer(definition)(0, 0, 0),), output_mode="durableStorage")
    )
    with pytest.raises(MSQError, match="DurableStorageConfiguration"):
        controller._wait(lambda: 0 in controller.complete)
    controller.finish()


assert ROWS.names == ("id", "k", "v")
