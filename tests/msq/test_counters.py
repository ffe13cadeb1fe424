"""Counters: arrays by partition, what is left out, order of names, sort progress at every stage of a sort."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from msq.counters import CounterTracker, SortProgressCounter, basic_only, name_order


def test_channels_are_arrays_as_long_as_the_highest_partition() -> None:
    tracker = CounterTracker()
    channel = tracker.channel("output")
    channel.add(0, rows=2, bytes=10, frames=0)
    channel.add(3, rows=1)
    assert channel.snapshot() == {"type": "channel", "rows": [2, 0, 0, 1], "bytes": [10, 0, 0, 0]}
    assert channel.total("rows") == 3
    assert channel.total("files") == 0


def test_a_channel_of_zeros_is_no_channel() -> None:
    tracker = CounterTracker()
    tracker.channel("input0").add(0, rows=0)
    assert tracker.snapshot() == {}


def test_names_stand_in_the_reports_order() -> None:
    names = ["warnings", "cpu", "input10", "shuffle", "segmentGenerationProgress", "output", "input2", "sortProgress"]
    assert sorted(names, key=name_order) == [
        "input2", "input10", "output", "shuffle", "sortProgress", "warnings", "cpu", "segmentGenerationProgress",
    ]  # fmt: skip


def test_a_tracker_makes_counters_on_first_use() -> None:
    tracker = CounterTracker()
    assert tracker.channel("output") is tracker.channel("output")
    tracker.warnings().add("CannotParseExternalData")
    tracker.warnings().add("CannotParseExternalData", 2)
    tracker.segment_generation().add(rowsProcessed=5)
    tracker.channel("input0").add(0, rows=1)
    assert tracker.snapshot() == {
        "input0": {"type": "channel", "rows": [1]},
        "warnings": {"type": "warnings", "CannotParseExternalData": 3},
        "segmentGenerationProgress": {
            "type": "segmentGenerationProgress", "rowsProcessed": 5, "rowsPersisted": 0, "rowsMerged": 0,
            "rowsPushed": 0,
        },
    }  # fmt: skip
    assert list(tracker.snapshot()) == ["input0", "warnings", "segmentGenerationProgress"]
    assert set(basic_only({**tracker.snapshot(), "cpu": {"type": "cpus"}})) == set(tracker.snapshot())


def progress(*steps: Any) -> dict[str, Any]:
    counter = SortProgressCounter(threading.Lock())
    for step in steps:
        step(counter)
    snapshot = counter.snapshot()
    assert snapshot is not None
    return snapshot


UNKNOWN = {
    "type": "sortProgress", "totalMergingLevels": -1, "levelToTotalBatches": {}, "levelToMergedBatches": {},
    "totalMergersForUltimateLevel": -1,
}  # fmt: skip


def test_a_sort_that_waits_for_its_boundaries_has_no_digest() -> None:
    assert progress() == UNKNOWN


def test_a_sort_without_rows_is_trivially_complete() -> None:
    assert progress(lambda c: c.set_trivially_complete()) == {
        **UNKNOWN, "triviallyComplete": True, "progressDigest": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("merged", "digest"), [(0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0)])
def test_a_direct_sort_has_one_level_of_a_merger_for_each_partition(merged: int, digest: float) -> None:
    made = progress(lambda c: c.set_levels(1), lambda c: c.set_ultimate(4), lambda c: c.merged(0, merged))
    assert made["levelToTotalBatches"] == {"0": 4}
    assert made["totalMergersForUltimateLevel"] == 4
    assert made["progressDigest"] == digest


def test_levels_count_alike_whatever_their_size() -> None:
    made = progress(
        lambda c: c.set_levels(3), lambda c: c.set_total(0, 10), lambda c: c.set_total(1, 1),
        lambda c: c.set_ultimate(24), lambda c: c.merged(0, 5), lambda c: c.merged(1),
    )  # fmt: skip
    assert made["levelToTotalBatches"] == {"0": 10, "1": 1, "2": 24}
    assert made["progressDigest"] == pytest.approx(0.5)


def test_a_limited_sort_that_stops_early_is_done() -> None:
    made = progress(lambda c: c.set_levels(1), lambda c: c.set_ultimate(3), lambda c: c.finish())
    assert made["levelToMergedBatches"] == {"0": 3}
    assert made["progressDigest"] == 1.0


def test_cpu_times_leave_zeros_out_and_add_up() -> None:
    cpu = CounterTracker().cpu()
    assert cpu.snapshot() is None
    cpu.add("main", 5, 7)
    cpu.add("main", 1, 0)
    cpu.add("sortOutput", 0, 0)
    assert cpu.snapshot() == {
        "type": "cpus", "main": {"type": "cpu", "cpu": 6, "wall": 7}, "sortOutput": {"type": "cpu"},
    }  # fmt: skip
    with cpu.measure("main"):
        pass
    measured = cpu.snapshot()
    assert measured is not None
    assert measured["main"]["wall"] > 7


def test_threads_may_add_at_once() -> None:
    channel = CounterTracker().channel("output")

    def work() -> None:
        for _ in range(2_000):
            channel.add(1, rows=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert channel.snapshot() == {"type": "channel", "rows": [0, 8_000]}
