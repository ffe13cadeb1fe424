"""Deep storage: where the files of published segments rest, in Druid's layout."""

from __future__ import annotations

from msq.storage.base import DeepStorage, StorageError, segment_folder
from msq.storage.local import LocalDeepStorage

__all__ = ["DeepStorage", "LocalDeepStorage", "StorageError", "deep_storage_from", "segment_folder"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def deep_storage_from(
    settings: Mapping[str, Any], cache: Path, stores: Mapping[str, Mapping[str, Any]] | None = None
) -> DeepStorage:
    """The storage that settings name by `type`: local (`storageDirectory`, `zip`) or s3 (`bucket`, `baseKey`, `zip`,
    and how to connect, where that differs from `stores`: `endpointUrl`, `region`, `accessKey`, `secretKey`). `cache`
    holds unpacked copies.

    Raises StorageError for another type or a missing key.
    """
    kind = settings.get("type", "local")
    try:
        if kind == "local":
            return LocalDeepStorage(Path(settings["storageDirectory"]), cache, zipped=bool(settings.get("zip", False)))
        if kind == "s3":
            from msq.storage.objects import ObjectDeepStorage
            from msq.storage.stores import s3_filesystem

            files = s3_filesystem({**((stores or {}).get("s3") or {}), **settings})
            return ObjectDeepStorage(
                files, settings["bucket"], settings.get("baseKey", ""), cache, zipped=bool(settings.get("zip", True))
            )
    except KeyError as e:
        raise StorageError(f"Deep storage of type [{kind}] needs the setting [{e.args[0]}]") from e
    raise StorageError(f"Deep storage of type [{kind}] is not supported: use [local] or [s3]")
