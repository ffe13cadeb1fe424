"""JSON over whole columns: the same as value by value, over texts that try to differ."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from msq.expr.kernels import jsons
from msq.expr.prepare import prepare

CONNECTION = prepare(duckdb.connect())

ODD = [
    "", " ", "null", " null ", "true", "1", "-0", "-0.0", "[-0]", "1.50", "1e3", "1E+2", "1e400", "0.0001", "0.000",
    "12345678.9", "1234567.9", "12345678901234567890", "[1234567890123456789012345678901]", "0.1234567890123456789",
    "[1,]", '{"a":1,}', "nan", '{"a":NaN}', "[Infinity]", "[-inf]", '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}',
    '{"a":1,"\\u0061":2}', '[{"x":1},{"x":2}]', '{"a":{"a":1},"b":[{"a":1}]}', '{"longer than 8":1,"longer then 8":2}',
    '{"longer than eight":1,"b":{},"longer than eight":2}', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u001f\\u00e9\\/"',
    '"a\nb"', '"NaN, ] 1e5 0.0001"', '"\\\\"', '{"\\\\":"\\"","b":"\\\\\\""}', '{"k":": "}', '{"k": 1}', '"',
    '{"a":"x}',
    "[1", "2],3", "1],[2", "{}", "[]", "[[],{}]", "word", "tr\\ue", "\ufeff1", "01", "+1", "1.", ".5", "\x7f", "'a'",
    "[" * 300 + "]" * 300, "[" * 1500 + "]" * 1500, '{"a":' * 1200 + "1" + "}" * 1200, "{" + "}",
    "{" + ",".join(f'"n{i}":{i}' for i in range(40)) + ',"n3":0}', '{"é":"ü","日本":1.5}', "1.7976931348623157e308",
]  # fmt: skip


def value(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(9 if depth else 6)
    if kind == 0:
        return draw.choice([None, True, False])
    if kind == 1:
        return draw.choice([0, 7, -3, 10 ** draw.randrange(25), -(2**63), 2**63, 2**64])
    if kind == 2:
        return draw.choice([0.5, -0.0, 1e-5, 1e7, 123456789.125, 1 / 3, 2.0**70, 0.001, 100.0])
    if kind < 6:
        return "".join(draw.choice('ab ,:{}[]"\\\n\x1fé😀.1e0-nif/') for _ in range(draw.randrange(5)))
    if kind == 6:
        return [value(draw, depth - 1) for _ in range(draw.randrange(4))]
    return {draw.choice("abcd") + draw.choice(["", "", "bcdefghij", " .'"]): value(draw, depth - 1)
            for _ in range(draw.randrange(4))}  # fmt: skip


def texts(seed: int, count: int) -> list[str | None]:
    """Valid texts in several styles, some of them damaged, and NULLs."""
    draw, out = random.Random(seed), list[str | None]()
    for _ in range(count):
        blanks = draw.choice([(",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t:")])
        text = json.dumps(value(draw, 3), ensure_ascii=draw.random() < 0.3, separators=blanks)
        if draw.random() < 0.15:
            at = draw.randrange(len(text) + 1)
            text = text[:at] + draw.choice([",", '"', "}", "\\", "1", " ", "e", ".", ":", "NaN"]) + text[at:]
        out.append(None if draw.random() < 0.05 else text)
    return out


def computed(sql: str, rows: list[Any]) -> list[Any]:
    return [row[0] for row in CONNECTION.execute(f"SELECT {sql} FROM unnest(?) AS u(x)", [rows]).fetchall()]


def told(of: Callable[[Any], Any], row: Any, otherwise: Callable[[Any], Any]) -> Any:
    try:
        return None if row is None else of(row)
    except ValueError:
        return otherwise(row)


SAMPLES = [pytest.param(ODD, id="odd"), *(pytest.param(texts(seed, 300), id=str(seed)) for seed in range(4))]


@pytest.mark.parametrize("rows", SAMPLES)
def test_texts_are_parsed_as_value_by_value(rows: list[str | None]) -> None:
    assert computed("d_try_parse_json(x)", rows) == [told(jsons.normal, r, lambda r: None) for r in rows]
    assert computed("d_json_of(x)", rows) == [told(jsons.normal, r, jsons.quoted) for r in rows]
    valid = [r for r in rows if r is not None and told(lambda r: (jsons.normal(r),), r, lambda r: None)]
    assert computed("d_parse_json(x)", valid) == [jsons.normal(r) for r in valid]
    # what DuckDB cuts out of a value it prints itself, numbers in its own way
    made = [r for r in map(jsons.normal, valid) if r is not None]
    assert computed("py_json_normal(CAST(json_extract(x, '$') AS VARCHAR))", made) == made


@pytest.mark.parametrize("rows", SAMPLES)
def test_paths_are_those_of_each_value(rows: list[str | None]) -> None:
    made = [told(jsons.normal, r, lambda r: None) for r in rows]
    assert computed("py_json_paths(x)", made) == [jsons.leaves(r) for r in made]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["dict", "list", "any"])
def test_merging_is_that_of_each_pair(seed: int, kind: str) -> None:
    wanted = {"dict": "{", "list": "[", "any": "{["}[kind]
    rows = [r for r in texts(seed, 900) if r is None or (r[0] in wanted and told(jsons.normal, r, lambda r: None))]
    pairs = [[a, b] for a, b in zip(rows[0::2], rows[1::2])]
    pairs = [p for p in pairs if None in p or told(lambda p: (jsons.merge(tuple(p)),), p, lambda p: None)]
    made = computed("py_json_merge(x, json_valid(x[1]) AND json_valid(x[2]))", pairs)
    assert made == [jsons.merge(tuple(p)) for p in pairs]
    assert len(pairs) > 20


def test_what_cannot_be_merged_is_refused_by_its_row() -> None:
    for bad in (["{}", "[1]"], ["1", "2"], ["{", "}"], ["true", "false"]):
        rows = [['{"a":1}', '{"b":2}'], bad]
        with pytest.raises(duckdb.Error, match=r"Function\[json_merge\] bad (string )?input ?\["):
            computed("py_json_merge(x, json_valid(x[1]) AND json_valid(x[2]))", rows)


def test_rows_stay_side_by_side_behind_one_that_the_library_does_not_read() -> None:
    pairs = [
        ["[1e400]", '["a"]'],
        ["[1]", '["b"]'],
        ['["\\u001f"]', '["c"]'],
        ["[2]", "[1e400]"],
        ["[3]", '["\\u00e9"]'],
    ]
    made = computed("py_json_merge(x, json_valid(x[1]) AND json_valid(x[2]))", pairs)
    assert made == [jsons.merge((a, b)) for a, b in pairs]
    assert made[1] == '[1,"b"]'


def test_a_filter_compares_json_by_value() -> None:
    from msq.datatypes import JSON
    from msq.expr.filters import _equals_sql
    from msq.expr.lower import Lowered

    rows = ['{"a": 1}', '{"a":1}', '{"a":2}', None]
    assert computed(_equals_sql(Lowered("x", JSON), '{"a":1}'), rows) == [True, True, False, None]
