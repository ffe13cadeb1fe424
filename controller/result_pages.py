"""ResultPages: rows of a SELECT to durable storage, one file a page, kept until the folder is removed.

A page holds the rows of one partition of the final stage as JSON arrays, one a line, compressed; values are those of
`msq.results`. A page appears whole, by renaming; a partition without rows has none.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

_ROWS_PER_WRITE = 1_000


class ResultPages:
    """The pages of one task, in `folder`, which is made when the first page is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, partition: int, rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """Yields the rows on; once they are all read, the page is there."""
        iterator = iter(rows)
        first = list(islice(iterator, _ROWS_PER_WRITE))
        if not first:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._path(partition)
        part = target.with_name(target.name + ".part")
        with gzip.open(part, "wt", encoding="utf-8", compresslevel=1) as file:
            while first:
                file.write("".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in first))
                yield from first
                first = list(islice(iterator, _ROWS_PER_WRITE))
        os.replace(part, target)

    def partitions(self) -> list[int]:
        """Partitions that have a page, in order."""
        return sorted(int(p.name.partition(".")[0]) for p in self._folder.glob("*.jsonl.gz"))

    def read(self, partition: int) -> Iterator[list[Any]]:
        """Raises FileNotFoundError for a partition without a page."""
        with gzip.open(self._path(partition), "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def discard(self) -> None:
        """Removes all pages."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, partition: int) -> Path:
        return self._folder / f"{partition:06d}.jsonl.gz"
