"""Odd text of every kind, read here and by Druid's own input formats: the same rows, and the same that are none."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.reading import read_rows

pytestmark = pytest.mark.interop

COUNT = int(os.environ.get("FORMAT_FILES", "300"))
SEED = int(os.environ.get("FORMAT_SEED", "1"))

PIECES = [
    "a", "b", "1", "2.5", "-3", '"', ",", "\t", ";", " ", "\\", "'", "\r", "\x01", "é", "😀", '""', "|", "0x1", "1e3",
    "007", "NaN", "\ufeff", "true", "null", "\u2028",
]  # fmt: skip
PATTERNS = ["(.*),(.*)", r"(a*)(.*?)(\d*)", "([^,]*)(?:,(.*))?", "(.)*", "(?s)(.+)", r"(\w+)\W(.*)"]
NUMBERS = [
    "1", "-0", "0.1", "1e5", "1E400", "-1.50", "12345678901234567890", "9223372036854775807", "01", "+1", ".5", "1.",
    "1e", "0x1", "NaN", "-Infinity", "1e-7", "100000000.0", "0.00001",
]  # fmt: skip
CHARACTERS = [
    "a", "é", "😀", r"\n", r"\u0041", r"\ud83d\ude00", r"\ud800", r"\"", r"\\", r"\/", r"\x", "\t", " ", "null", "{",
    "[", ",", r"\u00",
]  # fmt: skip
LINES = [
    "", "  ", "[1]", '"x"', "{", "}", "{}", '{"a"}', "nulls", "null", "1", '{"a":1}{"a":2}', '{"a":1} x', "//c",
    '{"a":1}//c', '\ufeff{"a":1}', '{"a":1,}', '{,"a":1}', "{a:1}", "{'a':1}", '{"a":1 "b":2}', '{"a":1;"b":2}',
]  # fmt: skip
FEATURES = [
    "ALLOW_SINGLE_QUOTES", "ALLOW_UNQUOTED_FIELD_NAMES", "ALLOW_NON_NUMERIC_NUMBERS", "ALLOW_NUMERIC_LEADING_ZEROS",
    "ALLOW_COMMENTS", "ALLOW_TRAILING_COMMA", "ALLOW_UNQUOTED_CONTROL_CHARS", "ALLOW_BACKSLASH_ESCAPING_ANY_CHARACTER",
]  # fmt: skip


def _delimited(dice: random.Random) -> tuple[bytes, dict[str, Any], list[str]]:
    kind = dice.choice(["csv", "csv", "tsv", "regex"])
    lines = ["".join(dice.choice(PIECES) for _ in range(dice.randrange(9))) for _ in range(dice.randrange(1, 6))]
    data = (dice.choice(["\n", "\r\n"]).join(lines) + dice.choice(["", "\n"])).encode()
    data = dice.choice([b"", b"", b"", b"\xef\xbb\xbf"]) + data + dice.choice([b"", b"", b"", b"\xff\xfe,\xc3\n"])
    form: dict[str, Any] = {"type": kind}
    columns = ["c1", "c2", "c3"]
    if kind == "regex":
        form["pattern"] = dice.choice(PATTERNS)
    else:
        form["skipHeaderRows"] = dice.choice([0, 0, 1])
        form["tryParseNumbers"] = dice.random() < 0.3
        if kind == "tsv" and dice.random() < 0.3:
            form["delimiter"] = dice.choice([",", "\\", "||"])
    if kind != "regex" and dice.random() < 0.3:
        form["findColumnsFromHeader"] = True
        columns = ["a", "b", "1", "column_1", "column_2"]
    else:
        form["columns"] = columns
    if dice.random() < 0.4:
        form["listDelimiter"] = ";"
    return data, form, columns


def _value(dice: random.Random, depth: int = 0) -> str:
    kind = dice.randrange(12)
    if kind < 3:
        return dice.choice(NUMBERS)
    if kind < 6:
        return '"' + "".join(dice.choice(CHARACTERS) for _ in range(dice.randrange(4))) + '"'
    if kind < 8:
        return dice.choice(["true", "false", "null", "True", "nul", "undefined", "'a'", "tru"])
    if kind < 10 and depth < 2:
        inner = dice.choice([",", ", "]).join(_value(dice, depth + 1) for _ in range(dice.randrange(4)))
        return f"[{inner}{dice.choice(['', '', '', ','])}]"
    if depth < 2:
        return f'{{"x":{_value(dice, depth + 1)}}}'
    return "1"


def _json(dice: random.Random) -> tuple[bytes, dict[str, Any], list[str]]:
    lines = []
    for _ in range(dice.randrange(1, 5)):
        pairs = [
            f'"{dice.choice(["a", "b", "A", "a b"])}"{dice.choice([":", " : "])}{_value(dice)}'
            for _ in range(dice.randrange(1, 4))
        ]
        record = "{" + dice.choice([",", " , "]).join(pairs) + "}" + dice.choice([""] * 9 + [" ", "x", "}"])
        lines.append(dice.choice([record] * 9 + [dice.choice(LINES), record[:-1]]))
    form: dict[str, Any] = {"type": "json"}
    if dice.random() < 0.3:
        form["featureSpec"] = {dice.choice(FEATURES): True}
    return ("\n".join(lines) + dice.choice(["", "\n"])).encode(), form, ["a", "b", "A", "a b"]


def _single(cell: Any) -> Any:
    """A list of one value is that value, an empty one is null."""
    if isinstance(cell, list):
        return None if not cell else cell[0] if len(cell) == 1 else cell
    return cell


def test_the_same_rows(tmp_path: Path, read_formats: Callable[[Sequence[dict[str, Any]]], list[list[Any]]]) -> None:
    dice = random.Random(SEED)
    requests = []
    for n in range(COUNT):
        data, form, columns = dice.choice([_delimited, _json])(dice)
        if data.strip(b"\r\n"):  # a file without a byte is no input at all
            (tmp_path / f"{n}.txt").write_bytes(data)
            requests.append({"file": str(tmp_path / f"{n}.txt"), "inputFormat": form, "columns": columns})
    for request, druid in zip(requests, read_formats(requests)):
        path = Path(request["file"])
        ours = read_rows(path, request["inputFormat"], dict.fromkeys(request["columns"], "STRING"))
        where = (request["inputFormat"], path.read_bytes())
        expected = [[_single(cell) for cell in row] for row in druid if row != "BAD"]
        assert [[_single(cell) for cell in row] for row in ours.rows] == expected, where
        assert len(ours.sink.bad) == druid.count("BAD"), where
