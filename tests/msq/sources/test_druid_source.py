"""The `druid` input source: segments of a real Druid in a folder, and the engine's own tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine
from controller.settings import EngineSettings
from msq.faults import DruidException, MSQError
from msq.sources import SourceAccess, parse_input_source
from msq.storage.base import zip_folder
from tests.harness.reading import Reading, read_rows

RECORDED = Path(__file__).parents[2] / "data" / "segments"
EXPECTED = json.loads((RECORDED / "expected.json").read_text())
DAY = "2024-01-0{}T00:00:00.000Z_2024-01-0{}T00:00:00.000Z"


def read(signature: dict[str, str], access: SourceAccess | None = None, **source: Any) -> Reading:
    return read_rows({"type": "druid", **source}, {"type": "json"}, signature, access=access)


def laid_out(root: Path, table: str, segment: str, day: int, version: str, number: int, form: str) -> Path:
    """A recorded segment where deep storage would have it, as if it were of that day."""
    home = root / table / DAY.format(day, day + 1) / version / str(number)
    home.parent.mkdir(parents=True, exist_ok=True)
    if form == "zip":
        home.mkdir()
        zip_folder(RECORDED / segment, home / "index.zip")
    else:
        shutil.copytree(RECORDED / segment, home / "index" if form == "index" else home)
    return home


def test_one_segment_of_a_real_druid() -> None:
    rolled = read({"__time": "LONG", "channel": "STRING", "none": "LONG"}, path=str(RECORDED / "g_sketch" / "0"))
    assert rolled.rows and all(row[0] is not None and row[1] for row in rolled.rows)
    assert {row[2] for row in rolled.rows} == {None}
    assert (rolled.sink.files, rolled.sink.counted_rows) == (1, len(rolled.rows)) and rolled.sink.counted_bytes > 0


@pytest.mark.parametrize("form", ["zip", "index", "plain"])
def test_deep_storage_of_a_real_druid(tmp_path: Path, form: str) -> None:
    laid_out(tmp_path, "t", "g_csv/0", 1, "v1", 0, form)
    laid_out(tmp_path, "t", "g_csv/0", 1, "v2", 0, form)
    laid_out(tmp_path, "t", "g_csv/0", 1, "v2", 1, form)
    laid_out(tmp_path, "t", "g_csv/2", 2, "v1", 0, form)
    one = len(read({"__time": "LONG"}, path=str(RECORDED / "g_csv" / "0")).rows)
    items = parse_input_source({"type": "druid", "path": str(tmp_path)}).list(SourceAccess())
    base = "2024-01-0{}T00:00:00.000Z_2024-01-0{}T00:00:00.000Z"
    assert [item.name for item in items] == [
        f"t_{base.format(1, 2)}_v2", f"t_{base.format(1, 2)}_v2_1", f"t_{base.format(2, 3)}_v1",
    ]  # fmt: skip
    assert all(item.size > 0 for item in items)
    part = parse_input_source({"type": "druid", "path": str(tmp_path)}).with_items(items[1:])
    assert [item.name for item in part.list(SourceAccess())] == [item.name for item in items[1:]]
    # the rows say another time than the folders, which clip them
    assert read({"__time": "LONG"}, path=str(tmp_path)).rows == [] and one > 0


def test_what_is_in_a_folder_is_checked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(RECORDED / "g_csv/0", tmp_path / "twice" / name)
    laid_out(tmp_path / "two", "t", "g_csv/0", 1, "v1", 0, "index")
    laid_out(tmp_path / "two", "u", "g_csv/0", 1, "v1", 0, "index")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "meta.smoosh").write_text("nothing")
    (tmp_path / "stray").mkdir()
    zip_folder(RECORDED / "g_csv/0", tmp_path / "stray" / "index.zip")
    for folder, text in (
        ("twice", "no folders that name their versions"), ("two", "segments of several tables"),
        ("none", "is no folder of segments"), ("stray", "does not lie in START_END/VERSION/PARTITION"),
    ):  # fmt: skip
        with pytest.raises(DruidException, match=text):
            read({"__time": "LONG"}, path=str(tmp_path / folder))
    with pytest.raises(MSQError, match="is no segment"):
        read({"__time": "LONG"}, path=str(tmp_path / "broken"))
    with pytest.raises(DruidException, match="outside the folders"):
        read({"__time": "LONG"}, SourceAccess(folders=(str(tmp_path),)), path=str(RECORDED / "g_csv/0"))
    (tmp_path / "link").symlink_to(RECORDED / "g_csv")
    with pytest.raises(DruidException, match="outside the folders"):
        read({"__time": "LONG"}, SourceAccess(folders=(str(tmp_path),)), path=str(tmp_path / "link" / "0"))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "exactly one of 'dataSource' and 'path'"), ({"dataSource": "a", "path": "/b"}, "'dataSource' and 'path'"),
        ({"dataSource": "a"}, "exactly one of 'interval' and 'segments'"),
        ({"dataSource": "a", "interval": "2024"}, "Cannot parse interval [2024]"),
        ({"path": "/a", "filter": {"type": "nosuch"}}, "nosuch"),
    ],
)  # fmt: skip
def test_refused_with_a_reason(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_source({"type": "druid", **given})
    assert reason in caught.value.message


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    rows = [
        {"t": f"2024-05-0{1 + n // 4}T0{n % 4}:00:00Z", "k": f"k{n % 3}", "n": n, "tags": ["a", str(n)], "j": {"n": n}}
        for n in range(12)
    ]
    folder = tmp_path_factory.mktemp("druid")
    (folder / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = json.dumps({"type": "local", "files": [str(folder / "rows.json")]})
    with Engine(EngineSettings(folder / "data", threads=1)) as made:
        done = made.execute(
            f"""REPLACE INTO t OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, n, tags, j
            FROM TABLE(EXTERN('{source}', '{{"type":"json"}}'))
            EXTEND (t VARCHAR, k VARCHAR, n BIGINT, tags VARCHAR, j TYPE('COMPLEX<json>')) PARTITIONED BY DAY""",
            {"maxNumTasks": 3},
        )
        assert done.status == "SUCCESS", done.fault
        yield made


def selected(engine: Engine, sql: str, **source: Any) -> list[dict[str, Any]]:
    given = json.dumps({"type": "druid", **source}).replace("'", "''")
    extend = "EXTEND (__time BIGINT, k VARCHAR, n BIGINT, tags VARCHAR, j TYPE('COMPLEX<json>'))"
    done = engine.execute(f"{sql} FROM TABLE(EXTERN('{given}', '{{\"type\":\"json\"}}')) {extend}", {"maxNumTasks": 3})
    assert done.status == "SUCCESS", done.fault
    return done.table().to_pylist()  # type: ignore[no-any-return]


ALWAYS = "2000/2100"


def test_a_table_of_the_engine(engine: Engine) -> None:
    sql = "SELECT COUNT(*) AS c, SUM(n) AS s, COUNT(DISTINCT k) AS k"
    assert selected(engine, sql, dataSource="t", interval=ALWAYS) == [{"c": 12, "s": 66, "k": 3}]
    part = selected(engine, sql, dataSource="t", interval="2024-05-01T02:00/2024-05-02T01:00")
    assert part == [{"c": 3, "s": 2 + 3 + 4, "k": 3}]
    assert selected(engine, sql, dataSource="none", interval=ALWAYS)[0]["c"] == 0
    rows = selected(engine, "SELECT n, tags, j", dataSource="t", interval="2024-05-01T03:00/2024-05-01T04:00")
    assert rows == [{"n": 3, "tags": '["3","a"]', "j": '{"n":3}'}]


def test_filter_and_columns(engine: Engine) -> None:
    condition = {"type": "and", "fields": [
        {"type": "equals", "column": "k", "matchValueType": "STRING", "matchValue": "k1"},
        {"type": "range", "column": "n", "matchValueType": "LONG", "lower": 4, "lowerOpen": True},
    ]}  # fmt: skip
    sql = "SELECT SUM(n) AS s, COUNT(k) AS c"
    assert selected(engine, sql, dataSource="t", interval=ALWAYS, filter=condition) == [{"s": 17, "c": 2}]
    assert selected(engine, sql, dataSource="t", interval=ALWAYS, dimensions=["n"]) == [{"s": 66, "c": 0}]
    tagged = {"type": "equals", "column": "tags", "matchValueType": "STRING", "matchValue": "7"}
    assert selected(engine, sql, dataSource="t", interval=ALWAYS, filter=tagged) == [{"s": 7, "c": 1}]


def test_the_deep_storage_of_the_engine(engine: Engine) -> None:
    path = str(engine.data_dir / "segments" / "t")
    sql = "SELECT COUNT(*) AS c, SUM(n) AS s"
    assert selected(engine, sql, path=path) == [{"c": 12, "s": 66}]
    assert selected(engine, sql, path=path, interval="2024-05-02/2024-05-03") == [{"c": 4, "s": 22}]


def test_an_ingest_from_a_table(engine: Engine) -> None:
    source = json.dumps({"type": "druid", "dataSource": "t", "interval": ALWAYS})
    done = engine.execute(
        f"""REPLACE INTO u OVERWRITE ALL SELECT __time, k, SUM(n) AS s
        FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND (__time BIGINT, k VARCHAR, n BIGINT)
        GROUP BY 1, 2 PARTITIONED BY ALL""", {},
    )  # fmt: skip
    assert done.status == "SUCCESS", done.fault
    assert engine.execute("SELECT SUM(s) AS s, COUNT(*) AS c FROM u", {}).table().to_pylist() == [{"s": 66, "c": 12}]
