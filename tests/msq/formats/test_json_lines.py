"""JSON lines: what Druid answered for the recorded files, and the rules behind it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

JSON = {"type": "json"}
INF, NAN = float("inf"), float("nan")


def test_values_of_every_kind_as_text_and_numbers(read: Any, data: Path) -> None:
    got = read(data / "types.json", JSON, {"l": "LONG", "f": "DOUBLE", "s": "STRING", "b": "STRING", "x": "STRING"})
    assert _singles(got.rows) == [
        [12, 1.5, "7", "true", ["1", "2"]],
        [1234, None, "1.0", "true", "{y=1}"],
        [2, 1000.0, "true", "0", "p"],
        [None, "NaN", "{q=1}", "maybe", None],
        [None, INF, ["m", "n"], None, None],
        [2**63 - 1, INF, "1.0E20", "false", "3.5"],
        [8, 2.5, "", "1", None],
        [None, None, None, None, None],
    ]


def test_the_same_values_as_other_numbers(read: Any, data: Path) -> None:
    got = read(data / "types.json", JSON, {"l": "DOUBLE", "f": "LONG", "s": "LONG", "b": "LONG", "x": "DOUBLE"})
    most = 2**63 - 1
    assert got.rows == [
        [12.0, 1, 7, None, None],
        [1234.0, None, 1, None, None],
        [2.9, 1000, None, 0, None],
        [None, 0, None, None, None],
        [None, most, None, None, None],
        [9.223372036854776e18, most, most, None, 3.5],
        [8.0, 2, None, 1, None],
        [None, None, None, None, None],
    ]


def test_arrays_and_json_columns(read: Any, data: Path) -> None:
    got = read(
        data / "types.json",
        JSON,
        {"x": "ARRAY<LONG>", "s": "ARRAY<STRING>", "b": "COMPLEX<json>", "l": "COMPLEX<json>"},
    )
    assert got.rows == [
        [[1, 2], ["7"], "1", '"12"'],
        [None, ["1.0"], '"true"', '"1,234"'],
        [[None], ["true"], "0", "2.9"],
        [[], None, '"maybe"', '"xyz"'],
        [None, ["m", "n"], None, "[5]"],
        [[3], ["1.0E20"], "0", "9.223372036854776E18"],
        [[None], [""], '"1"', '" 8 "'],
        [None, None, None, None],
    ]


def test_nested_values_keep_their_shape(read: Any) -> None:
    text = "\n".join(
        [
            '{"o":{"x":1,"y":{"z":"q"}},"n":[[1,2],[3]],"t":["a",null,"c"]}',
            '{"o":[1,2.50,{"k":true}],"n":[null,[]],"t":["b"]}',
            '{"o":{"e":1e20,"u":"\\u00e9\\n"},"n":7,"t":[]}',
        ]
    )
    got = read(text, JSON, {"o": "COMPLEX<json>", "n": "ARRAY<ARRAY<LONG>>", "t": "ARRAY<STRING>"})
    assert got.rows == [
        ['{"x":1,"y":{"z":"q"}}', [[1, 2], [3]], ["a", None, "c"]],
        ['[1,2.5,{"k":true}]', [None, []], ["b"]],
        ['{"e":1.0E20,"u":"é\\n"}', [[7]], []],
    ]


@pytest.mark.parametrize("name", ["bom.json", "crlf.json"])
def test_marks_and_returns_do_no_harm(read: Any, data: Path, name: str) -> None:
    got = read(data / name, JSON, {"t": "STRING", "a": "LONG"})
    assert got.rows == [["2024-05-01", 1], ["2024-05-02", 2]]
    assert got.sink.counted_bytes == (data / name).stat().st_size


def test_names_are_case_sensitive(read: Any) -> None:
    got = read('{"a":1,"A":2,"Aa":3}', JSON, {"A": "LONG", "a": "LONG", "aA": "LONG"})
    assert got.rows == [[2, 1, None]]


def test_projection_keeps_order_and_row_count(read: Any, data: Path) -> None:
    signature = {"t": "STRING", "id": "LONG", "k": "STRING"}
    got = read(data / "events.json", JSON, signature, columns=["k", "id"])
    assert got.rows[:3] == [["k0", 0], ["k1", 1], ["k2", 2]]
    none = read(data / "events.json", JSON, signature, columns=[])
    assert [b.num_rows for b in none.batches] == [60]


def test_odd_names_and_values_cannot_leave_the_query(read: Any) -> None:
    name = 'it\'s "odd"; DROP {x}'
    got = read(json.dumps({name: "'); --"}), JSON, {name: "STRING"})
    assert got.rows == [["'); --"]]


def test_text_that_only_looks_like_json_stays_text(read: Any) -> None:
    texts = ["[1,2]", '{"a":1}', "1e20", "12345678.50", "0.00010", "NaN", "nan", "[[Wiki]]", "007", "true"]
    got = read("\n".join(json.dumps({"s": t}) for t in texts), JSON, {"s": "STRING"})
    assert [row[0] for row in got.rows] == texts


def test_a_last_key_of_several_wins(read: Any) -> None:
    assert read('{"a":1,"b":2,"a":3}', JSON, {"a": "LONG", "b": "LONG"}).rows == [[3, 2]]


def test_half_characters_become_question_marks_and_broken_bytes_bad_rows(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"s":"caf\xe9"}\n{"s":"\\ud800"}\n{"s":"ok"} \xe9\n\xef\xbb\xbf{"s":"marked"}\n')
    got = read(path, JSON, {"s": "STRING"})
    assert got.rows == [["?"], ["ok"], ["marked"]]
    assert got.sink.bad == [f'Unable to parse row [{{"s":"caf�"}}] (Path: file:{path}, Record: 1, Line: 1)']


def test_parser_features_make_lines_good(read: Any) -> None:
    text = "{'t':'x', a: NaN}\n{\"t\":\"y\",}\n// nothing\n"
    features = dict.fromkeys(("ALLOW_SINGLE_QUOTES", "ALLOW_UNQUOTED_FIELD_NAMES", "ALLOW_NON_NUMERIC_NUMBERS"), True)
    got = read(text, {"type": "json", "featureSpec": features}, {"t": "STRING", "a": "STRING"})
    assert got.rows == [["x", "NaN"]]
    assert len(got.sink.bad) == 2


def test_flattened_columns(read: Any) -> None:
    spec = {
        "useFieldDiscovery": True,
        "fields": [
            {"type": "path", "name": "z", "expr": "$.o.y['z']"},
            {"type": "path", "name": "last", "expr": "$.l[-1]"},
            {"type": "root", "name": "renamed", "expr": "id"},
            {"type": "tree", "name": "leaf", "nodes": ["o", "y", "n"]},
            "id",
        ],
    }
    signature = {"z": "STRING", "last": "LONG", "renamed": "LONG", "leaf": "STRING", "id": "LONG", "o": "COMPLEX<json>"}
    text = '{"id":1,"o":{"y":{"z":"q","n":[1,2]}},"l":[4,5]}\n{"id":2,"o":null,"l":7}'
    got = read(text, {"type": "json", "flattenSpec": spec}, signature)
    assert got.rows == [["q", 5, 1, ["1", "2"], 1, '{"y":{"z":"q","n":[1,2]}}'], [None, None, 2, None, 2, None]]


def test_a_compressed_file_counts_its_text(read: Any, tmp_path: Path) -> None:
    text = "".join(json.dumps({"n": n, "s": f"text {n}"}) + "\n" for n in range(5000)).encode()
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(text))
    got = read(path, JSON, {"n": "LONG", "s": "STRING"})
    assert got.rows[-1] == [4999, "text 4999"]
    assert (got.sink.counted_rows, got.sink.counted_bytes, got.sink.files) == (5000, len(text), 1)


def test_inline_data_is_not_counted(read: Any) -> None:
    got = read('{"a":1}', JSON, {"a": "LONG"})
    assert got.rows == [[1]]
    assert (got.sink.counted_rows, got.sink.counted_bytes, got.sink.files) == (0, 0, 0)


def test_ten_thousand_columns(read: Any) -> None:
    names = [f"c{n}" for n in range(10_000)]
    got = read(json.dumps({n: n for n in names}), JSON, dict.fromkeys(names, "STRING"))
    assert got.rows == [names]


def _singles(rows: list[list[Any]]) -> list[list[Any]]:
    """Lists of one as the value, as a multi-value string of one is; NaN as a word that equals itself."""
    return [[_single(v) for v in row] for row in rows]


def _single(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return "NaN" if isinstance(value, float) and value != value else value


def test_system_fields_stand_beside_the_columns(read: Any, data: Path) -> None:
    files = [str(data / "bom.json"), str(data / "crlf.json")]
    source = {"type": "local", "files": files, "systemFields": ["__file_uri", "__file_path", "__file_bucket"]}
    signature = {"__file_path": "STRING", "a": "LONG", "__file_uri": "STRING", "__file_bucket": "STRING"}
    assert read(source, JSON, signature).rows == [[path, a, f"file:{path}", None] for path in files for a in (1, 2)]
    assert read(source, JSON, signature, columns=["__file_path"]).rows == [[path] for path in files for _ in (1, 2)]


def test_integers_beyond_64_bits_are_doubles(read: Any) -> None:
    text = '{"s":123456789012345678901234567890,"o":{"a":[18446744073709551616]},"l":[9223372036854775808,1]}'
    got = read(text, JSON, {"s": "STRING", "o": "COMPLEX<json>", "l": "ARRAY<STRING>"})
    assert got.rows == [
        ["1.2345678901234568E29", '{"a":[1.8446744073709552E19]}', ["9.223372036854776E18", "1"]],
    ]
    kept = read('{"s":"123456789012345678901234567890"}', JSON, {"s": "STRING"})
    assert kept.rows == [["123456789012345678901234567890"]]
