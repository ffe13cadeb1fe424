"""Data sources inside a stage: filters, joins, UNNEST, unions, and the processors over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msq.datatypes import DOUBLE, LONG, STRING, STRING_ARRAY, RowSignature
from msq.faults import MSQError
from msq.native.datasource import (
    FilteredDataSource,
    InputNumberDataSource,
    JoinDataSource,
    UnionDataSource,
    UnnestDataSource,
)
from msq.native.filters import EqualsFilter, InTypeFilter, RangeFilter
from msq.native.virtual import ExpressionVirtualColumn
from msq.processors.export import ExportResultsProcessor
from msq.processors.join import SortMergeJoinProcessor
from msq.processors.limit import LimitProcessor
from msq.processors.source import input_numbers
from msq.stage.destination import ColumnMapping
from msq.stage.inputs import InlineInputSpec, StageInputSpec
from msq.stage.query import StageDefinition
from tests.worker.fake import FakeController
from tests.worker.plans import (
    ROWS,
    HashShuffleSpec,
    MaxCountShuffleSpec,
    MixShuffleSpec,
    TargetSizeShuffleSpec,
    external_scan,
    inline,
    inline_scan,
    json_source,
    key,
    query,
    scan,
    slicer,
    stage_scan,
)
from worker.settings import WorkerSettings

LEFT = [(1, "a", 10), (2, "b", 20), (3, None, 30), (4, "c", 40), (5, "a", 50)]
RIGHT_SIGNATURE = RowSignature([("k", STRING), ("title", STRING)])
RIGHT = [("a", "first"), ("b", "second"), ("b", "third"), (None, "none"), ("z", "last")]
Run = Callable[..., FakeController]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made: list[FakeController] = []

    def start(*stages: Any, workers: int = 1, settings: WorkerSettings | None = None, **context: Any) -> FakeController:
        definition = query(*stages, **context)
        controller = FakeController(definition, tmp_path / f"work{len(made)}", workers, settings)
        made.append(controller)
        controller.run(slicer(definition, workers))
        return controller

    yield start
    for controller in made:
        controller.finish()


def plain(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows without __boost columns, sorted."""
    made = [tuple(v for n, v in r.items() if not n.endswith("__boost")) for r in rows]
    return sorted(made, key=lambda r: tuple((v is not None, str(v)) for v in r))


def broadcast_join(condition: str, kind: str, **more: Any) -> list[StageDefinition]:
    """Stage 0 is the right side, stage 1 joins inline left rows with it."""
    right = inline_scan(0, RIGHT, MaxCountShuffleSpec(key("__boost"), 1), RIGHT_SIGNATURE)
    left = inline(ROWS, LEFT)
    source = JoinDataSource(left, InputNumberDataSource(1), "j0.", condition, kind, **more)
    joined = scan(
        1, source, (InlineInputSpec(left), StageInputSpec(0)), (ROWS, right.signature),
        [("id", LONG), ("j0.title", STRING)], MixShuffleSpec(), broadcast=(1,),
    )  # fmt: skip
    return [right, joined]


INNER = [(1, "first"), (2, "second"), (2, "third"), (5, "first")]


@pytest.mark.parametrize(
    ("condition", "kind", "expected"),
    [
        ('("k" == "j0.k")', "INNER", INNER),
        ('("k" == "j0.k")', "LEFT", [*INNER, (3, None), (4, None)]),
        ('("k" == "j0.k")', "RIGHT", [*INNER, (None, "last"), (None, "none")]),
        ('("k" == "j0.k")', "FULL", [*INNER, (3, None), (4, None), (None, "last"), (None, "none")]),
        ('notdistinctfrom("k","j0.k")', "INNER", [*INNER, (3, "none")]),
        ("1", "INNER", [(n, t) for n in range(1, 6) for _, t in RIGHT]),
        ('(("k" == "j0.k") && ("j0.title" > \'first\'))', "INNER", [(2, "second"), (2, "third")]),
        ('(concat("k",\'\') == "j0.k")', "INNER", INNER),
    ],
)  # fmt: skip
def test_broadcast_joins(run: Run, condition: str, kind: str, expected: list[tuple[Any, ...]]) -> None:
    done = run(*broadcast_join(condition, kind))
    assert plain(done.rows(1)) == sorted(expected, key=lambda r: tuple((v is not None, str(v)) for v in r))
    assert done.counters(1)["input1"]["rows"] == [5]


