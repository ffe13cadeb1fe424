"""Deep storage: Druid's folders and load specs, all or nothing, and no deletion outside of a segment's own place."""

from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.fs as fs
import pytest

from msq.segment.identity import DataSegment, LinearShardSpec, NumberedShardSpec
from msq.storage import LocalDeepStorage, StorageError, deep_storage_from, segment_folder
from msq.storage.objects import ObjectDeepStorage

INTERVAL = "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"
HOME = "wiki/2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z/2024-05-06T07:08:09.123Z/3"
FILES = {"version.bin": b"\0\0\0\x09", "meta.smoosh": b"v1,1,1\n", "00000.smoosh": b"x" * 5000}


def segment(**changes: Any) -> DataSegment:
    made = DataSegment(
        "wiki", INTERVAL, "2024-05-06T07:08:09.123Z", {}, ("s",), (), NumberedShardSpec(3, 4), total_rows=5
    )
    return dataclasses.replace(made, **changes)


def folder_of(path: Path, files: dict[str, bytes] | None = None) -> Path:
    path.mkdir(parents=True)
    for name, data in (FILES if files is None else files).items():
        (path / name).write_bytes(data)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in path.iterdir()}


@pytest.mark.parametrize("zipped", [False, True])
def test_local_push_open_kill(tmp_path: Path, zipped: bool) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache", zipped)
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    place = tmp_path / "deep" / HOME / ("index.zip" if zipped else "index")
    assert pushed.load_spec == {"type": "local", "path": f"{place}" if zipped else f"{place}/"}
    assert pushed.size == sum(map(len, FILES.values()))
    assert pushed.total_rows == 5
    if zipped:
        assert sorted(zipfile.ZipFile(place).namelist()) == sorted(FILES)
    assert content(storage.open(pushed)) == FILES
    assert storage.open(pushed) == storage.open(pushed)
    storage.kill(pushed)
    assert not (tmp_path / "deep" / "wiki").exists() and (tmp_path / "deep").exists()
    storage.kill(pushed)
    if not zipped:
        with pytest.raises(StorageError, match="not in deep storage"):
            storage.open(pushed)
    assert list((tmp_path / "deep" / "intermediate_pushes").iterdir()) == []


def test_what_one_dead_process_left_is_removed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")
    for process in (11, 11, 111):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        (storage._staging() / "half").write_bytes(b"x")
    staging = tmp_path / "deep" / "intermediate_pushes"
    assert len(list(staging.iterdir())) == 3
    storage.clean(11)
    assert ["-111-" in f.name for f in staging.iterdir()] == [True]
    storage.clean(12)
    assert len(list(staging.iterdir())) == 1
    storage.clean()
    assert not staging.exists()


