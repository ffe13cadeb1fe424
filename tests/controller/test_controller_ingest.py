"""Controller of an INSERT or REPLACE: locks, segments, what is published, and how each of them fails."""

from __future__ import annotations

import threading

from controller.publishing import OutputPartition, Published, ShardColumns
from msq.faults import InsertLockPreemptedFault, InsertTimeNullFault
from msq.intervals import Granularity
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.segment.identity import DataSegment, NumberedShardSpec, RangeShardSpec
from msq.stage.destination import DataSourceDestination
from msq.stage.shuffle import TargetSizeShuffleSpec
from msq.stage.work_order import WorkOrder
from tests.controller.fake import DAY, JANUARY, KEY, ROWS, FakePublisher, FakeWorker, ingest, keyed, stages


def test_a_replace_asks_for_range_segments_and_publishes_what_was_written() -> None:
    made, launcher, publisher = ingest(keyed(ROWS))
    report = made.run()
    assert report.status.status == "SUCCESS", report.status.error
    assert publisher.asked == [
        (
            [
                OutputPartition(0, JANUARY, ("a",), ("c",)),
                OutputPartition(1, JANUARY + DAY, ("c",), None),
            ],
            ShardColumns(("key",)),
        )
    ]
    assert publisher.published is not None
    assert [(s.shard_spec.partition_num, s.size) for s in publisher.published] == [(0, 5), (1, 5)]
    kept = publisher.kept_report["multiStageQuery"]["payload"]
    assert kept["status"]["status"] == "SUCCESS" and {s["phase"] for s in kept["stages"]} == {"FINISHED"}
    assert made.published is not None
    assert made.published.segments == tuple(publisher.published)
    assert report.status.segment_report is not None
    assert report.status.segment_report.shard_spec == "DimensionRangeShardSpec"
    assert launcher.workers[0].log == ["boundaries 0: 2", "cleanup 0", "finish"]
    assert [s.partition_count for s in report.stages or ()] == [2, 2]
    assert publisher.aborted == 0


def test_an_insert_is_numbered() -> None:
    made, _, publisher = ingest(keyed(ROWS), replace=None)
    report = made.run()
    assert publisher.asked[0][1] is None
    assert report.status.segment_report is not None
    assert report.status.segment_report.details.endswith("since the query is inserting rows.")


def test_multi_valued_keys_make_no_ranges() -> None:
    rows = [(JANUARY, ["a"], 0), (JANUARY, ["b", "c"], 1)]
    made, _, publisher = ingest(keyed(rows))
    report = made.run()
    assert publisher.asked[0][1] is None
    assert report.status.segment_report is not None
    assert "multi-valued" in report.status.segment_report.details


def test_an_insert_without_rows_publishes_nothing() -> None:
    made, _, publisher = ingest(keyed([]), replace=None)
    report = made.run()
    assert report.status.status == "SUCCESS"
    assert publisher.published is None
    assert publisher.asked == []
    assert report.status.segment_report is None
    assert made.published == Published((), ())


def test_a_replace_without_rows_still_publishes_its_tombstones() -> None:
    made, _, publisher = ingest(keyed([]))
    assert made.run().status.status == "SUCCESS"
    assert publisher.published == []


def test_fail_on_empty_insert() -> None:
    made, _, publisher = ingest(keyed([]), context={"failOnEmptyInsert": True})
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertCannotBeEmpty"
    assert report.status.error.stage_number is None
    assert [s.phase for s in report.stages or ()] == [None, None]
    assert [s.partition_count for s in report.stages or ()] == [1, 0]
    assert publisher.aborted == 1


def test_rows_outside_of_overwrite_where() -> None:
    made, launcher, publisher = ingest(keyed(ROWS), replace=("2024-01-01/2024-01-02",))
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertTimeOutOfBounds"
    assert report.status.error.error["interval"] == "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"
    assert report.status.segment_report is not None
    assert (report.stages or ())[0].partition_count == 2
    assert publisher.published is None
    assert publisher.asked == []
    assert launcher.workers[0].log == ["cancel InsertTimeOutOfBounds", "finish"]


def test_compaction_state_says_how_rows_are_partitioned() -> None:
    made, _, publisher = ingest(keyed(ROWS), context={"storeCompactionState": True})
    made.run()
    assert publisher.published is not None
    states = [s.last_compaction_state for s in publisher.published]
    assert all(s is not None and s["partitionsSpec"]["type"] == "dynamic" for s in states)
    assert states[0] is not None
    assert states[0]["granularitySpec"]["segmentGranularity"] == "DAY"


def test_ranges_in_the_compaction_state() -> None:
    from controller.ingest import with_compaction_state

    spec = RangeShardSpec(("a", "b"), None, None, 0, 1)
    segment = DataSegment("t", "2024-01-01/2024-01-02", "v", {}, (), (), spec)
    query = stages(TargetSizeShuffleSpec(KEY, 2), generator=True)
    assert isinstance(query.final.processor, SegmentGeneratorProcessor)
    destination = DataSourceDestination("t", Granularity("DAY"), replace_time_chunks=())
    (made,) = with_compaction_state([segment], destination, query.final.processor)
    assert made.last_compaction_state is not None
    assert made.last_compaction_state["partitionsSpec"] == {
        "type": "range", "targetRowsPerSegment": None, "maxRowsPerSegment": 2, "partitionDimensions": ["a", "b"],
        "assumeGrouped": False,
    }  # fmt: skip


def test_the_compaction_state_repeats_what_was_asked() -> None:
    from controller.ingest import with_compaction_state

    segment = DataSegment("t", "2024-01-01/2024-01-02", "v", {}, (), (), NumberedShardSpec(0, 1))
    query = stages(TargetSizeShuffleSpec(KEY, 2), generator=True)
    assert isinstance(query.final.processor, SegmentGeneratorProcessor)
    asked = {"granularitySpec": {"queryGranularity": "HOUR"}, "metricsSpec": [{"type": "count", "name": "c"}]}
    destination = DataSourceDestination("t", Granularity("DAY"), replace_time_chunks=(), compaction=asked)
    (made,) = with_compaction_state([segment], destination, query.final.processor)
    assert made.last_compaction_state is not None
    assert made.last_compaction_state["metricsSpec"] == asked["metricsSpec"]
    grains = made.last_compaction_state["granularitySpec"]
    assert (grains["segmentGranularity"], grains["queryGranularity"]) == ("DAY", "HOUR")


def test_a_publish_that_fails_fails_the_query() -> None:
    made, _, publisher = ingest(keyed(ROWS), publisher=FakePublisher(publish_error=InsertLockPreemptedFault()))
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertLockPreempted"
    assert made.published is None
    assert publisher.aborted == 1


def test_a_null_time_chunk_is_the_controllers_error() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.controller.post_worker_error(0, 0, InsertTimeNullFault(), "trace")

    made, _, _ = ingest(behaviour)
    error = made.run().status.error
    assert error is not None
    assert (error.task_id, error.stage_number, error.code) == ("query-t", None, "InsertTimeNull")


def test_waiting_for_a_lock_can_be_cancelled() -> None:
    made, launcher, publisher = ingest(keyed(ROWS), publisher=FakePublisher(locks=(False,)))
    timer = threading.Timer(0.05, made.cancel)
    timer.start()
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "Canceled"
    assert report.stages is None
    assert launcher.workers == []
    assert publisher.aborted == 1


def test_a_lock_that_comes_later() -> None:
    made, _, publisher = ingest(keyed(ROWS), publisher=FakePublisher(locks=(False, False, True)))
    assert made.run().status.status == "SUCCESS"
    assert publisher.published is not None