def test_a_left_filter_drops_rows_before_the_join(run: Run) -> None:
    stages = broadcast_join('("k" == "j0.k")', "LEFT", left_filter=RangeFilter("v", LONG, upper=20))
    assert plain(run(*stages).rows(1)) == [(1, "first"), (2, "second"), (2, "third")]


def test_every_worker_reads_the_whole_broadcast_input(run: Run, tmp_path: Path) -> None:
    paths = []
    for n in range(3):
        path = tmp_path / f"l{n}.json"
        path.write_text(f'{{"id":{n},"k":"a","v":1}}\n')
        paths.append(str(path))
    right = inline_scan(0, RIGHT, TargetSizeShuffleSpec(key("k", "__boost"), 2), RIGHT_SIGNATURE, max_workers=1)
    left = external_scan(1, {"type": "local", "files": paths}, MixShuffleSpec())
    files = left.processor.query.data_source  # type: ignore[attr-defined]
    source = JoinDataSource(files, InputNumberDataSource(1), "j0.", '("k" == "j0.k")', "INNER")
    joined = scan(
        1, source, (left.input[0], StageInputSpec(0)), (ROWS, right.signature), [("id", LONG), ("j0.title", STRING)],
        MixShuffleSpec(), broadcast=(1,),
    )  # fmt: skip
    done = run(right, joined, workers=2)
    assert plain(done.rows(1)) == [(n, "first") for n in range(3)]
    for worker in (0, 1):
        assert sum(done.counters(1, worker)["input1"]["rows"]) == 5


def test_a_broadcast_table_beyond_its_memory_is_refused(run: Run) -> None:
    stages = broadcast_join('("k" == "j0.k")', "INNER")
    with pytest.raises(MSQError, match="BroadcastTablesTooLarge") as caught:
        run(*stages, settings=WorkerSettings(memory_bytes=1000), sqlJoinAlgorithm="sortMerge")
    fault = caught.value.fault.to_json()
    assert fault["maxBroadcastTablesSize"] == 200 and fault["configuredJoinAlgorithm"] == "sortMerge"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT", "FULL"])
def test_sort_merge_joins_agree_with_broadcast_ones(run: Run, kind: str, workers: int) -> None:
    left = inline_scan(0, LEFT, HashShuffleSpec(key("k"), 3), max_workers=1)
    right = inline_scan(1, RIGHT, HashShuffleSpec(key("k"), 3), RIGHT_SIGNATURE, max_workers=1)
    signature = RowSignature([*left.signature, *((f"j0.{c.name}", c.type) for c in right.signature)])
    join = StageDefinition(
        2, (StageInputSpec(0), StageInputSpec(1)), SortMergeJoinProcessor("j0.", '("k" == "j0.k")', kind), signature,
        max_worker_count=10, input_signatures=(left.signature, right.signature),
    )  # fmt: skip
    outer = stage_scan(3, join, MixShuffleSpec(), outputs=[("id", LONG), ("j0.title", STRING)])
    merged = run(left, right, join, outer, workers=workers)
    calm = run(*broadcast_join('("k" == "j0.k")', kind))
    assert plain(merged.rows(3)) == plain(calm.rows(1))


def test_keys_of_different_number_types_meet(run: Run) -> None:
    longs, doubles = RowSignature([("k", LONG)]), RowSignature([("k", DOUBLE)])
    left = inline_scan(0, [(n,) for n in range(20)], HashShuffleSpec(key("k"), 4), longs)
    right = inline_scan(1, [(float(n),) for n in range(10, 30)], HashShuffleSpec(key("k"), 4), doubles)
    signature = RowSignature([("k", LONG), ("__boost", LONG), ("j0.k", DOUBLE), ("j0.__boost", LONG)])
    join = StageDefinition(
        2, (StageInputSpec(0), StageInputSpec(1)), SortMergeJoinProcessor("j0.", '("k" == "j0.k")', "INNER"), signature,
        input_signatures=(left.signature, right.signature),
    )  # fmt: skip
    done = run(left, right, join)
    assert sorted(r["k"] for r in done.rows(2)) == list(range(10, 20))


