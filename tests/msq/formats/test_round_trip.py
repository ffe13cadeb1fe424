"""Properties: what is written as JSON or CSV comes back, and no line can disturb another."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from msq.datatypes import ColumnType
from msq.formats import values
from msq.formats.json_repair import LineParser
from tests.harness.reading import read_rows

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
LONGS = st.integers(-(2**63), 2**63 - 1)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.none() | TEXT, "l": st.none() | LONGS, "d": st.none() | DOUBLES,
            "a": st.none() | st.lists(st.none() | LONGS, max_size=3), "t": st.none() | st.lists(TEXT, max_size=3),
        }
    ),
    min_size=1, max_size=12,
)  # fmt: skip
SIGNATURE = {"s": "STRING", "l": "LONG", "d": "DOUBLE", "a": "ARRAY<LONG>", "t": "ARRAY<STRING>"}


@settings(max_examples=60, deadline=None)
@given(ROWS, st.booleans(), st.sampled_from([None, (", ", ": "), (",", ":")]))
def test_json_comes_back(rows: list[dict[str, Any]], ascii_only: bool, separators: Any) -> None:
    text = "\n".join(json.dumps(r, ensure_ascii=ascii_only, separators=separators) for r in rows)
    assert read_rows(text, {"type": "json"}, SIGNATURE).rows == [[r[c] for c in SIGNATURE] for r in rows]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(TEXT.filter(lambda t: not set(t) & set("\n\r\x01") and t != ""), LONGS, DOUBLES),
        min_size=1,
        max_size=12,
    )
)
def test_csv_comes_back(rows: list[tuple[str, int, float]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows(rows)
    got = read_rows(
        out.getvalue(), {"type": "csv", "columns": ["s", "l", "d"]}, {"s": "STRING", "l": "LONG", "d": "DOUBLE"}
    )
    assert got.rows == [list(r) for r in rows]


ATOMS = [
    "1", "-0", "1.5", "1.10", "1e5", "1E400", "12345678.5", "123456789012345678901234567890",
    "9223372036854775808", "0.00012", '"x"', '"1e5"', '" 8 "', '"1,234"', '"NaN"', '"0x10"', '"1f"', '"[1,2]"',
    '"{\\"a\\":1}"',
    '"\\u00e9\\n"',
    '"b\\\\c"', "true", "false", "null", "[]", "{}", "[1,2]", '["a",null]', "[null]", '[1.50,"x"]', "[[1],[2]]",
    '{"b":[1,{"c":null}]}', '["\\"q\\""]', "NaN", "inf", "tru", "01", ".5", '"\\x"', "[1,]", '"info, nan,"',
    "100000000.0",
]  # fmt: skip
LINES = [
    "",
    "[1,2]",
    '"text"',
    "null",
    "12abc",
    "not json",
    "{",
    '{"a":1}}',
    '{"a":1} x',
    '{"a":1,}',
    '{"a":1,"a":2}',
    "\r",
]
TYPES = ["STRING", "LONG", "DOUBLE", "ARRAY<STRING>", "ARRAY<LONG>", "COMPLEX<json>", "ARRAY<ARRAY<LONG>>"]
OBJECTS = st.builds(
    lambda cells, blank: "{" + blank + ("," + blank).join(f'"{k}":{blank}{v}' for k, v in cells) + blank + "}",
    st.lists(st.tuples(st.sampled_from("abAz"), st.sampled_from(ATOMS)), max_size=4), st.sampled_from(["", " "]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(OBJECTS | st.sampled_from(LINES), min_size=1, max_size=12),
    st.lists(st.sampled_from(TYPES), min_size=4, max_size=4),
)
def test_whole_chunks_read_as_lines_one_by_one_do(lines: list[str], types: list[str]) -> None:
    signature = dict(zip("abAz", types))
    text = "\n".join(lines)
    if not text:
        return
    parser = LineParser({})
    rows, bad = [], []
    for number, line in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), 1):
        record = parser.record(line)
        if record is None:
            bad.append(f"Unable to parse row [{line}] (Record: {len(rows) + 1}, Line: {number})")
        else:
            found = json.loads(record)
            rows.append([values.to_typed(found.get(c), ColumnType.parse(t)) for c, t in signature.items()])
    got = read_rows(text, {"type": "json"}, signature)
    assert [_plain(r, types) for r in got.rows] == [_plain(r, types) for r in rows]
    assert got.sink.bad == bad


def _plain(row: list[Any], types: list[str]) -> list[Any]:
    return [_plain_cell(v, t) for v, t in zip(row, types)]


def _plain_cell(value: Any, declared: str) -> Any:
    if declared == "STRING" and isinstance(value, list) and len(value) == 1:
        return value[0]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
