"""Exports into folders of this machine: files, manifest, and nothing left of those that fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine
from controller.settings import EngineSettings
from msq.faults import DruidException
from msq.storage.folders import LocalFolder
from worker.chaos import PLACES, Chaos

ROWS = """TABLE(EXTERN('{"type":"inline","data":"1,a b,2024-05-01\\n2,,2024-05-02\\n3,\\"x,\\"\\"y\\"\\"\\",\\n"}',
  '{"type":"csv","columns":["n","k","t"]}')) EXTEND (n BIGINT, k VARCHAR, t VARCHAR)"""

Export = Callable[..., Any]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    def run(folder: Path, select: str, chaos: Chaos | None = None, **context: Any) -> Any:
        data = tmp_path / f"data{len(list(tmp_path.glob('data*')))}"  # the same task again
        with Engine(EngineSettings(data, threads=1, chaos=chaos)) as engine:
            sql = f"INSERT INTO EXTERN(local(exportPath => '{folder}')) AS CSV {select}"
            return engine.execute(sql, {"sqlQueryId": "x", **context})

    return run


def content(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): f.read_text() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_files_and_manifest(export: Export, tmp_path: Path) -> None:
    folder = tmp_path / "out of it"
    done = export(folder, f"SELECT n, k, TIME_PARSE(t) AS ts, n / 2.0 AS half, n > 1 AS big FROM {ROWS}")
    assert done.status == "SUCCESS", done.fault
    name = "query-x-worker0-partition0.csv"
    assert content(folder) == {
        name: 'n,k,ts,half,big\n1,a b,1714521600000,0.5,false\n2,,1714608000000,1.0,true\n3,"x,""y""",,1.5,true\n\n',
        "_symlink_format_manifest/manifest": f"file:{tmp_path}/out%20of%20it/{name}\n",
        "_symlink_format_manifest/druid_export_meta": "version: 1\n",
    }
    again = export(folder, f"SELECT n FROM {ROWS}")
    assert again.status == "FAILED" and f"Found files at provided export destination[{folder}]" in str(again.fault)
    assert name in content(folder)


def test_the_manifest_lists_files_by_partition(export: Export, tmp_path: Path) -> None:
    numbers = "\\n".join(map(str, range(26)))
    source = f"""TABLE(EXTERN('{{"type":"inline","data":"{numbers}"}}', '{{"type":"csv","columns":["n"]}}'))"""
    done = export(tmp_path / "out", f"SELECT n FROM {source} EXTEND (n BIGINT)", rowsPerPage=2)
    assert done.status == "SUCCESS", done.fault
    manifest = content(tmp_path / "out")["_symlink_format_manifest/manifest"].splitlines()
    assert len(manifest) > 10
    assert manifest == [f"file:{tmp_path}/out/query-x-worker0-partition{n}.csv" for n in range(len(manifest))]


@pytest.mark.parametrize("place", PLACES)
def test_an_export_that_fails_leaves_nothing(export: Export, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "out"
    failed = export(folder, f"SELECT n FROM {ROWS}", Chaos(seed=1, probability={place: 1.0}))
    assert failed.status == "FAILED"
    assert not folder.exists() or content(folder) == {}
    assert export(folder, f"SELECT n FROM {ROWS}").status == "SUCCESS"


def test_the_manifest_comes_last_and_its_failure_takes_all(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    seen: list[set[str]] = []
    write = LocalFolder.writer

    def failing(self: LocalFolder, name: str) -> Any:
        if name.endswith("/manifest"):
            seen.append(set(content(folder)))
            raise OSError("the disk is gone")
        return write(self, name)

    monkeypatch.setattr(LocalFolder, "writer", failing)
    failed = export(folder, f"SELECT n FROM {ROWS}")
    assert failed.status == "FAILED" and "the disk is gone" in str(failed.fault)
    assert seen == [{"query-x-worker0-partition0.csv", "_symlink_format_manifest/druid_export_meta"}]
    assert content(folder) == {}


def test_only_the_export_s_own_files_go(export: Export, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "theirs.csv").write_text("kept")
    assert export(folder, f"SELECT n FROM {ROWS}").status == "FAILED"
    assert content(folder) == {"theirs.csv": "kept"}


@pytest.mark.parametrize("kind", ["s3", "google"])
def test_a_store_that_nobody_told_of(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Engine(EngineSettings(tmp_path / "data", threads=1)) as engine:
        sql = f"INSERT INTO EXTERN({kind}(bucket => 'b', prefix => 'p')) AS CSV SELECT 1 AS a"
        with pytest.raises(DruidException, match=rf"There is no store of type \[{kind}\] to export to") as caught:
            engine.prepare(sql)
        assert caught.value.status == 400
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
        engine.prepare(sql)


def test_a_destination_that_is_a_file(export: Export, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    done = export(tmp_path / "file", f"SELECT n FROM {ROWS}")
    assert done.status == "FAILED" and "is no folder" in str(done.fault)
    assert (tmp_path / "file").read_text() == "kept"