def test_too_many_rows_of_one_key_on_both_sides(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msq.processors.join.SAME_KEY_BYTES", 2_000)
    signature = RowSignature([("k", STRING), ("pad", STRING)])
    heavy = [("same", "x" * 50)] * 100 + [("other", "y")]
    stages = []
    for number, rows in ((0, heavy), (1, heavy)):
        stages.append(inline_scan(number, rows, HashShuffleSpec(key("k"), 1), signature))
    both = RowSignature([*stages[0].signature, *((f"j0.{c.name}", c.type) for c in stages[1].signature)])
    join = StageDefinition(
        2, (StageInputSpec(0), StageInputSpec(1)), SortMergeJoinProcessor("j0.", '("k" == "j0.k")', "INNER"), both,
        input_signatures=(stages[0].signature, stages[1].signature),
    )  # fmt: skip
    with pytest.raises(MSQError, match="TooManyRowsWithSameKey") as caught:
        run(*stages, join)
    assert caught.value.fault.to_json()["key"] == ["same"]
    # one heavy side alone is fine
    light = inline_scan(1, [("same", "z")], HashShuffleSpec(key("k"), 1), signature)
    assert len(run(stages[0], light, join).rows(2)) == 100


TAGGED = RowSignature([("id", LONG), ("tags", STRING)])
TAG_LINES = [
    '{"id":1,"tags":["x","y"]}', '{"id":2,"tags":"x"}', '{"id":3,"tags":[]}', '{"id":4}', '{"id":5,"tags":["z"]}',
]  # fmt: skip


def unnested(**more: Any) -> StageDefinition:
    base = external_scan(0, json_source(*TAG_LINES), None, TAGGED).processor.query.data_source  # type: ignore[attr-defined]
    if "base_filter" in more:
        base = FilteredDataSource(base, more.pop("base_filter"))
    virtual = ExpressionVirtualColumn("j0.unnest", '"tags"', more.pop("kind", STRING_ARRAY))
    source = UnnestDataSource(base, virtual, more.pop("unnest_filter", None))
    inputs = external_scan(0, json_source(*TAG_LINES), None, TAGGED).input
    return scan(0, source, inputs, (TAGGED,), [("id", LONG), ("j0.unnest", STRING)], MixShuffleSpec(), **more)


@pytest.mark.parametrize("kind", [STRING_ARRAY, STRING])
def test_unnest_gives_a_row_for_each_value_and_none_for_empty_ones(run: Run, kind: Any) -> None:
    rows = [(r["id"], r["j0.unnest"]) for r in run(unnested(kind=kind)).rows(0)]
    assert rows == [(1, "x"), (1, "y"), (2, "x"), (5, "z")]


def test_unnest_filters_its_base_and_its_values(run: Run) -> None:
    values = InTypeFilter("j0.unnest", STRING, ("x", "z"))
    stage = unnested(base_filter=RangeFilter("id", LONG, upper=2), unnest_filter=values)
    assert [(r["id"], r["j0.unnest"]) for r in run(stage).rows(0)] == [(1, "x"), (2, "x")]


def test_batches_of_scalars_and_of_several_values_meet_in_one_sort(run: Run, tmp_path: Path) -> None:
    paths = []
    for name, lines in (("a", ['{"id":1,"tags":"b"}', '{"id":2,"tags":null}']), ("b", ['{"id":3,"tags":["a","c"]}'])):
        path = tmp_path / f"{name}.json"
        path.write_text("\n".join(lines) + "\n")
        paths.append(str(path))
    spec = TargetSizeShuffleSpec(key("tags", "__boost"), 100)
    stage = external_scan(0, {"type": "local", "files": paths}, spec, TAGGED, check=True)
    done = run(stage)
    assert [r["id"] for r in done.rows(0)] == [2, 3, 1]
    assert done.statistics[0][0].multi_value == (True, False)


def test_a_union_names_columns_and_fills_what_is_missing(run: Run) -> None:
    first, second = RowSignature([("id", LONG), ("a", STRING)]), RowSignature([("b", STRING), ("id", LONG)])
    sources = [inline(first, [(1, "x")]), inline(second, [("y", 2)])]
    source = UnionDataSource((InputNumberDataSource(0), InputNumberDataSource(1)))
    stage = scan(
        0, source, tuple(InlineInputSpec(s) for s in sources), (first, second),
        [("id", LONG), ("a", STRING), ("b", STRING)], MixShuffleSpec(),
    )  # fmt: skip
    assert plain(run(stage).rows(0)) == [(1, "x", None), (2, None, "y")]


def test_filters_and_expressions_over_one_another(run: Run) -> None:
    stage = inline_scan(
        0, LEFT, MixShuffleSpec(), outputs=[("id", LONG), ("v1", LONG), ("nothing", STRING)],
        virtual={"v1": ('"v0" + 1', LONG), "v0": ('"v" * 2', LONG)}, filter=EqualsFilter("k", STRING, "a"),
    )  # fmt: skip
    assert plain(run(stage).rows(0)) == [(1, 21, None), (5, 101, None)]


def test_rows_without_columns_are_still_rows(run: Run) -> None:
    stage = external_scan(
        0, json_source(*TAG_LINES), MixShuffleSpec(), TAGGED, outputs=[("v0", LONG)], virtual={"v0": ("7", LONG)}
    )
    assert [r["v0"] for r in run(stage).rows(0)] == [7] * 5


def test_limit_passes_a_window_of_the_sorted_rows(run: Run) -> None:
    first = inline_scan(0, LEFT, MaxCountShuffleSpec(key("-v", "__boost"), 1))
    limited = StageDefinition(
        1, (StageInputSpec(0),), LimitProcessor(offset=1, limit=3), first.signature,
        TargetSizeShuffleSpec(key("-v", "__boost"), 100), input_signatures=(first.signature,),
    )  # fmt: skip
    done = run(first, limited)
    assert [r["v"] for r in done.rows(1)] == [40, 30, 20]
    assert done.counters(1)["input0"]["rows"] == [5] and done.counters(1)["output"]["rows"] == [3]
    everything = StageDefinition(
        1, (StageInputSpec(0),), LimitProcessor(offset=4), first.signature, MixShuffleSpec(),
        input_signatures=(first.signature,),
    )  # fmt: skip
    assert [r["v"] for r in run(first, everything).rows(1)] == [10]


def export(below: StageDefinition, folder: Path, columns: list[tuple[str, str, str]]) -> StageDefinition:
    processor = ExportResultsProcessor(
        "query-x", {"type": "local", "exportPath": str(folder)}, "csv",
        tuple(ColumnMapping(query, name) for query, name, _ in columns),
        {"sqlTypeNames": [t for _, _, t in columns], "sqlResultsContext": {"timeZone": "UTC", "stringifyArrays": True}},
    )  # fmt: skip
    return StageDefinition(
        below.number + 1, (StageInputSpec(below.number),), processor, below.signature, max_worker_count=10,
        input_signatures=(below.signature,),
    )  # fmt: skip


def test_export_writes_a_file_for_each_partition(run: Run, tmp_path: Path) -> None:
    rows = [(1, 'say "hi"', 1.0), (2, "a,b", 1e10), (3, None, None), (4, "", 0.5)]
    signature = RowSignature([("id", LONG), ("k", STRING), ("d", DOUBLE)])
    first = inline_scan(0, rows, TargetSizeShuffleSpec(key("id", "__boost"), 2), signature)
    columns = [("id", "n", "BIGINT"), ("k", "text", "VARCHAR"), ("d", "d", "DOUBLE"), ("id", "again", "BIGINT")]
    done = run(first, export(first, tmp_path / "out", columns))
    files = sorted((tmp_path / "out").iterdir())
    assert [f.name for f in files] == ["query-x-worker0-partition0.csv", "query-x-worker0-partition1.csv"]
    assert files[0].read_text() == 'n,text,d,again\n1,"say ""hi""",1.0,1\n2,"a,b",1.0E10,2\n\n'
    assert files[1].read_text().startswith("n,text,d,again\n3,,,3\n4,")
    assert done.counters(1)["output"] == {"type": "channel", "rows": [2, 2]}
    assert done.results[1] == [f.name for f in files]


def test_an_empty_export_is_a_header(run: Run, tmp_path: Path) -> None:
    first = inline_scan(0, [], TargetSizeShuffleSpec(key("id", "__boost"), 2))
    done = run(first, export(first, tmp_path / "out", [("id", "id", "BIGINT")]))
    files = {f.name: f.read_text() for f in (tmp_path / "out").iterdir()}
    assert files == {"query-x-worker0-partition0.csv": "id\n\n"}
    assert "output" not in done.counters(1)


def test_full_objects_in_a_source_take_the_numbers_that_are_left() -> None:
    left, right = inline(ROWS, []), InputNumberDataSource(1)
    join = JoinDataSource(left, right, "j0.", "1", "INNER")
    assert input_numbers(join) == {0: 0, 1: 1}
    nested = JoinDataSource(join, InputNumberDataSource(2), "_j0.", "1", "INNER")
    assert input_numbers(nested) == {0: 0, 1: 1, 2: 2}
    assert input_numbers(JoinDataSource(InputNumberDataSource(0), left, "j0.", "1", "INNER")) == {0: 0, 1: 1}
