"""Export folders before and after the files: empty at the start, a manifest at the end. Source: msq-engine 3.9."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from msq.faults import MSQError, UnknownFault
from msq.processors.export import ExportResultsProcessor, file_prefix
from msq.sources.base import SourceAccess
from msq.sources.local import file_uri
from msq.stage.destination import ExportDestination
from msq.storage import StorageError
from msq.storage.exports import export_base, export_folder
from msq.storage.stores import object_uri

MANIFEST_FOLDER = "_symlink_format_manifest"


def check_export_folder(destination: ExportDestination, access: SourceAccess) -> None:
    """Raises MSQError when the folder holds anything: an export never mixes with other files."""
    provider = destination.export_storage_provider
    try:
        base = export_base(provider)
        if not export_folder(provider, access.stores).names():
            return
    except StorageError as error:
        raise MSQError(UnknownFault(str(error))) from error
    raise MSQError(UnknownFault(
        f"Found files at provided export destination[{base}]. Export is only allowed to an empty path. Please "
        "provide an empty path/subdirectory or move the existing files."
    ))  # fmt: skip


def write_manifest(processor: ExportResultsProcessor, results: Sequence[Any], access: SourceAccess) -> None:
    """Lists the files of the export, one URI a line, for readers of symlink manifests: what is listed is complete.

    `results`: what the workers answered, a name for each file. The manifest itself comes last.
    """
    provider = processor.export_storage_provider
    folder, base = export_folder(provider, access.stores), export_base(provider)
    lines = "".join(f"{_uri(base, str(name))}\n" for name in sorted(map(str, results), key=_place))
    for name, text in (("druid_export_meta", "version: 1\n"), ("manifest", lines)):
        with folder.writer(f"{MANIFEST_FOLDER}/{name}") as sink:
            sink.write(text.encode("utf-8"))


def discard_export(destination: ExportDestination, query_id: str, access: SourceAccess) -> None:
    """Removes what an export that failed has written: its own files, whole or not, and nothing else."""
    folder = export_folder(destination.export_storage_provider, access.stores)
    names = folder.names()
    for name in names:
        if name.startswith(file_prefix(query_id)):
            folder.delete(name)
    if MANIFEST_FOLDER in names:
        # the folder was empty when this export began
        folder.delete(MANIFEST_FOLDER)


def _uri(base: str, name: str) -> str:
    scheme, separator, rest = base.partition("://")
    if not separator:
        return file_uri(f"{os.path.abspath(base)}/{name}")
    bucket, _, prefix = rest.partition("/")
    return object_uri(scheme, bucket, f"{prefix}/{name}")


def _place(name: str) -> tuple[int, str]:
    """Files of a query differ by worker and partition; they are listed by partition."""
    digits = name.rpartition("-partition")[2].removesuffix(".csv")
    return (int(digits) if digits.isdigit() else 0), name
