"""csv and tsv as Druid read the recorded files, and the rules behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CSV = {"type": "csv", "findColumnsFromHeader": True}
TKVW = {"t": "STRING", "k": "STRING", "v": "STRING", "w": "STRING"}


def test_ragged_lines_blank_lines_and_quotes(read: Any, data: Path) -> None:
    assert read(data / "ragged.csv", CSV, TKVW).rows == [
        ["2024-05-01", "a", "1", "2.5"],
        ["2024-05-02", "b", None, None],
        ["2024-05-03", "c", "3", "4"],
        ["2024-05-04", None, None, None],
        [None, None, None, None],
        ["2024-05-05", "q,r", "5", "6"],
        ["2024-05-06", 'say "hi"', "6", None],
        ["2024-05-07", "", "x", "y"],
        ["2024-05-08", " sp ", "1.9", "-0"],
    ]


def test_stray_quotes_stay(read: Any, data: Path) -> None:
    assert [r[1] for r in read(data / "quote.csv", CSV, TKVW).rows] == ['"open', "b", 'c"d"e', 'x"y']


def test_tsv_knows_no_quotes(read: Any, data: Path) -> None:
    got = read(data / "ragged.tsv", {"type": "tsv", "findColumnsFromHeader": True}, {**TKVW, "v": "LONG"})
    assert got.rows == [
        ["2024-05-01", "a", 1, "2.5"],
        ["2024-05-02", "b", None, None],
        ["2024-05-03", "c", 3, "4"],
        ["2024-05-05", '"q', None, "5"],
        ["2024-05-06", '"x"', 6, "7"],
        ["2024-05-07", None, None, None],
    ]


def test_lists_in_cells(read: Any, data: Path) -> None:
    got = read(data / "lists.csv", CSV | {"listDelimiter": ";"}, {"t": "STRING", "k": "STRING", "v": "ARRAY<LONG>"})
    assert got.rows == [
        ["2024-05-01", ["a", "b", "a"], [1, 2]],
        ["2024-05-02", ["c"], [3]],
        ["2024-05-03", ["", ""], None],
    ]


def test_a_list_is_no_number(read: Any) -> None:
    got = read("1,5|6\n2,7\n", {"type": "csv", "columns": ["a", "b"], "listDelimiter": "|"}, {"b": "LONG"})
    assert got.rows == [[None], [7]]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("bom.csv", [[None, "a", "1"], [None, "b", "2"]]),
        ("crlf.csv", [["2024-05-01", "a", "1"], ["2024-05-02", "b", "2"]]),
        ("latin1.csv", [["2024-05-01", "caf�", "1"]]),
    ],
)
def test_marks_returns_and_broken_bytes(read: Any, data: Path, name: str, rows: list[list[Any]]) -> None:
    assert read(data / name, CSV, {"t": "STRING", "k": "STRING", "v": "STRING"}).rows == rows


def test_a_header_with_a_name_twice_yields_nothing(read: Any, data: Path) -> None:
    got = read(data / "dupheader.csv", CSV, {"t": "STRING", "k": "STRING"})
    assert got.rows == []
    assert got.sink.bad == ["Duplicate column entries found : [k]"]


def test_given_columns_skipped_lines_and_headers(read: Any, data: Path) -> None:
    given = {"type": "csv", "columns": ["t", "k", "a", "z"]}
    assert read(data / "noheader.csv", given, {"t": "STRING", "a": "LONG", "z": "STRING"}).rows == [
        ["2024-05-01", 1, None],
        ["2024-05-02", 2, None],
    ]
    skipping = CSV | {"skipHeaderRows": 2}
    assert read(data / "skip.csv", skipping, {"k": "STRING", "v": "LONG"}).rows == [["a", 1], ["b", 2]]


def test_empty_header_names_are_numbered(read: Any) -> None:
    assert read("a,,c\n1,2,3\n", CSV, {"column_2": "LONG"}).rows == [[2]]


def test_blank_lines_of_a_single_column(read: Any) -> None:
    one = {"type": "csv", "columns": ["a"]}
    assert read("x\n\ny", one, {"a": "STRING"}).rows == [["x"], [None], ["y"]]
    assert [b.num_rows for b in read("x\n\ny", one, {"a": "STRING"}, columns=[]).batches] == [3]


def test_long_separators(read: Any) -> None:
    tsv = {"type": "tsv", "columns": ["a", "b"], "delimiter": "<<>>-"}
    assert read("1<<>>-x\n2<<>>-\n\n3", tsv, {"a": "LONG", "b": "STRING"}).rows == [
        [1, "x"], [2, None], [None, None], [3, None],
    ]  # fmt: skip


def test_numbers_are_parsed_when_asked(read: Any) -> None:
    csv = {"type": "csv", "columns": ["a", "b", "c"], "tryParseNumbers": True}
    got = read("1.50,1e3,x\n007,,2\n08,0x1F, 5\n", csv, {"a": "STRING", "b": "COMPLEX<json>", "c": "COMPLEX<json>"})
    assert got.rows == [["1.5", "1000.0", '"x"'], ["7", None, "2"], ["08", '"0x1F"', '" 5"']]
    plain = read("1.50,1e3,x\n", {"type": "csv", "columns": ["a", "b"]}, {"a": "STRING", "b": "COMPLEX<json>"})
    assert plain.rows == [["1.50", '"1e3"']]


def test_values_become_numbers_as_text_does(read: Any) -> None:
    cells = ["1", "1.9", " 7 ", "+3", '"1,234"', "1e400", "NaN", "0x10", "true", "", "-9223372036854775809"]
    csv = {"type": "csv", "columns": ["a"]}
    longs = [r[0] for r in read("\n".join(cells), csv, {"a": "LONG"}).rows]
    assert longs == [1, 1, 7, 3, 1234, 2**63 - 1, 0, None, None, None, -(2**63)]
    floats = [r[0] for r in read("0.5\n1f\n.25\n5.\n0x1p3\nInfinity\ninf\nx", csv, {"a": "FLOAT"}).rows]
    assert floats == [0.5, 1.0, 0.25, 5.0, 8.0, float("inf"), None, None]


def test_a_return_without_a_newline_is_a_character(read: Any) -> None:
    got = read("a\rb,1\r\nc,2\r", {"type": "csv", "columns": ["s", "t"]}, {"s": "STRING", "t": "STRING"})
    assert got.rows == [["a\rb", "1"], ["c", "2\r"]]


def test_a_header_longer_than_a_chunk(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = [f"column_with_a_long_name_{n}" for n in range(10_000)]
    path.write_text(",".join(names) + "\n" + ",".join(map(str, range(10_000))) + "\n")
    got = read(path, CSV, {names[0]: "LONG", names[9_999]: "LONG"}, memory_bytes=1 << 20)
    assert got.rows == [[0, 9_999]]


def test_lines_and_patterns(read: Any, data: Path) -> None:
    path = data / "lines.log"
    assert [r[0] for r in read(path, {"type": "lines"}, {"line": "STRING"}).rows][1] == "2024-05-02 WARN slow"
    pattern = {"type": "regex", "pattern": r"(\d+-\d+-\d+) (\w+) .*", "columns": ["day", "lvl"]}
    got = read(path, pattern, {"day": "STRING", "lvl": "STRING"})
    assert got.rows == [["2024-05-01", "INFO"], ["2024-05-02", "WARN"], ["2024-05-03", "INFO"]]
    assert got.sink.bad == [f"Unable to parse row [no date here] (Path: file:{path}, Record: 3, Line: 3)"]


def test_groups_that_take_no_part_are_null(read: Any) -> None:
    pattern = {"type": "regex", "pattern": r"(?:(a)|(b))(?<rest>.*)"}
    got = read("ax\nb\nc\n", pattern, {"column_1": "STRING", "column_2": "STRING", "column_3": "STRING"})
    assert got.rows == [["a", None, "x"], [None, "b", ""]]
    assert got.sink.bad == ["Unable to parse row [c] (Record: 3, Line: 3)"]
