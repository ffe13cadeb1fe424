"""Arrow IPC files of batches: written aside and renamed, read memory-mapped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from msq.frame.frame import decode_dictionary


def plain_batch(batch: Any) -> Any:
    """The batch without dictionary columns, whose dictionaries an IPC file could not change from batch to batch."""
    if not any(pa.types.is_dictionary(t) for t in batch.schema.types):
        return batch
    return pa.RecordBatch.from_arrays([decode_dictionary(c) for c in batch.columns], names=batch.schema.names)


def write_file(path: Path, schema: Any, batches: Iterable[Any], compression: str | None = None) -> int:
    """Writes `batches`, all of `schema`, to `path`; it appears whole or not at all. Returns its size in bytes."""
    aside = path.with_name(path.name + ".tmp")
    try:
        with (
            pa.OSFile(str(aside), "wb") as sink,
            pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
        size = aside.stat().st_size
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return size


def by_schema(batches: Sequence[tuple[int, Any]]) -> list[tuple[Any, list[tuple[int, Any]]]]:
    """Numbered batches grouped by schema, in order of first appearance."""
    groups: list[tuple[Any, list[tuple[int, Any]]]] = []
    for number, batch in batches:
        for schema, members in groups:
            if schema == batch.schema:
                members.append((number, batch))
                break
        else:
            groups.append((batch.schema, [(number, batch)]))
    return groups
