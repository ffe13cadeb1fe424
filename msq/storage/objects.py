"""Deep storage in an object store through `pyarrow.fs`: Druid's `s3` layout of keys and load specs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from msq.segment.identity import DataSegment
from msq.storage.base import StorageError, folder_bytes, segment_folder, unzip, zip_folder
from msq.storage.cache import SegmentCache
from msq.storage.stores import delete_tree, make_parent

_CHUNK = 8 << 20


class ObjectDeepStorage:
    """Segments as `<bucket>/<base key>/<segment folder>/index.zip`, or as plain objects in that folder.

    Objects of one segment become visible one by one; a segment is announced only by its row in the metadata store.
    """

    def __init__(self, filesystem: Any, bucket: str, base_key: str, cache: Path, zipped: bool = True) -> None:
        if not bucket or "/" in bucket:
            raise StorageError(f"[{bucket}] is no name of a bucket")
        self.filesystem = filesystem
        self.bucket = bucket
        self.base_key = base_key.strip("/")
        self.zipped = zipped
        self._cache = SegmentCache(cache)

    def push(self, folder: Path, segment: DataSegment) -> DataSegment:
        size = folder_bytes(folder)
        home = self._home(segment)
        if self.zipped:
            with tempfile.TemporaryDirectory() as scratch:
                packed = Path(scratch) / "index.zip"
                zip_folder(folder, packed)
                self._upload(packed, f"{home}/index.zip")
        else:
            for file in sorted(folder.iterdir()):
                self._upload(file, f"{home}/{file.name}")
        return replace(self.locate(segment), size=size)

    def locate(self, segment: DataSegment) -> DataSegment:
        home = self._home(segment)
        key = f"{home}/index.zip" if self.zipped else f"{home}/"
        return replace(segment, load_spec={"type": "s3_zip", "bucket": self.bucket, "key": key, "S3Schema": "s3n"})

    def clean(self, process: int | None = None) -> None:
        """An object appears when it is whole: only copies of this machine can be half-made."""
        if process is None:
            self._cache.sweep()

    def open(self, segment: DataSegment) -> Path:
        key = self._key(segment)

        def fill(folder: Path) -> None:
            if key.endswith("/"):
                for found in self._files(segment, key):
                    self._download(found.path, folder / found.base_name)
                return
            with tempfile.TemporaryDirectory() as scratch:
                packed = Path(scratch) / "index.zip"
                self._download(f"{segment.load_spec['bucket']}/{key}", packed)
                unzip(packed, folder)

        return self._cache.get(segment, fill)

    def kill(self, segment: DataSegment) -> None:
        if segment.is_tombstone:
            return
        key, home = self._key(segment), self._home(segment)
        if segment.load_spec["bucket"] != self.bucket or key not in (f"{home}/index.zip", f"{home}/"):
            raise StorageError(f"Segment [{segment.id}] is not deleted: [{key}] is not its place in this storage")
        delete_tree(self.filesystem, f"{self.bucket}/{key}".rstrip("/"))

    def _home(self, segment: DataSegment) -> str:
        folder = segment_folder(segment)
        return f"{self.base_key}/{folder}" if self.base_key else folder

    def _key(self, segment: DataSegment) -> str:
        kind, key = segment.load_spec.get("type"), segment.load_spec.get("key")
        if kind != "s3_zip" or not isinstance(key, str) or not key or not segment.load_spec.get("bucket"):
            raise StorageError(f"Segment [{segment.id}] has a load spec of type [{kind}], which S3 storage cannot open")
        return key

    def _files(self, segment: DataSegment, key: str) -> list[Any]:
        import pyarrow.fs as fs

        folder = f"{segment.load_spec['bucket']}/{key}".rstrip("/")
        found = self.filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        files = [f for f in found if f.type == fs.FileType.File]
        if not files:
            raise StorageError(f"Segment [{segment.id}] is not in deep storage: no objects under [{folder}]")
        return files

    def _upload(self, file: Path, key: str) -> None:
        place = f"{self.bucket}/{key}"
        make_parent(self.filesystem, place)
        with open(file, "rb") as source, self.filesystem.open_output_stream(place, compression=None) as sink:
            while data := source.read(_CHUNK):
                sink.write(data)

    def _download(self, place: str, file: Path) -> None:
        try:
            with self.filesystem.open_input_stream(place, compression=None) as source, open(file, "wb") as sink:
                while data := source.read(_CHUNK):
                    sink.write(data)
        except FileNotFoundError as e:
            raise StorageError(f"[{place}] is not in deep storage") from e
