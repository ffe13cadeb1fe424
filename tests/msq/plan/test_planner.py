"""Planning rules that recorded plans do not show: refusals, keys of joins, windows, hidden clustering keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from msq.datatypes import DOUBLE, LONG, STRING, RowSignature
from msq.faults import MSQError
from msq.intervals import Granularity
from msq.native.datasource import (
    DataSource,
    ExternalDataSource,
    InlineDataSource,
    JoinDataSource,
    LookupDataSource,
    QueryDataSource,
    TableDataSource,
    UnionDataSource,
)
from msq.native.query import GroupByQuery, NativeQuery, OrderByColumn, ScanQuery, WindowOperatorQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.plan.planner import plan
from msq.plan.sources import merge_keys
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.processors.window import WindowProcessor
from msq.stage.destination import ColumnMapping, DataSourceDestination, Destination, TaskReportDestination
from msq.stage.query import QueryDefinition
from msq.stage.shuffle import HashShuffleSpec, MaxCountShuffleSpec, MixShuffleSpec

TABLE = RowSignature([("__time", LONG), ("k", STRING), ("v", LONG)])


@dataclass(frozen=True)
class Bound:
    query: NativeQuery
    column_mappings: tuple[ColumnMapping, ...] = ()
    destination: Destination = field(default_factory=TaskReportDestination)


def planned(
    query: NativeQuery, *, workers: int = 1, context: dict[str, Any] | None = None, **more: Any
) -> QueryDefinition:
    return plan(
        Bound(query, **more), query_id="query-q", context=context or {}, max_workers=workers,
        table_signature=lambda name: TABLE,
    )  # fmt: skip


def scan(source: DataSource | None = None, columns: tuple[str, ...] = ("k", "v"), **more: Any) -> ScanQuery:
    source = source or TableDataSource("t")
    types = tuple(TABLE.type_of(c) or STRING for c in columns)
    return ScanQuery(source, columns=columns, column_types=types, **more)


def refused(query: NativeQuery, **more: Any) -> dict[str, Any]:
    with pytest.raises(MSQError) as error:
        planned(query, **more)
    return error.value.fault.to_json()


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_reserved_names_are_refused_also_in_subqueries() -> None:
    inner = scan(columns=("k", "__boost"))
    assert refused(scan(QueryDataSource(inner), columns=("k",)))["columnName"] == "__boost"


def test_too_many_columns_count_the_special_ones() -> None:
    names = tuple(f"c{n}" for n in range(2000))
    fault = refused(scan(columns=names))
    assert (fault["errorCode"], fault["numColumns"], fault["maxColumns"]) == ("TooManyColumns", 2001, 2000)
    planned(scan(columns=names[:1999]))


def test_too_many_key_columns_name_the_stage() -> None:
    query = scan(order_by=(OrderByColumn("k"), OrderByColumn("v")))
    fault = refused(query, context={"maxClusteredByColumns": 2})
    assert (fault["errorCode"], fault["numColumns"], fault["stage"]) == ("TooManyClusteredByColumns", 3, 0)


def test_what_no_stage_can_do_is_not_supported() -> None:
    query = GroupByQuery(TableDataSource("t"), granularity=Granularity("DAY"))
    assert refused(query) == {"errorCode": "QueryNotSupported"}


# -- joins -------------------------------------------------------------------------------------------------------------


def join(condition: str, prefix: str = "j0.") -> JoinDataSource:
    sides = QueryDataSource(scan()), QueryDataSource(scan(columns=("k",)))
    return JoinDataSource(*sides, prefix, condition, "INNER", join_algorithm="sortMerge")


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ("1", ((), ())),
        ('("k" == "j0.k")', (("k",), ("k",))),
        ('("j0.k" == "v")', (("v",), ("k",))),
        ('(("k" == "j0.k") && ("v" == "j0.w"))', (("k", "v"), ("k", "w"))),
        ('(("k" == "j0.k") && ("k" == "j0.k"))', (("k",), ("k",))),
        ('notdistinctfrom("k","j0.k")', (("k",), ("k",))),
        ('("a\\"b" == "j0.c\\u0020d")', (('a"b',), ("c d",))),
        ('(("k" == "j0.k") && ("k" == "j0.v"))', None),
        ('("k" < "j0.k")', None),
        ('(upper("k") == "j0.k")', None),
        ('("k" == "v")', None),
    ],
)
def test_keys_of_a_merge_join(condition: str, keys: Any) -> None:
    assert merge_keys(join(condition)) == keys


@pytest.mark.parametrize(
    ("kind", "condition", "keys"),
    [
        ("LEFT", '(("k" == "j0.k") && ("v" < "j0.v"))', (("k",), ("k",))),
        ("LEFT", '("v" < "j0.v")', None),
        ("FULL", '("v" < "j0.v")', ((), ())),
        ("RIGHT", '(("k" == "j0.k") && ("k" == "j0.v"))', (("k",), ("k",))),
    ],
)
def test_keys_of_an_outer_merge_join_are_its_equalities(kind: str, condition: str, keys: Any) -> None:
    assert merge_keys(replace(join(condition), join_type=kind)) == keys


def test_a_merge_join_hashes_both_sides_alike() -> None:
    stages = planned(scan(join('("k" == "j0.k")'), ("k",)), workers=3).stages
    assert [s.processor.TAG for s in stages] == ["scan", "scan", "sortMergeJoin", "scan"]
    for side in stages[:2]:
        assert isinstance(side.shuffle_spec, HashShuffleSpec)
        assert side.shuffle_spec.partitions == 3
        assert side.signature.names[0] == "k"
    assert stages[2].signature.names == ("k", "__boost", "v", "j0.k", "j0.__boost")


def test_any_other_condition_is_a_broadcast_join() -> None:
    stages = planned(scan(join('("k" < "j0.k")'), ("k",))).stages
    assert [s.processor.TAG for s in stages] == ["scan", "scan", "scan"]
    assert stages[-1].broadcast == (1,)
    assert stages[-1].max_worker_count == 1


def test_a_lookup_is_broadcast_and_an_inline_source_is_read_in_place() -> None:
    sides = InlineDataSource(("k",), (STRING,), (("x",),)), LookupDataSource("l")
    query = scan(JoinDataSource(*sides, "j0.", "1", "INNER"), ("k",))
    (stage,) = planned(query, workers=4).stages
    assert stage.broadcast == (1,)
    assert stage.max_worker_count == 4
    assert [s.names for s in stage.input_signatures] == [("k",), ("k", "v")]


def test_branches_of_a_union_are_inputs_of_one_stage() -> None:
    union = UnionDataSource((TableDataSource("a"), QueryDataSource(scan()), TableDataSource("b")))
    stages = planned(scan(union)).stages
    assert [s.processor.TAG for s in stages] == ["scan", "scan"]
    assert [i.TAG for i in stages[1].input] == ["table", "stage", "table"]
    assert stages[1].broadcast == ()


# -- windows -----------------------------------------------------------------------------------------------------------


def window(*operators: dict[str, Any], source: DataSource | None = None) -> WindowOperatorQuery:
    outputs = RowSignature([("k", STRING), ("w0", LONG)])
    return WindowOperatorQuery(
        source or QueryDataSource(scan()), output_signature=outputs, operator_definition=operators
    )  # fmt: skip


def sort(*columns: str) -> dict[str, Any]:
    return {"type": "naiveSort", "columns": [{"column": c, "direction": "ASC"} for c in columns]}


def partition(*columns: str) -> dict[str, Any]:
    return {"type": "naivePartition", "partitionColumns": list(columns)}


def number(output: str) -> dict[str, Any]:
    return {"type": "window", "processor": {"type": "rowNumber", "outputColumn": output}}


def operators(definition: QueryDefinition) -> list[list[str]]:
    return [
        [o["type"] for o in s.processor.operator_list]
        for s in definition.stages
        if isinstance(s.processor, WindowProcessor)
    ]


def test_a_new_partition_keeps_the_order_that_was_asked_before() -> None:
    made = planned(window(sort("k", "v"), partition(), number("w0"), partition("k"), number("w1")))
    assert operators(made) == [["glueingPartition", "partitionSort", "window"]] * 2
    second = made.stages[2].processor
    assert isinstance(second, WindowProcessor)
    assert second.partition_column_names == ("k",)
    assert second.operator_list[1] == {"type": "partitionSort", "columns": sort("k", "v")["columns"]}
    assert isinstance(made.stages[0].shuffle_spec, MixShuffleSpec)
    assert isinstance(made.stages[1].shuffle_spec, HashShuffleSpec)


def test_windows_of_one_requirement_share_a_stage() -> None:
    made = planned(window(sort("k"), partition("k"), number("w0"), number("w1")))
    assert operators(made) == [["glueingPartition", "partitionSort", "window", "window"]]


def test_types_of_outputs_that_only_later_stages_use() -> None:
    share = {"type": "window", "processor": {"type": "cumeDist", "group": ["v"], "outputColumn": "x"}}
    made = planned(window(sort("k"), partition("k"), share, sort("v"), partition("v"), number("w0")))
    assert made.stages[1].signature.type_of("x") == DOUBLE
    assert "x" not in made.stages[2].signature


def test_a_window_straight_over_a_source_scans_it_first() -> None:
    source = ExternalDataSource(
        {"type": "inline", "data": "x"}, {"type": "json"}, RowSignature([*TABLE, ("z", STRING)])
    )
    made = planned(window(sort("k", "v"), partition("k"), number("w0"), source=source))
    assert [s.processor.TAG for s in made.stages] == ["scan", "window"]
    assert made.stages[0].signature.names == ("k", "__boost", "v")


def test_operators_without_a_window_are_no_window_query() -> None:
    assert refused(window(sort("k"))) == {"errorCode": "QueryNotSupported"}


# -- ingests -----------------------------------------------------------------------------------------------------------


def test_unselected_clustering_expressions_travel_to_the_generator() -> None:
    virtual = ExpressionVirtualColumn("v0", 'upper("k")', STRING)
    query = scan(virtual_columns=(virtual,), order_by=(OrderByColumn("v0"), OrderByColumn("k")), columns=("k", "v0"))
    made = planned(
        replace(query, context={"sqlInsertSegmentGranularity": '{"type":"all"}'}),
        column_mappings=(ColumnMapping("k", "key"),), destination=DataSourceDestination("t", Granularity("ALL")),
    )  # fmt: skip
    generator = made.final.processor
    assert isinstance(generator, SegmentGeneratorProcessor)
    assert generator.cluster_by_virtual_column_mappings == {
        "v0": {"type": "expression", "name": "v0", "expression": 'upper("k")', "outputType": "STRING"}
    }
    assert [d["name"] for d in generator.data_schema["dimensionsSpec"]["dimensions"]] == ["key"]


def test_one_query_column_may_feed_several_outputs() -> None:
    made = planned(
        scan(columns=("k", "v")), column_mappings=tuple(ColumnMapping("k", o) for o in ("b", "a")),
        destination=DataSourceDestination("t", Granularity("ALL")),
    )  # fmt: skip
    generator = made.final.processor
    assert isinstance(generator, SegmentGeneratorProcessor)
    assert [d["name"] for d in generator.data_schema["dimensionsSpec"]["dimensions"]] == ["b", "a"]


def test_context_settings_reach_the_tuning_config() -> None:
    context = {
        "rowsInMemory": 7,
        "rowsPerSegment": "9",
        "maxNumSegments": 2,
        "indexSpec": '{"dimensionCompression":"zstd"}',
    }
    made = planned(
        scan(), context=context, column_mappings=(ColumnMapping("k", "k"),),
        destination=DataSourceDestination("t", Granularity("ALL")),
    )  # fmt: skip
    generator = made.final.processor
    assert isinstance(generator, SegmentGeneratorProcessor)
    assert generator.tuning_config == {
        "maxNumWorkers": 1, "maxRowsInMemory": 7, "rowsPerSegment": 9, "maxNumSegments": 2,
        "indexSpec": {
            "bitmap": {"type": "roaring"}, "dimensionCompression": "zstd", "stringDictionaryEncoding": {"type": "utf8"},
            "metricCompression": "lz4", "longEncoding": "longs",
        },
    }  # fmt: skip


def test_partitions_of_adjustable_shuffles_are_workers_times_partitions() -> None:
    query = scan(QueryDataSource(scan()), columns=("k",))
    for context, expected in (({}, 2), ({"targetPartitionsPerWorker": 5}, 10)):
        inner = planned(query, workers=2, context=context).stages[0].shuffle_spec
        assert isinstance(inner, MaxCountShuffleSpec)
        assert (inner.partitions, inner.adjustable) == (expected, False)


def test_a_plan_travels_as_json() -> None:
    made = planned(scan(join('("k" == "j0.k")'), ("k",)), workers=2)
    assert QueryDefinition.from_json(made.to_json()) == made
