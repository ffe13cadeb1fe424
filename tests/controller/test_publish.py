"""Allocation, publishing, tombstones and locks over SQLite and PostgreSQL; facts from golden `seg-`, `loc-` answers."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from controller.metadata import locks
from controller.metadata.segments import insert_segments, schemas_of, used_segments
from controller.metadata.store import MetadataStore
from controller.publish.publisher import TablePublisher
from controller.publishing import OutputPartition, ShardColumns
from msq.codec import encode
from msq.datatypes import LONG, RowSignature
from msq.faults import MSQError
from msq.intervals import ETERNITY, Granularity, Interval, parse_instant
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.segment.stored import StoredSchema
from msq.segment.timeline import overshadowed, visible_segments
from msq.stage.destination import DataSourceDestination
from tests.harness import postgres

DAY1, DAY2 = parse_instant("2024-03-01"), parse_instant("2024-03-02")
SCHEMA = StoredSchema(RowSignature([("__time", LONG)]))


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory):
    """Makes an empty PostgreSQL database and answers its URL."""
    try:
        with postgres.server(tmp_path_factory.mktemp("postgres")) as database:
            yield database
    except postgres.Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    url = None
    if request.param == "postgres":
        url = request.getfixturevalue("new_database")(f"db_{uuid.uuid4().hex[:12]}")
    opened = MetadataStore.open(tmp_path, url)
    yield opened
    opened.close()


def publisher(store: MetadataStore, task: str, granularity: str = "DAY", chunks: tuple[str, ...] | None = None, **more):
    destination = DataSourceDestination("t", Granularity(granularity), replace_time_chunks=chunks)
    return TablePublisher(store, task, destination, **more)


def write(made: TablePublisher, *times: int, shard: ShardColumns | None = None) -> list[DataSegment]:
    assert made.lock()
    allocated = made.allocate([OutputPartition(n, t) for n, t in enumerate(times)], shard)
    segments = [replace(s, size=10, total_rows=1, load_spec={"type": "local"}) for s in allocated.values()]
    made.publish(segments, {s.id: SCHEMA for s in segments})
    return segments


def specs(segments: list[DataSegment]) -> list[dict]:
    return [encode(s.shard_spec) for s in segments]


ALL = (str(ETERNITY),)


def test_insert_joins_the_newest_version_of_each_chunk(store: MetadataStore) -> None:
    first = write(publisher(store, "a"), DAY1, DAY2)
    second = write(publisher(store, "b"), DAY1)
    assert specs(first) == [{"type": "numbered", "partitionNum": 0, "partitions": 0}] * 2
    assert specs(second) == [{"type": "numbered", "partitionNum": 1, "partitions": 0}]
    assert second[0].version == first[0].version


def test_insert_behind_a_replace_continues_its_numbers(store: MetadataStore) -> None:
    write(publisher(store, "a", chunks=ALL), DAY1, DAY1, DAY1)
    appended = write(publisher(store, "b"), DAY1, DAY1)
    assert specs(appended) == [
        {"type": "numbered", "partitionNum": 3, "partitions": 3},
        {"type": "numbered", "partitionNum": 4, "partitions": 3},
    ]


def test_insert_over_a_tombstone_takes_number_one(store: MetadataStore) -> None:
    write(publisher(store, "a", chunks=ALL), DAY1)
    write(publisher(store, "b", chunks=ALL))
    appended = write(publisher(store, "c"), DAY1)
    assert specs(appended) == [{"type": "numbered", "partitionNum": 1, "partitions": 0}]
    with store.reading() as connection:
        shown = visible_segments(used_segments(connection, "t"))
    assert [v.segment.id for v in shown] == [appended[0].id]


@pytest.mark.parametrize(
    ("there", "asked", "allocated"),
    [
        ("MONTH", "DAY", "2024-03-01T00:00:00.000Z/2024-04-01T00:00:00.000Z"),
        ("DAY", "MONTH", None),
        ("DAY", "ALL", None),
    ],
)
def test_insert_of_another_granularity_is_refused(store: MetadataStore, there: str, asked: str, allocated: str) -> None:
    write(publisher(store, "a", there), DAY1)
    made = publisher(store, "b", asked)
    with pytest.raises(MSQError) as caught:
        made.allocate([OutputPartition(0, DAY1)], None)
    fault = caught.value.fault.to_json()
    assert (fault["errorCode"], fault["allocatedInterval"]) == ("InsertCannotAllocateSegment", allocated)


def test_replace_numbers_partitions_and_opens_outer_ranges(store: MetadataStore) -> None:
    made = publisher(store, "a", chunks=ALL)
    assert made.lock()
    parts = [OutputPartition(0, DAY1, ("a",), ("f",)), OutputPartition(1, DAY1, ("f",), ("q",)),
             OutputPartition(2, DAY1, ("q",), None)]  # fmt: skip
    allocated = made.allocate(parts, ShardColumns(("k",)))
    assert [encode(s.shard_spec) for s in allocated.values()] == [
        {"type": "range", "dimensions": ["k"], "start": s, "end": e, "partitionNum": n, "numCorePartitions": 3}
        for n, (s, e) in enumerate([(None, ["f"]), (["f"], ["q"]), (["q"], None)])
    ]


def test_replace_hides_what_it_overwrites_and_nothing_else(store: MetadataStore) -> None:
    write(publisher(store, "a"), DAY1, DAY2)
    day2 = "2024-03-02T00:00:00.000Z/2024-03-03T00:00:00.000Z"
    new = write(publisher(store, "b", chunks=(day2,)), DAY2)
    with store.reading() as connection:
        used = used_segments(connection, "t")
    shown = [v.segment for v in visible_segments(used)]
    assert len(used) == 3 and new[0] in shown and len(shown) == 2
    assert [s.interval for s in overshadowed(used)] == [day2]


def test_replace_without_rows_leaves_tombstones_by_its_own_granularity(store: MetadataStore) -> None:
    write(publisher(store, "a", "DAY"), DAY1)
    made = publisher(store, "b", "HOUR", chunks=ALL)
    assert made.lock()
    published = made.publish([], {})
    assert len(published.tombstones) == 24 and not published.segments
    assert published.tombstones[0].to_json()["shardSpec"] == {"type": "tombstone", "partitions": 0, "partitionNum": 0}
    with store.reading() as connection:
        assert visible_segments(used_segments(connection, "t")) == ()


def test_replace_over_nothing_publishes_nothing(store: MetadataStore) -> None:
    made = publisher(store, "a", chunks=ALL)
    assert made.lock()
    assert made.publish([], {}).tombstones == ()


def test_replace_outside_its_bounds_fails(store: MetadataStore) -> None:
    made = publisher(store, "a", chunks=("2024-03-01T00:00:00.000Z/2024-03-02T00:00:00.000Z",))
    assert made.lock()
    with pytest.raises(MSQError, match="outside of bounds specified by OVERWRITE WHERE"):
        made.allocate([OutputPartition(0, DAY2)], None)


def test_too_many_segments_in_a_chunk(store: MetadataStore) -> None:
    made = publisher(store, "a", chunks=ALL, max_num_segments=1)
    assert made.lock()
    with pytest.raises(MSQError, match=r"2024-03-01T00:00:00.000Z\] with granularity\[DAY\] \(requested = \[2\]"):
        made.allocate([OutputPartition(0, DAY1), OutputPartition(1, DAY1)], None)


def test_a_second_replace_waits_and_gets_a_later_version(store: MetadataStore) -> None:
    first, second = publisher(store, "a", chunks=ALL), publisher(store, "b", chunks=ALL)
    assert first.lock() and not second.lock()
    allocated = first.allocate([OutputPartition(0, DAY1)], None)
    first.publish(list(allocated.values()), {})
    assert second.lock()
    later = second.allocate([OutputPartition(0, DAY1)], None)
    assert later[0].version > allocated[0].version


def test_replaces_of_different_days_run_side_by_side(store: MetadataStore) -> None:
    one = publisher(store, "a", chunks=("2024-03-01T00:00:00.000Z/2024-03-02T00:00:00.000Z",))
    two = publisher(store, "b", chunks=("2024-03-02T00:00:00.000Z/2024-03-03T00:00:00.000Z",))
    assert one.lock() and two.lock()


def test_insert_during_a_replace_cannot_allocate(store: MetadataStore) -> None:
    assert publisher(store, "a", chunks=ALL).lock()
    with pytest.raises(MSQError, match="Cannot allocate segment for dataSource"):
        publisher(store, "b").allocate([OutputPartition(0, DAY1)], None)


def test_a_revoked_lock_publishes_nothing(store: MetadataStore) -> None:
    made = publisher(store, "a", chunks=ALL)
    assert made.lock()
    allocated = made.allocate([OutputPartition(0, DAY1)], None)
    assert publisher(store, "b", chunks=ALL, priority=75).lock()
    with pytest.raises(MSQError, match="InsertLockPreempted"):
        made.publish(list(allocated.values()), {})
    with store.reading() as connection:
        assert used_segments(connection, "t") == []


def test_abort_gives_back_ids_and_locks(store: MetadataStore) -> None:
    made = publisher(store, "a")
    made.allocate([OutputPartition(0, DAY1)], None)
    made.abort()
    made.abort()
    with store.reading() as connection:
        assert locks.locks_of(connection) == []
    assert specs(write(publisher(store, "b"), DAY1))[0]["partitionNum"] == 0


def test_concurrent_append_is_carried_into_the_replace(store: MetadataStore) -> None:
    replacing = publisher(store, "r", chunks=ALL, concurrent_locks=True)
    assert replacing.lock()
    appended = write(publisher(store, "i", concurrent_locks=True), DAY1)
    allocated = replacing.allocate([OutputPartition(0, DAY1)], None)
    replacing.publish(list(allocated.values()), {})
    with store.reading() as connection:
        shown = [v.segment for v in visible_segments(used_segments(connection, "t"))]
    assert {s.version for s in shown} == {allocated[0].version} and len(shown) == 2
    assert {s.shard_spec.partition_num for s in shown} == {0, 1} and appended[0] not in shown


def test_a_chunk_shows_only_when_its_core_is_complete() -> None:
    old = DataSegment("t", str(Interval(0, 10)), "1", {}, (), (), NumberedShardSpec(0, 1))
    half = DataSegment("t", str(Interval(0, 10)), "2", {}, (), (), NumberedShardSpec(0, 2))
    assert [v.segment for v in visible_segments([old, half])] == [old]


def test_stored_schema_comes_back(store: MetadataStore) -> None:
    segment = DataSegment("t", str(Interval(0, 10)), "1", {}, (), (), NumberedShardSpec(0, 1))
    with store.transaction() as connection:
        insert_segments(connection, [segment], {segment.id: SCHEMA})
        insert_segments(connection, [segment])
    with store.reading() as connection:
        assert schemas_of(connection, "t") == {segment.id: SCHEMA}
        assert used_segments(connection, "t") == [segment]


def test_a_statement_runs_with_its_metadata_in_postgres(new_database, tmp_path: Path) -> None:
    from controller.engine import Engine, EngineSettings

    url = new_database("engine")
    sql = "REPLACE INTO t OVERWRITE ALL SELECT TIMESTAMP '2024-01-01 00:00:00' AS __time, 'x' AS k PARTITIONED BY DAY"
    with Engine(EngineSettings(tmp_path, metadata_url=url)) as engine:
        assert engine.execute(sql, {}).status == "SUCCESS"
    with Engine(EngineSettings(tmp_path, metadata_url=url)) as engine:
        assert engine.execute("SELECT k FROM t", {}).rows == [["x"]]
    assert not (tmp_path / "metadata.db").exists()


def test_many_appenders_at_once_get_their_own_numbers(store: MetadataStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: write(publisher(store, f"task{n}"), DAY1), range(16)))
    numbers = [s.shard_spec.partition_num for segments in made for s in segments]
    assert sorted(numbers) == list(range(16))
    assert len({s.version for segments in made for s in segments}) == 1


@pytest.mark.parametrize("time", [2**63 - 1, -(2**63)])
def test_times_beyond_eternity_are_refused(store: MetadataStore, time: int) -> None:
    with pytest.raises(MSQError, match="lies outside of"):
        publisher(store, "a").allocate([OutputPartition(0, time)], None)


def test_the_version_of_a_store_is_another_once_anybody_has_committed(store: MetadataStore, tmp_path: Path) -> None:
    one = store.version()
    assert store.version() == one
    with store.reading() as connection:
        used_segments(connection, "t")
    assert store.version() == one
    made = publisher(store, "a")
    write(made, DAY1)
    two = store.version()
    assert two != one
    with pytest.raises(ZeroDivisionError), store.transaction() as connection:
        insert_segments(connection, [])
        raise ZeroDivisionError
    another = MetadataStore(store.url)
    three = store.version()
    write(publisher(another, "b"), DAY2)
    assert store.version() not in (one, two, three)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: store.version(), range(16)))) == 1
    another.close()