@pytest.mark.parametrize("kind", ["local", "objects"])
def test_copies_that_a_dead_process_left_half_made_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What a kill leaves of a copy: its folder aside, which nobody finds any more."""
    cache = tmp_path / "cache"
    (tmp_path / "deep" / "bucket").mkdir(parents=True)
    files = fs.SubTreeFileSystem(str(tmp_path / "deep"), fs.LocalFileSystem())
    storage: Any = (
        LocalDeepStorage(tmp_path / "deep", cache, True)
        if kind == "local"
        else ObjectDeepStorage(files, "bucket", "", cache, True)
    )
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    with monkeypatch.context() as dying:
        # a process that dies neither renames nor tidies up
        dying.setattr(shutil, "rmtree", lambda *_, **__: None)
        dying.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            storage.open(pushed)
    whole = storage.open(pushed)
    assert len(list(cache.iterdir())) == 2
    storage.clean(1)
    assert len(list(cache.iterdir())) == 2
    storage.clean()
    assert list(cache.iterdir()) == [whole] and content(whole) == FILES


def test_second_push_replaces_the_folder_whole(tmp_path: Path) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")
    first = storage.push(folder_of(tmp_path / "one", {**FILES, "old": b"1"}), segment())
    kept = tmp_path / "hard link"
    kept.hardlink_to(storage.open(first) / "old")
    second = storage.push(folder_of(tmp_path / "two"), segment())
    assert content(storage.open(second)) == FILES
    assert kept.read_bytes() == b"1"


def test_a_failing_push_leaves_nothing(tmp_path: Path) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")
    with pytest.raises(StorageError, match="no segment"):
        storage.push(folder_of(tmp_path / "work", {}), segment())
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b", "a\\b", "."])
def test_names_that_are_no_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no name of a folder"):
        segment_folder(segment(datasource=name))
    with pytest.raises(StorageError, match="no name of a folder"):
        LocalDeepStorage(tmp_path, tmp_path / "cache").push(folder_of(tmp_path / "work"), segment(version=name))


def test_kill_refuses_foreign_places(tmp_path: Path) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    foreign = folder_of(tmp_path / "foreign" / "index")
    other = storage.push(folder_of(tmp_path / "other"), segment(shard_spec=LinearShardSpec(7)))
    for path in (f"{foreign}/", f"{tmp_path / 'deep'}/", "/", f"{tmp_path / 'deep' / HOME}/", other.load_spec["path"]):
        with pytest.raises(StorageError, match="not deleted"):
            storage.kill(dataclasses.replace(pushed, load_spec={"type": "local", "path": path}))
    for spec in ({"type": "local", "path": ""}, {"type": "s3_zip", "bucket": "b", "key": "k"}, {}):
        with pytest.raises(StorageError, match="load spec"):
            storage.kill(dataclasses.replace(pushed, load_spec=spec))
    assert foreign.exists() and content(storage.open(pushed)) == FILES
    storage.kill(DataSegment.tombstone("wiki", INTERVAL, "v"))


def test_kill_does_not_follow_links(tmp_path: Path) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache")
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "deep" / "wiki").rename(elsewhere)
    (tmp_path / "deep" / "wiki").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="not deleted"):
        storage.kill(pushed)
    assert elsewhere.exists()


def test_a_zip_that_would_leave_its_folder_is_refused(tmp_path: Path) -> None:
    storage = LocalDeepStorage(tmp_path / "deep", tmp_path / "cache", zipped=True)
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    with zipfile.ZipFile(pushed.load_spec["path"], "w") as bad:
        bad.writestr("../escaped", b"x")
    with pytest.raises(StorageError, match="escaped"):
        storage.open(pushed)
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_objects_push_open_kill(tmp_path: Path, zipped: bool) -> None:
    (tmp_path / "objects" / "bucket").mkdir(parents=True)
    files = fs.SubTreeFileSystem(str(tmp_path / "objects"), fs.LocalFileSystem())
    storage = ObjectDeepStorage(files, "bucket", "/druid/segments/", tmp_path / "cache", zipped)
    pushed = storage.push(folder_of(tmp_path / "work"), segment())
    key = f"druid/segments/{HOME}/" + ("index.zip" if zipped else "")
    assert pushed.load_spec == {"type": "s3_zip", "bucket": "bucket", "key": key, "S3Schema": "s3n"}
    assert pushed.size == sum(map(len, FILES.values()))
    assert content(storage.open(pushed)) == FILES
    with pytest.raises(StorageError, match="not deleted"):
        storage.kill(dataclasses.replace(pushed, load_spec={**pushed.load_spec, "key": "druid/"}))
    with pytest.raises(StorageError, match="not deleted"):
        storage.kill(dataclasses.replace(pushed, load_spec={**pushed.load_spec, "bucket": "other"}))
    storage.kill(pushed)
    fresh = ObjectDeepStorage(files, "bucket", "druid/segments", tmp_path / "cache2", zipped)
    with pytest.raises(StorageError, match="not in deep storage"):
        fresh.open(pushed)
    storage.kill(pushed)


def test_settings_name_the_storage(tmp_path: Path) -> None:
    made = deep_storage_from(
        {"type": "local", "storageDirectory": str(tmp_path / "d"), "zip": True}, tmp_path / "cache"
    )
    assert isinstance(made, LocalDeepStorage) and made.zipped
    with pytest.raises(StorageError, match="storageDirectory"):
        deep_storage_from({"type": "local"}, tmp_path)
    with pytest.raises(StorageError, match="hdfs"):
        deep_storage_from({"type": "hdfs"}, tmp_path)
