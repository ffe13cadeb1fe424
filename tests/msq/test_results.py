"""Values of a SELECT as the task report prints them, SQL type by SQL type."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from msq.datatypes import DOUBLE, JSON, LONG, LONG_ARRAY, STRING, STRING_ARRAY, ColumnType, complex_of
from msq.results import ResultColumn, ResultsContext, column_values, result_rows
from msq.sketches import pairs

UTC = ResultsContext()


def printed(array: Any, kind: ColumnType, sql_type: str, context: ResultsContext = UTC) -> list[Any]:
    return column_values(array, ResultColumn("c", "c", kind, sql_type), context)


@pytest.mark.parametrize(
    ("array", "kind", "sql_type", "expected"),
    [
        (pa.array([1717284600000, None]), LONG, "TIMESTAMP", [1717284600000, None]),
        (pa.array([1717200000000, -86400000]), LONG, "DATE", [19875, -1]),
        (pa.array([1, 0, None]), LONG, "BOOLEAN", [True, False, None]),
        (pa.array([5, None]), LONG, "BIGINT", [5, None]),
        (pa.array([5, None]), LONG, "OTHER", ["5", None]),
        (pa.array([1.5, float("nan"), float("-inf")]), DOUBLE, "DOUBLE", [1.5, "NaN", "-Infinity"]),
        (pa.array(["é", None]), STRING, "VARCHAR", ["é", None]),
        (pa.array(["a", "a"]).dictionary_encode(), STRING, "VARCHAR", ["a", "a"]),
        (pa.array([["a", "b"], ["c"], [], None]), STRING, "VARCHAR", ['["a","b"]', "c", "[]", None]),
        (pa.array([["a", None], None]), STRING_ARRAY, "ARRAY", ['["a",null]', None]),
        (pa.array(['{"a": 1}', None]), JSON, "COMPLEX<json>", ['{"a": 1}', None]),
        (pa.array([b"\x02\x01", None]), complex_of("HLLSketch"), "COMPLEX<HLLSketch>", ['"AgE="', None]),
    ],
)  # fmt: skip
def test_values(array: Any, kind: ColumnType, sql_type: str, expected: list[Any]) -> None:
    assert printed(array, kind, sql_type) == expected


def test_arrays_stay_lists_when_they_are_not_stringified() -> None:
    plain = ResultsContext(stringify_arrays=False)
    assert printed(pa.array([[1, None], None]), LONG_ARRAY, "ARRAY", plain) == [[1, None], None]
    assert printed(pa.array([["a", "b"]]), STRING, "VARCHAR", plain) == ['["a","b"]']


def test_instants_are_the_wall_clock_of_the_sessions_zone() -> None:
    angeles = ResultsContext("America/Los_Angeles")
    # 23:30Z is 16:30 there, also beyond the turn of the day
    assert printed(pa.array([1717284600000]), LONG, "TIMESTAMP", angeles) == [1717259400000]
    assert printed(pa.array([1717200000000]), LONG, "DATE", angeles) == [19874]


def test_pairs_of_earliest_and_latest() -> None:
    states = pairs.encode_numbers(pa.array([7, None], pa.int64()), pa.array([37, 1], pa.int64()))
    assert printed(states, complex_of("serializablePairLongLong"), "OTHER") == ['{"lhs":7,"rhs":37}', None]
    texts = pairs.encode_texts(pa.array([7], pa.int64()), pa.array(["ab"]), 100)
    assert printed(texts, complex_of("serializablePairLongString"), "OTHER") == ['{"lhs":7,"rhs":"ab"}']


def test_rows_follow_the_output_columns_and_may_repeat_one() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1, 2], "b": ["x", "y"]})
    columns = (
        ResultColumn("b", "one", STRING, "VARCHAR"),
        ResultColumn("a", "n", LONG, "BIGINT"),
        ResultColumn("b", "two", STRING, "VARCHAR"),
    )
    assert list(result_rows([batch], columns, UTC)) == [["x", 1, "x"], ["y", 2, "y"]]
    assert list(result_rows([batch], (), UTC)) == [[], []]
