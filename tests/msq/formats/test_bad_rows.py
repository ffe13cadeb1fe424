"""Rows that are no rows: which, their exact record and line numbers, and what ends a read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msq.faults import CannotParseExternalDataFault, Fault, InvalidNullByteFault, UnknownFault

JSON = {"type": "json"}
TA = {"t": "STRING", "a": "LONG"}


def test_every_kind_of_bad_line_is_named_and_the_others_are_kept(read: Any, data: Path) -> None:
    path = data / "bad" / "one.json"
    got = read(path, JSON, TA)
    assert got.sink.bad == [
        f"Unable to parse row [{text}] (Path: file:{path}, Record: {record}, Line: {line})"
        for text, record, line in [
            ("not json at all", 4, 4),
            ('{"t":"2024-05-01","a":', 7, 8),
            ("", 7, 9),
            ("{'t':'2024-05-01','a':2}", 19, 22),
            ('{"t":"2024-05-02","a":NaN}', 22, 26),
        ]
    ]
    assert got.sink.counted_rows == len(got.rows) == 25
    assert got.rows[9] == [None, None]  # [1,2]
    assert got.rows[15] == ["2024-05-01", 1]  # {..}}


def test_counts_do_not_depend_on_which_columns_are_wanted(read: Any, data: Path) -> None:
    got = read(data / "bad" / "one.json", JSON, TA, columns=["t"])
    assert (len(got.sink.bad), got.sink.counted_rows) == (5, 25)
    none = read(data / "bad" / "one.json", JSON, TA, columns=[])
    assert (len(none.sink.bad), none.sink.counted_rows) == (5, 25)


def test_pretty_printed_json_is_rows_of_nulls_and_bad_lines(read: Any, data: Path) -> None:
    path = data / "pretty.json"
    got = read(path, JSON, TA)
    assert got.rows == [[None, None], [None, None]]
    assert got.sink.bad == [
        f"Unable to parse row [{{] (Path: file:{path}, Record: 1, Line: 1)",
        f"Unable to parse row [}}] (Path: file:{path}, Record: 3, Line: 4)",
    ]


def test_only_the_first_value_of_a_line_counts(read: Any, data: Path) -> None:
    got = read(data / "twoobjects.json", JSON, TA)
    assert got.rows == [["2024-05-01", 1], ["2024-05-03", 3]]
    assert got.sink.bad == []


def test_inline_data_has_no_path(read: Any) -> None:
    got = read('{"t":"x","a":1}\nnot json\n{"t":"y","a":2}\n{"t":', JSON, TA)
    assert got.sink.bad == [
        "Unable to parse row [not json] (Record: 2, Line: 2)",
        'Unable to parse row [{"t":] (Record: 3, Line: 4)',
    ]


@pytest.mark.parametrize(
    "line",
    ['{"a":1,}', '{"a":1 , }', '{"z":[1,]}', '{"z":nan}', '{"z":{"q":-Infinity}}', '{"z":INF}', '{"a":01}', '{"a":+1}',
     '{"a":.5}', '{"a":5.}', '{"a":"\t"}', '{"a":"\\x"}', '{a:1}', '{"a" 1}', '{"a":tru}', '{"a":1', "   ", "12abc",
     "5,", "truely", '{"a":1 /* c */}', '\x00{"a":1}'],
)  # fmt: skip
def test_lines_that_are_no_json(read: Any, line: str) -> None:
    got = read(f'{{"a":7}}\n{line}\n{{"a":8}}\n', JSON, {"a": "LONG"})
    assert got.rows == [[7], [8]]
    assert got.sink.bad == [f"Unable to parse row [{line}] (Record: 2, Line: 2)"]


@pytest.mark.parametrize(
    ("line", "value"),
    [('{"a":1}}', 1), ('{"a":1} nan', 1), ('{"a":1}{"a":2}', 1), ("[1,2]", None), ("null", None), ("5", None),
     ('"a": 1,', None), ("true", None), ('{"z":"info, nan, inf"}', None), ('  {"a":1}  ', 1), ('{"a":-0}', 0)],
)  # fmt: skip
def test_lines_that_are_rows_all_the_same(read: Any, line: str, value: int | None) -> None:
    got = read(f'{{"a":7}}\n{line}\n{{"a":8}}\n', JSON, {"a": "LONG"})
    assert got.rows == [[7], [value], [8]]
    assert got.sink.bad == []


def test_strict_mode_ends_at_the_first_bad_row(fault: Callable[..., Fault], data: Path) -> None:
    path = data / "single" / "bad.json"
    found = fault(path, JSON, TA, strict=True)
    assert isinstance(found, CannotParseExternalDataFault)
    assert found.error_message == f"Unable to parse row [broken] (Path: file:{path}, Record: 5, Line: 5)"


def test_numbers_start_anew_with_each_file(read: Any, data: Path) -> None:
    one, two = data / "bad" / "one.json", data / "bad" / "two.json"
    got = read({"type": "local", "files": [str(one), str(two)]}, JSON, TA)
    assert [m.rpartition("(Path")[2] for m in got.sink.bad[5:]] == [
        f": file:{two}, Record: 3, Line: 3)",
        f": file:{two}, Record: 4, Line: 5)",
        f": file:{two}, Record: 8, Line: 10)",
    ]
    assert got.sink.files == 2


def test_a_nul_character_is_a_fault_or_taken_out(read: Any, fault: Callable[..., Fault], data: Path) -> None:
    path = data / "nul.json"
    assert fault(path, JSON, {"t": "STRING", "s": "STRING"}) == InvalidNullByteFault(
        source=f'external input source: LocalInputSource{{baseDir="null", filter=null, files=[{path}]}}',
        row_number=2, column="s", value="b\0c", position=1,
    )  # fmt: skip
    clean = read(path, JSON, {"t": "STRING", "s": "STRING"}, remove_null_bytes=True)
    assert clean.rows == [["2024-05-01", "a"], ["2024-05-02", "bc"]]
    assert read(path, JSON, {"s": "STRING"}, null_byte_columns=frozenset()).rows == [["a"], ["b\0c"]]


def test_nul_characters_inside_lists(read: Any, fault: Callable[..., Fault]) -> None:
    text = '{"s":["a","b"]}\n{"s":["c","d\\u0000"]}'
    found = fault(text, JSON, {"s": "STRING"})
    assert isinstance(found, InvalidNullByteFault)
    assert (found.row_number, found.value, found.position) == (2, "d\0", 1)
    assert read(text, JSON, {"s": "STRING"}, remove_null_bytes=True).rows == [[["a", "b"]], [["c", "d"]]]


@pytest.mark.parametrize(
    ("name", "says"),
    [("cut.json.gz", "Unexpected end"), ("notgzip.json.gz", "Error occurred"), ("sub", "Error occurred")],
)
def test_damage_below_the_rows_is_no_bad_row(fault: Callable[..., Fault], data: Path, name: str, says: str) -> None:
    found = fault(data / name, JSON, TA)
    assert isinstance(found, UnknownFault)
    assert found.message is not None
    assert found.message.startswith(says)
    assert f"file:{data / name}" in found.message


def test_a_missing_file_is_an_empty_input(read: Any, tmp_path: Path) -> None:
    got = read(tmp_path / "none.json", JSON, TA)
    assert (got.rows, got.sink.files) == ([], 0)


def test_a_line_beyond_the_limit_is_a_fault(fault: Callable[..., Fault], tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text('{"a":"' + "x" * 3_000_000 + '"}\n')
    found = fault(path, JSON, {"a": "STRING"}, max_line_bytes=1 << 20)
    assert isinstance(found, UnknownFault)
    assert "longer than [1,048,576] bytes" in (found.message or "")


@pytest.mark.parametrize("declared", ["STRING", "ARRAY<STRING>", "ARRAY<ARRAY<LONG>>"])
def test_values_nested_beyond_measure_are_a_fault(fault: Callable[..., Fault], read: Any, declared: str) -> None:
    text = '{"a":' + "[" * 50_000 + "]" * 50_000 + ',"b":1}\n'
    found = fault(text, JSON, {"a": declared})
    assert isinstance(found, CannotParseExternalDataFault)
    assert "nested too deeply" in found.error_message
    assert read(text, JSON, {"b": "LONG"}).rows == [[1]]
