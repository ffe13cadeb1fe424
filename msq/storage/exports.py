"""Where an export writes, as its provider says it. Source: sql-surface 1.7, msq-engine 3.9."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msq.storage.base import StorageError
from msq.storage.folders import Folder, folder_at
from msq.storage.stores import SCHEMES, Stores


def export_base(provider: Mapping[str, Any]) -> str:
    """The destination as `folder_at` takes it: a path, or `s3://bucket/prefix`.

    Raises StorageError for a kind of storage that exports cannot write to, and for a bucket or prefix that is none.
    """
    kind = provider.get("type")
    if kind == "local":
        return str(provider["exportPath"])
    scheme = SCHEMES.get(str(kind))
    if scheme is None:
        raise StorageError(f"Export storage of type [{kind}] is not supported: use [local], {_kinds()}")
    bucket, prefix = str(provider["bucket"]), str(provider["prefix"]).rstrip("/")
    if not bucket or "/" in bucket:
        raise StorageError(f"[{bucket}] is no name of a bucket")
    if any(part in ("", ".", "..") for part in prefix.split("/")):
        raise StorageError(f"Export prefix [{provider['prefix']}] must have names between its slashes")
    return f"{scheme}://{bucket}/{prefix}"


def _kinds() -> str:
    return ", ".join(f"[{kind}]" for kind in SCHEMES)


def export_folder(provider: Mapping[str, Any], stores: Stores, scratch: Path | None = None) -> Folder:
    """The folder to write into; raises StorageError as `export_base` does. `stores`: how stores are reached."""
    kind = str(provider.get("type"))
    role = {"roleArn": provider.get("assumeRoleArn"), "externalId": provider.get("assumeRoleExternalId")}
    if provider.get("assumeRoleArn"):
        stores = {**stores, kind: {**(stores.get(kind) or {}), **role}}
    return folder_at(export_base(provider), stores, scratch)
