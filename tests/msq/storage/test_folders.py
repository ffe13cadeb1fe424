"""Folders that outlive processes, on disk and over a file system of objects: whole files, first claims, deletions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.fs as fs
import pytest

from msq.storage import StorageError
from msq.storage.exports import export_base
from msq.storage.folders import Folder, LocalFolder, StoreFolder, folder_at
from msq.storage.stores import object_of, object_uri


def _local(path: Path) -> Folder:
    return LocalFolder(path / "bucket" / "deep")


def _objects(path: Path) -> Folder:
    return StoreFolder(fs.SubTreeFileSystem(str(path), fs.LocalFileSystem()), "bucket/deep/", path / "scratch")


@pytest.fixture(params=[_local, _objects])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    make: Callable[[Path], Folder] = request.param
    (tmp_path / "bucket").mkdir()
    return make(tmp_path)


def test_files_appear_whole(folder: Folder, tmp_path: Path) -> None:
    assert folder.names() == [] or folder.names() == ()
    with folder.writer("a/b.txt") as sink:
        sink.write(b"one")
        sink.write(b"two")
        assert folder.text("a/b.txt") is None
    assert folder.text("a/b.txt") == "onetwo"
    with folder.reader("a/b.txt") as source:
        assert source.read() == b"onetwo"
    with folder.writer("a/b.txt") as sink:
        sink.write(b"again")
    assert folder.text("a/b.txt") == "again"
    assert list(folder.names()) == ["a"] and list(folder.names("a")) == ["b.txt"]


def test_a_file_whose_filling_fails_does_not_appear(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), folder.writer("a/b.txt") as sink:
        sink.write(b"half")
        raise RuntimeError("stop")
    assert folder.text("a/b.txt") is None and list(folder.names("a")) == []
    assert [f for f in tmp_path.rglob("*") if f.is_file()] == []
    with pytest.raises(FileNotFoundError):
        folder.reader("a/b.txt")


def test_the_first_claim_counts(folder: Folder) -> None:
    folder.claim("x/__success", "first")
    folder.claim("x/__success", "second")
    assert folder.text("x/__success") == "first" and list(folder.names("x")) == ["__success"]


def test_deletions(folder: Folder) -> None:
    for name in ("a/1", "a/deep/2", "b"):
        folder.claim(name, "x")
    folder.delete("b")
    folder.delete("nothing")
    assert list(folder.names()) == ["a"]
    folder.delete("a")
    assert list(folder.names()) == []


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    LocalFolder(tmp_path / "folder").delete("link")
    assert (tmp_path / "kept" / "x").exists() and list(LocalFolder(tmp_path / "folder").names()) == []


@pytest.mark.parametrize("place", ["hdfs://a/b", "s3://", "s3://b//c", "s3://b/../c", "s3:///x"])
def test_texts_that_name_no_folder(place: str) -> None:
    with pytest.raises(StorageError):
        folder_at(place, {"s3": {"region": "us-east-1", "accessKey": "a", "secretKey": "b"}})


@pytest.mark.parametrize(
    ("provider", "base"),
    [
        ({"type": "local", "exportPath": "/a b"}, "/a b"),
        ({"type": "s3", "bucket": "b", "prefix": "p/q/"}, "s3://b/p/q"),
        ({"type": "google", "bucket": "b", "prefix": "p"}, "gs://b/p"),
        ({"type": "azure", "bucket": "b", "prefix": "p"}, None), ({"type": "s3", "bucket": "", "prefix": "p"}, None),
        ({"type": "s3", "bucket": "b/c", "prefix": "p"}, None), ({"type": "s3", "bucket": "b", "prefix": ""}, None),
        ({"type": "s3", "bucket": "b", "prefix": "p/../q"}, None),
        ({"type": "s3", "bucket": "b", "prefix": "/p"}, None),
    ],
)  # fmt: skip
def test_where_an_export_goes(provider: dict[str, Any], base: str | None) -> None:
    if base is None:
        with pytest.raises(StorageError):
            export_base(provider)
    else:
        assert export_base(provider) == base


def test_uris_of_objects() -> None:
    uri = object_uri("s3", "b", "a b/ö+~*%.json")
    assert uri == "s3://b/a%20b/%C3%B6%2B%7E*%25.json"
    assert object_of(uri) == ("b", "a b/ö+~*%.json")
