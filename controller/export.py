"""Export folders before and after the files: empty at the start, a manifest at the end. Source: msq-engine 3.9."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msq.faults import MSQError, UnknownFault
from msq.processors.export import ExportResultsProcessor
from msq.stage.destination import ExportDestination

MANIFEST_FOLDER = "_symlink_format_manifest"


def _folder(provider: dict[str, Any]) -> Path:
    if provider.get("type") != "local":
        raise MSQError(UnknownFault(f"Export storage of type [{provider.get('type')}] is not supported: use [local]"))
    return Path(provider["exportPath"])


def check_export_folder(destination: ExportDestination) -> None:
    """Raises MSQError when the folder holds anything: an export never mixes with other files."""
    folder = _folder(destination.export_storage_provider)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MSQError(UnknownFault(
            f"Found files at provided export destination[{folder}]. Export is only allowed to an empty path. Please "
            "provide an empty path/subdirectory or move the existing files."
        ))  # fmt: skip


def write_manifest(processor: ExportResultsProcessor, results: Sequence[Any]) -> None:
    """Lists the files of the export, one path a line, for readers of symlink manifests.

    `results`: what the workers answered, a path or file name for each file.
    """
    folder = _folder(processor.export_storage_provider)
    manifest = folder / MANIFEST_FOLDER
    manifest.mkdir(parents=True, exist_ok=True)
    paths = sorted(str(r) if str(r).startswith("/") else str(folder / str(r)) for r in results)
    (manifest / "manifest").write_text("".join(f"file:{p}\n" for p in paths), encoding="utf-8")
    (manifest / "druid_export_meta").write_text("version: 1\n", encoding="utf-8")
