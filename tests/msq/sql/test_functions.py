"""The one listing of functions: every entry says all there is to say, and the README's table is made of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from controller.cli import exits
from controller.cli.functions import functions_command
from msq.aggregate.registry import aggregate_type
from msq.expr.binding import column
from msq.sql import function_examples as examples
from msq.sql.function_rules import bind_example
from msq.sql.functions import KINDS, FunctionInfo, functions, markdown

README = Path(__file__).parents[3] / "README.md"
BY_NAME = {(f.kind, f.name): f for f in functions()}
SCALARS = [f for f in functions() if f.kind == "scalar"]


def test_every_function_has_an_example_and_no_example_is_left_over() -> None:
    listed = {kind: {f.name for f in functions() if f.kind == kind} for kind in KINDS}
    assert set(examples.SCALAR) == listed["scalar"]
    assert set(examples.AGGREGATE) == listed["aggregate"]
    assert set(examples.WINDOW) == listed["window"]


@pytest.mark.parametrize("f", functions(), ids=lambda f: f"{f.kind}-{f.name}")
def test_every_entry_says_what_it_is(f: FunctionInfo) -> None:
    assert f.kind in KINDS and f.signature and f.doc.endswith((".", "`")) and f.result
    assert f.to_json()["name"] == f.name


@pytest.mark.parametrize("f", SCALARS, ids=lambda f: f.name)
def test_examples_call_what_they_are_of(f: FunctionInfo) -> None:
    assert re.match(rf"{f.name}\b", f.example)
    bind_example(f.example)


@pytest.mark.parametrize(
    ("name", "nulls", "values"),
    [
        ("UPPER", "NULL gives NULL", "applies to each of several values"),
        ("ABS", "NULL gives NULL", ""),
        ("COALESCE", "takes NULL as a value", "applies to each of several values"),
        ("GREATEST", "takes NULL as a value", ""),
        ("ARRAY_APPEND", "NULL gives NULL in place of sa", "applies to each of several values"),
        ("MV_LENGTH", "NULL gives NULL", "takes several values as an array"),
        ("THETA_SKETCH_ESTIMATE", "NULL gives NULL", ""),
        ("THETA_SKETCH_UNION", "takes NULL as a value", ""),
        ("CURRENT_TIMESTAMP", "", ""),
    ],
)
def test_rules_of_null_and_of_several_values(name: str, nulls: str, values: str) -> None:
    f = BY_NAME["scalar", name]
    assert (f.nulls, f.values) == (nulls, values)


def test_result_types() -> None:
    assert BY_NAME["scalar", "TIME_IN_INTERVAL"].result == "BOOLEAN"
    assert BY_NAME["scalar", "GREATEST"].result == "BIGINT or DOUBLE or VARCHAR"
    assert BY_NAME["aggregate", "SUM"].result == "BIGINT or DOUBLE"
    assert str(aggregate_type("SUM", [column("l", examples.COLUMNS["l"])])) == "BIGINT"


def test_the_readme_lists_them() -> None:
    text = README.read_text(encoding="utf-8")
    start, end = "<!-- functions: made by msq.sql.functions.markdown -->\n", "<!-- end -->\n"
    before, _, rest = text.partition(start)
    table, _, after = rest.partition(end)
    if os.environ.get("APPROVE"):
        README.write_text(before + start + markdown() + end + after, encoding="utf-8")
        return
    assert table == markdown(), "APPROVE=1 writes the table anew"


# -- msq functions -----------------------------------------------------------------------------------------------------


def test_the_command_prints_one_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert functions_command("time_floor", None, False) == exits.SUCCESS
    shown = capsys.readouterr().out
    for part in ("TIME_FLOOR", "TIME_FLOOR(t, 'PT1H')", "NULL gives NULL", "TIMESTAMP(3)"):
        assert part in shown


def test_the_command_lists_by_part_of_a_name_and_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    def names(name: str | None, kind: str | None) -> list[str]:
        assert functions_command(name, kind, True) == exits.SUCCESS
        return [f["name"] for f in json.loads(capsys.readouterr().out)]

    assert names("ipv4", None) == ["IPV4_MATCH", "IPV4_PARSE", "IPV4_STRINGIFY"]
    assert names(None, "window") == [f.name for f in functions() if f.kind == "window"]
    assert {"DS_HLL", "THETA_SKETCH_UNION", "BLOOM_FILTER"} <= set(names(None, "sketch"))
    assert functions_command("ipv4", None, False) == exits.SUCCESS
    assert "IPV4_STRINGIFY" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("tiem_floor", None, "There is no function of that name: tiem_floor; did you mean TIME_FLOOR"),
        ("[x]", None, "There is no function of that name: [x]"),
        (None, "odd", "Unknown kind [odd]: give one of scalar, aggregate, window, table, operator, sketch"),
    ],
)
def test_the_command_says_what_it_does_not_know(
    name: str | None, kind: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert functions_command(name, kind, False) == exits.USAGE
    assert told in capsys.readouterr().err
