"""A folder that outlives processes, on disk or in an object store: files that appear whole, listed, read and removed.

Names are relative to the folder, with `/` between parts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from msq.storage.base import StorageError
from msq.storage.stores import SCHEMES, Stores, delete_tree, make_parent, store_filesystem

_CHUNK = 8 << 20


class Folder(Protocol):
    """Safe to use from threads and processes. Nothing has to exist beforehand, not even the folder."""

    def writer(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to fill: it appears, whole, when the block ends, and not at all when the block raises."""
        ...

    def reader(self, name: str) -> Any:
        """An Arrow input file. Raises FileNotFoundError."""
        ...

    def text(self, name: str) -> str | None:
        """A small file's text; None when there is none."""
        ...

    def claim(self, name: str, text: str) -> None:
        """Makes a small file unless it is there: the first to claim a name has it."""
        ...

    def names(self, name: str = "") -> Sequence[str]:
        """What lies directly in a folder below (or in this one), files and folders, in order; none where there is
        no folder."""
        ...

    def delete(self, name: str = "") -> None:
        """Removes a file, or a folder with all that is in it, if there is one."""
        ...


class LocalFolder:
    """A folder of this machine, or of a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        target = self.root / name
        aside = self._aside(target)
        try:
            with open(aside, "wb") as sink:
                yield sink
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)

    def reader(self, name: str) -> Any:
        import pyarrow as pa

        return pa.memory_map(str(self.root / name), "r")

    def text(self, name: str) -> str | None:
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def claim(self, name: str, text: str) -> None:
        target = self.root / name
        aside = self._aside(target)
        aside.write_text(text, encoding="utf-8")
        try:
            os.link(aside, target)
        except FileExistsError:
            pass
        finally:
            aside.unlink()

    def names(self, name: str = "") -> Sequence[str]:
        folder = self.root / name
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"[{folder}] is no folder")
        return sorted(f.name for f in folder.iterdir()) if folder.is_dir() else ()

    def delete(self, name: str = "") -> None:
        target = self.root / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)

    def _aside(self, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".{uuid.uuid4().hex}")


class StoreFolder:
    """Objects whose keys begin alike. `base`: bucket and key prefix, `bucket/a/b`; `scratch`: where files are filled
    before they are sent (None: the system's place for temporary files).

    Two claims of one name at the same moment may both write; whoever reads sees one of the two, whole.
    """

    def __init__(self, filesystem: Any, base: str, scratch: Path | None = None) -> None:
        parts = base.rstrip("/").split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise StorageError(f"[{base}] is no bucket with a prefix: it has an empty part, or one of dots")
        self.filesystem = filesystem
        self.base = "/".join(parts)
        self._scratch = scratch
        self._flat = filesystem.type_name == "gcs"  # it shows no folders but those that were made

    @contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._scratch, prefix="upload-") as filled:
            yield filled
            filled.seek(0)
            make_parent(self.filesystem, self._place(name))
            # an upload that is given up halfway would be completed as it stands: it begins when all bytes are there
            with self.filesystem.open_output_stream(self._place(name), compression=None) as sink:
                while data := filled.read(_CHUNK):
                    sink.write(data)

    def reader(self, name: str) -> Any:
        return self.filesystem.open_input_file(self._place(name))

    def text(self, name: str) -> str | None:
        try:
            with self.filesystem.open_input_stream(self._place(name), compression=None) as source:
                return bytes(source.read()).decode("utf-8")
        except FileNotFoundError:
            return None

    def claim(self, name: str, text: str) -> None:
        if self.text(name) is None:
            with self.writer(name) as sink:
                sink.write(text.encode("utf-8"))

    def names(self, name: str = "") -> Sequence[str]:
        from pyarrow.fs import FileSelector

        place = self._place(name)
        found = self.filesystem.get_file_info(FileSelector(place, allow_not_found=True, recursive=self._flat))
        return sorted({info.path[len(place) + 1 :].partition("/")[0] for info in found})

    def delete(self, name: str = "") -> None:
        delete_tree(self.filesystem, self._place(name))

    def _place(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base


def folder_at(place: str, stores: Stores, scratch: Path | None = None) -> Folder:
    """The folder that a text names: `s3://bucket/prefix`, `gs://bucket/prefix`, or a path of this machine.

    Raises StorageError for what names none.
    """
    scheme, separator, base = place.partition("://")
    if not separator:
        return LocalFolder(Path(place))
    kind = next((kind for kind, known in SCHEMES.items() if known == scheme), None)
    if kind is None:
        raise StorageError(f"[{place}] is of a kind that cannot be written to: use {', '.join(SCHEMES.values())}")
    return StoreFolder(store_filesystem(kind, stores), base, scratch)
