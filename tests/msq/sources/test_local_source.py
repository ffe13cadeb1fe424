"""Local files: what a source lists, slices of it, and what may be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msq.codec import decode, encode
from msq.faults import DruidException
from msq.formats import parse_input_format
from msq.sources import InputItem, SourceAccess, parse_input_source

DATA = Path(__file__).resolve().parents[2] / "data" / "more"
OPEN = SourceAccess()


def _names(source: dict[str, Any], access: SourceAccess = OPEN) -> list[str]:
    return [item.name for item in parse_input_source(source).list(access)]


def test_a_folder_is_read_with_all_below_it() -> None:
    assert _names({"type": "local", "baseDir": str(DATA / "sub"), "filter": "*.json"}) == ["x.json", "y.json"]
    assert _names({"type": "local", "baseDir": str(DATA / "sub"), "filter": "*.nothing"}) == []


def test_uris_are_escaped_as_java_does(tmp_path: Path) -> None:
    path = tmp_path / "my file [é] 100%.json"
    path.write_text("x")
    (item,) = parse_input_source({"type": "local", "files": [str(path)]}).list(OPEN)
    assert (item.uri, item.path) == (f"file:{tmp_path}/my%20file%20%5Bé%5D%20100%25.json", str(path))


def test_filters_know_two_signs_and_look_at_the_name_alone(tmp_path: Path) -> None:
    for name in ("a.json", "ab.json", "A.json", "[a].json", "a.json.gz"):
        (tmp_path / name).write_text("x")

    def listed(pattern: str) -> list[str]:
        return _names({"type": "local", "baseDir": str(tmp_path), "filter": pattern})

    assert listed("?.json") == ["A.json", "a.json"]
    assert listed("[a].json") == ["[a].json"]
    assert listed("a*") == ["a.json", "a.json.gz", "ab.json"]
    assert listed("*/a.json") == []


def test_empty_and_missing_files_are_dropped_and_named_files_win(tmp_path: Path) -> None:
    assert _names({"type": "local", "baseDir": str(DATA / "withempty"), "filter": "*.json"}) == ["full.json"]
    (tmp_path / "full.json").write_text("x")
    source = {
        "type": "local", "baseDir": str(DATA / "withempty"), "filter": "*",
        "files": [str(tmp_path / "full.json"), str(tmp_path / "none.json")],
    }  # fmt: skip
    items = parse_input_source(source).list(OPEN)
    assert [item.path for item in items] == [str(tmp_path / "full.json")]


def test_folders_behind_links_are_read_once(tmp_path: Path) -> None:
    inner = tmp_path / "real"
    inner.mkdir()
    (inner / "x.json").write_text("x")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "link").symlink_to(inner)
    (inner / "loop").symlink_to(tmp_path / "base")
    (tmp_path / "named.json").write_text("y")
    source = {
        "type": "local", "baseDir": str(tmp_path / "base"), "filter": "*", "files": [str(tmp_path / "named.json")],
    }  # fmt: skip
    assert _names(source) == ["x.json", "named.json"]


def test_items_travel_and_make_slices() -> None:
    source = parse_input_source({"type": "local", "baseDir": str(DATA / "three"), "filter": "*.json"})
    items = source.list(OPEN)
    assert [(i.uri, i.size, i.index) for i in items] == [
        (f"file:{DATA}/three/{name}", (DATA / "three" / name).stat().st_size, n)
        for n, name in enumerate(["a.json", "b.json", "c.json"])
    ]
    assert tuple(decode(InputItem, encode(i)) for i in items) == items
    part = source.with_items([items[2], items[0]])
    assert encode(part) == {"type": "local", "files": [str(DATA / "three" / "c.json"), str(DATA / "three" / "a.json")]}
    assert [i.name for i in parse_input_source(encode(part)).list(OPEN)] == ["c.json", "a.json"]
    assert source.with_items([]).list(OPEN) == ()


def test_weights_of_files() -> None:
    item = InputItem("file:/x.json.gz", "/x.json.gz", 100, "x.json.gz")
    assert parse_input_format({"type": "json"}).weighted_size(item) == 400
    assert parse_input_format({"type": "parquet"}).weighted_size(item) == 800
    plain = InputItem("file:/x.csv.bz2", "/x.csv.bz2", 100, "x.csv.bz2")
    assert parse_input_format({"type": "csv", "columns": ["a"]}).weighted_size(plain) == 100


def test_combining_keeps_the_order_and_the_delegates(tmp_path: Path) -> None:
    one, two = str(DATA / "three" / "a.json"), str(DATA / "three" / "b.json")
    given = {
        "type": "combining",
        "delegates": [{"type": "local", "files": [one]}, {"type": "local", "files": [two, one]}],
    }
    source = parse_input_source(given)
    assert encode(source) == given
    items = source.list(OPEN)
    assert [(i.name, i.delegate) for i in items] == [("a.json", (0,)), ("b.json", (1,)), ("a.json", (1,))]
    part = source.with_items(items[1:])
    assert encode(part) == {"type": "combining", "delegates": [{"type": "nil"}, {"type": "local", "files": [two, one]}]}
    with part.open(part.list(OPEN)[0], OPEN) as stream:
        assert stream.read() == Path(two).read_bytes()


def test_only_allowed_folders(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    (allowed / "x.json").write_text("x")
    (other / "y.json").write_text("y")
    (allowed / "link.json").symlink_to(other / "y.json")
    access = SourceAccess(folders=(str(allowed),))
    assert _names({"type": "local", "files": [str(allowed / "x.json")]}, access) == ["x.json"]
    for path in (other / "y.json", allowed / ".." / "other" / "y.json", allowed / "link.json"):
        with pytest.raises(DruidException, match="outside the folders") as caught:
            _names({"type": "local", "files": [str(path)]}, access)
        assert caught.value.category == "FORBIDDEN"
    with pytest.raises(DruidException, match="outside the folders"):
        _names({"type": "local", "baseDir": str(tmp_path), "filter": "*"}, access)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "local"}, "At least one of baseDir or files should be specified"),
        ({"type": "local", "baseDir": "/x"}, "filter can't be null"),
        ({"type": "local", "files": ["/x"], "systemFields": ["__file_size"]}, "No such system field[__file_size]"),
        ({"type": "inline", "data": ""}, "empty data"),
        ({"type": "inline"}, "Missing key [data]"),
        ({"type": "hdfs", "paths": ["/x"]}, "Input source type [hdfs] is not supported"),
        ({"type": "nosuch"}, "Could not resolve type id 'nosuch' as a subtype of"),
        (
            {"type": "nosuch"},
            "known type ids = [azure, azureStorage, combining, druid, google, http, inline, local, nil, s3, sql]",
        ),
        ({"type": "combining", "delegates": [{"type": "inline", "data": "x"}]}, "must be splittable"),
        ({"type": "http", "uris": []}, "Empty URIs"),
        ("no json", "Expecting value"),
    ],
)
def test_refused_with_a_reason(given: Any, reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_source(given)
    assert caught.value.message.startswith("Invalid value for the field [inputSource]. Reason: [")
    assert reason in caught.value.message
